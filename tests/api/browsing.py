"""A service for a real browser: a server and a worker on threads of this process, and Chromium.

The worker's stages are the tiny ones of the runner's tests, made visible: their videos play, their findings have
pictures, and a training takes seconds in which it reports losses.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import uvicorn
from playwright.sync_api import Browser, sync_playwright

from api.app import create_app
from evaluation.motion_preview import draw_motion
from faces.track import Motion
from likeness.database import Database
from likeness.health import WorkerState
from likeness.requests import FACE, THUMBNAIL
from likeness.schema import migrate
from likeness.settings import Settings
from likeness.stores import store_of
from tests.workers.tiny_stages import REGISTRY, publish, validate
from training.progress import Tick
from workers.runner import Runner, StageContext, StageSpec

PICTURES = Path(__file__).parents[2] / "docs" / "recording"
AXE = Path(__file__).parent / "axe" / "axe.min.js"
STEPS = 25


def chromium() -> str:
    """The system's Chromium; skips the test when there is none."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("there is no Chromium on this machine")
    return found


@contextmanager
def browser(*before_the_camera: str) -> Iterator[Browser]:
    """Chromium with a camera and a microphone that are not there; more arguments say what they see and hear."""
    path = chromium()
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=path,
            args=[
                "--no-sandbox",
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
                "--autoplay-policy=no-user-gesture-required",
                *before_the_camera,
            ],
        )
        try:
            yield running
        finally:
            running.close()


@dataclass(frozen=True)
class Service:
    url: str
    settings: Settings
    database: Database


@contextmanager
def service(data_dir: Path, **changes: Any) -> Iterator[Service]:
    """The application on a port of its own, and a worker."""
    settings = Settings(
        data_dir=data_dir, min_free_mb=1, max_upload_mb=64, progress_every_s=0, poll_s=0.1, **changes
    )
    settings.prepare_folders()
    database, stop = Database.of(settings), threading.Event()
    migrate(database)
    runner = Runner(database, store_of(settings), settings, registry=STAGES, stop=stop)

    def work() -> None:
        while not stop.is_set():
            if not runner.run_once():
                stop.wait(settings.poll_s)

    app = create_app(settings, watch=lambda: WorkerState(True, 1, 0, "alive"))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=1))
    threads = [threading.Thread(target=target, daemon=True) for target in (server.run, work)]
    for thread in threads:
        thread.start()
    try:
        deadline = time.monotonic() + 30
        while not server.started:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Service(f"http://127.0.0.1:{port}", settings, database)
    finally:
        stop.set()
        server.should_exit = True
        for thread in threads:
            thread.join(timeout=20)
        database.close()


def film(seconds: float = 2.0) -> bytes:
    """An mp4 that plays: a picture that comes nearer."""
    with av.open(str(PICTURES / "good.jpg")) as source:
        picture = next(source.decode(video=0)).to_ndarray(format="rgb24")
    out = BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 320, "yuv420p"
        for number in range(round(25 * seconds)):
            edge = min(number // 4, 20)
            part = np.ascontiguousarray(picture[edge : edge + 320, edge : edge + 320])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(part, format="rgb24")))
        container.mux(stream.encode())
    return out.getvalue()


def _inspect(context: StageContext) -> Mapping[str, Any]:
    if b"no face" not in context.inputs["clip"].read_bytes():
        return {"trainable": True, "seconds": 12.4, "findings": []}
    found = []
    for severity, code, message, remedy, frames in (
        (
            "error",
            "hand",
            "a hand covers the mouth in 41 frames",
            "film again with both hands down",
            [88, 92],
        ),
        (
            "warning",
            "backlit",
            "the light comes from behind",
            "turn so that the window is before you",
            [0, 50],
        ),
    ):
        name = f"finding-{code}-0.jpg"
        shutil.copy(PICTURES / f"{code}.jpg", context.work / name)
        finding = {"severity": severity, "code": code, "message": message, "remedy": remedy}
        found.append({**finding, "frames": frames, "pictures": [name]})
    return {"trainable": False, "findings": found}


def _consent(context: StageContext) -> Mapping[str, Any]:
    return {"accepted": context.inputs["consent"].stat().st_size > 1000, "findings": []}


def _render(context: StageContext) -> None:
    for step in range(1, STEPS + 1):
        falls = {
            "loss": 0.9 / step**0.5 + 0.02 * (step % 3),
            "mouth": 0.5 / step**0.7,
            "psnr": 20 + step**0.6,
        }
        context.progress(Tick("render.train", step, STEPS, "learning the mouth", falls))
        time.sleep(0.15)
    (context.work / "renderer.safetensors").write_text("weights")


def _publish(context: StageContext) -> Mapping[str, Any]:
    done = publish(context)
    shutil.copy(PICTURES / "good.jpg", context.work / FACE)
    return done


def _speak(context: StageContext) -> Mapping[str, Any]:
    for step in range(1, 6):
        context.progress(Tick("motion.predict", step, 5))
        time.sleep(0.4)
    (context.work / "preview.mp4").write_bytes(film(3.0))
    wave = np.sin(np.arange(75)[:, None] / np.array([5, 9, 14])).astype(np.float32)
    moved = Motion(0.05 * wave, wave, np.abs(wave[:, :1]), wave[:, :2])
    draw_motion(moved, ("jawOpen",), context.work / "motion.png")
    (context.work / "track.safetensors").write_bytes(b"track")
    return {"frames": 75, "head_std_deg": [1.2, 2.3, 0.7], "lip_closures_per_minute": 31.0}


def _dub(context: StageContext) -> Mapping[str, Any]:
    (context.work / "video.mp4").write_bytes(film(3.0))
    shutil.copy(PICTURES / "good.jpg", context.work / THUMBNAIL)
    return {"frames": 75}


def _verify(context: StageContext) -> Mapping[str, Any]:
    mark = {"found": False, "payload": None, "confidence": 0.0, "frames": 50, "part": None}
    return {"watermark": mark, "c2pa": None, "agree": None}


STAGES = {
    **REGISTRY,
    "inspect": StageSpec(_inspect, "1", reads=("clip",)),
    "consent": StageSpec(_consent, "1", reads=("consent",)),
    "validate": StageSpec(validate, "1", reads=("clip",), produces=("clip.mp4",)),
    "render": StageSpec(
        _render,
        "1",
        params=("preset", "seed"),
        seconds={"render.train": 6},
        produces=("renderer.safetensors",),
    ),
    "publish": StageSpec(_publish, "1", params=("preset", "seed"), produces=("person.likeness",)),
    "speak": StageSpec(
        _speak,
        "1",
        reads=("person", "recording", "pose_video", "expression_video"),
        params=("pose", "seed", "head_strength", "lip_strength", "smoothing"),
    ),
    "dub": StageSpec(
        _dub, "1", reads=("person", "recording"), params=("pose", "seed"), produces=("video.mp4",)
    ),
    "verify": StageSpec(_verify, "1", reads=("video",)),
}
