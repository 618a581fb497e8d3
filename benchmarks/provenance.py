"""The pixel watermark and the manifest under what videos go through: ``python -m benchmarks.provenance [CLIP ...]``.

Each clip's first seconds are marked with a few numbers, written as the product writes them, and attacked. Detected is
the whole right number; bit accuracy counts its 48 bits before the CRC decides. False positives are counted over windows
of the clips without a mark. Clips that are generated move and differ in what is hard: flat walls, grain, texture.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from likeness import VERSION
from media.decode import read_frames
from media.encode import VideoWriter
from provenance import credentials, manifest, watermark
from training.runtime import one_thread_each

Frame = NDArray[np.uint8]


@dataclass(frozen=True)
class ProvenanceBench:
    """How much is measured."""

    clips: tuple[Path, ...] = ()
    """Besides the generated ones."""
    frames: int = 75
    """Of each clip, at 25 a second."""
    payloads: int = 3
    """Numbers that each clip is marked with."""
    windows: int = 200
    """Windows of 8 frames without a mark, all clips together."""
    seed: int = 0


@dataclass
class Tally:
    """Of one attack."""

    runs: int = 0
    detected: int = 0
    bits: list[float] = field(default_factory=list)
    confidence: list[float] = field(default_factory=list)

    def add(self, reading: watermark.Reading, payload: int) -> None:
        wanted = np.unpackbits(np.frombuffer(payload.to_bytes(6, "big"), np.uint8))
        self.runs += 1
        self.detected += reading.payload == payload
        self.bits.append(float((reading.bits == wanted).mean()))
        self.confidence.append(reading.confidence)

    def figures(self) -> dict[str, float]:
        return {
            "runs": self.runs,
            "detected": round(self.detected / self.runs, 3),
            "bit_accuracy": round(float(np.mean(self.bits)), 4),
            "least_confidence": round(min(self.confidence), 3),
        }


def run(plan: ProvenanceBench) -> dict[str, Any]:
    """Measure; returns one object of JSON types."""
    random = np.random.default_rng(plan.seed)
    tallies: dict[str, Tally] = {}
    clips: dict[str, dict[str, Any]] = {}
    false, windows = 0, 0
    sources = [(name, generated(name, plan.frames)) for name in KINDS]
    sources += [(path.stem, list(read_frames(path, stop=plan.frames))) for path in plan.clips]
    with one_thread_each(), tempfile.TemporaryDirectory(prefix="likeness-bench-") as folder:
        for name, frames in sources:
            plain = Path(folder) / "plain.mp4"
            encode(frames, plain)
            for number in range(plan.payloads):
                payload = int(random.integers(0, 1 << watermark.PAYLOAD_BITS))
                marker = watermark.Watermark(payload)
                begin = time.perf_counter()
                marked = [marker.mark(image) for image in frames]
                spent = time.perf_counter() - begin
                video = Path(folder) / "marked.mp4"
                encode(marked, video)
                if number == 0:
                    clips[name] = {
                        "size": f"{frames[0].shape[1]}x{frames[0].shape[0]}",
                        "psnr_db": round(psnr(frames, marked), 1),
                        "ms_a_frame": round(1e3 * spent / len(frames), 2),
                        "bytes_more": round(video.stat().st_size / plain.stat().st_size - 1, 3),
                    }
                for attack, attacked in attacks(video, Path(folder)):
                    tallies.setdefault(attack, Tally()).add(watermark.read(attacked), payload)
            share = -(-plan.windows // len(sources))
            for start in random.integers(0, max(len(frames) - 8, 1), share):
                window = frames[int(start) : int(start) + 8]
                # A mirrored or turned picture is another one to the grid.
                view = VIEWS[windows % len(VIEWS)]
                false += watermark.read(map(view, window)).payload is not None
                windows += 1
        return {
            "attacks": {name: tally.figures() for name, tally in tallies.items()},
            "clips": clips,
            "false_positives": {
                "windows": windows,
                "found": false,
                "by_theory": (1 + watermark.ATTEMPTS) / 2**32,
            },
            "manifest": measure_manifest(plain, Path(folder)),
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
    half = (width // 4 * 2, height // 4 * 2)
    copied = folder / "attacked.mp4"
    copy_streams(video, copied)
    yield "none", frames
    yield "streams copied", list(read_frames(copied))
    for crf in (23, 28, 32):
        yield f"crf {crf}", recoded(frames, folder, crf)
    small = [cv2.resize(image, half, interpolation=cv2.INTER_AREA) for image in frames]
    yield "half", small
    smaller = recoded(small, folder, 28)
    yield "half, crf 28", smaller
    back = [cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC) for image in smaller]
    yield "half, crf 28, back, crf 23", recoded(back, folder, 23)
    top, left = round(height * 0.05) // 2 * 2, round(width * 0.05) // 2 * 2
    inner = [np.ascontiguousarray(image[top : height - top, left : width - left]) for image in frames]
    yield "5 % off each side", inner
    yield "5 % off each side, crf 28", recoded(inner, folder, 28)


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

# -- generated clips -----------------------------------------------------------------------------------------

KINDS = ("flat wall", "grain", "texture")


def generated(kind: str, frames: int, width: int = 512, height: int = 512, seed: int = 1) -> list[Frame]:
    """An oval that sways before a wall: ``flat wall`` (a gradient), ``grain`` (with noise), ``texture`` (panning)."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    wall = 110 + 40 * x / width
    cloth = cv2.GaussianBlur(random.normal(0, 60, (height, width)).astype(np.float32), (0, 0), 2.5)
    result = []
    for number in range(frames):
        image = wall + np.roll(cloth, 2 * number, 1) if kind == "texture" else wall
        across, down = width / 2 + width / 10 * np.sin(number / 11), height / 2 + 6 * np.sin(number / 7)
        away = np.hypot((x - across) / (0.22 * width), (y - down) / (0.3 * height))
        cover = np.clip((1 - away) * 20, 0, 1)
        image = image + cover * (165 + 0.2 * np.roll(cloth, (number, number), (0, 1)) - image)
        if kind == "grain":
            image = image + random.normal(0, 2.5, image.shape)
        tinted = image[..., None] * np.array([1.05, 1.0, 0.92], np.float32)
        result.append(np.clip(tinted, 0, 255).astype(np.uint8))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", nargs="*", type=Path, help="clips besides the generated ones")
    parser.add_argument("--frames", type=int, default=ProvenanceBench.frames)
    parser.add_argument("--payloads", type=int, default=ProvenanceBench.payloads)
    parser.add_argument("--windows", type=int, default=ProvenanceBench.windows)
    parser.add_argument("--json", action="store_true", help="on one line")
    asked = parser.parse_args()
    result = run(ProvenanceBench(tuple(asked.clips), asked.frames, asked.payloads, asked.windows))
    print(json.dumps(result) if asked.json else json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
