"""Clips with known truth: an invented person talks before a camera whose every number is known.

    python -m studio.synthetic_clips FOLDER --people 8      # clips to look at, and their true tracks

Seeds up to 999 are for development; benchmarks use people from :data:`HELD_OUT` on, whom nothing was tuned on.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faces.camera import Camera, to_camera
from faces.morphable import MorphableModel
from faces.track import FaceTrack, Motion
from media.decode import read_frames
from media.encode import VideoWriter
from studio.acting import Blink, act
from studio.backdrop import invent_backdrop
from studio.film import Film, Lens
from studio.gestures import FPS
from studio.lighting import Light, invent_light
from studio.synthetic_people import PersonConfig, SyntheticPerson
from training.progress import Progress, Tick, silent

HELD_OUT = 1000
"""First seed of the people that nothing may be tuned on."""
SIZES = (
    (480, 480),
    (512, 512),
    (640, 480),
    (640, 640),
    (720, 720),
    (540, 960),
    (960, 540),
    (1280, 720),
    (720, 1280),
)
"""(width, height) in pixels of what people film with."""
_SIZE_ODDS = (0.14, 0.2, 0.16, 0.14, 0.08, 0.08, 0.08, 0.07, 0.05)
_FACE_MM = 155.0  # chin to the middle of the forehead


@dataclass(frozen=True)
class SyntheticClip:
    """A clip and everything that is true of it."""

    seed: int
    """What it was made from."""
    person: SyntheticPerson
    """Who is seen."""
    frames: NDArray[np.uint8]
    """(T, H, W, 3) RGB, as decoded from H.264."""
    motion: Motion
    """True pose, expression and gaze; the expression's effect on this person is ``person.vertices``."""
    camera: Camera
    """True camera."""
    light: Light
    """True light."""
    blinks: tuple[Blink, ...]
    """All blinks."""
    landmarks: NDArray[np.float32]
    """(T, 478, 2) pixels where a detector without error would draw the landmarks, hidden ones included."""

    def vertices(self) -> NDArray[np.float32]:
        """(T, V, 3) true heads in head axes, millimetres."""
        return self.person.vertices(self.motion)

    def part(self, index: NDArray[np.int64]) -> SyntheticClip:
        """Some frames of the clip; blinks, which need their neighbours, are left out."""
        return replace(
            self,
            frames=self.frames[index],
            motion=self.motion[index],
            light=self.light.part(index),
            landmarks=self.landmarks[index],
            blinks=(),
        )

    def track(self) -> FaceTrack:
        """The truth as a track: the neutral head as offsets of the model's mean, light per frame."""
        model, frames = self.person.model, len(self.frames)
        return FaceTrack(
            motion=self.motion,
            model=model.name,
            expression_names=model.expression_names,
            identity=np.zeros(model.identity_basis.shape[-1], np.float32),
            offsets=self.person.neutral - model.mean,
            camera=self.camera,
            light=self.light.harmonics.reshape(frames, 27),
            valid=np.ones(frames, bool),
            landmarks=self.landmarks,
            fps=FPS,
        )


