"""The held-out protocol: learn a person from a clip's first frames, generate the rest, compare with the real.

Folder layout::

    real/       the whole clip, normalised (validate)
    work/       the person: nothing but the training frames and their sound is put here, so nothing can leak
    held_out.mp4, held_out.wav                      the rest, which drives
    reenact.mp4, dub.mp4, ceiling.mp4, replay.mp4   what is measured
    seen/*.npz                                      landmarks and descriptors found in them
    stages.json                                     key, seconds and memory of each finished stage
    evaluation.json, side_by_side.mp4, sheet.png    the results

A second run into the same folder reuses every stage whose inputs, settings and source code are unchanged,
and resumes the one that was interrupted (``evaluation.ledger``).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.identity import Describe, describe_frames
from evaluation.ledger import Ledger, code_hash, file_hash, key_of, write_json
from evaluation.regions import visible
from evaluation.resources import MemoryWatch
from evaluation.scores import Take, score
from evaluation.sheet import make_sheet, save_png, time_points
from evaluation.side_by_side import side_by_side
from evaluation.split import FPS, Split, count_frames, encode
from faces.camera import Camera
from media.atomic import replacing
from media.decode import read_frames
from problems import InternalProblem, InvalidParameter, NoFace, NoSound
from training.progress import Progress, Tick, silent, ticking

Image = NDArray[np.uint8]
Landmarks = NDArray[np.float32]

LEAST_TRAINING, LEAST_HELD_OUT = 50, 25
"""Frames: two seconds to learn from, one second to be judged on."""
GENERATED = ("reenact", "dub", "ceiling", "replay")
"""Columns of the table: what the product made, then the controls."""
PERSONALIZE = ("validate", "fit", "motion", "render", "publish")
"""Stages whose seconds add up to ``seconds["personalize"]``."""


@dataclass(frozen=True)
class Steps:
    """The product's stages and detectors that the protocol runs; :func:`product_steps` gives the real
    ones."""

    validate: Callable[..., Any]
    fit: Callable[..., Any]
    motion: Callable[..., Any]
    render: Callable[..., Any]
    publish: Callable[..., Any]
    dub: Callable[..., Any]
    track: Callable[[Iterable[Image]], Landmarks]
    """(H, W, 3) uint8 RGB pictures -> (T, 478, 2) pixels, NaN where no face was found."""
    describe: Describe
    """Picture and landmarks -> face descriptor."""


def product_steps() -> Steps:
    """The stages of this checkout, MediaPipe's landmarks and dlib's descriptor."""
    from faces.identity import FaceDescriptor
    from fitting.landmarks import FaceLandmarker
    from workers.stages import dub, fit, motion, publish, render, validate

    def track(frames: Iterable[Image]) -> Landmarks:
        with FaceLandmarker() as landmarker:
            return landmarker.track(frames).points

    loaded: list[FaceDescriptor] = []  # on first use: a finished folder needs none

    def describe(image: Image, landmarks: NDArray[Any]) -> NDArray[Any]:
        if not loaded:
            loaded.append(FaceDescriptor())
        return loaded[0].describe(image, landmarks)

    return Steps(
        validate.run, fit.run, motion.run, render.run, publish.run, dub.run, track=track, describe=describe
    )


def run(
    clip: Path,
    out_dir: Path,
    *,
    train_frames: int = 300,
    preset: str = "preview",
    seed: int = 0,
    device: str = "auto",
    audio_track: int | None = None,
    rotate: int = 0,
    progress: Progress = silent,
    steps: Steps | None = None,
) -> dict[str, Any]:
    """Run the protocol on one clip.

    The reenactment drives the person with the held-out frames' own tracked pose and expression, the dub with
    their sound. The ceiling is the real held-out frames, the replay the training frames forth and back; all
    four go through the same encoder, decoder, tracker and metrics.

    Args:
        clip: any video file with sound.
        out_dir: folder for the results.
        train_frames: frames at 25 fps to personalise on; the rest is held out.
        preset: ``preview``, ``standard`` or ``best``.
        seed: of every random choice.
        device: ``auto``, ``cpu`` or ``cuda[:N]``.
        audio_track: which of the clip's sound tracks, from 1; None for the one with the voice.
        rotate: degrees clockwise to turn the clip by, beside what the file says: 0, 90, 180 or 270.
        progress: listener.
        steps: stages to run instead of the product's own.

    Returns:
        ``{"reenact": {...}, "dub": {...}, "ceiling": {...}, "replay": {...}, "seconds": {...},
        "peak_rss_mb": ...}``; ``evaluation.json`` holds the same and, under ``protocol``, what was run.

    Raises:
        InvalidParameter: the clip is too short for this split.
        NoSound: the clip has no sound to dub with.
        NoFace: a part of the clip shows no face.
        Problem: whatever a stage raises.
    """
    steps = steps or product_steps()
    out_dir.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(out_dir)
    real = out_dir / "real"
    choices = _named(audio_track=audio_track, rotate=rotate or None)
    key = key_of(
        file_hash(clip),
        *(f"{name} {value}" for name, value in choices.items()),
        code_hash(
            "problems",
            "faces",
            "media",
            "fitting",
            "motion",
            "workers/inspection.py",
            "workers/voice_findings.py",
            "workers/stages/validate.py",
        ),
    )
    ledger.run(
        "validate",
        key,
        [real / "clip.mp4"],
        lambda: steps.validate(clip, real, progress=progress, **choices),
        leftovers=[real],
    )
    split = _split(clip, real, train_frames)
    key = key_of(key, train_frames, code_hash("evaluation/split.py"))
    person_key = _personalise(
        split, out_dir, key, ledger, steps, preset=preset, seed=seed, device=device, progress=progress
    )
    video = _generate(
        split, out_dir, key, person_key, ledger, steps, seed=seed, device=device, progress=progress
    )

    started = time.monotonic()
    with MemoryWatch() as watch:
        result = _measure(split, video, out_dir, steps, progress)
    seconds = {stage: round(entry["seconds"], 2) for stage, entry in ledger.entries.items()}
    seconds["personalize"] = round(sum(seconds[stage] for stage in PERSONALIZE), 2)
    seconds["measure"] = round(time.monotonic() - started, 2)
    peaks = {stage: round(entry["peak_rss_mb"], 1) for stage, entry in ledger.entries.items()}
    peaks["measure"] = round(watch.peak_mb, 1)
    result |= {"seconds": seconds, "peak_rss_mb": max(peaks.values())}
    protocol = {
        "clip": clip.name,
        "clip_sha256": file_hash(clip),
        "train_frames": train_frames,
        "held_out_frames": split.held,
        "preset": preset,
        "seed": seed,
        "device": device,
        "dub_frames_per_second": round(split.held / max(seconds["dub"], 0.01), 2),
        "peak_rss_mb": peaks,
        **heard(out_dir),
    }
    write_json({**result, "protocol": protocol}, out_dir / "evaluation.json")
    return result


def _named(**choices: Any) -> dict[str, Any]:
    """The choices that were made."""
    return {name: value for name, value in choices.items() if value is not None}


def heard(out_dir: Path) -> dict[str, Any]:
    """What inspection and training say of lips and voice, where an evaluation's folder has it: ``voice``, ``findings``
    without hints, and ``training_lip_r``, on frames of the training part that were held out there; else nothing."""
    inspection, learnt = (_json(out_dir / name) for name in ("real/inspection.json", "work/motion.json"))
    if not inspection and not learnt:
        return {}
    findings = [
        f for f in (*inspection.get("findings", ()), *learnt.get("findings", ())) if f["severity"] != "hint"
    ]
    return {"voice": inspection.get("voice"), "training_lip_r": learnt.get("lip_r"), "findings": findings}


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return content


def _split(clip: Path, real: Path, train_frames: int) -> Split:
    sound = real / "audio.wav"
    if not sound.exists():
        raise NoSound(
            f"{clip.name} has no sound, so nothing can be dubbed and compared",
            remedy="evaluate a clip in which the person is heard",
        )
    total = count_frames(real / "clip.mp4")
    most = total - LEAST_HELD_OUT
    if not LEAST_TRAINING <= train_frames <= most:
        raise InvalidParameter(
            f"train_frames is {train_frames} and {clip.name} has {total} frames at 25 fps",
            remedy=f"choose --train-frames from {LEAST_TRAINING} to {most}"
            if most >= LEAST_TRAINING
            else f"take a clip of at least {(LEAST_TRAINING + LEAST_HELD_OUT) / FPS:.0f} seconds",
            details={"field": "train_frames", "frames": total},
        )
    return Split(real / "clip.mp4", sound, train_frames, total)


def _personalise(
    split: Split,
    out_dir: Path,
    key: str,
    ledger: Ledger,
    steps: Steps,
    *,
    preset: str,
    seed: int,
    device: str,
    progress: Progress,
) -> str:
    """Make ``work/person.likeness`` from the training frames alone; returns the person's key."""
    work = out_dir / "work"
    clip, sound, person = work / "clip.mp4", work / "audio.wav", work / "person.likeness"
    # A new cut empties the folder: what another split had learnt, checkpoints too, must not meet the new one.
    ledger.run("cut", key, [clip, sound], lambda: split.write_training(clip, sound), leftovers=[work])
    fit_key = key_of(
        key, preset, seed, device, code_hash("training", "workers/presets.py", "workers/stages/fit.py")
    )
    ledger.run(
        "fit", fit_key, [work / "track.safetensors", work / "texture.safetensors"],
        lambda: steps.fit(
            work, frames=split.train_frames, preset=preset, seed=seed, device=device, progress=progress
        ),
        leftovers=[work / "checkpoints"],
    )  # fmt: skip
    motion_key = key_of(fit_key, code_hash("motion", "workers/voice_findings.py", "workers/stages/motion.py"))
    ledger.run(
        "motion", motion_key, [work / "motion.safetensors"],
        lambda: steps.motion(work, preset=preset, seed=seed, progress=progress),
        leftovers=[work / "checkpoints" / "motion"],
    )  # fmt: skip
    render_key = key_of(fit_key, code_hash("rendering", "workers/stages/render.py"))
    ledger.run(
        "render", render_key, [work / "renderer.safetensors"],
        lambda: steps.render(work, preset=preset, seed=seed, device=device, progress=progress),
        leftovers=[work / "checkpoints" / "render"],
    )  # fmt: skip
    person_key = key_of(motion_key, render_key, code_hash("workers/package.py", "workers/stages/publish.py"))
    ledger.run(
        "publish", person_key, [person],
        lambda: steps.publish(work, person, preset=preset, seed=seed, progress=progress),
    )  # fmt: skip
    return person_key


