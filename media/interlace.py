"""Interlaced pictures: found by measure, since flags are often wrong, and made whole again, one frame a frame.

An interlaced frame holds two moments, one in its even lines and one in its odd ones; what moves gets combs.
libavfilter's ``idet`` compares each line with its neighbours in the same and the next frame and tells combs from
stripes; its ``bwdif`` draws the missing lines of one moment from both.

Decodes in the calling process: for a stranger's file call it inside :func:`media.isolate.run_isolated`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Literal

import av.error
from av.filter import Graph

from media.container import reading, require_video
from media.decode import decoded_frames, prepare, settled_colours

LOOKED_AT = 250
"""Frames from the beginning that are looked at."""
_LEAST_COMBED = 5
_COMBED_SHARE = 0.1
"""Of the frames of which it can be told; no progressive clip that was measured has one."""
_LEAST_WHOLE = 10

Order = Literal["top", "bottom", "as flagged"]


@dataclass(frozen=True)
class Fields:
    """How a file's pictures are interlaced."""

    first: Order
    """The field that was filmed first."""


def find_fields(path: Path, max_pixels: int | None = None) -> Fields | None:
    """Look for combs in a video's first frames; None if it is progressive.

    Frames that are flagged as interlaced and show no combs although something moves are progressive (many cameras flag
    so); those in which nothing tells are taken by their flag.

    Raises:
        NotFound, NoVideo, UnreadableMedia: see :func:`media.container.reading`.
    """
    combed = {"tff": 0, "bff": 0}
    whole = flagged = seen = 0
    with reading(path) as container:
        stream = require_video(container, path.name)
        prepare(stream, max_pixels)
        graph: Graph | None = None
        kind: tuple[Any, ...] = ()
        for frame in islice(decoded_frames(container, stream), LOOKED_AT):
            if graph is None or kind != _kind(frame):
                graph, kind = _graph(frame, [("idet", "")]), _kind(frame)
            seen += 1
            flagged += bool(frame.interlaced_frame)
            frame.pts = seen
            graph.push(frame)
            for judged in _pulled(graph):
                verdict = judged.metadata.get("lavfi.idet.single.current_frame")
                if verdict in combed:
                    combed[verdict] += 1
                whole += verdict == "progressive"
    most = max(combed, key=lambda order: combed[order])
    total = sum(combed.values())
    if total >= _LEAST_COMBED and total > _COMBED_SHARE * (total + whole):
        return Fields("top" if most == "tff" else "bottom")
    if flagged > seen / 2 and whole < _LEAST_WHOLE:
        return Fields("as flagged")
    return None


def deinterlaced(
    timed: Iterator[tuple[float, float, Any]], fields: Fields | None
) -> Iterator[tuple[float, float, Any]]:
    """(seconds, seconds shown, av.VideoFrame) -> the same with whole pictures; as they are for ``fields`` None."""
    if fields is None:
        yield from timed
        return
    graph: Graph | None = None
    kind: tuple[Any, ...] = ()
    waiting: deque[tuple[float, float]] = deque()
    for at, shown, frame in timed:
        if graph is not None and kind != _kind(frame):
            yield from _rest(graph, waiting)
            graph = None
        if graph is None:
            graph, kind = _graph(frame, _deinterlacer(fields)), _kind(frame)
        waiting.append((at, shown))
        frame.pts = len(waiting) + round(at * 1000)
        graph.push(frame)
        for out in _pulled(graph):
            yield (*waiting.popleft(), out)
    if graph is not None:
        yield from _rest(graph, waiting)


def _rest(graph: Graph, waiting: deque[tuple[float, float]]) -> Iterator[tuple[float, float, Any]]:
    graph.push(None)
    for out in _pulled(graph):
        if waiting:
            yield (*waiting.popleft(), out)
    waiting.clear()


def _deinterlacer(fields: Fields) -> list[tuple[str, str]]:
    if fields.first == "as flagged":
        return [("bwdif", "mode=send_frame:parity=auto:deint=all")]
    parity = "tff" if fields.first == "top" else "bff"
    return [("bwdif", f"mode=send_frame:parity={parity}:deint=all")]


def _kind(frame: Any) -> tuple[Any, ...]:
    return frame.width, frame.height, frame.format.name, *settled_colours(frame)


def _graph(frame: Any, filters: list[tuple[str, str]]) -> Graph:
    graph = Graph()
    space, span = settled_colours(frame)
    chain = [
        graph.add(
            "buffer",
            f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/1000:pixel_aspect=1/1"
            f":colorspace={space}:range={span}",
        ),
        *(graph.add(name, arguments) for name, arguments in filters),
        graph.add("buffersink"),
    ]
    for left, right in pairwise(chain):
        left.link_to(right)
    graph.configure()
    return graph


def _pulled(graph: Graph) -> Iterator[Any]:
    while True:
        try:
            yield graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
