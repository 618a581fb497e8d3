"""Render the bundled sample: a presenter who exists nowhere, speaking, and a second recording.

    pip install espeakng-loader==0.2.4
    python -m studio.presenter studio/sample

The head is the CC0 morphable model; skin, brows, irises, lips, hair, clothes and light are painted in the head's own
millimetres, so they move with it. Speech and phoneme times come from espeak-ng, the motion from
``studio.gestures``. All noise is seeded.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from faces.camera import Camera, to_camera
from faces.morphable import DEFAULT_MODEL, EYES, TEETH, TONGUE, MorphableModel
from faces.raster import rasterize
from faces.track import Motion
from studio.complexion import Complexion, Noise, hair_cover, paint_head, smooth_step
from studio.gestures import FPS, perform
from studio.speech import Speech, speak

Floats = NDArray[np.floating]

SIZE = 512
"""Side of the picture in pixels."""
SUPERSAMPLING = 2
"""Rendered at this multiple, then averaged down."""
DISTANCE_MM, RISE_MM = 770.0, 38.0
VOICE = "en-us+f3"
SENTENCE = (
    "Hello, my name is Robin. I was never born: a program painted me, so that you can see how this works before you "
    "film yourself. Look at the camera, speak, and move as you always do."
)
OTHER_SENTENCE = "Now I say something new. My mouth has never been seen with these words before."

WALL_TONE = np.array([0.50, 0.54, 0.57])
KNIT_TONE = np.array([0.10, 0.19, 0.27])
LOOK = Complexion()
KEY_LIGHT = np.array([-0.50, -0.55, -0.67])
"""Direction towards the light in camera axes (x right, y down, z away)."""


@dataclass(frozen=True)
class Presenter:
    """One invented person: a shape, and masks over its vertices."""

    model: MorphableModel
    """The morphable model."""
    neutral: NDArray[np.float32]
    """(V, 3) the person's neutral head, hair included, millimetres."""
    skin: NDArray[np.float32]
    """(V, 3) the same without hair: the coordinates everything is painted in."""
    lips: NDArray[np.float32]
    """(V,) 1 on the lips."""
    noise: Noise
    """What makes skin and hair uneven."""

    @classmethod
    def invent(cls, seed: int) -> Presenter:
        """A person near the mean head."""
        model = MorphableModel.load()
        rng = np.random.default_rng(seed)
        skin = model.neutral(rng.normal(0.0, 0.55, model.identity_basis.shape[-1]))
        with np.load(DEFAULT_MODEL, allow_pickle=False) as content:
            lips = content["lips"].astype(np.float32)
        noise = Noise(seed)
        volume = 8.0 + 9.0 * smooth_step(skin[:, 1], 40.0, 100.0)
        thickness = volume * hair_cover(skin) * (1.0 + 0.15 * noise(skin, 14.0))
        outward = (
            vertex_normals(skin, model.triangles) * np.where(model.vertex_part == 0, thickness, 0.0)[:, None]
        )
        return cls(model, (skin + outward).astype(np.float32), skin, lips, noise)


def vertex_normals(vertices: Floats, triangles: NDArray[Any]) -> Floats:
    """(V, 3) unit normals, area-weighted over the triangles round each vertex."""
    corners = vertices[triangles]
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.stack(
        [
            np.bincount(triangles.ravel(), np.repeat(faces[:, axis], 3), minlength=len(vertices))
            for axis in range(3)
        ],
        axis=-1,
    )
    return normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9)


