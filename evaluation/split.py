"""Cutting a normalised clip (25 fps, no B-frames) into a training and a held-out part, and writing the two
controls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from media.atomic import replacing
from media.audio import read_wav, write_wav
from media.decode import read_frames
from media.encode import VideoWriter
from problems import InternalProblem

Image = NDArray[np.uint8]

FPS = 25
SAMPLES_PER_FRAME = 640
_BLOCK = 50


@dataclass(frozen=True)
class Split:
    """A normalised clip and where it is cut."""

    clip: Path
    """Video of ``total`` frames at 25 fps."""
    sound: Path
    """Its 16 kHz mono wav."""
    train_frames: int
    """Frames [0, train_frames) are learnt from."""
    total: int
    """Frames [train_frames, total) are held out."""

    @property
    def held(self) -> int:
        """Number of held-out frames."""
        return self.total - self.train_frames

    def training_frames(self) -> Iterator[Image]:
        """(H, W, 3) uint8 RGB pictures of the training part."""
        return read_frames(self.clip, fps=FPS, stop=self.train_frames)

    def held_out_frames(self, length: int | None = None) -> Iterator[Image]:
        """(H, W, 3) uint8 RGB pictures of the held-out part, or of its first ``length`` frames."""
        stop = self.total if length is None else self.train_frames + length
        return read_frames(self.clip, fps=FPS, start=self.train_frames, stop=stop)

    def write_training(self, clip: Path, sound: Path) -> None:
        """Write the training part: all that a personalisation may see.

        The packets are kept as they are (a user's own first seconds, with no second encoding); the
        normalised clip starts with a key frame and has no B-frames, so the first packets are the first
        frames.

        Raises:
            InternalProblem: the clip's packets are not in the order of its frames.
        """
        with replacing(clip) as part, av.open(str(self.clip)) as reader, av.open(str(part), "w") as writer:
            stream = reader.streams.video[0]
            copy = writer.add_stream_from_template(stream)
            last = -1
            for packet in islice((p for p in reader.demux(stream) if p.dts is not None), self.train_frames):
                if packet.pts is None or packet.pts <= last:
                    raise InternalProblem(
                        f"the normalised clip has frames out of order at {packet.pts}, so it can't be cut",
                        remedy="report this with the clip; nothing was personalised",
                    )
                last = packet.pts
                packet.stream = copy
                writer.mux(packet)
        write_wav(sound, self._samples()[: self.train_frames * SAMPLES_PER_FRAME])

    def write_held_out(self, clip: Path, sound: Path) -> None:
        """Write the held-out part with its sound. It seldom starts at a key frame, so it is encoded anew,
        nearly lossless (crf 8); it only drives: comparisons use the clip itself."""
        write_wav(sound, self._samples()[self.train_frames * SAMPLES_PER_FRAME :])
        encode(self.held_out_frames(), clip, sound, crf=8)

    def write_ceiling(self, video: Path, sound: Path) -> None:
        """The upper control: the real held-out frames through the product's own writer."""
        encode(self.held_out_frames(), video, sound)

    def write_replay(self, video: Path, sound: Path) -> None:
        """The lower control: the training frames forth and back, as long as the held-out part.

        Going back they are decoded in blocks, so that memory stays flat.
        """
        encode(self._replayed(), video, sound)

    def _replayed(self) -> Iterator[Image]:
        cache: list[Image] = []
        first = 0
        for index in map(int, ping_pong(self.train_frames, self.held)):
            if not first <= index < first + len(cache):
                first = index // _BLOCK * _BLOCK
                stop = min(first + _BLOCK, self.train_frames)
                cache = list(read_frames(self.clip, fps=FPS, start=first, stop=stop))
            yield cache[index - first]

    def _samples(self) -> NDArray[np.float32]:
        """The sound, cut or filled with silence to the video's length."""
        samples = read_wav(self.sound)[: self.total * SAMPLES_PER_FRAME]
        return np.pad(samples, (0, self.total * SAMPLES_PER_FRAME - len(samples)))


def ping_pong(count: int, length: int) -> NDArray[np.int64]:
    """``length`` indices that run 0, 1, .. count - 1, count - 2, .. 0, 1, ..; no frame is doubled at a
    turn."""
    period = max(1, 2 * (count - 1))
    phase = np.arange(length) % period
    return np.where(phase < count, phase, period - phase)


def encode(frames: Iterable[Image], path: Path, sound: Path, **settings: Any) -> None:
    """Write (H, W, 3) uint8 RGB pictures with the product's writer, at its own settings unless told
    otherwise."""
    iterator = iter(frames)
    first = next(iterator)
    with VideoWriter(path, first.shape[1], first.shape[0], fps=FPS, audio=sound, **settings) as writer:
        writer.write(first)
        for frame in iterator:
            writer.write(frame)


def count_frames(path: Path) -> int:
    """Frames of a video of constant 25 fps, counted by packets (nothing is decoded)."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return sum(1 for packet in container.demux(stream) if packet.dts is not None)