def make_clip(
    seed: int,
    frames: int = 60,
    size: tuple[int, int] | None = None,
    *,
    person: PersonConfig | None = None,
    model: MorphableModel | None = None,
    crf: float | None = None,
    progress: Progress = silent,
) -> SyntheticClip:
    """Invent a person and film them at 25 fps.

    Args:
        seed: the same seed gives the same clip.
        frames: T.
        size: (width, height) in pixels, even; drawn from :data:`SIZES` when None.
        person: how people differ.
        model: the morphable model.
        crf: x264's quality; drawn from 20..30 when None.
        progress: hears ``studio.film``.
    """
    somebody = SyntheticPerson.invent(seed, person, model)
    rng = np.random.default_rng([seed, 2])
    drawn = SIZES[rng.choice(len(SIZES), p=_SIZE_ODDS)]
    width, height = size or drawn
    camera, place = _frame_up(rng, width, height)
    performance = act(rng, frames, somebody.model.expression_names, place, somebody.shut)
    motion = performance.motion
    light = invent_light(rng, frames)
    rest = camera.project(np.median(motion.translation, axis=0).astype(np.float64))
    backdrop = invent_backdrop(
        rng, (width, height), (float(rest[0]), float(rest[1])), camera.focal / place[2]
    )
    lens = _invent_lens(rng, somebody, light, width)
    film = Film(somebody, camera, backdrop, light, lens, gloss=rng.uniform(0.02, 0.09))
    grain = np.random.default_rng([seed, 3])
    pictures = []
    for n in range(frames):
        pictures.append(film.frame(motion, n, grain)[0])
        progress(Tick("studio.film", n + 1, frames))
    points = somebody.model.detected_points(somebody.vertices(motion))
    return SyntheticClip(
        seed=seed,
        person=somebody,
        frames=compressed(pictures, rng.uniform(20, 30) if crf is None else crf),
        motion=motion,
        camera=camera,
        light=light,
        blinks=performance.blinks,
        landmarks=camera.project(to_camera(points, motion.rotation, motion.translation)).astype(np.float32),
    )


def compressed(pictures: list[NDArray[np.uint8]], crf: float) -> NDArray[np.uint8]:
    """(T, H, W, 3) RGB after H.264 at ``crf`` and back."""
    height, width = pictures[0].shape[:2]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        with VideoWriter(path, width, height, fps=FPS, crf=crf) as writer:
            for picture in pictures:
                writer.write(picture)
        return np.stack(list(read_frames(path, fps=FPS)))


def _frame_up(rng: np.random.Generator, width: int, height: int) -> tuple[Camera, tuple[float, float, float]]:
    """A camera of unknown lens, and where the head is: its face takes a quarter to a half of the picture's height."""
    camera = Camera.for_image(width, height, rng.uniform(0.9, 1.5))
    share = rng.uniform(0.25, 0.5)
    distance = float(np.clip(camera.focal * _FACE_MM / (share * min(height, 1.25 * width)), 380.0, 1500.0))
    per_px = distance / camera.focal
    aside = rng.uniform(-0.07, 0.07) * width * per_px
    rise = rng.uniform(0.02, 0.10) * min(height, 1.25 * width) * per_px
    return camera, (aside, -rise, distance)


def _invent_lens(rng: np.random.Generator, person: SyntheticPerson, light: Light, width: int) -> Lens:
    """A camera whose automatic exposure brings the face to a usable level, less so for dark skin."""
    tone = float(np.mean(person.look.skin))
    lit = float((light.soft[:, 0]).mean() * 0.7 + 0.35 * light.glint.mean())
    wanted = rng.uniform(0.22, 0.36) * (tone / 0.4) ** 0.45
    return Lens(
        exposure=wanted / max(tone * lit, 1e-3),
        focus_px=rng.uniform(0.35, 1.1) * (width / 640) ** 0.5,
        shutter=rng.uniform(0.1, 0.6),
        read_noise=rng.uniform(0.5, 2.5),
        shot_noise=rng.uniform(0.5, 4.0),
    )


def main() -> None:
    """Write ``SEED.mp4`` and the true ``SEED.track.safetensors`` of some people."""
    parser = argparse.ArgumentParser(description="clips of invented people, with their true tracks")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--first", type=int, default=0, help="seed of the first person")
    parser.add_argument("--frames", type=int, default=60)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for seed in range(options.first, options.first + options.people):
        clip = make_clip(seed, options.frames)
        path = options.folder / f"{seed}.mp4"
        with VideoWriter(path, clip.camera.width, clip.camera.height, fps=FPS, crf=12) as writer:
            for picture in clip.frames:
                writer.write(picture)
        clip.track().save(path.with_suffix(".track.safetensors"))
        print(path, flush=True)


if __name__ == "__main__":
    main()