def _generate(
    split: Split,
    out_dir: Path,
    cut_key: str,
    person_key: str,
    ledger: Ledger,
    steps: Steps,
    *,
    seed: int,
    device: str,
    progress: Progress,
) -> dict[str, Path]:
    """Make the two videos of the person and the two controls; returns them by name."""
    person = out_dir / "work" / "person.likeness"
    clip, sound = out_dir / "held_out.mp4", out_dir / "held_out.wav"
    video = {name: out_dir / f"{name}.mp4" for name in GENERATED}
    ledger.run("held_out", cut_key, [clip, sound], lambda: split.write_held_out(clip, sound))
    dub_key = key_of(
        person_key, cut_key, code_hash("motion", "rendering", "workers/driving.py", "workers/stages/dub.py")
    )
    ledger.run(
        "reenact", dub_key, [video["reenact"]],
        lambda: steps.dub(
            person, sound, video["reenact"], pose="reference", pose_video=clip, expression_video=clip,
            exact=True, seed=seed, device=device, progress=progress,
        ),
    )  # fmt: skip
    ledger.run(
        "dub", dub_key, [video["dub"]],
        lambda: steps.dub(
            person, sound, video["dub"], pose="learned", seed=seed, device=device, progress=progress
        ),
    )  # fmt: skip
    ledger.run("ceiling", cut_key, [video["ceiling"]], lambda: split.write_ceiling(video["ceiling"], sound))
    ledger.run("replay", cut_key, [video["replay"]], lambda: split.write_replay(video["replay"], sound))
    for path in video.values():
        found = count_frames(path)
        if abs(found - split.held) > 1:
            raise InternalProblem(
                f"{path.name} has {found} frames and its sound lasts {split.held}",
                remedy="report this with the clip: video and recording must be of one length",
            )
    return video


