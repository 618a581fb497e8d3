"""The held-out protocol: personalise on the first frames of a clip, generate the rest, compare with the real rest.

Folder layout::

    real/       the whole clip, normalised (validate)
    work/       the person: only the training frames and their sound are ever put here, so nothing else can leak
    held_out.mp4, held_out.wav                      the rest
    reenact.mp4, dub.mp4, ceiling.mp4, replay.mp4   what is measured
    landmarks/*.npz, descriptors/*.npz              what was seen in them
    stages.json                                     key, seconds and memory of each finished stage
    evaluation.json, side_by_side.mp4, sheet.png

Each stage has a key: a hash over the clip, the settings, the stages before it and the source code it runs. A second run
into the same folder reuses every stage whose key is unchanged, and resumes the one that was interrupted.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from evaluation.identity import Describe, describe_frames
from evaluation.regions import visible
from evaluation.resources import MemoryWatch
from evaluation.scores import Take, score
from evaluation.sheet import make_sheet, save_png, time_points
from evaluation.side_by_side import panel_size, side_by_side
from faces.camera import Camera
from media.audio import read_wav, write_wav
from media.decode import read_frames
from media.encode import VideoWriter
from problems import InternalProblem, InvalidParameter, NoSound
from training.progress import Progress, Tick, silent, ticking

Image = NDArray[np.uint8]

FPS = 25
SAMPLES_PER_FRAME = 640
LEAST_TRAINING, LEAST_HELD_OUT = 50, 25
"""Frames: two seconds to learn from, one second to be judged on."""
GENERATED = ("reenact", "dub", "ceiling", "replay")
"""Columns of the table: what the product made, then the controls."""
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Steps:
    """The product's stages and detectors that the protocol runs; :func:`product_steps` gives the real ones."""

    validate: Callable[..., Any]
    fit: Callable[..., Any]
    motion: Callable[..., Any]
    render: Callable[..., Any]
    publish: Callable[..., Any]
    dub: Callable[..., Any]
    track: Callable[[Iterable[Image]], NDArray[np.float32]]
    """(H, W, 3) uint8 RGB pictures -> (T, 478, 2) pixels, NaN where no face was found."""
    describe: Describe
    """Picture and landmarks -> face descriptor."""


def product_steps() -> Steps:
    """The stages of this checkout, MediaPipe and dlib's descriptor."""
    from faces.identity import FaceDescriptor
    from fitting.landmarks import FaceLandmarker
    from workers.stages import dub, fit, motion, publish, render, validate

    def track(frames: Iterable[Image]) -> NDArray[np.float32]:
        with FaceLandmarker() as landmarker:
            return landmarker.track(frames).points

    descriptor: list[FaceDescriptor] = []  # loaded on first use: reusing a finished folder needs none

    def describe(image: Image, landmarks: NDArray[Any]) -> NDArray[Any]:
        if not descriptor:
            descriptor.append(FaceDescriptor())
        return descriptor[0].describe(image, landmarks)

    return Steps(
        validate.run, fit.run, motion.run, render.run, publish.run, dub.run, track=track, describe=describe
    )


