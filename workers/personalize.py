"""Clip to PERSON: the stages one after the other in a work folder that survives an interruption.

A stage whose outputs are there and whose inputs have not changed is not run again; an interrupted training goes on
from its checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

from faces.registry import model_named
from problems import NoSound
from training.progress import Progress, silent
from workers.package import NETWORK, members_of, sha256_of
from workers.stages import fit, motion, publish, render, validate


def personalize(
    clip: Path,
    out: Path,
    *,
    preset: str = "preview",
    seed: int = 0,
    device: str = "auto",
    frames: int | None = None,
    audio_track: int | None = None,
    rotate: int = 0,
    progress: Progress = silent,
    work: Path | None = None,
    model: str | None = None,
    accept: Collection[str] = (),
) -> Path:
    """Learn a person from a clip and write one PERSON file.

    Args:
        clip: any video the product reads.
        out: the file to write; it appears only when it is complete.
        frames: learn from the first frames only.
        audio_track: which of the clip's sound tracks, from 1; None for the one with the voice.
        rotate: degrees clockwise to turn the clip by, beside what the file says: 0, 90, 180 or 270.
        work: folder for intermediate results; by default one beside ``out``, removed at the end.
        model: name of an installed morphable model; the shipped head by default.
        accept: errors of the clip's inspection that do not stand in the way, see :mod:`workers.inspection`.

    Raises:
        Problem: what is wrong with the clip, and the remedy.
    """
    model_named(model)  # a missing model is known before any work is done
    folder = work or out.with_name(f".{out.name}.work")
    folder.mkdir(parents=True, exist_ok=True)
    fingerprint = f"{sha256_of(clip) if clip.is_file() else 'missing'}:{preset}:{seed}:{frames}"
    fingerprint += f":sound {audio_track}" if audio_track is not None else ""
    fingerprint += f":turned {rotate}" if rotate else ""
    fingerprint += f":accepted {','.join(sorted(accept))}" if accept else ""
    stages = _Stages(folder, f"{fingerprint}:{model}" if model else fingerprint)
    stages.run(
        "validate",
        ("clip.mp4",),
        lambda: validate.run(
            clip, folder, audio_track=audio_track, rotate=rotate, accept=accept, progress=progress
        ),
    )
    if not (folder / "audio.wav").is_file():
        raise NoSound(
            f"{clip.name} has no sound, and the person's speech is learnt from it",
            remedy="use a clip in which the person is heard speaking",
        )
    stages.run(
        "fit",
        ("track.safetensors", "texture.safetensors"),
        lambda: fit.run(
            folder, frames=frames, preset=preset, seed=seed, device=device, progress=progress, model=model
        ),
    )
    stages.run(
        "motion",
        ("motion.safetensors", motion.REPORT),
        lambda: motion.run(folder, preset=preset, seed=seed, progress=progress),
    )
    stages.run(
        "render",
        members_of_stage(preset),
        lambda: render.run(folder, preset=preset, seed=seed, device=device, progress=progress),
    )
    publish.run(folder, out, preset=preset, seed=seed, progress=progress)
    if work is None:
        shutil.rmtree(folder, ignore_errors=True)
    return out


def members_of_stage(preset: str) -> tuple[str, ...]:
    """Files that the render stage leaves for a preset."""
    return ("surroundings.safetensors", *(name for name in NETWORK if name in members_of(preset)))


class _Stages:
    """Which stages of a work folder are done, for which inputs."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder, self.ledger = folder, folder / "stages.json"
        self.done: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError):
            content = json.loads(self.ledger.read_text())
            self.done = content if isinstance(content, dict) else {}
        if self.done.get("fingerprint") != fingerprint:
            # Before another clip's files are overwritten: a ledger that outlives them would call a mixture done.
            self.ledger.unlink(missing_ok=True)
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)
            self.done = {"fingerprint": fingerprint}

    def run(self, name: str, outputs: tuple[str, ...], stage: Callable[[], object]) -> None:
        if name in self.done and all((self.folder / output).is_file() for output in outputs):
            return
        if name in self.done:  # its outputs are gone, and what was made from them is stale
            self.done = dict(list(self.done.items())[: list(self.done).index(name)])
            self._write()
        stage()
        self.done[name] = "done"
        self._write()

    def _write(self) -> None:
        temporary = self.ledger.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.done))
        os.replace(temporary, self.ledger)
