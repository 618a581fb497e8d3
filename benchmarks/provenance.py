"""``likeness bench provenance``: the pixel watermark and the manifest under what videos go through.

Each clip's first seconds are marked with a few numbers, written as the product writes them, and attacked. Detected is
the whole right number; bit accuracy counts its 48 bits before the CRC decides. False positives are counted over windows
of the clips without a mark. Invented scenes, on which nothing was tuned, and filmed clips are counted apart.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.scenes import HELD_OUT, KINDS, SIZES, invented
from likeness import VERSION
from media.decode import read_frames
from media.encode import VideoWriter
from provenance import credentials, manifest, watermark
from training.progress import Progress, Tick, silent
from training.runtime import one_thread_each

Frame = NDArray[np.uint8]
SAMPLE = Path(__file__).resolve().parent.parent / "studio" / "sample" / "presenter.mp4"


@dataclass(frozen=True)
class ProvenanceBench:
    """How much is measured."""

    clips: tuple[Path, ...] = (SAMPLE,)
    """Filmed ones."""
    scenes: int = 21
    """Invented ones: kinds and sizes take turns."""
    frames: int = 40
    """Of each, at 25 a second."""
    payloads: int = 1
    """Numbers that each is marked with."""
    windows: int = 210
    """Windows of 8 frames without a mark, all together; every ninth is searched for croppings, too."""
    first: int = HELD_OUT
    """Seed of the first scene."""

    @classmethod
    def quick(cls, clips: tuple[Path, ...] = ()) -> ProvenanceBench:
        """Few and small: does it run."""
        return cls(clips, scenes=2, frames=12, windows=8)


@dataclass
class Tally:
    """Of one attack."""

    bits: list[float] = field(default_factory=list)
    confidence: list[float] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def add(self, name: str, reading: watermark.Reading, payload: int) -> None:
        wanted = np.unpackbits(np.frombuffer(payload.to_bytes(6, "big"), np.uint8))
        self.bits.append(float((reading.bits == wanted).mean()))
        if reading.payload == payload:
            self.confidence.append(reading.confidence)
        else:
            self.missed.append(name)

    def figures(self) -> dict[str, Any]:
        return {
            "runs": len(self.bits),
            "detected": len(self.confidence),
            "bit_accuracy": round(float(np.mean(self.bits)), 4),
            "least_confidence": round(min(self.confidence, default=0.0), 3),
            "missed": self.missed,
        }


def run(plan: ProvenanceBench, progress: Progress = silent) -> dict[str, Any]:
    """Measure; returns one object of JSON types.

    Returns:
        ``invented`` and ``filmed``: for each attack how often the number was found (``detected`` of ``runs``), by what
        margin, and which clips ``missed``; ``clips``: what marking costs each; ``false_positives``; ``manifest``.

    Raises:
        NotFound, NoVideo, UnreadableMedia: a clip can't be read.
    """
    random = np.random.default_rng(plan.first)
    tallies: dict[str, dict[str, Tally]] = {"invented": {}, "filmed": {}}
    clips: dict[str, dict[str, Any]] = {}
    false = windows = attempts = done = 0
    sources = [*_scenes(plan), *((path.stem, "filmed", _filmed(path, plan.frames)) for path in plan.clips)]
    total = len(sources) * plan.payloads
    with one_thread_each(), tempfile.TemporaryDirectory(prefix="likeness-bench-") as folder:
        for name, group, make in sources:
            progress(Tick("provenance.attack", done, total, name))
            frames = make()
            plain, video = Path(folder) / "plain.mp4", Path(folder) / "marked.mp4"
            encode(frames, plain)
            for _ in range(plan.payloads):
                payload = int(random.integers(0, 1 << watermark.PAYLOAD_BITS))
                clips[name] = _marked(frames, payload, plain, video)
                for attack, attacked in attacks(video, Path(folder)):
                    tally = tallies[group].setdefault(attack, Tally())
                    tally.add(name, watermark.read(attacked), payload)
                done += 1
                progress(Tick("provenance.attack", done, total, name))
            for start in random.integers(0, max(len(frames) - 8, 1), -(-plan.windows // len(sources))):
                window = frames[int(start) : int(start) + 8]
                # A mirrored or turned picture is another one to the grid.
                view = VIEWS[windows % len(VIEWS)]
                search = windows % 9 == 0
                false += watermark.read(map(view, window), search=search).payload is not None
                attempts += 1 + watermark.ATTEMPTS * search
                windows += 1
        return {
            **{group: {a: tally.figures() for a, tally in of.items()} for group, of in tallies.items()},
            "clips": clips,
            "false_positives": {
                "windows": windows,
                "attempts": attempts,
                "found": false,
                "by_theory": (1 + watermark.ATTEMPTS) / 2**32,
            },
            "manifest": measure_manifest(plain, Path(folder)),
        }


def _scenes(plan: ProvenanceBench) -> Iterator[tuple[str, str, Callable[[], list[Frame]]]]:
    """Name, group and maker: all kinds in one size, then all in the next."""
    for number in range(plan.scenes):
        kind, size = KINDS[number % len(KINDS)], SIZES[number // len(KINDS) % len(SIZES)]
        seed = plan.first + number
        name = f"{kind}, {size[0]}x{size[1]}, {seed}"
        yield name, "invented", partial(invented, kind, plan.frames, size, seed)


def _filmed(path: Path, frames: int) -> Callable[[], list[Frame]]:
    next(read_frames(path))  # what can't be read is told before any work
    return lambda: list(read_frames(path, stop=frames))


def _marked(frames: list[Frame], payload: int, plain: Path, video: Path) -> dict[str, Any]:
    """Write ``video`` with a mark; returns what that costs."""
    marker = watermark.Watermark(payload)
    begin = time.process_time()
    marked = [marker.mark(image) for image in frames]
    spent = time.process_time() - begin
    encode(marked, video)
    return {
        "size": f"{frames[0].shape[1]}x{frames[0].shape[0]}",
        "psnr_db": round(psnr(frames, marked), 1),
        "ms_a_frame": round(1e3 * spent / len(frames), 2),
        "bytes_more": round(video.stat().st_size / plain.stat().st_size - 1, 3),
    }


def measure_manifest(video: Path, folder: Path) -> dict[str, Any]:
    """Seconds and bytes of a signature, and what is left of it after a copy of the streams."""
    signed, copied = folder / "signed.mp4", folder / "copied.mp4"
    shutil.copy(video, signed)
    mine = credentials.development(folder)
    begin = time.perf_counter()
    manifest.sign(signed, mine, manifest.Claim("signed.mp4", "vid_bench", None, None, None, VERSION))
    spent = time.perf_counter() - begin
    copy_streams(signed, copied)
    reading = manifest.read(signed)
    return {
        "seconds": round(spent, 3),
        "bytes": signed.stat().st_size - video.stat().st_size,
        "valid": reading is not None and reading.valid,
        "left_after_a_copy_of_the_streams": manifest.read(copied) is not None,
    }


# -- attacks -------------------------------------------------------------------------------------------------


def attacks(video: Path, folder: Path) -> Iterator[tuple[str, list[Frame]]]:
    """Name and frames of what becomes of a video."""
    frames = list(read_frames(video))
    height, width = frames[0].shape[:2]
    copied = folder / "attacked.mp4"
    copy_streams(video, copied)
    yield "none", frames
    yield "streams copied", list(read_frames(copied))
    for crf in (23, 28, 32):
        yield f"crf {crf}", recoded(frames, folder, crf)
    small = halved(frames)
    yield "half", small
    smaller = recoded(small, folder, 28)
    yield "half, crf 28", smaller
    back = [cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC) for image in smaller]
    yield "half, crf 28, back, crf 23", recoded(back, folder, 23)
    top, left = round(height * 0.05) // 2 * 2, round(width * 0.05) // 2 * 2
    inner = [np.ascontiguousarray(image[top : height - top, left : width - left]) for image in frames]
    yield "5 % off each side", inner
    yield "5 % off each side, crf 28", recoded(inner, folder, 28)


def halved(frames: list[Frame]) -> list[Frame]:
    """Half the width and height, even."""
    height, width = frames[0].shape[:2]
    size = (width // 4 * 2, height // 4 * 2)
    return [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in frames]


def encode(frames: Iterable[Frame], path: Path, **options: Any) -> None:
    """Write frames, by default as the product does."""
    iterator = iter(frames)
    first = next(iterator)
    with VideoWriter(path, first.shape[1], first.shape[0], **options) as writer:
        writer.write(first)
        for image in iterator:
            writer.write(image)


def recoded(frames: Iterable[Frame], folder: Path, crf: int) -> list[Frame]:
    """Through H.264 as others write it."""
    path = folder / "attacked.mp4"
    encode(frames, path, crf=crf, preset="medium")
    return list(read_frames(path))


def copy_streams(source: Path, target: Path) -> None:
    """What ``ffmpeg -c copy`` does."""
    with av.open(str(source)) as reader, av.open(str(target), "w", format="mp4") as writer:
        stream = reader.streams.video[0]
        copied = writer.add_stream_from_template(stream)
        for packet in reader.demux(stream):
            if packet.dts is not None:
                packet.stream = copied
                writer.mux(packet)


def psnr(frames: Iterable[Frame], marked: Iterable[Frame]) -> float:
    """dB over all of them."""
    errors = [
        np.mean((a.astype(np.float32) - b.astype(np.float32)) ** 2)
        for a, b in zip(frames, marked, strict=True)
    ]
    return float(10 * np.log10(255**2 / np.mean(errors)))


VIEWS: tuple[Callable[[Frame], Frame], ...] = (
    lambda image: image,
    lambda image: np.ascontiguousarray(image[:, ::-1]),
    lambda image: np.ascontiguousarray(image[::-1]),
    lambda image: np.ascontiguousarray(image.transpose(1, 0, 2)),
)