class Ledger:
    """What is finished in a folder, with which key, in what time and memory (``stages.json``).

    A stage's entry is written before it starts and again when it ends, so a run that was killed is told apart from one
    that finished: the same key resumes from the stage's own checkpoints, another key removes what the old one left.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "stages.json"
        try:
            self.entries: dict[str, dict[str, Any]] = json.loads(self._path.read_text())
        except (OSError, json.JSONDecodeError):
            self.entries = {}

    def run(
        self,
        stage: str,
        key: str,
        outputs: Sequence[Path],
        work: Callable[[], object],
        *,
        leftovers: Sequence[Path] = (),
    ) -> bool:
        """Run ``work`` unless it is done under this key and its outputs exist; True when it ran.

        Args:
            stage: name in the ledger.
            key: hash of everything the result depends on.
            outputs: files it makes, removed first when they were made under another key.
            work: makes them.
            leftovers: files and folders (checkpoints) that it may make, removed likewise.
        """
        entry = self.entries.get(stage, {})
        if entry.get("key") == key and entry.get("done") and all(path.exists() for path in outputs):
            return False
        if entry.get("key") != key:
            entry = {"seconds": 0.0, "peak_rss_mb": 0.0}
            for path in (*outputs, *leftovers):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
        self._record(stage, {**entry, "key": key, "done": False})
        started = time.monotonic()
        done = False
        watch = MemoryWatch()
        try:
            with watch:
                work()
            done = True
        finally:
            # An interrupted stage keeps the time it used: the resumed one adds to it.
            entry = {
                "key": key,
                "done": done,
                "seconds": entry["seconds"] + time.monotonic() - started,
                "peak_rss_mb": max(entry["peak_rss_mb"], watch.peak_mb),
            }
            self._record(stage, entry)
        return True

    def _record(self, stage: str, entry: dict[str, Any]) -> None:
        self.entries[stage] = entry
        write_json(self.entries, self._path)


def run(
    clip: Path,
    out_dir: Path,
    *,
    train_frames: int = 300,
    preset: str = "preview",
    seed: int = 0,
    device: str = "auto",
    progress: Progress = silent,
    steps: Steps | None = None,
) -> dict[str, Any]:
    """Run the protocol on one clip.

    The reenactment drives the person with the held-out frames' own tracked pose and expression, the dub with their
    sound. The ceiling is the real held-out frames, the replay the training frames forth and back; both go through the
    same encoder, decoder, tracker and metrics as the generated videos.

    Args:
        clip: any video file with sound.
        out_dir: folder for the results; finished stages in it are reused when nothing they depend on changed.
        train_frames: frames at 25 fps to personalise on; the rest is held out.
        preset: ``preview``, ``standard`` or ``best``.
        seed: of every random choice.
        device: ``auto``, ``cpu`` or ``cuda[:N]``.
        progress: listener.
        steps: stages to run instead of the product's own.

    Returns:
        ``{"reenact": {...}, "dub": {...}, "ceiling": {...}, "replay": {...}, "seconds": {...}, "peak_rss_mb": ...}``;
        ``evaluation.json`` holds the same and, under ``protocol``, what was run.

    Raises:
        InvalidParameter: the clip is too short for this split.
        NoSound: the clip has no sound to dub with.
        Problem: whatever a stage raises.
    """
    steps = steps or product_steps()
    out_dir.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(out_dir)
    real, work, person = out_dir / "real", out_dir / "work", out_dir / "work" / "person.likeness"
    real_clip, real_sound = real / "clip.mp4", real / "audio.wav"
    held_out, held_sound = out_dir / "held_out.mp4", out_dir / "held_out.wav"
    video = {name: out_dir / f"{name}.mp4" for name in GENERATED}
    machine = ("problems", "faces", "media", "training", "fitting")

    key = _key(_file_hash(clip), _code(*machine, "workers/stages/validate.py"))
    ledger.run(
        "validate", key, [real_clip], lambda: steps.validate(clip, real, progress=progress), leftovers=[real]
    )
    if not real_sound.exists():
        raise NoSound(
            f"{clip.name} has no sound, so nothing can be dubbed and compared",
            remedy="evaluate a clip in which the person is heard",
        )
    total = _count_frames(real_clip)
    if train_frames < LEAST_TRAINING or total - train_frames < LEAST_HELD_OUT:
        most = total - LEAST_HELD_OUT
        raise InvalidParameter(
            f"train_frames is {train_frames} and {clip.name} has {total} frames at 25 fps",
            remedy=f"choose --train-frames from {LEAST_TRAINING} to {most}"
            if most >= LEAST_TRAINING
            else f"take a clip of at least {(LEAST_TRAINING + LEAST_HELD_OUT) / FPS:.0f} seconds",
            details={"field": "train_frames", "frames": total},
        )
    held = total - train_frames

    key = _key(key, train_frames)
    cut = [work / "clip.mp4", work / "audio.wav", held_out, held_sound]
    ledger.run("cut", key, cut, lambda: _cut(real_clip, real_sound, train_frames, total, *cut, progress))
    cut_key = key
    key = fit_key = _key(key, preset, seed, device, _code("workers/stages/fit.py"))
    fitted = [work / "track.safetensors", work / "texture.safetensors"]
    ledger.run(
        "fit", key, fitted,
        lambda: steps.fit(work, frames=train_frames, preset=preset, seed=seed, device=device, progress=progress),
    )  # fmt: skip
    motion_key = _key(fit_key, _code("motion", "workers/stages/motion.py"))
    ledger.run(
        "motion", motion_key, [work / "motion.safetensors"],
        lambda: steps.motion(work, preset=preset, seed=seed, start=None, progress=progress),
        leftovers=[work / "checkpoints" / "motion"],
    )  # fmt: skip
    render_key = _key(fit_key, _code("rendering", "workers/stages/render.py"))
    ledger.run(
        "render", render_key, [work / "renderer.safetensors"],
        lambda: steps.render(work, preset=preset, seed=seed, device=device, progress=progress),
        leftovers=[work / "checkpoints" / "render"],
    )  # fmt: skip
    key = _key(motion_key, render_key, _code("workers/stages/publish.py"))
    ledger.run(
        "publish", key, [person],
        lambda: steps.publish(work, person, preset=preset, seed=seed, progress=progress),
    )  # fmt: skip
    made_key = _key(key, _code("motion", "rendering", "workers/stages/dub.py"))
    ledger.run(
        "reenact", _key(made_key, "reenact"), [video["reenact"]],
        lambda: steps.dub(
            person, held_sound, video["reenact"], pose="reference", pose_video=held_out, expression_video=held_out,
            exact=True, seed=seed, device=device, progress=progress,
        ),
    )  # fmt: skip
    ledger.run(
        "dub", _key(made_key, "dub"), [video["dub"]],
        lambda: steps.dub(
            person, held_sound, video["dub"], pose="learned", seed=seed, device=device, progress=progress
        ),
    )  # fmt: skip
    control_key = _key(cut_key, _code("workers/stages/evaluate.py"))
    ledger.run(
        "controls", control_key, [video["ceiling"], video["replay"]],
        lambda: _controls(real_clip, held_sound, train_frames, total, video["ceiling"], video["replay"], progress),
    )  # fmt: skip

    for name in GENERATED:
        found = _count_frames(video[name])
        if abs(found - held) > 1:
            raise InternalProblem(
                f"{video[name].name} has {found} frames, its sound lasts {held}",
                remedy="report this with the clip; a dub's length must equal its recording's within one frame",
            )
    started = time.monotonic()
    with MemoryWatch() as watch:
        result = _measure(
            real_clip, video, out_dir, train_frames=train_frames, total=total, sound=held_sound, steps=steps,
            progress=progress,
        )  # fmt: skip
    measuring = time.monotonic() - started
    seconds = {name: round(entry["seconds"], 2) for name, entry in ledger.entries.items()}
    seconds["personalize"] = round(sum(seconds[s] for s in ("validate", "fit", "motion", "render", "publish")), 2)
    seconds["measure"] = round(measuring, 2)
    peaks = {name: round(entry["peak_rss_mb"], 1) for name, entry in ledger.entries.items()}
    peaks["measure"] = round(watch.peak_mb, 1)
    result |= {"seconds": seconds, "peak_rss_mb": max(peaks.values())}
    protocol = {
        "clip": clip.name,
        "clip_sha256": _file_hash(clip),
        "train_frames": train_frames,
        "held_out_frames": held,
        "preset": preset,
        "seed": seed,
        "device": device,
        "dub_frames_per_second": round(held / max(seconds["dub"], 1e-6), 2),
        "peak_rss_mb": peaks,
        "code": _code(*machine, "motion", "rendering", "evaluation", "workers")[:16],
    }
    write_json({**result, "protocol": protocol}, out_dir / "evaluation.json")
    return result


def _cut(
    clip: Path,
    sound: Path,
    train_frames: int,
    total: int,
    train_clip: Path,
    train_sound: Path,
    held_clip: Path,
    held_sound: Path,
    progress: Progress,
) -> None:
    """Split clip and sound at ``train_frames``.

    The training clip keeps the packets as they are (a user's own first seconds, no second encoding); the held-out clip
    starts between key frames, so it is encoded anew, nearly lossless. It only drives: comparisons use the real clip.
    """
    train_clip.parent.mkdir(parents=True, exist_ok=True)
    samples = read_wav(sound)
    samples = np.pad(samples, (0, max(0, total * SAMPLES_PER_FRAME - len(samples))))
    border = train_frames * SAMPLES_PER_FRAME
    write_wav(train_sound, samples[:border])
    write_wav(held_sound, samples[border : total * SAMPLES_PER_FRAME])
    _keep_packets(clip, train_clip, train_frames)
    kept = _count_frames(train_clip)
    if kept != train_frames:
        raise InternalProblem(
            f"the training clip has {kept} frames instead of {train_frames}",
            remedy="report this with the clip; nothing was personalised",
        )
    frames = read_frames(clip, fps=FPS, start=train_frames, stop=total)
    _encode(ticking(frames, progress, "evaluate.cut", total - train_frames), held_clip, held_sound, crf=8)


def _keep_packets(source: Path, target: Path, count: int) -> None:
    """Copy the first ``count`` video packets; the normalised clip has no B-frames, so these are the first frames."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp.mp4")
    try:
        with av.open(str(source)) as reader, av.open(str(temporary), "w") as writer:
            stream = reader.streams.video[0]
            copy = writer.add_stream_from_template(stream)
            packets = (packet for packet in reader.demux(stream) if packet.dts is not None)
            for packet in islice(packets, count):
                packet.stream = copy
                writer.mux(packet)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def ping_pong(count: int, length: int) -> NDArray[np.int64]:
    """``length`` indices that run 0, 1, .. count - 1, count - 2, .. 0, 1, ..; no frame is doubled at a turn."""
    period = max(1, 2 * (count - 1))
    phase = np.arange(length) % period
    return np.where(phase < count, phase, period - phase)


