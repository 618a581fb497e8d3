"""Frames and sound into an mp4, webm or mov, with transparency or without, that appears whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, get_args

import av
import av.error
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from media.atomic import disk_full, replacing
from media.clock import recording_origin
from media.container import audio_stream, reading
from media.isolate import run_isolated
from media.limits import RecordingLimits
from media.sound import read_sound
from media.tracks import choose_sound
from problems import InvalidParameter, NoSound, TooShort

_BT709, _LIMITED = 1, 1  # ITU-T H.273 numbers; libav's color_range 1 is MPEG, 16..235
_ENOSPC = 28
_SCALER = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP


Container = Literal["mp4", "webm", "mov"]
CONTAINERS: tuple[Container, ...] = get_args(Container)


@dataclass(frozen=True)
class Encoding:
    """What kind of video file is wanted.

    Raises:
        InvalidParameter: out of range.
    """

    container: Container = "mp4"
    """``mp4``: H.264 and AAC, for everything; ``webm``: VP9 and Opus, for the web; ``mov``: ProRes and PCM, for
    editors: nothing is lost to speak of, ten times the size. The last two carry transparency, too."""
    height: int | None = None
    """Lines; the width follows. 64 to 2160, None: as the frames are."""
    fps: float = 25.0
    """Frames a second, 10 to 60."""
    crf: int = 18
    """Quality of H.264 and VP9 on x264's scale: 10, nothing is seen to be lost, to 35, small."""

    def __post_init__(self) -> None:
        if self.container not in CONTAINERS:
            raise _out_of_range("format", self.container, f"use one of {', '.join(CONTAINERS)}")
        if self.height is not None and not 64 <= self.height <= 2160:
            raise _out_of_range("height", self.height, "use 64 to 2160 lines, or leave it out")
        if not 10 <= self.fps <= 60:
            raise _out_of_range("fps", self.fps, "use 10 to 60 frames a second")
        if not 10 <= self.crf <= 35:
            raise _out_of_range("crf", self.crf, "use 10 (best) to 35 (smallest)")

    def size(self, width: int, height: int) -> tuple[int, int]:
        """The size that frames of (width, height) get: even sides, the shape as it is."""
        if self.height is None:
            return width, height
        lines = self.height - self.height % 2
        return max(2 * round(width * lines / height / 2), 2), lines


def _out_of_range(field: str, value: object, remedy: str) -> InvalidParameter:
    return InvalidParameter(
        f"a video can't be written with {field} {value}", remedy=remedy, details={"field": f"output.{field}"}
    )


