from __future__ import annotations

import json
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from problems import InternalProblem, InvalidPackage, OutOfDisk
from workers.package import FORMAT, MANIFEST, MEMBERS, NETWORK, open_package, sha256_of, write_package

FACTS = {"version": "1.2", "preset": "preview", "seed": 3, "metrics": {"psnr": 28.5}}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for n, name in enumerate(MEMBERS):
        (folder / name).write_bytes(rng.bytes(3000 + 100 * n))
    (folder / "stages.json").write_text("{}")  # not a member
    return folder


@pytest.fixture
def person(work: Path, tmp_path: Path) -> Path:
    out = tmp_path / "out" / "robin.likeness"
    write_package(work, out, FACTS)
    return out


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


def _left_over(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "tmp").iterdir())


def _rewrite(person: Path, change: dict[str, bytes | None], *, compression: int = zipfile.ZIP_STORED) -> None:
    """The same zip with some members replaced, added or (None) dropped."""
    with zipfile.ZipFile(person) as archive:
        content: dict[str, bytes | None] = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(person, "w", compression) as archive:
        for name, data in {**content, **change}.items():
            if data is not None:
                archive.writestr(name, data)


def _manifest(person: Path) -> dict[str, object]:
    with zipfile.ZipFile(person) as archive:
        return dict(json.loads(archive.read(MANIFEST)))


def _refused(person: Path, match: str) -> None:
    with pytest.raises(InvalidPackage, match=match) as caught, open_package(person):
        pytest.fail("the package was opened")
    assert "likeness personalize" in caught.value.remedy


def test_what_goes_in_comes_out(work: Path, person: Path, tmp_path: Path) -> None:
    with open_package(person) as opened:
        for name in MEMBERS:
            assert opened.path(name).read_bytes() == (work / name).read_bytes()
        assert {p.name for p in opened.folder.iterdir()} == set(MEMBERS)
        assert opened.manifest["format"] == FORMAT
        assert {key: opened.manifest[key] for key in FACTS} == FACTS
        assert opened.manifest["members"]["clip.mp4"] == {
            "sha256": sha256_of(work / "clip.mp4"),
            "bytes": 3000,
        }
        assert str(opened.manifest["created"]).endswith("+00:00")
        folder = opened.folder
    assert not folder.exists()
    assert not _left_over(tmp_path)
    assert [p.name for p in person.parent.iterdir()] == ["robin.likeness"]


def test_an_instant_person_has_no_network(work: Path, tmp_path: Path) -> None:
    for name in NETWORK:
        (work / name).unlink()
    with pytest.raises(InternalProblem, match=r"generator\.onnx"):
        write_package(work, tmp_path / "preview.likeness", FACTS)
    write_package(work, tmp_path / "instant.likeness", {**FACTS, "preset": "instant"})
    with open_package(tmp_path / "instant.likeness") as opened:
        assert {p.name for p in opened.folder.iterdir()} == set(MEMBERS) - set(NETWORK)


def test_it_is_a_plain_zip_without_pickle(person: Path) -> None:
    with zipfile.ZipFile(person) as archive:
        assert archive.namelist() == [MANIFEST, *MEMBERS]
        assert archive.testzip() is None
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_the_folder_goes_away_when_the_work_in_it_fails(person: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="mine"), open_package(person):
        raise KeyError("mine")  # not taken for a damaged package
    assert not _left_over(tmp_path)