def _controls(
    clip: Path, sound: Path, train_frames: int, total: int, ceiling: Path, replay: Path, progress: Progress
) -> None:
    held = total - train_frames
    frames = read_frames(clip, fps=FPS, start=train_frames, stop=total)
    _encode(ticking(frames, progress, "evaluate.ceiling", held), ceiling, sound)
    _encode(ticking(_replayed(clip, train_frames, held), progress, "evaluate.replay", held), replay, sound)


def _replayed(clip: Path, count: int, length: int) -> Iterator[Image]:
    """The first ``count`` frames forth and back. Backwards they are decoded in blocks, so that memory stays flat."""
    block, cache, first = 50, [], -1
    for index in ping_pong(count, length):
        if not 0 <= index - first < len(cache) or first < 0:
            first = int(index) // block * block
            cache = list(read_frames(clip, fps=FPS, start=first, stop=min(first + block, count)))
        yield cache[int(index) - first]


def _encode(frames: Iterable[Image], path: Path, sound: Path, **settings: Any) -> None:
    """Write a clip with the product's own writer, at its own settings unless told otherwise."""
    iterator = iter(frames)
    first = next(iterator)
    with VideoWriter(path, first.shape[1], first.shape[0], fps=FPS, audio=sound, **settings) as writer:
        writer.write(first)
        for frame in iterator:
            writer.write(frame)


