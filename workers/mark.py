"""What a video that this product makes is marked with: a number in its pixels and a signed manifest in its file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from likeness import VERSION
from likeness.ids import mark_of
from likeness.settings import Settings
from provenance import credentials, manifest
from provenance.credentials import Credentials
from provenance.watermark import PAYLOAD_BITS, Watermark


@dataclass(frozen=True)
class Mark:
    """The marks of one video."""

    video_id: str
    """Of the job or the video; the number in the pixels follows from it."""
    credentials: Credentials
    consent_kind: str | None = None
    """``attested`` or ``verified``; None where nobody recorded it."""
    consent_id: str | None = None

    @property
    def number(self) -> int:
        """The number in the pixels."""
        return watermark_id(self.video_id)

    def watermark(self) -> Watermark:
        """A new one: it follows the frames of one video."""
        return Watermark(self.number)

    def sign(self, video: Path, title: str) -> bool:
        """Write the manifest, which must be the last write; False when the container can hold none.

        Raises:
            Problem: see :func:`provenance.manifest.sign`.
        """
        if not manifest.can_sign(video):
            return False
        claim = manifest.Claim(
            title=title,
            video_id=self.video_id,
            watermark=spelled(self.number),
            consent_kind=self.consent_kind,
            consent_id=self.consent_id,
            version=VERSION,
        )
        manifest.sign(video, self.credentials, claim)
        return True


def watermark_id(video_id: str) -> int:
    """The 48 bits that stand for an id: the first of its SHA-256. The pixels hold no more."""
    return int(mark_of(video_id), 16)


def spelled(number: int) -> str:
    """12 hexadecimal digits."""
    return f"{number:0{PAYLOAD_BITS // 4}x}"


def credentials_of(settings: Settings) -> Credentials:
    """The operator's certificate, or the development one of the data folder.

    Raises:
        InvalidParameter: the operator's can't be used.
    """
    if settings.c2pa_certificate is None or settings.c2pa_key is None:
        return credentials.development(settings.provenance_dir)
    return credentials.from_files(settings.c2pa_certificate, settings.c2pa_key)


def credentials_of_user(settings: Settings) -> tuple[Credentials, bool]:
    """For a command: the operator's certificate, that of a data folder which was named, or the user's own.

    Returns:
        The credentials, and whether they outlive this process.

    Raises:
        InvalidParameter: the operator's can't be used.
    """
    operators = settings.c2pa_certificate is not None and settings.c2pa_key is not None
    if operators or "data_dir" in settings.model_fields_set:
        return credentials_of(settings), True
    found, path = credentials.of_user(earlier=settings.provenance_dir)
    return found, path is not None
