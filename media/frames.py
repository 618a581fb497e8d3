"""All frames of a normalised clip, at hand in any order: JPEGs in memory, on disk beyond a limit."""

from __future__ import annotations

import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from media.decode import read_frames
from media.room import require_room, room_for
from problems import TooShort


class FrameStore:
    """A read-only sequence of frames; ``store[i]`` -> (H, W, 3) uint8 RGB. Threads may share it.

    JPEG at quality 97 without colour subsampling keeps 45 to 50 dB of a talking head in a tenth of its bytes.
    What goes over ``memory_mb`` lies in a nameless temporary file, so that a long clip does not fill the
    memory.

    Args:
        frames: (H, W, 3) uint8 RGB images of one size.
        quality: JPEG quality, 1..100.
        memory_mb: JPEG bytes kept in memory, MiB.
        decoded: frames kept decoded (the most recently used).
        expected: how many frames there will be, where that is known: then the folder for temporary files is asked for
            room before the first of them goes there.

    Raises:
        TooShort: there is no frame.
        OutOfDisk: the folder for temporary files is too small.
    """

    def __init__(
        self,
        frames: Iterable[NDArray[np.uint8]],
        *,
        quality: int = 97,
        memory_mb: int = 768,
        decoded: int = 16,
        expected: int | None = None,
    ) -> None:
        options = [
            cv2.IMWRITE_JPEG_QUALITY,
            quality,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        ]
        self._jpegs: list[bytes | tuple[int, int]] = []
        self._file: Any = None
        self._recent: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()
        self._decoded = decoded
        self._lock = threading.Lock()
        in_memory = 0
        for image in frames:
            jpeg = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()
            if not self._jpegs:
                self._size = (image.shape[1], image.shape[0])
            in_memory += len(jpeg)
            if in_memory <= memory_mb * 2**20:
                self._jpegs.append(jpeg)
                continue
            if self._file is None and expected is not None:
                taken = len(self._jpegs) + 1
                require_room(in_memory * max(expected - taken, 0) // taken, "the frames of the clip")
            with room_for("the frames of the clip"):
                self._jpegs.append(self._spill(jpeg))
        if not self._jpegs:
            raise TooShort("the clip has no frames", remedy="upload a video of 12 s or more")
        if self._file is not None:
            with room_for("the frames of the clip"):
                self._file.flush()

    @classmethod
    def from_clip(
        cls,
        path: Path,
        quality: int = 97,
        *,
        start: int = 0,
        stop: int | None = None,
        memory_mb: int = 768,
        progress: Callable[[int, int], None] | None = None,
    ) -> FrameStore:
        """All frames (or ``start`` to ``stop``) of a clip that :func:`media.normalise.normalise_clip`
        wrote."""

        def counted() -> Iterator[NDArray[np.uint8]]:
            for done, image in enumerate(read_frames(path, start=start, stop=stop), start=1):
                yield image
                if progress is not None:
                    progress(done, 0)

        expected = None if stop is None else stop - start
        return cls(counted(), quality=quality, memory_mb=memory_mb, expected=expected)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), px."""
        return self._size

    def __len__(self) -> int:
        return len(self._jpegs)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """Frame ``index`` (negative counts from the end) as (H, W, 3) uint8 RGB, read-only."""
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        with self._lock:
            if position in self._recent:
                self._recent.move_to_end(position)
                return self._recent[position]
        image: Any = cv2.cvtColor(cv2.imdecode(self._read(position), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        image.flags.writeable = False  # shared by all who ask for it
        with self._lock:
            self._recent[position] = image
            while len(self._recent) > self._decoded:
                self._recent.popitem(last=False)
        return image

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (self[index] for index in range(len(self)))

    def _spill(self, jpeg: bytes) -> tuple[int, int]:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="likeness-frames-")  # noqa: SIM115 - lives with self
        offset = self._file.tell()
        self._file.write(jpeg)
        return offset, len(jpeg)

    def _read(self, position: int) -> NDArray[np.uint8]:
        entry = self._jpegs[position]
        data = entry if isinstance(entry, bytes) else os.pread(self._file.fileno(), entry[1], entry[0])
        return np.frombuffer(data, np.uint8)
