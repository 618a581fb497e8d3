"""Frames out of a video file: upright, square pixels, 8-bit RGB, at a constant rate.

These functions decode in the calling process. For a file that a stranger made, call them inside
:func:`media.isolate.run_isolated`; :func:`media.normalise.normalise_clip` does.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import av.error
import numpy as np
from av.container import InputContainer
from av.filter import Graph
from numpy.typing import NDArray

from media.container import reading, require_video
from media.hdr import needs_mapping, write_cube
from media.orientation import Orientation, square_size
from problems import InvalidParameter, UnreadableMedia

_MOST_ERRORS = 200
_UNKNOWN = 2  # ITU-T H.273: unspecified
_MATRICES = frozenset({0, 1, 2, 4, 5, 6, 7, 9})
_LIKE_MATRICES = {10: 9, 12: 1, 13: 9}
"""Matrices that swscale does not know -> the nearest that it does (BT.2020 constant luminance; derived ones)."""
_NAMED_MATRICES = {8: "YCgCo", 11: "YDzDx", 14: "ICtCp", 15: "IPT-C2", 16: "YCgCo-Re", 17: "YCgCo-Ro"}


def read_frames(
    path: Path, *, fps: float = 25.0, max_side: int | None = None, start: int = 0, stop: int | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Decode a video at a constant frame rate.

    The clock starts at the first shown frame (edit lists and start offsets are honoured). Frame k is the last
    frame that began by k / fps plus a quarter of a frame, which absorbs the rounding and jitter of cameras'
    timestamps.

    Args:
        path: a video file.
        fps: frames a second to yield.
        max_side: shrink so that the longest side is at most this, px.
        start: first frame to yield, counted at ``fps``.
        stop: the frame to stop before, None for the end.

    Yields:
        (H, W, 3) uint8 RGB, upright, BT.709; each its own array.

    Raises:
        NotFound, NoVideo, UnreadableMedia: see :func:`media.container.reading`.
    """
    if start < 0 or fps <= 0 or (stop is not None and stop < start):
        raise InvalidParameter(
            f"frames {start} to {stop} at {fps} fps are not a range",
            remedy="use 0 <= start <= stop and fps > 0",
        )
    with reading(path) as container, ToRgb(max_side) as to_rgb:
        stream = require_video(container, Path(path).name)
        last, image = None, np.empty(0, np.uint8)
        for _, frame in resampled(timed_frames(container, stream, start / fps), fps, start, stop):
            if frame is last:
                image = image.copy()
            else:
                last, image = frame, to_rgb(frame, stream)
            yield image


def timed_frames(
    container: InputContainer, stream: Any, seek_s: float = 0.0, max_pixels: int | None = None
) -> Iterator[tuple[float, float, Any]]:
    """(seconds since the first frame, seconds shown, av.VideoFrame), strictly increasing in time.

    With ``seek_s`` the frames start at the last key frame before it, or at the beginning if seeking fails.
    """
    prepare(stream, max_pixels)
    nominal = 1.0 / float(stream.average_rate or stream.guessed_rate or 25)
    origin: float | None = None
    if seek_s > 0:
        origin = first_time(container, stream)
        if origin is not None:
            _seek(container, stream, origin + seek_s)
    previous = -np.inf
    for index, frame in enumerate(decoded_frames(container, stream)):
        shown = float(frame.duration * stream.time_base) if frame.duration else nominal
        at = (
            float(frame.pts * stream.time_base)
            if frame.pts is not None
            else (previous + nominal if index else 0.0)
        )
        if origin is None:
            origin = at
        if seek_s > 0 and index == 0 and at - origin > seek_s:
            container.seek(0)  # the index does not lead back far enough
            yield from timed_frames(container, stream)
            return
        if at <= previous:
            continue
        previous = at
        yield at - origin, shown, frame


def resampled(
    timed: Iterator[tuple[float, float, Any]], fps: float, start: int = 0, stop: int | None = None
) -> Iterator[tuple[int, Any]]:
    """Frames at their own times -> (k, frame) at a constant rate; the same object again where one is
    repeated."""
    early = 0.25 / fps
    k, held, end = start, None, 0.0
    for at, shown, frame in timed:
        while held is not None and k / fps + early < at:
            if stop is not None and k >= stop:
                return
            yield k, held
            k += 1
        held, end = frame, at + shown
    while held is not None and (k == 0 or k < end * fps - 0.5) and (stop is None or k < stop):
        yield k, held
        k += 1


def prepare(stream: Any, max_pixels: int | None = None) -> None:
    """Let a stream's decoder use the cores there are, and refuse frames that claim more than
    ``max_pixels``."""
    context = stream.codec_context
    if context.is_open:
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    stream.thread_type = "AUTO"
    context.thread_count = min(4, cores)
    if max_pixels is not None:
        context.options = {"max_pixels": str(max_pixels)}


def decoded_frames(container: InputContainer, stream: Any) -> Iterator[Any]:
    """Decoded frames in the order of display; damaged packets are skipped, up to a limit.

    Raises:
        UnreadableMedia: nothing could be decoded, or too much of it is damaged.
    """
    good = errors = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                break
            frames = packet.decode()
        except (av.error.InvalidDataError, av.error.EOFError):
            errors += 1
            if errors > _MOST_ERRORS:
                break
            continue
        good += len(frames)
        yield from frames
    if not good or errors > _MOST_ERRORS:
        raise UnreadableMedia(
            f"not one {stream.type} frame could be decoded" if not good else f"{errors} packets are damaged",
            remedy="the file is damaged or was cut off while it was written or uploaded: send it again",
            details={"damaged_packets": errors},
        )