def _measure(
    clip: Path,
    video: dict[str, Path],
    out_dir: Path,
    *,
    train_frames: int,
    total: int,
    sound: Path,
    steps: Steps,
    progress: Progress,
) -> dict[str, Any]:
    held = total - train_frames

    def look(name: str, path: Path, start: int, stop: int | None) -> tuple[NDArray[Any], NDArray[Any]]:
        return _look(name, path, start, stop, out_dir, steps, progress)

    training, enrolment = look("training", clip, 0, train_frames)
    size = next(read_frames(clip, fps=FPS, stop=1)).shape[:2]
    camera = Camera.for_image(size[1], size[0])
    enrolled = enrolment.mean(axis=0) if len(enrolment) else np.full(1, math.nan)
    tracks, descriptors = {}, {}
    tracks["real"], descriptors["real"] = look("real", clip, train_frames, total)
    if not visible(tracks["real"]).any() or not visible(training).any():
        raise InvalidParameter(
            f"no face in the {'held-out' if visible(training).any() else 'training'} part of the clip",
            remedy="split the clip elsewhere with --train-frames, or take a clip that shows the face throughout",
            details={"field": "train_frames"},
        )
    result: dict[str, Any] = {}
    for done, name in enumerate(GENERATED):
        progress(Tick("evaluate.measure", done, len(GENERATED), name))
        tracks[name], descriptors[name] = look(name, video[name], 0, None)
        length = min(held, len(tracks[name]))  # one frame of difference is allowed
        try:
            scores = score(
                Take(
                    read_frames(clip, fps=FPS, start=train_frames, stop=train_frames + length),
                    tracks["real"][:length],
                    descriptors["real"],
                ),
                Take(read_frames(video[name], fps=FPS, stop=length), tracks[name][:length], descriptors[name]),
                enrolled,
                camera=camera,
                fps=FPS,
            )
        except ValueError as error:
            raise InternalProblem(
                f"{video[name].name} can't be compared with the real frames: {error}",
                remedy="report this with the clip; a dub must keep the clip's size and length",
            ) from error
        result[name] = scores.as_dict()
    progress(Tick("evaluate.measure", len(GENERATED), len(GENERATED)))
    _draw(clip, video, tracks, camera, out_dir, train_frames, sound, progress)
    return result


