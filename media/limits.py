"""How much of a file the product is willing to read, and what its decoder may cost."""

from __future__ import annotations

from dataclasses import dataclass

from problems import MediaTooLarge, TooShort


@dataclass(frozen=True)
class DecodeBudget:
    """What an isolated decoder may use; see :func:`media.isolate.run_isolated`."""

    memory_mb: int = 3072
    """Address space of the child, MiB; 4K HEVC with 10 bits needs about 1200."""
    cpu_s: float = 900.0
    """Processor seconds of the child, all threads together."""
    wall_s: float = 900.0
    """Seconds that the caller waits for the child in all."""
    file_mb: int = 8192
    """Largest file that the child may write, MiB."""


@dataclass(frozen=True)
class ClipLimits:
    """Limits on a clip (the video a person is learned from)."""

    max_bytes: int = 2 * 1024**3
    """Bytes of the file."""
    max_duration_s: float = 600.0
    """Seconds of the file; longer is refused."""
    max_seconds: float | None = 60.0
    """Seconds taken from the beginning, None for all; what follows is left out, not refused."""
    max_pixels: int = 4096 * 2304
    """Pixels of one frame, as coded."""
    max_frame_rate: float = 480.0
    """Frames a second of the file."""
    min_frames: int = 2
    """Frames at 25 fps; fewer are not a video."""
    max_side: int = 1920
    """Longest side after normalising, px."""
    budget: DecodeBudget = DecodeBudget()
    """Cost of decoding."""

    def check_bytes(self, size: int) -> None:
        """Raise :class:`MediaTooLarge` for a file of ``size`` bytes over the limit."""
        _check_bytes(
            size, self.max_bytes, "clip", "film at 1080p, or cut it to the part in which the person speaks"
        )

    def check_duration(self, seconds: float) -> None:
        """Raise :class:`MediaTooLarge` for a clip that is longer than ``max_duration_s``."""
        if seconds > self.max_duration_s:
            raise MediaTooLarge(
                f"the clip lasts {seconds:.0f} s; the limit is {self.max_duration_s:.0f} s",
                remedy="cut it to the part in which the person speaks: 12 s are enough",
                details={"seconds": seconds, "limit": self.max_duration_s},
            )

    def check_pixels(self, width: int, height: int) -> None:
        """Raise :class:`MediaTooLarge` for frames of more than ``max_pixels``."""
        if width * height > self.max_pixels:
            raise MediaTooLarge(
                f"the clip's frames are {width}x{height}; the limit is {self.max_pixels / 1e6:.1f} MP",
                remedy="export it at 3840x2160 or less; 1920x1080 is all that is used",
                details={"width": width, "height": height, "limit_pixels": self.max_pixels},
            )

    def check_frame_rate(self, fps: float) -> None:
        """Raise :class:`MediaTooLarge` for more than ``max_frame_rate`` frames a second."""
        if fps > self.max_frame_rate:
            raise MediaTooLarge(
                f"the clip has {fps:.0f} frames a second; the limit is {self.max_frame_rate:.0f}",
                remedy="export it at 25 to 60 frames a second",
                details={"fps": fps, "limit": self.max_frame_rate},
            )

    def check_frames(self, frames: int) -> None:
        """Raise :class:`TooShort` for fewer than ``min_frames`` frames at 25 fps."""
        if frames < self.min_frames:
            raise TooShort(
                f"the clip has {frames} frame{'s' * (frames != 1)} at 25 fps: it is a picture, not a video",
                remedy="upload a video of 12 s or more in which the person speaks",
                details={"frames": frames},
            )


@dataclass(frozen=True)
class RecordingLimits:
    """Limits on a recording (the sound that a person is made to say)."""

    max_bytes: int = 4 * 1024**3
    """Bytes of the file."""
    max_seconds: float = 4 * 3600.0
    """Seconds; longer is refused."""
    min_seconds: float = 0.1
    """Seconds; shorter is refused."""
    silence_dbfs: float = -70.0
    """Peak below which there is nothing to say, dB of full scale."""
    max_pixels: int = 4096 * 2304
    """Pixels of a frame, should the recording be a video (it is not decoded)."""
    budget: DecodeBudget = DecodeBudget(memory_mb=1536, cpu_s=1800.0, wall_s=1800.0)
    """Cost of decoding."""

    def check_bytes(self, size: int) -> None:
        """Raise :class:`MediaTooLarge` for a file of ``size`` bytes over the limit."""
        _check_bytes(size, self.max_bytes, "recording", "save it as mp3 or m4a, or cut it into parts")

    def check_longest(self, seconds: float) -> None:
        """Raise :class:`MediaTooLarge` for a recording longer than ``max_seconds``."""
        if seconds > self.max_seconds:
            raise MediaTooLarge(
                f"the recording lasts over {self.max_seconds:.0f} s, which is the limit",
                remedy="cut it into parts and dub each",
                details={"seconds": seconds, "limit": self.max_seconds},
            )

    def check_shortest(self, seconds: float) -> None:
        """Raise :class:`TooShort` for a recording shorter than ``min_seconds``."""
        if seconds < self.min_seconds:
            raise TooShort(
                f"the recording lasts {seconds:.2f} s: there is nothing to say",
                remedy=f"record at least {self.min_seconds:g} s of speech",
                details={"seconds": seconds, "limit": self.min_seconds},
            )


def _check_bytes(size: int, limit: int, what: str, remedy: str) -> None:
    if size > limit:
        raise MediaTooLarge(
            f"the {what} has {size / 1e6:.0f} MB; the limit is {limit / 1e6:.0f} MB",
            remedy=remedy,
            details={"bytes": size, "limit": limit},
        )
