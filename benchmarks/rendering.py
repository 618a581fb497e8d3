"""``likeness bench rendering``: what a person costs to learn and to draw, by size, and how memory grows with length."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.stopwatch import Stopwatch
from evaluation.resources import MemoryWatch
from media.audio import read_wav, write_wav
from media.decode import read_frames
from media.encode import VideoWriter
from problems import NotFound
from provenance.credentials import development
from rendering.train import RendererConfig
from training.progress import Progress, silent
from training.runtime import pick_device
from workers.mark import Mark
from workers.package import members_of
from workers.presets import preset_named
from workers.stages import dub, fit, motion, publish, render, validate

SAMPLE = Path(__file__).resolve().parent.parent / "studio" / "sample" / "presenter.mp4"
RATE = 16_000


@dataclass(frozen=True)
class RenderingBench:
    """What is measured."""

    clip: Path = SAMPLE
    """Who is learnt."""
    frames: int = 300
    """Frames that are learnt from."""
    preset: str = "preview"
    """instant, preview, standard or best."""
    device: str = "auto"
    """Where the network is trained: auto, cpu, cuda or cuda:N."""
    sizes: tuple[tuple[int, int], ...] = ((512, 512), (1280, 720))
    """Width and height of the videos that are dubbed; the clip is scaled and cut to them."""
    seconds: float = 12.0
    """Length of the recording whose dubbing is timed, s."""
    lengths: tuple[float, ...] = (60.0, 600.0)
    """Lengths of the recordings for which memory is watched, at the first size, s."""
    training: RendererConfig | None = None
    """Instead of the preset's training."""

    @classmethod
    def quick(cls, clip: Path = SAMPLE) -> RenderingBench:
        """A look within a few minutes: layers only, short recordings."""
        return cls(
            clip=clip, frames=75, preset="instant", sizes=((512, 512),), seconds=4.0, lengths=(8.0, 24.0)
        )


def run(bench: RenderingBench, progress: Progress = silent) -> dict[str, Any]:
    """Run the benchmark; docs/rendering.md explains the figures.

    The person is learnt whole at the first size. At further sizes only what depends on the picture is learnt anew (fit
    and surroundings); the network's square has one size whatever the video's, so it is taken over.

    Returns:
        ``device``, ``preset``, ``steps_per_s`` (0 without a network), ``personalize_seconds``, ``dub_fps`` by size
        (end to end: motion, decode, compose, generate, mark, encode, sign), ``peak_rss_mb`` by length in seconds,
        ``split`` (seconds by stage of the learning), ``personalize_peak_rss_mb``.

    Raises:
        NotFound: the clip is missing.
    """
    if not bench.clip.is_file():
        raise NotFound(f"there is no file {bench.clip}", remedy="check the path")
    result: dict[str, Any] = {"device": str(pick_device(bench.device)), "preset": bench.preset}
    with tempfile.TemporaryDirectory(prefix="likeness-bench-") as name:
        folder = Path(name)
        people: list[Path] = []
        for width, height in bench.sizes:
            clip = _resized(bench.clip, folder / f"{width}x{height}.mp4", width, height, bench.frames)
            work = folder / f"work-{width}x{height}"
            work.mkdir()
            if not people:
                people.append(_learn(clip, work, bench, result, progress))
            else:
                people.append(_adapt(clip, work, bench, people[0].parent, progress))
        speech = read_wav(people[0].parent / "audio.wav")
        mark = Mark("vid_bench", development(folder / "provenance"))
        fps = {}
        for (width, height), person in zip(bench.sizes, people, strict=True):
            recording = _recording(speech, bench.seconds, folder)
            began = time.monotonic()
            frames = dub.run(person, recording, folder / "out.mp4", mark=mark, progress=progress)
            fps[f"{width}x{height}"] = round(frames / (time.monotonic() - began), 2)
        result["dub_fps"] = fps
        peaks = {}
        for seconds in bench.lengths:
            recording = _recording(speech, seconds, folder)
            with MemoryWatch() as memory:
                dub.run(people[0], recording, folder / "out.mp4", mark=mark, progress=progress)
            peaks[f"{seconds:g}"] = round(memory.peak_mb)
        result["peak_rss_mb"] = peaks
    return result


def _learn(clip: Path, work: Path, bench: RenderingBench, result: dict[str, Any], progress: Progress) -> Path:
    """Personalise; fills in what it cost."""
    watch, person = Stopwatch(progress), work / "person.likeness"
    began = time.monotonic()
    with MemoryWatch() as memory:
        validate.run(clip, work, progress=watch)
        watch.lap("validate")
        fit.run(work, frames=bench.frames, preset=bench.preset, seed=0, device=bench.device, progress=watch)
        motion.run(work, preset=bench.preset, seed=0, progress=watch)
        report = render.run(
            work, preset=bench.preset, seed=0, device=bench.device, progress=watch, config=bench.training
        )
        watch.lap("render.export")
        publish.run(work, person, preset=bench.preset, seed=0, progress=watch)
    result["personalize_seconds"] = round(time.monotonic() - began, 1)
    result["steps_per_s"] = round(report.steps / report.seconds, 2) if report and report.seconds else 0.0
    result["personalize_peak_rss_mb"] = round(memory.peak_mb)
    result["split"] = {stage: part["wall_s"] for stage, part in watch.split.items()}
    return person


def _adapt(clip: Path, work: Path, bench: RenderingBench, learnt: Path, progress: Progress) -> Path:
    """The same person in another size: fitted anew, with the motion and the network that were learnt."""
    validate.run(clip, work, progress=progress)
    fit.run(work, frames=bench.frames, preset=bench.preset, seed=0, device=bench.device, progress=progress)
    render.run(work, preset="instant", seed=0, device=bench.device, progress=progress)
    for member in members_of(bench.preset):
        if not (work / member).is_file():
            (work / member).write_bytes((learnt / member).read_bytes())
    publish.run(work, work / "person.likeness", preset=bench.preset, seed=0, progress=progress)
    return work / "person.likeness"


def _resized(clip: Path, out: Path, width: int, height: int, frames: int) -> Path:
    """The clip's first frames scaled to cover ``width`` x ``height`` and cut to it, with its sound."""
    with VideoWriter(out, width, height, crf=16, audio=clip) as writer:
        for image in read_frames(clip, fps=25.0, stop=frames):
            writer.write(_cover(image, width, height))
    return out


def _cover(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    factor = max(width / image.shape[1], height / image.shape[0])
    size = max(round(image.shape[1] * factor), width), max(round(image.shape[0] * factor), height)
    big = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA)
    left, top = (size[0] - width) // 2, (size[1] - height) // 3  # heads are in the upper half
    return np.ascontiguousarray(big[top : top + height, left : left + width])


def _recording(speech: NDArray[np.float32], seconds: float, folder: Path) -> Path:
    """A recording of that length: the clip's own speech, again and again."""
    count = int(seconds * RATE)
    write_wav(folder / "recording.wav", np.resize(speech, count))
    return folder / "recording.wav"


def with_preset(bench: RenderingBench, preset: str) -> RenderingBench:
    """The same with another preset; raises :class:`problems.InvalidParameter` when there is none."""
    return replace(bench, preset=preset_named(preset).name)
