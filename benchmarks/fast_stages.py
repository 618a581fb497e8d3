"""Stages of milliseconds with the names, inputs and checkpoints of the product's, for measuring the service itself.

What they write follows from what they read, so that a lost, doubled or torn output can be told from a right one.
``python -m benchmarks.fast_stages QUEUE ...`` is a Celery worker of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

from likeness import clock
from likeness.settings import Settings
from training.progress import Tick
from workers import tasks
from workers.celery_app import work
from workers.runner import StageContext, StageSpec

STEPS = 8
STEP_S = "LIKENESS_FAST_STEP_S"
"""Environment variable: seconds that each step takes."""


def expected(clip: bytes, seed: int) -> str:
    """What a whole training of ``clip`` ends with."""
    value = hashlib.sha256(clip + str(seed).encode()).hexdigest()
    for step in range(STEPS):
        value = hashlib.sha256(f"{value}{step}".encode()).hexdigest()
    return value


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def _copy(name: str, source: str) -> Any:
    def run(context: StageContext) -> None:
        context.progress(Tick(name, 1, 1))
        _write(context.work / name, (context.work / source).read_bytes())

    return run


def _validate(context: StageContext) -> Mapping[str, Any]:
    _write(context.work / "clip.mp4", context.inputs["clip"].read_bytes())
    context.progress(Tick("validate", 1, 1))
    return {}


def _render(context: StageContext) -> None:
    checkpoint = context.work / "checkpoints" / "render" / "checkpoint.pt"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    clip, seed = (context.work / "clip.mp4").read_bytes(), context.params["seed"]
    done, value = 0, hashlib.sha256(clip + str(seed).encode()).hexdigest()
    if checkpoint.is_file():
        done, value = json.loads(checkpoint.read_bytes())
    for step in range(done, STEPS):
        context.progress(Tick("render", step, STEPS))
        time.sleep(float(os.environ.get(STEP_S, "0")))
        value = hashlib.sha256(f"{value}{step}".encode()).hexdigest()
        _write(checkpoint, json.dumps([step + 1, value]).encode())
    _write(context.work / "renderer.safetensors", value.encode())


def _publish(context: StageContext) -> Mapping[str, Any]:
    _write(context.work / "person.likeness", (context.work / "renderer.safetensors").read_bytes())
    return {"weights": (context.work / "renderer.safetensors").read_text()}


def _dub(context: StageContext) -> Mapping[str, Any]:
    spoken = context.inputs["person"].read_bytes() + context.inputs["recording"].read_bytes()
    _write(context.work / "video.mp4", spoken)
    return {"frames": len(spoken)}


_SEEDED = ("preset", "seed")
STAGES: Mapping[str, StageSpec] = {
    "inspect": StageSpec(lambda context: {"trainable": True}, "1", reads=("clip",)),
    "validate": StageSpec(_validate, "1", reads=("clip",), produces=("clip.mp4",)),
    "fit": StageSpec(_copy("track.safetensors", "clip.mp4"), "1", params=_SEEDED, produces=("track.safetensors",)),
    "motion": StageSpec(
        _copy("motion.safetensors", "track.safetensors"), "1", params=_SEEDED, produces=("motion.safetensors",)
    ),
    "render": StageSpec(_render, "1", params=_SEEDED, produces=("renderer.safetensors",)),
    "publish": StageSpec(_publish, "1", params=_SEEDED, produces=("person.likeness",)),
    "dub": StageSpec(_dub, "1", reads=("person", "recording"), params=("pose", "seed"), produces=("video.mp4",)),
}  # fmt: skip


class _WrongClock(datetime):
    """A clock that goes wrong by ``LIKENESS_FAST_CLOCK_S`` seconds."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + timedelta(seconds=float(os.environ["LIKENESS_FAST_CLOCK_S"]))


if __name__ == "__main__":
    if float(os.environ.get("LIKENESS_FAST_CLOCK_S", "0")):
        clock.datetime = _WrongClock  # type: ignore[misc]
    tasks.stages = STAGES
    sys.exit(work(Settings.load(), sys.argv[1:]))
