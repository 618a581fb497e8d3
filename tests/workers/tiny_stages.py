"""Real stage functions of a few milliseconds on files of a few bytes, for the tests of runner, supervisor and
API.

They read what the product's stages read and write what those write; the "training" is a chain of hashes over
steps with a checkpoint after each, so a resumed run can be told from a repeated one and compared with an
uninterrupted one.

As a module it is the worker process of the supervisor's tests: ``python -m tests.workers.tiny_stages``.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
import zipfile
from collections.abc import Mapping
from typing import Any

from likeness.requests import FACE, THUMBNAIL
from likeness.settings import Settings
from problems import NoFace
from training.progress import Tick
from workers.process import die_with_parent, serve
from workers.runner import StageContext, StageSpec
from workers.stopping import end

STEPS = 20


def chain(clip: bytes, seed: int, steps: int = STEPS) -> str:
    """What a whole training of ``clip`` ends with."""
    value = hashlib.sha256(clip + str(seed).encode()).hexdigest()
    for step in range(steps):
        value = hashlib.sha256(f"{value}{step}".encode()).hexdigest()
    return value


def inspect(context: StageContext) -> Mapping[str, Any]:
    context.progress(Tick("inspect", 1, 1))
    found = {"severity": "error", "message": "no face in frame 7", "remedy": "film again", "frames": [7]}
    trainable = b"no face" not in context.inputs["clip"].read_bytes()
    return {"trainable": trainable, "findings": [] if trainable else [found]}


def consent(context: StageContext) -> Mapping[str, Any]:
    accepted = context.params["passcode"].encode() in context.inputs["consent"].read_bytes()
    findings = (
        []
        if accepted
        else [{"code": "words", "severity": "error", "message": "other words", "remedy": "again"}]
    )
    return {"accepted": accepted, "findings": findings}


def verify(context: StageContext) -> Mapping[str, Any]:
    """The "mark" of these stages' videos is at their end."""
    content = context.inputs["video"].read_bytes()
    payload = content[-12:].decode() if b"mark:" in content else None
    found = {"found": payload is not None, "payload": payload, "confidence": 0.9 if payload else 0.0}
    return {"c2pa": None, "watermark": {**found, "frames": 8, "part": None}, "agree": None}


def validate(context: StageContext) -> Mapping[str, Any]:
    clip = context.inputs["clip"].read_bytes()
    context.progress(Tick("validate", 0, 1))
    if b"no face" in clip:
        raise NoFace(
            "no face in frames 0-299", remedy="film again with the face in view", details={"frames": [0]}
        )
    if b"bug" in clip:
        raise ValueError("a fault of the stage")
    if b"disk" in clip:
        raise OSError(errno.ENOSPC, "No space left on device")
    if b"memory" in clip:
        raise MemoryError
    (context.work / "clip.mp4").write_bytes(clip)
    return {}


def fit(context: StageContext) -> None:
    (context.work / "track.safetensors").write_bytes(b"track of " + (context.work / "clip.mp4").read_bytes())
    context.progress(Tick("fit", 1, 1))


def render(context: StageContext) -> None:
    """Steps with a checkpoint each; LIKENESS_TINY_STEP_S slows them down, LIKENESS_TINY_LOG lists them."""
    checkpoint = context.work / "checkpoints" / "render.json"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    clip = (context.work / "clip.mp4").read_bytes()
    done, value = 0, chain(clip, context.params["seed"], steps=0)
    if checkpoint.is_file():
        done, value = json.loads(checkpoint.read_text())
    for step in range(done, STEPS):
        context.progress(Tick("render", step, STEPS, metrics={"loss": 1.0 / (step + 1)}))
        value = hashlib.sha256(f"{value}{step}".encode()).hexdigest()
        if log := os.environ.get("LIKENESS_TINY_LOG"):
            with open(log, "a") as stream:
                stream.write(f"{os.getpid()} {step}\n")
        temporary = checkpoint.with_suffix(".tmp")
        temporary.write_text(json.dumps([step + 1, value]))
        os.replace(temporary, checkpoint)
        time.sleep(float(os.environ.get("LIKENESS_TINY_STEP_S", "0")))
    (context.work / "renderer.safetensors").write_text(value)


def publish(context: StageContext) -> Mapping[str, Any]:
    with zipfile.ZipFile(context.work / "person.likeness", "w") as package:
        for name in ("clip.mp4", "track.safetensors", "renderer.safetensors"):
            package.writestr(zipfile.ZipInfo(name), (context.work / name).read_bytes())
    (context.work / FACE).write_bytes(b"a face")
    return {"metrics": {"psnr_face": 25.0}}


def speak(context: StageContext) -> Mapping[str, Any]:
    recording, pose = context.inputs["recording"].read_bytes(), context.params["pose"].encode()
    context.progress(Tick("speak", 1, 2))
    (context.work / "preview.mp4").write_bytes(b"head " + recording + pose)
    (context.work / "motion.png").write_bytes(b"curves")
    (context.work / "track.safetensors").write_bytes(b"track")
    return {"frames": 2}


def dub(context: StageContext) -> Mapping[str, Any]:
    with zipfile.ZipFile(context.inputs["person"]) as package:
        weights = package.read("renderer.safetensors")
    recording = context.inputs["recording"].read_bytes()
    context.progress(Tick("dub", 1, 2))
    mark = b"mark:" + context.params["mark"].encode()
    (context.work / "video.mp4").write_bytes(weights + recording + context.params["pose"].encode() + mark)
    (context.work / THUMBNAIL).write_bytes(b"a small picture")
    return {"frames": 2, "video_seconds": 0.08}


REGISTRY = {
    "consent": StageSpec(consent, "1", reads=("consent",), params=("passcode",)),
    "verify": StageSpec(verify, "1", reads=("video",)),
    "inspect": StageSpec(inspect, "1", reads=("clip",)),
    "validate": StageSpec(validate, "1", reads=("clip",), produces=("clip.mp4",)),
    "fit": StageSpec(fit, "1", params=("preset", "seed"), produces=("track.safetensors",)),
    "motion": StageSpec(lambda context: None, "1", params=("preset", "seed")),
    "render": StageSpec(
        render,
        "1",
        params=("preset", "seed"),
        seconds={"render": 6},
        produces=("renderer.safetensors",),
    ),
    "publish": StageSpec(publish, "1", params=("preset", "seed"), produces=("person.likeness",)),
    "speak": StageSpec(
        speak,
        "1",
        reads=("person", "recording", "pose_video", "expression_video"),
        params=("pose", "seed", "head_strength", "lip_strength", "smoothing"),
        produces=("preview.mp4", "motion.png", "track.safetensors"),
    ),
    "dub": StageSpec(
        dub, "1", reads=("person", "recording"), params=("pose", "seed", "mark"), produces=("video.mp4",)
    ),
}

if __name__ == "__main__":
    die_with_parent()
    end(serve(Settings(), slot=os.environ["LIKENESS_WORKER_SLOT"], registry=REGISTRY))
