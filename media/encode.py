"""Frames and sound into an H.264 mp4, or a VP9 webm with transparency, that appears whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.error
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from media.atomic import disk_full, replacing
from media.container import audio_stream, reading
from media.isolate import run_isolated
from media.limits import RecordingLimits
from media.sound import read_sound
from problems import InvalidParameter, NoSound, TooShort

_BT709, _LIMITED = 1, 1  # ITU-T H.273 numbers; libav's color_range 1 is MPEG, 16..235
_ENOSPC = 28
_SCALER = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP


class VideoWriter:
    """Write frames one by one; on a clean exit the sound is added and the file takes its name.

    The result is BT.709 limited-range 4:2:0, its index stands in front (it plays while it loads), and it
    lasts exactly as many frames as were written: the sound is cut or padded with silence to that length. If
    the block ends with an error nothing is left behind.

    With ``alpha`` it is a VP9 4:2:0 webm with transparency and Opus sound instead, which browsers and editors lay over
    other pictures.

    Args:
        path: the mp4 (or webm) to write.
        width, height: frame size, px. Odd sizes are padded by one repeated column or row.
        fps: frames a second.
        crf: x264's quality, 0 (lossless) to 51.
        preset: x264's speed.
        audio: a file whose sound is added as AAC 160 kbit/s, from its beginning; decoded in a limited child
            process.
        keyframe_every: longest distance between key frames, frames.
        bframes: longest run of B-frames; 0 for cheap random access.
        alpha: frames are RGBA.

    Raises:
        InvalidParameter: sizes or rates out of range.
        NoSound, UnreadableMedia: ``audio`` has no sound or can't be read (on entering, before any work is
        done).
        TooShort: no frame was written.
        OutOfDisk: the disk is full.
    """

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        fps: float = 25.0,
        crf: float = 18,
        preset: str = "veryfast",
        audio: Path | None = None,
        *,
        keyframe_every: int = 125,
        bframes: int = 3,
        alpha: bool = False,
    ) -> None:
        if not (1 <= width <= 16384 and 1 <= height <= 16384 and 1 <= fps <= 240 and 0 <= crf <= 51):
            raise InvalidParameter(
                f"a video of {width}x{height} at {fps} fps and crf {crf} can't be written",
                remedy="use sides of 1 to 16384 px, 1 to 240 fps and crf 0 to 51",
            )
        self.path = Path(path)
        self.width, self.height = width, height
        self._alpha = alpha
        self._shape = (height, width, 4 if alpha else 3)
        self.frames = 0
        self._rate = Fraction(fps).limit_denominator(1001)
        self._options = {"crf": str(crf), "preset": preset, "bf": str(bframes), "g": str(keyframe_every)}
        self._audio = Path(audio).absolute() if audio is not None else None

    def __enter__(self) -> VideoWriter:
        if self._audio is not None:
            run_isolated(require_sound, str(self._audio), memory_mb=1024, cpu_s=60, wall_s=120)
        self._place = replacing(self.path)
        self._final = self._place.__enter__()
        # Without sound the picture is the file; with sound it is an ingredient.
        kind = "webm" if self._alpha else "mp4"
        self._picture = self._final if self._audio is None else self._final.with_suffix(f".picture.{kind}")
        try:
            flags = {"movflags": "+faststart"} if self._audio is None and not self._alpha else {}
            self._container = av.open(str(self._picture), "w", format=kind, options=flags)
            self._stream = (_vp9_stream if self._alpha else _h264_stream)(
                self._container,
                self.width + self.width % 2,
                self.height + self.height % 2,
                self._rate,
                self._options,
            )
        except BaseException as error:
            self._place.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def write(self, image: NDArray[np.uint8]) -> None:
        """Append (H, W, 3) uint8 RGB, or (H, W, 4) RGBA with straight alpha."""
        if image.shape != self._shape or image.dtype != np.uint8:
            raise InvalidParameter(
                f"frame {self.frames} is {image.dtype} {image.shape}; uint8 {self._shape} was expected",
                remedy="write frames of the size that the writer was made for",
                details={"frames": [self.frames]},
            )
        if self.width % 2 or self.height % 2:
            image = np.pad(image, ((0, self.height % 2), (0, self.width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(
            np.ascontiguousarray(image), format="rgba" if self._alpha else "rgb24"
        )
        frame = frame.reformat(
            format=self._stream.pix_fmt,
            dst_colorspace="ITU709",
            dst_color_range="MPEG",
            interpolation=_SCALER,
            threads=1,
        )
        frame.pts, frame.time_base = self.frames, 1 / self._rate
        self._mux(frame)
        self.frames += 1

    def _mux(self, frame: Any) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except av.error.OSError as error:
            if error.errno == _ENOSPC:
                raise disk_full(self.path) from error
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
            else:
                with contextlib.suppress(av.error.FFmpegError):
                    self._container.close()
        except BaseException as failure:
            self._place.__exit__(type(failure), failure, failure.__traceback__)
            raise
        self._place.__exit__(kind, error, trace)

    def _finish(self) -> None:
        if self.frames == 0:
            with contextlib.suppress(av.error.FFmpegError):
                self._container.close()
            raise TooShort("no frame was written to the video", remedy="give it at least one frame")
        self._mux(None)
        self._container.close()
        if self._audio is not None:
            self._add_sound()

    def _add_sound(self) -> None:
        seconds = float(self.frames / self._rate)
        budget = RecordingLimits().budget
        # The sound is the stranger's own file, so it is decoded, encoded and muxed in the child.
        run_isolated(
            mux_sound,
            str(self._picture),
            str(self._audio),
            str(self._final),
            seconds,
            "webm" if self._alpha else "mp4",
            memory_mb=budget.memory_mb,
            cpu_s=budget.cpu_s,
            wall_s=budget.wall_s,
            file_mb=budget.file_mb + 2 * (self._picture.stat().st_size >> 20),
        )


def _h264_stream(container: Any, width: int, height: int, rate: Fraction, options: dict[str, str]) -> Any:
    return _stream(container, "libx264", "yuv420p", width, height, rate, options)


def _vp9_stream(container: Any, width: int, height: int, rate: Fraction, options: dict[str, str]) -> Any:
    # libvpx's scale is longer than x264's. Its slower speeds are for another day than the dub's.
    chosen = {
        "crf": str(min(round(float(options["crf"])) + 6, 63)), "b": "0", "deadline": "realtime", "cpu-used": "7",
        "row-mt": "1", "g": options["g"], "auto-alt-ref": "0",
    }  # fmt: skip
    return _stream(container, "libvpx-vp9", "yuva420p", width, height, rate, chosen)


def _stream(
    container: Any, codec: str, pixels: str, width: int, height: int, rate: Fraction, options: dict[str, str]
) -> Any:
    stream = container.add_stream(codec, rate=rate, options=options)
    stream.width, stream.height, stream.pix_fmt = width, height, pixels
    stream.time_base = 1 / rate
    context = stream.codec_context
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = _LIMITED
    return stream


def require_sound(path: str) -> None:
    """Raise :class:`NoSound` unless the file has a sound stream."""
    with reading(Path(path)) as container:
        if audio_stream(container) is None:
            raise NoSound(
                f"{Path(path).name} has no sound", remedy="give a recording with the voice to speak"
            )


def mux_sound(picture: str, sound: str, out: str, seconds: float, kind: str = "mp4") -> None:
    """Copy ``picture``'s packets and add ``sound`` as AAC (mp4) or Opus (webm), cut or padded to ``seconds``."""
    flags = {"movflags": "+faststart"} if kind == "mp4" else {}
    with av.open(picture) as source, av.open(out, "w", format=kind, options=flags) as target:
        video_in = source.streams.video[0]
        video_out = target.add_stream_from_template(video_in)
        rate, channels = _sound_shape(Path(sound))
        rate = rate if kind == "mp4" else 48000  # all that Opus knows
        audio_out = target.add_stream(
            "aac" if kind == "mp4" else "libopus", rate=rate, layout="mono" if channels == 1 else "stereo"
        )
        audio_out.bit_rate = 160_000
        packets = (packet for packet in source.demux(video_in) if packet.dts is not None)
        waiting = next(packets, None)
        written = 0
        for samples in _exactly(
            read_sound(Path(sound), rate=rate, channels=channels), round(seconds * rate), channels
        ):
            while waiting is not None and float((waiting.dts or 0) * waiting.time_base) * rate <= written:
                waiting.stream = video_out
                target.mux(waiting)
                waiting = next(packets, None)
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(np.clip(samples, -1.0, 1.0).T),
                format="fltp",
                layout=audio_out.layout.name,
            )
            frame.sample_rate, frame.pts, frame.time_base = rate, written, Fraction(1, rate)
            written += len(samples)
            for encoded in audio_out.encode(frame):
                target.mux(encoded)
        for encoded in audio_out.encode(None):
            target.mux(encoded)
        while waiting is not None:
            waiting.stream = video_out
            target.mux(waiting)
            waiting = next(packets, None)


def _sound_shape(path: Path) -> tuple[int, int]:
    """Rate and channels to encode: 44.1 kHz stays, all else becomes 48; more than two channels become two."""
    with reading(path) as container:
        stream = audio_stream(container)
        if stream is None:
            raise NoSound(f"{path.name} has no sound", remedy="give a recording with the voice to speak")
        return (44100 if stream.sample_rate == 44100 else 48000), min(2, max(1, stream.channels))


def _exactly(
    pieces: Iterator[NDArray[np.float32]], total: int, channels: int
) -> Iterator[NDArray[np.float32]]:
    """Pieces of at most a second, ``total`` samples in all: cut, or padded with silence."""
    left, second = total, 48000
    for piece in pieces:
        for begin in range(0, len(piece), second):
            part = piece[begin : min(begin + second, begin + left)]
            left -= len(part)
            if len(part):
                yield part
        if left <= 0:
            return
    while left > 0:
        yield np.zeros((min(left, second), channels), np.float32)
        left -= min(left, second)
