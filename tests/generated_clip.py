"""A tiny clip whose truth is known: the shipped head model, shaded, over a patterned wall.

Forty frames of 320 x 288: the head nods, shakes and sways, the jaw opens four times, the eyes blink twice and wander.
MediaPipe finds the face in these frames, so the same clip drives landmarks, fit, texture and compositing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from faces.atlas import atlas_for
from faces.camera import Camera, to_camera
from faces.morphable import MorphableModel
from faces.raster import rasterize
from faces.rotation import rotvec_from_euler
from faces.track import FaceTrack, Motion
from fitting.fit import fit_landmarks, track_clip
from fitting.landmarks import LANDMARKS, Landmarks
from studio.head_landmarks import shade

FRAMES, WIDTH, HEIGHT = 40, 320, 288


@dataclass(frozen=True)
class GeneratedClip:
    """Frames and what they were made from."""

    frames: NDArray[np.uint8]
    """(T, H, W, 3) RGB."""
    track: FaceTrack
    """The truth: motion, identity, camera, and the model's own landmarks as the observed ones."""


def choreography(frames: int, model: MorphableModel) -> Motion:
    """Smooth motion in which everything that is tested moves."""
    time = np.arange(frames) / 25
    euler = np.column_stack([5 * np.sin(5 * time), 12 * np.sin(4 * time), 4 * np.sin(3 * time + 1)])
    place = np.column_stack([8 * np.sin(3 * time), 5 * np.cos(4 * time), 560 + 12 * np.sin(2 * time)])
    expression = np.zeros((frames, len(model.expression_names)))
    blink = np.clip(np.cos(2 * np.pi * (time - 0.6) / 0.8) * 4 - 3, 0, 1)
    for name, values in (
        ("jawOpen", 0.3 - 0.3 * np.cos(2 * np.pi * time * 2.5)),
        ("mouthSmileLeft", 0.2 + 0.2 * np.sin(3 * time)),
        ("mouthSmileRight", 0.2 + 0.2 * np.sin(3 * time)),
        ("eyeBlinkLeft", blink),
        ("eyeBlinkRight", blink),
    ):
        expression[:, model.expression_index(name)] = values
    gaze = np.column_stack([0.25 * np.sin(4.5 * time), 0.12 * np.cos(3.5 * time)])
    return Motion(*(np.asarray(x, np.float32) for x in (rotvec_from_euler(euler), place, expression, gaze)))


def true_track(motion: Motion, *, seed: int = 3, width: int = WIDTH, height: int = HEIGHT) -> FaceTrack:
    """A made-up person in ``motion``, landmarks projected without noise."""
    model = MorphableModel.load()
    identity = np.random.default_rng(seed).normal(0, 0.4, model.identity_basis.shape[-1]).astype(np.float32)
    camera = Camera.for_image(width, height)
    points = model.detected_points(model.vertices(model.neutral(identity), motion.expression, motion.gaze))
    pixels = camera.project(to_camera(points, motion.rotation, motion.translation))
    return FaceTrack(
        motion=motion,
        model=model.name,
        expression_names=model.expression_names,
        identity=identity,
        offsets=np.zeros((model.vertex_count, 3), np.float32),
        camera=camera,
        light=np.zeros((0, 27), np.float32),
        valid=np.ones(len(motion), bool),
        landmarks=pixels.astype(np.float32),
    )


def placed(track: FaceTrack, frame: int) -> NDArray[np.float64]:
    """(V, 3) camera-space vertices of one frame."""
    model, motion = MorphableModel.load(), track.motion[frame : frame + 1]
    shape = model.vertices(model.neutral(track.identity, track.offsets), motion.expression, motion.gaze)[0]
    return to_camera(shape, motion.rotation[0], motion.translation[0])


def wall(width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """(H, W, 3) a background in which any movement would show."""
    y, x = np.mgrid[:height, :width]
    pattern = [120 + 50 * np.sin(x / 9), 110 + 50 * np.cos(y / 7), 130 + 40 * np.sin((x + y) / 11)]
    return np.stack(pattern, axis=-1).astype(np.uint8)


def render(track: FaceTrack) -> NDArray[np.uint8]:
    """(T, H, W, 3) shaded frames of a track over the wall."""
    model, camera = MorphableModel.load(), track.camera
    frames = np.repeat(wall(camera.width, camera.height)[None], len(track), axis=0)
    for t in range(len(track)):
        vertices = placed(track, t)
        image, ids, _ = shade(
            vertices, model.triangles.astype(np.int64), model.albedo.astype(np.float64), camera
        )
        frames[t][ids >= 0] = image[ids >= 0]
    return frames


@lru_cache(maxsize=1)
def generated_clip() -> GeneratedClip:
    """The clip; made once per process."""
    track = true_track(choreography(FRAMES, MorphableModel.load()))
    frames = render(track)
    frames.setflags(write=False)
    return GeneratedClip(frames, track)


@lru_cache(maxsize=1)
def detected_landmarks() -> Landmarks:
    """MediaPipe's landmarks of the clip."""
    return track_clip(list(generated_clip().frames), FRAMES)


@lru_cache(maxsize=1)
def fitted_track() -> FaceTrack:
    """The clip's track as the product finds it: from pixels."""
    return fit_landmarks(detected_landmarks(), (WIDTH, HEIGHT))


def exact_landmarks(track: FaceTrack) -> Landmarks:
    """A track's own landmarks in the form the detector gives them."""
    count = len(track)
    faces = track.valid.astype(np.int64)
    return Landmarks(track.landmarks, np.zeros((count, LANDMARKS), np.float32), faces)


def painted(track: FaceTrack, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(T, H, W, 3) frames of a track whose head wears the atlas picture ``image`` (A, A, 3), unshaded, over black."""
    model, camera, size = MorphableModel.load(), track.camera, image.shape[0]
    atlas = atlas_for(model)
    frames = np.zeros((len(track), camera.height, camera.width, 3), np.uint8)
    for t in range(len(track)):
        vertices = placed(track, t)
        pixels = np.column_stack([camera.project(vertices), vertices[:, 2]])
        fragments = rasterize(pixels, model.triangles, (camera.height, camera.width))
        uv = fragments.interpolate(atlas.uv, model.triangles)
        texel = np.clip((uv * size).astype(int), 0, size - 1)
        covered = fragments.triangle >= 0
        frames[t][covered] = image[texel[..., 1], texel[..., 0]][covered]
    return frames
