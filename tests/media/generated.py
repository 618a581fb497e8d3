"""Small media files made for the tests: patterns, clicks and flashes in any container that the wheel can write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

RATE = 48000
_EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND


def quadrants(width: int = 96, height: int = 64) -> NDArray[np.uint8]:
    """Red and green above, blue and white below: any turn or mirroring shows."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = (200, 30, 30)
    image[: height // 2, width // 2 :] = (30, 180, 30)
    image[height // 2 :, : width // 2] = (30, 30, 200)
    image[height // 2 :, width // 2 :] = (220, 220, 220)
    return image


def numbered(index: int, width: int = 96, height: int = 64) -> NDArray[np.uint8]:
    """A grey picture whose eight columns spell the frame's number in bits."""
    bits = [(index >> bit) & 1 for bit in range(8)]
    row = np.repeat(np.array(bits, np.uint8) * 160 + 40, width // 8)
    return np.broadcast_to(row[None, :, None], (height, width, 3)).copy()


def number_of(image: NDArray[np.uint8]) -> int:
    """The inverse of :func:`numbered`, at any size."""
    columns = image.shape[1] / 8
    centres = [image[:, int((bit + 0.3) * columns) : int((bit + 0.7) * columns)].mean() for bit in range(8)]
    return sum(1 << bit for bit, level in enumerate(centres) if level > 120)


def flashing(at: int, width: int = 64, height: int = 48) -> Callable[[int], NDArray[np.uint8]]:
    """Dark frames with one white one."""
    return lambda index: np.full((height, width, 3), 235 if index == at else 20, np.uint8)


def tone(seconds: float, rate: int = RATE, channels: int = 1, level: float = 0.3) -> NDArray[np.float32]:
    """(N, channels) of 220 Hz."""
    time = np.arange(round(seconds * rate)) / rate
    return np.repeat((level * np.sin(2 * np.pi * 220 * time)).astype(np.float32)[:, None], channels, 1)


def click(at_s: float, seconds: float, rate: int = RATE, channels: int = 1) -> NDArray[np.float32]:
    """(N, channels) of silence with a burst of 2 ms that begins at ``at_s``."""
    samples = np.zeros((round(seconds * rate), channels), np.float32)
    begin = round(at_s * rate)
    burst = 0.8 * np.sin(2 * np.pi * 2000 * np.arange(round(0.002 * rate)) / rate)
    samples[begin : begin + len(burst)] = burst[:, None][: len(samples) - begin]
    return samples


def click_time(samples: NDArray[np.floating[Any]], rate: int) -> float:
    """Seconds at which the loudest millisecond lies."""
    power = np.convolve(np.square(samples.reshape(len(samples), -1)[:, 0]), np.ones(rate // 1000), "same")
    return float(np.argmax(power)) / rate


def write_media(
    path: Path,
    picture: Callable[[int], NDArray[np.uint8]] | None = None,
    frames: int = 25,
    *,
    fps: float = 25,
    times: Sequence[float] | None = None,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    rotation: int = 0,
    mirrored: bool = False,
    aspect: Fraction | None = None,
    colour: tuple[int, int, int] = (1, 1, 1),
    options: dict[str, str] | None = None,
    sound: NDArray[np.float32] | None = None,
    rate: int = RATE,
    sound_codec: str = "aac",
    sound_offset_s: float = 0.0,
    more_sounds: Sequence[NDArray[np.float32]] = (),
    movflags: str | None = None,
) -> Path:
    """Write a file; the suffix names the container.

    Args:
        picture: frame number -> (H, W, 3) RGB; None for sound alone.
        times: seconds at which each frame begins (variable rate), else ``frames`` at ``fps``.
        colour: H.273 numbers of matrix, transfer and primaries.
        sound: (N, channels) float32.
        sound_offset_s: the sound's first sample is heard at this time.
        more_sounds: further sound tracks, like the first.
    """
    with av.open(str(path), "w", options={"movflags": movflags} if movflags else {}) as container:
        queue: list[tuple[float, Any, Any]] = []
        if picture is not None:
            queue += _picture_frames(
                container,
                picture,
                frames,
                fps,
                times,
                codec,
                pixels,
                rotation,
                mirrored,
                aspect,
                colour,
                options or {},
            )
        if sound is not None:
            for track in (sound, *more_sounds):
                queue += _sound_frames(container, track, rate, sound_codec, sound_offset_s)
        for _, stream, frame in sorted(queue, key=lambda entry: entry[0]):
            for packet in stream.encode(frame):
                container.mux(packet)
        for stream in container.streams:
            for packet in stream.encode(None):
                container.mux(packet)
    return path


def _picture_frames(
    container: Any,
    picture: Callable[[int], NDArray[np.uint8]],
    frames: int,
    fps: float,
    times: Sequence[float] | None,
    codec: str,
    pixels: str,
    rotation: int,
    mirrored: bool,
    aspect: Fraction | None,
    colour: tuple[int, int, int],
    options: dict[str, str],
) -> list[tuple[float, Any, Any]]:
    base = Fraction(1, 90000) if times is not None else 1 / Fraction(fps).limit_denominator(1001)
    if codec == "libx265":
        # With B-frames, x265 4.2 hands PyAV's MP4 muxer packets that it refuses ("not yet implemented") at random,
        # one file in twenty.
        options = {"x265-params": "bframes=0:log-level=none", **options}
    stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options=options)
    first = picture(0)
    stream.height, stream.width, stream.pix_fmt = first.shape[0], first.shape[1], pixels
    stream.codec_context.time_base = base
    stream.codec_context.colorspace, stream.codec_context.color_trc, stream.codec_context.color_primaries = (
        colour
    )
    if aspect is not None:
        stream.codec_context.sample_aspect_ratio = aspect
    if rotation or mirrored:
        stream.set_display_rotation(rotation, hflip=mirrored)
    queue = []
    for index in range(len(times) if times is not None else frames):
        frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
        matrix = "ITU709" if colour[0] == 1 else "ITU601" if colour[0] in (2, 6) else "ITU709"
        frame = frame.reformat(
            format=pixels, dst_colorspace=matrix, dst_color_range="MPEG", interpolation=_EXACT
        )
        frame.time_base = base
        frame.pts = round(times[index] * 90000) if times is not None else index
        queue.append((float(frame.pts * base), stream, frame))
    return queue


def _sound_frames(
    container: Any, sound: NDArray[np.float32], rate: int, codec: str, offset_s: float
) -> list[tuple[float, Any, Any]]:
    layout = {1: "mono", 2: "stereo"}[sound.shape[1]]
    stream = container.add_stream(codec, rate=rate, layout=layout)
    wanted = stream.codec_context.format.name
    queue = []
    resampler = av.AudioResampler(format=wanted, layout=layout, rate=rate)
    for begin in range(0, len(sound), 1024):
        part = np.ascontiguousarray(sound[begin : begin + 1024].T)
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=layout)
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        for converted in resampler.resample(frame):
            converted.pts, converted.time_base = begin + round(offset_s * rate), Fraction(1, rate)
            queue.append((begin / rate + offset_s, stream, converted))
    return queue


def write_with_cover(path: Path, sound: NDArray[np.float32], rate: int = RATE) -> Path:
    """A song in mp4 with its cover as a picture that is no video."""
    with av.open(str(path), "w", format="mp4") as container:
        voice = container.add_stream("aac", rate=rate, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 96, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.T), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        picture = av.VideoFrame.from_ndarray(quadrants(), format="rgb24").reformat(format="yuvj420p")
        picture.pts = 0
        for stream, item in ((voice, frame), (cover, picture), (voice, None), (cover, None)):
            for packet in stream.encode(item):
                container.mux(packet)
    return path