def shade(albedo: Floats, normal: Floats, part: NDArray[Any], hair: Floats) -> Floats:
    """(N, 3) albedo and unit normals in camera axes -> (N, 3) linear colour: warm key, cool fill, soft highlights."""
    normal = np.where(normal[:, 2:3] > 0, -normal, normal)
    key = KEY_LIGHT / np.linalg.norm(KEY_LIGHT)
    toward = normal @ key
    diffuse = np.clip(0.82 * toward + 0.18, 0, None)  # wrapped a little: skin lets light in
    fill = np.clip(normal @ np.array([0.80, -0.10, -0.59]), 0, None)
    light = np.outer(diffuse, [1.04, 0.98, 0.92]) + np.outer(fill, [0.20, 0.24, 0.29])
    light += np.outer(0.5 - 0.5 * normal[:, 1], [0.27, 0.29, 0.31])
    half = key + np.array([0.0, 0.0, -1.0])
    facing = np.clip(normal @ (half / np.linalg.norm(half)), 0, 1)
    wet = np.isin(part, (EYES, TEETH, TONGUE))
    gloss = np.where(wet, 0.55 * facing**160, 0.05 * facing**14) + 0.06 * hair * facing**8
    return albedo * light + gloss[:, None]


def body_plate(side: int) -> tuple[Floats, Floats]:
    """What stays still: the wall with neckless shoulders (side, side, 3) linear, and where clothes cover the neck."""
    rows, columns = (np.mgrid[0:side, 0:side] + 0.5) / side * SIZE  # in pixels of the final picture
    rng = np.random.default_rng(5)
    mottle = gaussian_filter(rng.standard_normal((side, side)), side / 12) * side / 12 * 0.07
    away = np.hypot(columns - 190, rows - 170) / SIZE
    wall = WALL_TONE * (1.12 - 0.45 * away + 0.5 * mottle)[..., None]

    offset = np.abs(columns - SIZE / 2)
    shoulder = (
        356
        + 62 * smooth_step(offset, 70, 140)
        + 0.10 * offset
        + 1400 * np.clip(offset / SIZE - 0.3, 0, 1) ** 2.4
    )
    collar = 352 + 40 * np.sqrt(np.clip(1 - (offset / 84) ** 2, 0, None))
    edge = np.where(offset < 84, collar, shoulder)
    cloth = smooth_step(rows - edge, -1.0, 1.0)
    slope = np.clip((columns - SIZE / 2) / 260, -1, 1)
    fold = gaussian_filter(rng.standard_normal((side, side)), (side / 18, side / 40)) * side / 28 * 0.10
    knit = 1 + 0.05 * np.sin(columns * 2.1) * np.sin(rows * 2.1) + fold
    shading = (1.0 - 0.45 * slope - 0.1 * slope**2) * (0.75 + 0.25 * smooth_step(rows - edge, 0, 26)) * knit
    band = smooth_step(rows - edge, 11, 9) * (offset < 90)
    jumper = KNIT_TONE * (shading * (1 - 0.35 * band))[..., None]
    back = smooth_step(rows, 351, 353) * smooth_step(offset, 85, 83)  # the collar's inside, behind the neck
    wall += (KNIT_TONE * 0.35 - wall) * back[..., None]
    return wall + (jumper - wall) * cloth[..., None], cloth