@pytest.mark.parametrize("name", MEMBERS)
def test_a_tampered_member_is_refused(person: Path, name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(person) as archive:
        data = bytearray(archive.read(name))
    data[len(data) // 2] ^= 1
    _rewrite(person, {name: bytes(data)})
    _refused(person, f"{name} is damaged")
    assert not _left_over(tmp_path)


def test_a_flipped_byte_on_disk_is_refused(person: Path) -> None:
    content = bytearray(person.read_bytes())
    content[len(content) // 2] ^= 0xFF
    person.write_bytes(bytes(content))
    _refused(person, "not a PERSON file|damaged")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(person: Path, share: float, tmp_path: Path) -> None:
    content = person.read_bytes()
    person.write_bytes(content[: int(share * len(content))])
    _refused(person, "not a PERSON file")
    assert not _left_over(tmp_path)


@pytest.mark.parametrize("name", [MANIFEST, *MEMBERS])
def test_a_missing_member_is_refused(person: Path, name: str) -> None:
    _rewrite(person, {name: None})
    _refused(person, "not a PERSON file")


def test_names_that_climb_out_are_ignored(person: Path, tmp_path: Path) -> None:
    evil = {
        "../escaped.txt": b"x",
        "/tmp/absolute.txt": b"x",
        "deep/../../escaped.txt": b"x",
        "extra.bin": b"x",
    }
    _rewrite(person, dict(evil))
    with open_package(person) as opened:
        assert {p.name for p in opened.folder.iterdir()} == set(MEMBERS)
    assert not list(tmp_path.rglob("escaped.txt"))
    assert not list(tmp_path.rglob("absolute.txt"))


def test_names_in_the_manifest_never_become_paths(person: Path, tmp_path: Path) -> None:
    manifest = _manifest(person)
    members = manifest["members"]
    assert isinstance(members, dict)
    members["../escaped.txt"] = {"sha256": "0" * 64, "bytes": 1}
    _rewrite(person, {MANIFEST: json.dumps(manifest).encode(), "../escaped.txt": b"x"})
    with open_package(person):
        pass
    assert not list(tmp_path.rglob("escaped.txt"))


def test_another_format_is_named(person: Path) -> None:
    _rewrite(person, {MANIFEST: json.dumps({**_manifest(person), "format": "likeness.person/9"}).encode()})
    _refused(person, r"likeness\.person/9.*likeness\.person/3")


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"format": "likeness.person/3"}'])
def test_a_broken_manifest_is_refused(person: Path, text: bytes) -> None:
    _rewrite(person, {MANIFEST: text})
    _refused(person, "PERSON|format")


@pytest.mark.parametrize("members", [[], "all", dict.fromkeys(MEMBERS, "abc"), dict.fromkeys(MEMBERS)])
def test_a_manifest_of_another_shape_is_refused(person: Path, members: object) -> None:
    _rewrite(person, {MANIFEST: json.dumps({**_manifest(person), "members": members}).encode()})
    _refused(person, "not a PERSON file")


def test_a_deeply_nested_manifest_is_refused(person: Path) -> None:
    _rewrite(person, {MANIFEST: b"[" * 200_000})
    _refused(person, "not a PERSON file")


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_compressed_members_are_refused(person: Path, compression: int) -> None:
    _rewrite(person, {}, compression=compression)
    _refused(person, "compressed")


def test_a_manifest_that_would_fill_the_memory_is_refused(person: Path) -> None:
    _rewrite(person, {MANIFEST: b" " * (3 << 20) + json.dumps(_manifest(person)).encode()})
    _refused(person, "implausibly large")


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clip.likeness").write_bytes(b"\0\0\0 ftypisom" + bytes(500))
    _refused(tmp_path / "clip.likeness", "not a PERSON file")
    _refused(tmp_path / "none.likeness", "there is no PERSON file")
    _refused(tmp_path, "there is no PERSON file")


def test_an_incomplete_person_is_not_written(work: Path, tmp_path: Path) -> None:
    (work / "generator.onnx").unlink()
    (work / "audio.wav").unlink()
    with pytest.raises(InternalProblem, match=r"audio\.wav, generator\.onnx"):
        write_package(work, tmp_path / "out" / "p.likeness", FACTS)
    assert not (tmp_path / "out").exists()


def test_a_failed_write_keeps_the_old_person(work: Path, person: Path) -> None:
    before = person.read_bytes()
    with pytest.raises(TypeError):
        write_package(work, person, {**FACTS, "metrics": {"bad": object()}})
    assert person.read_bytes() == before
    assert [p.name for p in person.parent.iterdir()] == ["robin.likeness"]


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_temporary_folder_that_is_too_small_is_named_before_anything_is_unpacked(
    person: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("media.room._SPARE", 2**62)
    with pytest.raises(OutOfDisk, match=r"unpacked, will take about \d+ MiB") as caught, open_package(person):
        pass
    assert "TMPDIR" in caught.value.remedy
    assert _left_over(tmp_path) == []
