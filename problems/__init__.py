"""The one error family of the product, drawn as a tree.

    Problem
    ├── InvalidInput (422)          what was handed in can't be used; retrying the same thing won't help
    │   ├── UnreadableMedia         empty, truncated, not a media file, or a codec that can't be decoded
    │   ├── MediaTooLarge (413)     more pixels, seconds or bytes than the limits allow
    │   ├── NoVideo                 a media file without a video stream
    │   ├── NoSound                 no sound stream, or only silence
    │   ├── TooShort                not enough frames or seconds to learn from or to speak
    │   ├── NoFace                  no face, or too few frames with one
    │   ├── SeveralFaces            more than one face in too many frames
    │   ├── StillImage              a video whose frames do not change
    │   ├── FaceTooSmall            a face of too few pixels
    │   ├── LipsStrange             lips that do not move with the voice
    │   ├── InvalidParameter        an argument or a field outside what it may be
    │   └── InvalidPackage          a PERSON file that is damaged, unknown or of another version
    ├── NotFound (404)              no such resource
    ├── Conflict (409)              the resource's state does not allow this now
    ├── Cancelled (409)             the work was stopped on purpose
    ├── ResourceExhausted (503)     memory, disk or time ran out; retryable
    │   ├── DecodeTimeout           decoding took longer than its deadline (not retryable: the file is the cause)
    │   ├── OutOfMemory
    │   └── OutOfDisk
    ├── LeaseLost (409)             another worker owns this stage now; retryable
    └── InternalProblem (500)       a fault of the product itself

Each class has a stable ``slug``, an HTTP ``status`` and ``retryable``; each instance has a sentence that names the
problem and a ``remedy`` that says what to do. The API renders it as RFC 9457, the command line as two lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class Problem(Exception):
    """Base of every error that the product raises on purpose.

    Args:
        message: one sentence that names what is wrong, with the frames, field or file.
        remedy: one sentence that says what to do about it.
        details: machine-readable facts (JSON types only), such as ``{"frames": [12, 13]}``.
    """

    slug: ClassVar[str] = "problem"
    title: ClassVar[str] = "Something went wrong"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, remedy: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.details: dict[str, Any] = dict(details or {})

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only arguments do not survive the default pickling, and problems cross process borders.
        return _rebuild, (type(self), self.message, self.remedy, self.details)

    def as_dict(self) -> dict[str, Any]:
        """The error as JSON types: slug, title, status, retryable, message, remedy, details."""
        return {
            "slug": self.slug,
            "title": self.title,
            "status": self.status,
            "retryable": self.retryable,
            "message": self.message,
            "remedy": self.remedy,
            "details": self.details,
        }


def _rebuild(kind: type[Problem], message: str, remedy: str, details: Mapping[str, Any]) -> Problem:
    return kind(message, remedy=remedy, details=details)


def problem_from_dict(data: Mapping[str, Any]) -> Problem:
    """Rebuild a problem from :meth:`Problem.as_dict`; an unknown slug becomes an :class:`InternalProblem`."""
    kinds = {kind.slug: kind for kind in _family(Problem)}
    kind = kinds.get(str(data.get("slug")), InternalProblem)
    return kind(str(data.get("message")), remedy=str(data.get("remedy")), details=data.get("details") or {})


def _family(kind: type[Problem]) -> list[type[Problem]]:
    return [kind, *(member for child in kind.__subclasses__() for member in _family(child))]


class InvalidInput(Problem):
    slug, title, status = "invalid_input", "The input can't be used", 422


class UnreadableMedia(InvalidInput):
    slug, title = "unreadable_media", "The file can't be read as media"


class MediaTooLarge(InvalidInput):
    slug, title, status = "media_too_large", "The file is larger than the limits allow", 413


class NoVideo(InvalidInput):
    slug, title = "no_video", "The file has no video"


class NoSound(InvalidInput):
    slug, title = "no_sound", "The file has no usable sound"


class TooShort(InvalidInput):
    slug, title = "too_short", "The file is too short"


class NoFace(InvalidInput):
    slug, title = "no_face", "No usable face was found"


class SeveralFaces(InvalidInput):
    slug, title = "several_faces", "More than one face was found"


class StillImage(InvalidInput):
    slug, title = "still_image", "The video does not move"


class FaceTooSmall(InvalidInput):
    slug, title = "face_too_small", "The face is too small"


class LipsStrange(InvalidInput):
    slug, title = "lips_strange", "Lips and voice do not belong together"


class InvalidParameter(InvalidInput):
    slug, title = "invalid_parameter", "A parameter is out of range"


class InvalidPackage(InvalidInput):
    slug, title = "invalid_package", "The person file can't be used"


class NotFound(Problem):
    slug, title, status = "not_found", "There is no such resource", 404


class Conflict(Problem):
    slug, title, status = "conflict", "The resource's state does not allow this", 409


class Cancelled(Problem):
    slug, title, status = "cancelled", "The work was stopped", 409


class LeaseLost(Problem):
    slug, title, status, retryable = "lease_lost", "Another worker owns this stage", 409, True


class ResourceExhausted(Problem):
    slug, title, status, retryable = "resource_exhausted", "The machine ran out of something", 503, True


class DecodeTimeout(ResourceExhausted):
    slug, title, status, retryable = "decode_timeout", "Decoding took too long", 422, False


class OutOfMemory(ResourceExhausted):
    slug, title = "out_of_memory", "Memory ran out"


class OutOfDisk(ResourceExhausted):
    slug, title = "out_of_disk", "Disk space ran out"


class InternalProblem(Problem):
    slug, title, status = "internal", "A fault of the product", 500