class Studio:
    """Renders frames of one presenter before one wall."""

    def __init__(self, person: Presenter) -> None:
        self.person = person
        side = SIZE * SUPERSAMPLING
        self.camera = Camera.for_image(side, side, 2.0)
        self._plate, self._cloth = body_plate(side)
        self._grain = np.random.default_rng(9)

    def frame(self, motion: Motion) -> NDArray[np.uint8]:
        """One frame's motion -> (512, 512, 3) uint8 RGB."""
        model, person = self.person.model, self.person
        head = model.vertices(person.neutral, motion.expression, motion.gaze)
        placed = to_camera(head, motion.rotation, motion.translation)[0].astype(np.float64)
        projected = np.column_stack([self.camera.project(placed), placed[:, 2]])
        fragments = rasterize(projected, model.triangles, (self.camera.height, self.camera.width))
        covered = fragments.triangle >= 0
        attributes = np.column_stack([person.skin, person.lips, vertex_normals(placed, model.triangles)])
        values = fragments.interpolate(attributes, model.triangles)[covered].astype(np.float64)  # (N, 7)
        part = model.triangle_part[fragments.triangle[covered]]
        at, lip = values[:, :3], values[:, 3]
        normal = values[:, 4:] / (np.linalg.norm(values[:, 4:], axis=1, keepdims=True) + 1e-9)
        hair = hair_cover(at) * (part == 0)
        albedo = paint_head(LOOK, person.noise, model, person.skin, person.lips, part, at, lip)
        colour = shade(albedo, normal, part, hair)

        picture = self._plate.copy()
        alpha = 1 - self._cloth[covered]  # the jumper lies over the neck
        # The chin and the collar keep light off the neck.
        neck = smooth_step(at[:, 1], -84, -104) * (part == 0)
        colour *= 1 - np.outer(neck, [0.46, 0.50, 0.50])
        picture[covered] += (colour - picture[covered]) * alpha[:, None]
        lids = np.zeros(covered.shape)
        lids[covered] = part == EYES
        picture *= 1 - 0.62 * lash_line(lids)[..., None]
        side = SUPERSAMPLING
        small = picture.reshape(SIZE, side, SIZE, side, 3).mean((1, 3))
        small = np.clip(small, 0, 1) ** (1 / 2.2) * 255 + self._grain.normal(0, 1.1, (SIZE, SIZE, 1))
        return np.clip(small + 0.5, 0, 255).astype(np.uint8)


def lash_line(eyes: Floats) -> Floats:
    """(h, w) mask of the eyeballs -> (h, w) 0..1: lashes along the upper lid and the shadow it casts on the ball."""
    seen = cv2.morphologyEx(
        eyes.astype(np.float32), cv2.MORPH_OPEN, np.ones((7, 7), np.uint8)
    )  # no closing slits
    above = cv2.dilate(seen, np.ones((5, 3), np.uint8), anchor=(1, 0)) - seen  # just over the opening
    below = seen - cv2.erode(seen, np.ones((7, 1), np.uint8), anchor=(0, 6))  # its uppermost rows
    return np.clip(
        cv2.GaussianBlur(above, (0, 0), 1.0) * 1.3 + 0.6 * cv2.GaussianBlur(below, (0, 0), 2.0), 0, 1
    )


def perform_sentence(person: Presenter, speech: Speech, seed: int) -> Motion:
    """The motion of a person who speaks ``speech``; as many frames as the sound covers."""
    frames = int(np.ceil(len(speech.samples) / speech.sample_rate * FPS))
    names = person.model.expression_names
    return perform(speech.phonemes, frames, names, distance_mm=DISTANCE_MM, rise_mm=RISE_MM, seed=seed)


def write_clip(path: Path, studio: Studio, motion: Motion, speech: Speech) -> None:
    """Write an mp4 (H.264, AAC) of the motion with its sound."""
    sound = soxr.resample(speech.samples, speech.sample_rate, 48000).astype(np.float32)
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        video = container.add_stream("libx264", rate=int(FPS), options={"crf": "19", "preset": "slow"})
        video.width, video.height, video.pix_fmt = SIZE, SIZE, "yuv420p"
        audio = container.add_stream("aac", rate=48000, layout="mono")
        audio.bit_rate = 96_000
        for n in range(len(motion)):
            frame = av.VideoFrame.from_ndarray(studio.frame(motion[n : n + 1]), format="rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode())
        block = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
        block.sample_rate = 48000
        container.mux(audio.encode(block))
        container.mux(audio.encode())


def main(folder: Path) -> None:
    """Write ``presenter.mp4`` and ``recording.flac`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    person = Presenter.invent(seed=11)
    speech = speak(SENTENCE, voice=VOICE, words_per_minute=154)
    write_clip(folder / "presenter.mp4", Studio(person), perform_sentence(person, speech, seed=3), speech)
    other = speak(OTHER_SENTENCE, voice=VOICE, words_per_minute=154)
    mono = soxr.resample(other.samples, other.sample_rate, 16000)
    soundfile.write(folder / "recording.flac", mono, 16000, subtype="PCM_16")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