def _measure(
    split: Split, video: dict[str, Path], out_dir: Path, steps: Steps, progress: Progress
) -> dict[str, Any]:
    """Track everything, score the generated videos, draw the pictures."""

    def look(name: str, path: Path, start: int = 0, stop: int | None = None) -> _Seen:
        return _look(name, path, start, stop, out_dir / "seen", steps, progress)

    training = look("training", split.clip, 0, split.train_frames)
    seen = {"real": look("real", split.clip, split.train_frames, split.total)}
    for part, what in ((training, "training"), (seen["real"], "held-out")):
        if not visible(part.landmarks).any():
            raise NoFace(
                f"no face was found in the {what} part of the clip",
                remedy="split elsewhere with --train-frames, or take a clip that shows the face throughout",
                details={"field": "train_frames"},
            )
    # NaN makes the identity metrics null rather than wrong when nothing could be described.
    enrolled = training.descriptors.mean(axis=0) if len(training.descriptors) else np.full(1, math.nan)
    height, width = next(split.held_out_frames(1)).shape[:2]
    camera = Camera.for_image(width, height)
    result: dict[str, Any] = {}
    for done, (name, path) in enumerate(video.items()):
        progress(Tick("evaluate.measure", done, len(video), name))
        seen[name] = look(name, path)
        length = min(split.held, len(seen[name].landmarks))  # one frame of difference is allowed
        real = Take(split.held_out_frames(length), seen["real"].landmarks[:length], seen["real"].descriptors)
        generated = Take(
            read_frames(path, fps=FPS, stop=length), seen[name].landmarks[:length], seen[name].descriptors
        )
        try:
            result[name] = score(real, generated, enrolled, camera=camera, fps=FPS).as_dict()
        except ValueError as error:
            raise InternalProblem(
                f"{path.name} can't be compared with the real frames: {error}",
                remedy="report this with the clip: a video must keep the clip's size and length",
            ) from error
    progress(Tick("evaluate.measure", len(video), len(video)))
    _draw(split, video, {name: part.landmarks for name, part in seen.items()}, camera, out_dir, progress)
    return result


