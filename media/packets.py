"""Where a file's streams begin and end by their packets, and whether all of the file is there."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

_MOST_PACKETS = 2_000_000
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


@dataclass(frozen=True)
class PacketTimes:
    """Times on the container's clock, seconds."""

    times: NDArray[np.float64]
    """(N,) at which the picture's shown frames begin, sorted."""
    starts: dict[int, float]
    """Stream index -> beginning of its first packet."""
    ends: dict[int, float]
    """Stream index -> end of its last packet."""

    def length(self, stream: Any) -> float:
        """Seconds from a stream's first packet to its end, 0 without packets."""
        return self.ends.get(stream.index, 0.0) - self.starts.get(stream.index, 0.0)

    def promised(self, stream: Any, container: InputContainer) -> float:
        """Seconds that the file promises for this stream, 0 if it says nothing of it.

        mov states a duration for each track, writers of mkv a tag. A tag may count from the clock's zero or from the
        stream's own beginning: what fits better is taken. Without either there is the container's duration, if no
        stream at all reaches it (a subtitle that does explains it).
        """
        start, end = self.starts.get(stream.index, 0.0), self.ends.get(stream.index, 0.0)
        if "mov" in container.format.name.split(","):
            return float(stream.duration * stream.time_base) if stream.duration else 0.0
        tagged = _duration_tag(stream)
        if tagged is not None:
            return min(tagged, max(tagged - start, 0.0), key=lambda seconds: abs(seconds - (end - start)))
        if not container.duration or container.duration <= 0:
            return 0.0
        whole = container.duration / 1e6
        latest = max(self.ends.values(), default=0.0)
        earliest = min(self.starts.values(), default=0.0)
        if whole - max(latest, latest - earliest) > max(1.0, 0.1 * whole):
            return max(whole - max(start, 0.0), 0.0)
        return end - start


def read_packets(container: InputContainer, video: Any | None) -> PacketTimes:
    """Read all packets of all streams once; ``video`` is the picture's stream."""
    times: list[float] = []
    starts: dict[int, float] = {}
    ends: dict[int, float] = {}
    for count, packet in enumerate(container.demux()):
        if count > _MOST_PACKETS:
            break
        if packet.pts is None or not packet.time_base or packet.size == 0 or packet.is_discard:
            continue
        index, begin = packet.stream_index, float(packet.pts * packet.time_base)
        end = begin + float((packet.duration or 0) * packet.time_base)
        starts[index] = min(begin, starts.get(index, math.inf))
        ends[index] = max(end, ends.get(index, -math.inf))
        if video is not None and index == video.index:
            times.append(begin)
    return PacketTimes(np.sort(np.array(times, np.float64)), starts, ends)


def is_whole(path: Path, container: str) -> bool:
    """Whether the outermost boxes of an mp4/mov, or the segment of an mkv/webm, lie in the file with all their bytes.

    False as well where they do not say how long they are.
    """
    names = set(container.split(","))
    size = path.stat().st_size
    with path.open("rb") as file:
        if "mov" in names:
            return _boxes_end(file, size) == size
        if "matroska" in names:
            end = _segment_end(file)
            return end is not None and end <= size
    return False


def _boxes_end(file: Any, size: int) -> int | None:
    """Where the last of an mp4's outermost boxes ends."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length == 0:
            return None  # to the file's end, wherever that is
        if length < 8:
            return None
        at += length
    return at


def _segment_end(file: Any) -> int | None:
    """Where an mkv's segment ends; None if it does not say (a live recording) or there is none."""
    if file.read(4) != _EBML:
        return None
    length = _ebml_size(file)
    if length is None:
        return None
    file.seek(length, 1)
    if file.read(4) != _SEGMENT:
        return None
    length = _ebml_size(file)
    return None if length is None else int(file.tell()) + length


def _ebml_size(file: Any) -> int | None:
    first = file.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    rest = file.read(more)
    value = int.from_bytes(bytes([first[0] & (0x7F >> more)]) + rest, "big")
    return None if len(rest) < more or value == (1 << 7 * (more + 1)) - 1 else value


def _duration_tag(stream: Any) -> float | None:
    """What a matroska writer's statistics say about a stream, e.g. ``00:00:05.533000000``; seconds."""
    for name, text in stream.metadata.items():
        if name.upper().split("-")[0] == "DURATION":
            found = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", text.strip())
            if found:
                return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3])
    return None
