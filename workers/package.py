"""PERSON: everything that is learnt of one person in one file, a zip without compression of safetensors and media.

Nothing in it is ever unpickled. The manifest lists each member with its sha256; a member that does not match is
refused before it is used.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from media.atomic import replacing
from media.room import require_room, room_for
from problems import InternalProblem, InvalidPackage

FORMAT = "likeness.person/3"
MANIFEST = "manifest.json"
MEMBERS = (
    "clip.mp4", "audio.wav", "track.safetensors", "texture.safetensors", "motion.safetensors",
    "surroundings.safetensors", "renderer.safetensors", "generator.onnx",
)  # fmt: skip
"""What a PERSON holds beside the manifest."""
NETWORK = ("renderer.safetensors", "generator.onnx")
"""Members that a person of preset ``instant`` lacks: all layers, no network."""
MAX_MEMBER_BYTES = 2 << 30
MAX_MANIFEST_BYTES = 1 << 20


@dataclass(frozen=True)
class PersonPackage:
    """An opened PERSON: its members lie in ``folder`` while the context lasts."""

    folder: Path
    """Temporary folder with the members."""
    manifest: Mapping[str, Any]
    """format, version, preset, seed, created, members (name -> sha256, bytes), metrics."""

    def path(self, member: str) -> Path:
        """File of a member."""
        return self.folder / member


def members_of(preset: object) -> tuple[str, ...]:
    """What a person of this preset holds."""
    return tuple(name for name in MEMBERS if preset != "instant" or name not in NETWORK)


def write_package(work: Path, out: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Zip the members found in ``work`` into ``out``, atomically; returns the manifest."""
    members = members_of(facts.get("preset"))
    missing = [name for name in members if not (work / name).is_file()]
    if missing:
        raise InternalProblem(
            f"{work} lacks {', '.join(missing)}; the person is not complete",
            remedy="run the missing stages first",
        )
    manifest = {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **facts,
        "members": {
            name: {"sha256": sha256_of(work / name), "bytes": (work / name).stat().st_size}
            for name in members
        },
    }
    with replacing(out) as inside, zipfile.ZipFile(inside, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(MANIFEST, json.dumps(manifest, indent=1))
        for name in members:
            archive.write(work / name, name)
    return manifest


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a PERSON that was just written; nothing else of it is read or checked.

    Raises:
        InvalidPackage: it has none.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            content: dict[str, Any] = json.loads(archive.read(MANIFEST))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise InvalidPackage(
            f"{path.name} is not a PERSON file ({error})",
            remedy="make it again with: likeness personalize CLIP -o PERSON",
        ) from error
    return content


@contextmanager
def open_package(path: Path) -> Iterator[PersonPackage]:
    """Check and unpack a PERSON into a temporary folder, which goes away with the context.

    Raises:
        InvalidPackage: not a PERSON, of another format version, incomplete, or damaged.
    """
    remedy = "make it again with: likeness personalize CLIP -o PERSON"
    if not path.is_file():
        raise InvalidPackage(f"there is no PERSON file {path}", remedy=remedy)
    folder = Path(tempfile.mkdtemp(prefix="likeness-person-"))
    try:
        try:
            manifest = _unpack(path, folder, remedy)
        # ValueError: not JSON, not UTF-8. RuntimeError: an encrypted member, or JSON nested too deeply.
        except (
            zipfile.BadZipFile,
            zlib.error,
            KeyError,
            TypeError,
            ValueError,
            RuntimeError,
            EOFError,
        ) as error:
            raise InvalidPackage(f"{path.name} is not a PERSON file ({error})", remedy=remedy) from error
        yield PersonPackage(folder, manifest)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unpack(path: Path, folder: Path, remedy: str) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        _check_size(path, archive, MANIFEST, MAX_MANIFEST_BYTES, remedy)
        manifest: dict[str, Any] = json.loads(archive.read(MANIFEST))
        found = manifest.get("format") if isinstance(manifest, dict) else None
        if found != FORMAT:
            raise InvalidPackage(
                f"{path.name} has format {found!r}; this version reads {FORMAT!r}", remedy=remedy
            )
        names = members_of(manifest.get("preset"))  # a fixed list: a name in the file never becomes a path
        for name in names:
            _check_size(path, archive, name, MAX_MEMBER_BYTES, remedy)
        unpacked = f"{path.name}, unpacked,"
        require_room(sum(archive.getinfo(name).file_size for name in names), unpacked, folder=folder)
        for name in names:
            expected = manifest["members"][name]
            digest = hashlib.sha256()
            with (
                room_for(unpacked, folder=folder),
                archive.open(name) as source,
                open(folder / name, "wb") as target,
            ):
                while block := source.read(1 << 20):
                    digest.update(block)
                    target.write(block)
            if digest.hexdigest() != expected["sha256"]:
                raise InvalidPackage(f"{path.name}: {name} is damaged (its sha256 differs)", remedy=remedy)
    return manifest


def _check_size(path: Path, archive: zipfile.ZipFile, name: str, limit: int, remedy: str) -> None:
    """Nothing in a PERSON is compressed, so nothing can grow while it is read."""
    info = archive.getinfo(name)
    if info.file_size > limit or info.compress_type != zipfile.ZIP_STORED:
        raise InvalidPackage(f"{path.name}: {name} is compressed or implausibly large", remedy=remedy)


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