@dataclass(frozen=True)
class _Seen:
    landmarks: NDArray[Any]
    descriptors: NDArray[Any]


def _look(
    name: str, path: Path, start: int, stop: int | None, folder: Path, steps: Steps, progress: Progress
) -> _Seen:
    """Landmarks (T, 478, 2) and descriptors (N, D) of a video, kept in the folder until video or detectors
    change."""
    code = code_hash("fitting/landmarks.py", "faces/identity.py", "evaluation/identity.py")
    key = key_of(file_hash(path), start, stop, code)
    store = folder / f"{name}.npz"
    try:
        with np.load(store, allow_pickle=False) as saved:
            if str(saved["key"]) == key:
                return _Seen(saved["landmarks"], saved["descriptors"])
    except (OSError, ValueError, KeyError, EOFError):
        pass  # none yet, or damaged: look again
    total = (stop or count_frames(path)) - start
    frames = read_frames(path, fps=FPS, start=start, stop=stop)
    landmarks = np.asarray(
        steps.track(ticking(frames, progress, f"evaluate.track.{name}", total)), np.float32
    )
    frames = read_frames(path, fps=FPS, start=start, stop=stop)
    descriptors = describe_frames(
        ticking(frames, progress, f"evaluate.identity.{name}", total), landmarks, steps.describe
    )
    with replacing(store) as part:
        np.savez(part, landmarks=landmarks, descriptors=descriptors, key=np.array(key))
    return _Seen(landmarks, descriptors)


def _draw(
    split: Split,
    video: dict[str, Path],
    tracks: dict[str, NDArray[Any]],
    camera: Camera,
    out_dir: Path,
    progress: Progress,
) -> None:
    """Write ``sheet.png`` and ``side_by_side.mp4``."""
    shown = ("real", "reenact", "dub")
    length = min(len(tracks[name]) for name in shown)

    def frames(name: str) -> Iterator[Image]:
        return (
            split.held_out_frames(length)
            if name == "real"
            else read_frames(video[name], fps=FPS, stop=length)
        )

    times = time_points(tracks["real"][:length], 12)
    pictures = {name: _pick(frames(name), times) for name in shown}
    curves = {name: tracks[name][:length] for name in shown}
    save_png(make_sheet(pictures, curves, times, camera=camera, fps=FPS), out_dir / "sheet.png")
    joined = ticking(
        side_by_side({name: frames(name) for name in shown}), progress, "evaluate.side_by_side", length
    )
    encode(joined, out_dir / "side_by_side.mp4", out_dir / "held_out.wav")


def _pick(frames: Iterable[Image], times: NDArray[np.int64]) -> list[Image]:
    wanted = {int(time) for time in times}
    found = {index: image for index, image in enumerate(frames) if index in wanted}
    return [found[int(time)] for time in times]