class VideoWriter:
    """Write frames one by one; on a clean exit the sound is added and the file takes its name.

    The result is BT.709 limited-range, its index stands in front (it plays while it loads), and it lasts exactly as
    many frames as were written: the sound is cut or padded with silence to that length. If the block ends with an error
    nothing is left behind.

    ========= =================== ================== =====
    container colours             with alpha         sound
    ========= =================== ================== =====
    mp4       H.264 4:2:0         (none)             AAC
    webm      VP9 4:2:0           VP9 4:2:0          Opus
    mov       ProRes 422 HQ       ProRes 4444        PCM
    ========= =================== ================== =====

    Args:
        path: the file to write.
        width, height: frame size, px. Odd sizes are padded by one repeated column or row.
        fps: frames a second.
        crf: x264's quality, 0 (lossless) to 51.
        preset: x264's speed.
        audio: a file whose sound is added, AAC and Opus at 160 kbit/s, on the clock of
            :func:`media.normalise.normalise_recording`; decoded in a limited child process.
        audio_track, audio_led: as for :func:`media.normalise.normalise_recording`.
        keyframe_every: longest distance between key frames, frames.
        bframes: longest run of B-frames; 0 for cheap random access.
        alpha: frames are RGBA.
        container: see :class:`Encoding`; webm with ``alpha`` and mp4 without by default.

    Raises:
        InvalidParameter: sizes or rates out of range, or a container without transparency for RGBA.
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
        container: Container | None = None,
        audio_track: int | None = None,
        audio_led: bool = False,
    ) -> None:
        self._kind: Container = container or ("webm" if alpha else "mp4")
        if alpha and self._kind == "mp4":
            raise InvalidParameter(
                "an mp4 holds no transparency",
                remedy="use webm (for the web) or mov (for editors)",
                details={"field": "output.format"},
            )
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
        self._audio_track, self._audio_led = audio_track, audio_led

    def __enter__(self) -> VideoWriter:
        if self._audio is not None:
            run_isolated(
                require_sound, str(self._audio), self._audio_track, memory_mb=1024, cpu_s=60, wall_s=120
            )
        self._place = replacing(self.path)
        self._final = self._place.__enter__()
        # Without sound the picture is the file; with sound it is an ingredient.
        kind = self._kind
        self._picture = self._final if self._audio is None else self._final.with_suffix(f".picture.{kind}")
        try:
            flags = _flags(kind) if self._audio is None else {}
            self._container = av.open(str(self._picture), "w", format=kind, options=flags)
            self._stream = _stream(
                self._container,
                *_codec(kind, self._alpha, self._options),
                self.width + self.width % 2,
                self.height + self.height % 2,
                self._rate,
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
            self._kind,
            self._audio_track,
            self._audio_led,
            memory_mb=budget.memory_mb,
            cpu_s=budget.cpu_s,
            wall_s=budget.wall_s,
            file_mb=budget.file_mb + 2 * (self._picture.stat().st_size >> 20),
        )


def _flags(kind: str) -> dict[str, str]:
    return {} if kind == "webm" else {"movflags": "+faststart"}


def _codec(kind: Container, alpha: bool, options: dict[str, str]) -> tuple[str, str, dict[str, str]]:
    """The encoder's name, its pixels and its options, from x264's."""
    if kind == "mp4":
        return "libx264", "yuv420p", options
    if kind == "webm":
        # libvpx's scale is longer than x264's. Its slower speeds are for another day than the dub's.
        chosen = {
            "crf": str(min(round(float(options["crf"])) + 6, 63)), "b": "0", "deadline": "realtime", "cpu-used": "7",
            "row-mt": "1", "g": options["g"], "auto-alt-ref": "0",
        }  # fmt: skip
        return "libvpx-vp9", "yuva420p" if alpha else "yuv420p", chosen
    # QuickTime and editors look for Apple's mark, and for no other.
    profile = {"profile": "4444" if alpha else "hq", "vendor": "apl0"}
    return "prores_ks", "yuva444p10le" if alpha else "yuv422p10le", profile


def _stream(
    container: Any, codec: str, pixels: str, options: dict[str, str], width: int, height: int, rate: Fraction
) -> Any:
    stream = container.add_stream(codec, rate=rate, options=options)
    stream.width, stream.height, stream.pix_fmt = width, height, pixels
    stream.time_base = 1 / rate
    context = stream.codec_context
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = _LIMITED
    return stream


def require_sound(path: str, track: int | None = None) -> None:
    """Raise :class:`NoSound` unless the file has a sound stream, :class:`InvalidParameter` unless it has that one."""
    with reading(Path(path)) as container:
        if audio_stream(container, track) is None:
            raise NoSound(
                f"{Path(path).name} has no sound", remedy="give a recording with the voice to speak"
            )


_SOUND = {"mp4": "aac", "webm": "libopus", "mov": "pcm_s16le"}


def mux_sound(
    picture: str,
    sound: str,
    out: str,
    seconds: float,
    kind: str = "mp4",
    track: int | None = None,
    led: bool = False,
) -> None:
    """Copy ``picture``'s packets and add ``sound`` in the container's way, cut or padded to ``seconds``."""
    choice = choose_sound(Path(sound), track)
    if choice is None:
        raise NoSound(f"{Path(sound).name} has no sound", remedy="give a recording with the voice to speak")
    origin = recording_origin(Path(sound), choice.track, led=led)
    with av.open(picture) as source, av.open(out, "w", format=kind, options=_flags(kind)) as target:
        video_in = source.streams.video[0]
        video_out = target.add_stream_from_template(video_in)
        rate, channels = _sound_shape(Path(sound), choice.track)
        rate = 48000 if kind == "webm" else rate  # all that Opus knows
        audio_out: Any = target.add_stream(
            _SOUND[kind], rate=rate, layout="mono" if channels == 1 else "stereo"
        )
        if kind != "mov":
            audio_out.bit_rate = 160_000
        packets = (packet for packet in source.demux(video_in) if packet.dts is not None)
        waiting = next(packets, None)
        written = 0
        for samples in _exactly(
            read_sound(Path(sound), rate=rate, channels=channels, origin_s=origin, choice=choice),
            round(seconds * rate),
            channels,
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


def _sound_shape(path: Path, track: int) -> tuple[int, int]:
    """Rate and channels to encode: 44.1 kHz stays, all else becomes 48; more than two channels become two."""
    with reading(path) as container:
        stream = audio_stream(container, track)
        assert stream is not None
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