def _look(
    name: str, path: Path, start: int, stop: int | None, out_dir: Path, steps: Steps, progress: Progress
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Landmarks (T, 478, 2) and descriptors (N, D) of a video, kept in the folder until the video changes."""
    key = _key(_file_hash(path), start, stop, _code("fitting/landmarks.py", "faces/identity.py", "evaluation/identity.py"))
    store = out_dir / "landmarks" / f"{name}.npz"
    if store.exists():
        try:
            with np.load(store, allow_pickle=False) as saved:
                if str(saved["key"]) == key:
                    return saved["landmarks"], saved["descriptors"]
        except (OSError, ValueError, KeyError):
            pass  # unreadable: seen again
    frames = ticking(read_frames(path, fps=FPS, start=start, stop=stop), progress, f"evaluate.track {name}", 0)
    landmarks = np.asarray(steps.track(frames), np.float32)
    descriptors = describe_frames(read_frames(path, fps=FPS, start=start, stop=stop), landmarks, steps.describe)
    store.parent.mkdir(parents=True, exist_ok=True)
    temporary = store.with_name(f".{store.name}.{os.getpid()}.tmp.npz")
    try:
        np.savez(temporary, landmarks=landmarks, descriptors=descriptors, key=np.array(key))
        os.replace(temporary, store)
    finally:
        temporary.unlink(missing_ok=True)
    return landmarks, descriptors


def _draw(
    clip: Path,
    video: dict[str, Path],
    tracks: dict[str, NDArray[Any]],
    camera: Camera,
    out_dir: Path,
    train_frames: int,
    sound: Path,
    progress: Progress,
) -> None:
    shown = ("real", "reenact", "dub")
    length = min(len(tracks[name]) for name in shown)

    def frames(name: str) -> Iterator[Image]:
        if name == "real":
            return read_frames(clip, fps=FPS, start=train_frames, stop=train_frames + length)
        return read_frames(video[name], fps=FPS, stop=length)

    times = time_points(tracks["real"][:length], 12)
    pictures = {name: _pick(frames(name), times) for name in shown}
    sheet = make_sheet(pictures, {name: tracks[name][:length] for name in shown}, times, camera=camera, fps=FPS)
    save_png(sheet, out_dir / "sheet.png")
    joined = side_by_side({name: frames(name) for name in shown})
    _encode(ticking(joined, progress, "evaluate.side_by_side", length), out_dir / "side_by_side.mp4", sound)


def _pick(frames: Iterable[Image], times: NDArray[np.int64]) -> list[Image]:
    wanted = {int(time) for time in times}
    found = {index: image for index, image in enumerate(frames) if index in wanted}
    return [found[int(time)] for time in times]


def _count_frames(path: Path) -> int:
    """Frames at the inner clock, counted by packets: every video here has a constant 25 fps."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return sum(1 for packet in container.demux(stream) if packet.dts is not None)


def _key(*parts: object) -> str:
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()


def _file_hash(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _code(*names: str) -> str:
    """Hash of the Python sources and data of some folders and files of this checkout."""
    digest = hashlib.sha256()
    for name in names:
        root = REPOSITORY / name
        files = sorted(root.rglob("*")) if root.is_dir() else [root]
        for path in files:
            if path.suffix in {".py", ".npz", ".onnx", ".safetensors"} and path.is_file():
                digest.update(str(path.relative_to(REPOSITORY)).encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def write_json(content: object, path: Path) -> None:
    """Write JSON atomically: temporary file, fsync, ``os.replace``."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8") as stream:
            json.dump(content, stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
