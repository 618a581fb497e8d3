from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import c2pa
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from benchmarks.provenance import copy_streams, encode
from benchmarks.scenes import invented
from media.decode import read_frames
from media.encode import VideoWriter
from problems import InternalProblem, UnreadableMedia
from provenance import manifest
from provenance.credentials import DEVELOPMENT, Credentials, development
from provenance.manifest import SOURCE_TYPE, Claim, can_sign, read, sign

CLAIM = Claim("A talk", "job_1", "00c0ffee1234", "attested", "con_1", "1.2.3")


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    return development(tmp_path_factory.mktemp("credentials"))


@pytest.fixture(scope="module")
def unsigned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "video.mp4"
    encode(invented("grain", 8, (128, 96)), path)
    return path


@pytest.fixture
def video(unsigned: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(unsigned, tmp_path / "video.mp4"))


def test_what_was_signed_is_read(video: Path, mine: Credentials) -> None:
    assert read(video) is None
    before = np.stack(list(read_frames(video)))
    sign(video, mine, CLAIM)
    reading = read(video)
    assert reading is not None
    assert reading.valid
    assert not reading.trusted
    assert reading.problems == ("signingCredential.untrusted",)
    assert reading.signer == DEVELOPMENT
    assert reading.development
    assert reading.title == "A talk"
    assert reading.generator == "Likeness 1.2.3"
    assert reading.source_type == SOURCE_TYPE
    assert reading.consent == {
        "video_id": "job_1",
        "watermark": "00c0ffee1234",
        "consent_kind": "attested",
        "consent_id": "con_1",
    }
    np.testing.assert_array_equal(np.stack(list(read_frames(video))), before)
    assert [path.name for path in video.parent.iterdir()] == ["video.mp4"]


def test_what_nobody_recorded_is_left_out(video: Path, mine: Credentials) -> None:
    sign(video, mine, dataclasses.replace(CLAIM, consent_kind=None, consent_id=None))
    reading = read(video)
    assert reading is not None
    assert reading.consent == {"video_id": "job_1", "watermark": "00c0ffee1234"}


def test_a_signer_is_trusted_through_their_authority(video: Path, mine: Credentials, tmp_path: Path) -> None:
    sign(video, mine, CLAIM)
    authority, stranger = (
        x509.load_pem_x509_certificates(each.chain.encode())[1].public_bytes(Encoding.PEM).decode()
        for each in (mine, development(tmp_path / "other"))
    )
    trusted, untrusted = read(video, anchors=authority), read(video, anchors=stranger)
    assert trusted is not None
    assert trusted.trusted
    assert trusted.problems == ()
    assert untrusted is not None
    assert not untrusted.trusted


def test_one_changed_byte_is_noticed(video: Path, mine: Credentials) -> None:
    sign(video, mine, CLAIM)
    content = bytearray(video.read_bytes())
    content[content.rindex(b"mdat") + 200] ^= 1
    video.write_bytes(content)
    reading = read(video)
    assert reading is not None
    assert not reading.valid
    assert "assertion.bmffHash.mismatch" in reading.problems


def test_a_copy_of_the_streams_has_no_manifest(video: Path, mine: Credentials, tmp_path: Path) -> None:
    sign(video, mine, CLAIM)
    copy_streams(video, tmp_path / "copied.mp4")
    assert read(tmp_path / "copied.mp4") is None


def test_a_webm_can_hold_none(tmp_path: Path, mine: Credentials) -> None:
    path = tmp_path / "video.webm"
    with VideoWriter(path, 64, 64, alpha=True) as writer:
        writer.write(np.zeros((64, 64, 4), np.uint8))
    content = path.read_bytes()
    assert not can_sign(path)
    assert can_sign(tmp_path / "VIDEO.MP4")
    with pytest.raises(UnreadableMedia, match="can't hold"):
        sign(path, mine, CLAIM)
    assert path.read_bytes() == content
    assert read(path) is None


def test_a_file_that_is_none_stays_as_it_is(tmp_path: Path, mine: Credentials) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(b"not a video at all")
    with pytest.raises(UnreadableMedia, match="can't be signed"):
        sign(path, mine, CLAIM)
    assert path.read_bytes() == b"not a video at all"
    assert [each.name for each in tmp_path.iterdir()] == ["video.mp4"]


def test_a_certificate_that_c2pa_refuses_leaves_the_video(video: Path, mine: Credentials) -> None:
    content = video.read_bytes()
    authority = mine.chain[mine.chain.rindex("-----BEGIN") :]
    with pytest.raises(InternalProblem, match="can't sign") as caught:
        sign(video, dataclasses.replace(mine, chain=authority), CLAIM)
    assert caught.value.details["field"] == "c2pa_certificate"
    assert video.read_bytes() == content
    assert [each.name for each in video.parent.iterdir()] == ["video.mp4"]


def test_a_kill_before_the_rename_leaves_the_old_file(
    video: Path, mine: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = video.read_bytes()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(manifest.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        sign(video, mine, CLAIM)
    assert video.read_bytes() == content
    assert [each.name for each in video.parent.iterdir()] == ["video.mp4"]


def test_others_readers_agree(video: Path, mine: Credentials) -> None:
    # What c2patool and browsers build on, with its own defaults.
    sign(video, mine, CLAIM)
    with video.open("rb") as stream, c2pa.Reader("video/mp4", stream) as reader:
        assert reader.get_validation_state() == "Valid"
        assert reader.is_embedded()