def video_origin(path: Path, max_pixels: int | None = None) -> float:
    """The container's time at which the picture begins, seconds: the zero of :func:`read_frames`' clock.

    Raises:
        NotFound, NoVideo, UnreadableMedia.
    """
    with reading(path) as container:
        stream = require_video(container, Path(path).name)
        prepare(stream, max_pixels)
        return first_time(container, stream) or 0.0


def first_time(container: InputContainer, stream: Any) -> float | None:
    """The container's time of the first shown frame, seconds, None if it has none; moves the read
    position."""
    frame = next(decoded_frames(container, stream), None)
    return float(frame.pts * stream.time_base) if frame is not None and frame.pts is not None else None


def _seek(container: InputContainer, stream: Any, seconds: float) -> None:
    try:
        container.seek(int(seconds / stream.time_base), stream=stream, backward=True)
    except av.error.FFmpegError:
        container.seek(0)


def settled_colours(frame: Any) -> tuple[int, int]:
    """(matrix, range) of a decoded frame in numbers of H.273 that libav's filters take; the frame gets them, too, since
    they look at it again.

    Raises:
        UnreadableMedia: its colours are coded in a way that can't be undone here.
    """
    space, span = int(frame.colorspace), int(frame.color_range)
    if space in _NAMED_MATRICES:
        raise UnreadableMedia(
            f"the picture's colours are coded as {_NAMED_MATRICES[space]}, which is not read",
            remedy="export it as H.264 mp4 in BT.709, as any editor does by default",
            details={"colour_matrix": space},
        )
    known = _LIKE_MATRICES.get(space, space)
    known, span = known if known in _MATRICES else _UNKNOWN, span if span in (1, 2) else 0
    frame.colorspace, frame.color_range = known, span
    return known, span


class ToRgb:
    """Turn decoded frames into upright 8-bit RGB with square pixels, in BT.709.

    A filter graph is built for each kind of frame that appears (a stream may change size or colour midway);
    all frames come out in the size of the first.

    Args:
        max_side: longest side, px; None for any.
        even: cut one row or column off odd sizes, which H.264 4:2:0 can't hold.
        fast: plain averaging, for thumbnails that are only compared.
        rotate: degrees clockwise by which all is turned beside what the file says: 0, 90, 180 or 270.
    """

    def __init__(
        self, max_side: int | None = None, *, even: bool = False, fast: bool = False, rotate: int = 0
    ) -> None:
        self._max_side = max_side
        self._rotate = rotate
        self._even = even
        # Without accurate rounding, swscale darkens by 1.2 levels each time a picture goes through it.
        self._flags = "area" if fast else "bicubic+accurate_rnd+full_chroma_int"
        self._size: tuple[int, int] | None = None
        self._graphs: dict[tuple[Any, ...], Graph] = {}
        self._tables = tempfile.TemporaryDirectory(prefix="likeness-lut-")

    def __enter__(self) -> ToRgb:
        return self

    def __exit__(self, *_: object) -> None:
        self._graphs.clear()
        self._tables.cleanup()

    def __call__(self, frame: Any, stream: Any) -> NDArray[np.uint8]:
        """``av.VideoFrame`` -> (H, W, 3) uint8 RGB, upright."""
        turn = Orientation.of_frame(frame).turned(self._rotate)
        if self._size is None:
            self._size = square_size(frame.width, frame.height, stream.sample_aspect_ratio, self._max_side)
            self._size = self._size[::-1] if turn.transpose else self._size
        width, height = self._size[::-1] if turn.transpose else self._size
        graph = self._graph(frame, width, height)
        graph.push(frame)
        image = turn.apply(np.asarray(graph.pull().to_ndarray(), np.uint8))
        if self._even and (image.shape[0] % 2 or image.shape[1] % 2):
            image = np.ascontiguousarray(image[: max(2, image.shape[0] & ~1), : max(2, image.shape[1] & ~1)])
        return image

    def _graph(self, frame: Any, width: int, height: int) -> Graph:
        space, span = settled_colours(frame)
        transfer, primaries = int(frame.color_trc), int(frame.color_primaries)
        key = (frame.width, frame.height, frame.format.name, space, span, transfer, primaries, width, height)
        if key not in self._graphs:
            self._graphs = {key: self._build(*key)}
        return self._graphs[key]

    def _build(
        self,
        stored_width: int,
        stored_height: int,
        pixels: str,
        space: int,
        span: int,
        transfer: int,
        primaries: int,
        width: int,
        height: int,
    ) -> Graph:
        graph = Graph()
        chain = [
            graph.add(
                "buffer",
                f"video_size={stored_width}x{stored_height}:pix_fmt={pixels}:time_base=1/1000:pixel_aspect=1/1"
                f":colorspace={space}:range={span}",
            )
        ]
        scale = f"w={width}:h={height}:flags={self._flags}"
        if space == _UNKNOWN:
            # swscale would take BT.601; players take BT.709 for anything of HD size, and so did the camera.
            scale += (
                f":in_color_matrix={'bt709' if stored_height >= 720 or stored_width >= 1280 else 'bt601'}"
            )
        chain.append(graph.add("scale", scale))
        if needs_mapping(transfer, primaries):
            table = Path(self._tables.name) / f"{transfer}-{primaries}.cube"
            if not table.exists():
                write_cube(table, transfer, primaries)
            chain += [
                graph.add("format", "pix_fmts=gbrp12le"),
                # By name, not in one string: the folder may hold any character, and ":" would end the option.
                graph.add("lut3d", file=str(table), interp="tetrahedral"),
            ]
        chain += [graph.add("format", "pix_fmts=rgb24"), graph.add("buffersink")]
        for left, right in pairwise(chain):
            left.link_to(right)
        graph.configure()
        return graph
