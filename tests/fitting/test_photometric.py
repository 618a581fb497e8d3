"""The refinement against frames whose pose, texture and light are known."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from faces.light import NEUTRAL, vertex_shading
from faces.morphable import MorphableModel
from faces.raster import rasterize
from faces.rotation import compose
from faces.track import FaceTrack, Motion
from fitting.photometric import PhotometricConfig, PhotometricFit
from fitting.surface import FaceCrops, SurfacePoints, sample_with_gradient, see
from tests.generated_clip import FRAMES, choreography, painted, placed, true_track

CONFIG = PhotometricConfig(key_frames=30, landmark_trust=0.2)


@lru_cache(maxsize=1)
def skin() -> NDArray[np.uint8]:
    """An atlas picture with detail of several sizes."""
    rng = np.random.default_rng(4)
    noise = sum(
        cv2.GaussianBlur(rng.normal(0, s * 9, (512, 512, 1)).astype(np.float32), (0, 0), s) for s in (2, 4, 8)
    )
    return np.clip(np.array([170, 130, 110]) + np.asarray(noise)[..., None] * 3.0, 0, 255).astype(np.uint8)


def lights(frames: int) -> NDArray[np.float32]:
    """(T, 27) a lamp at the left that gets brighter."""
    light = np.tile(NEUTRAL, (frames, 1, 1))
    light[:, 1] = -0.25
    return (light * np.linspace(0.9, 1.1, frames)[:, None, None]).reshape(frames, 27).astype(np.float32)


@lru_cache(maxsize=1)
def scene() -> tuple[FaceTrack, NDArray[np.uint8]]:
    model = MorphableModel.load()
    truth = replace(true_track(choreography(FRAMES, model)), light=lights(FRAMES))
    frames = painted(truth, skin()).astype(np.float32)
    for t in range(FRAMES):
        vertices = placed(truth, t)
        flat = np.column_stack([truth.camera.project(vertices), vertices[:, 2]])
        fragments = rasterize(flat, model.triangles, frames.shape[1:3])
        shade = fragments.interpolate(vertex_shading(model, vertices, truth.light[t]), model.triangles)
        frames[t] *= np.where(fragments.triangle[..., None] >= 0, shade, 1)
    return truth, frames.clip(0, 255).astype(np.uint8)


@lru_cache(maxsize=1)
def shaken() -> FaceTrack:
    """The truth as a jittery detector would have it: landmarks and pose off by about a degree."""
    truth, _ = scene()
    rng = np.random.default_rng(0)
    turn, shift = rng.normal(0, 0.012, (FRAMES, 3)), rng.normal(0, 1.0, (FRAMES, 3)) * [1, 1, 3]
    motion = truth.motion
    moved = Motion(
        compose(turn, motion.rotation).astype(np.float32), motion.translation + shift.astype(np.float32),
        motion.expression, motion.gaze,
    )  # fmt: skip
    # Errors of a detector go together: the whole face is drawn a little too far to the side, or turned.
    centred = truth.landmarks - truth.landmarks.mean(1, keepdims=True)
    spin = rng.normal(0, 0.015, (FRAMES, 1, 1)) * centred[..., ::-1] * [-1, 1]
    noise = rng.normal(0, 0.8, (FRAMES, 1, 2)) + spin + rng.normal(0, 0.3, truth.landmarks.shape)
    return replace(
        truth, motion=moved, landmarks=(truth.landmarks + noise).astype(np.float32), light=truth.light[:0]
    )


@pytest.fixture(scope="module")
def refined() -> FaceTrack:
    _, frames = scene()
    return PhotometricFit(shaken(), frames, config=CONFIG).refine(shaken(), frames)


def _turn(a: FaceTrack, b: FaceTrack) -> NDArray[np.float64]:
    return np.degrees(np.linalg.norm(compose(a.motion.rotation, -b.motion.rotation), axis=1))


def test_pose_comes_nearer_to_the_truth_than_landmarks_alone_bring_it(refined: FaceTrack) -> None:
    truth, frames = scene()
    blind = replace(CONFIG, brightness_sigma=1e6)
    landmarks = PhotometricFit(shaken(), frames, config=blind).refine(shaken(), frames)
    assert _turn(refined, truth).mean() < 0.85 * _turn(landmarks, truth).mean()

    def sideways(track: FaceTrack) -> float:
        return float(np.abs(track.motion.translation - truth.motion.translation)[:, :2].mean())

    # Landmarks that all err alike pull sideways; .89 measured (turn: .74), less with fewer points.
    assert sideways(refined) < 0.95 * sideways(landmarks)


def test_light_is_found_up_to_one_factor(refined: FaceTrack) -> None:
    truth, _ = scene()
    found = refined.light.reshape(-1, 9, 3).mean(-1)
    assert found.shape == (FRAMES, 9)
    brightness = found[:, 0] / truth.light.reshape(-1, 9, 3)[:, 0, 0]
    assert np.std(brightness) / np.mean(brightness) < 0.03
    assert np.corrcoef(found[:, 0], np.linspace(0.9, 1.1, FRAMES))[0, 1] > 0.9
    # Colour and light share what is smooth; the prior leaves some of a still lamp in the colours.
    assert -0.35 < (found[:, 1] / found[:, 0]).mean() < -0.06


def test_missing_frames_stay_missing_and_are_filled(refined: FaceTrack) -> None:
    _, frames = scene()
    track = shaken()
    valid = track.valid.copy()
    valid[[5, 6]] = False
    marks = track.landmarks.copy()
    marks[[5, 6]] = np.nan
    some = PhotometricFit(replace(track, valid=valid, landmarks=marks), frames, config=CONFIG).refine(
        replace(track, valid=valid, landmarks=marks), frames
    )
    assert np.isfinite(some.light).all()
    assert np.isfinite(some.motion.rotation).all()
    np.testing.assert_array_equal(some.valid, valid)
    assert _turn(some, refined)[~np.isin(np.arange(FRAMES), [5, 6])].max() < 0.3


def test_points_lie_on_the_face_off_lips_and_lids() -> None:
    model = MorphableModel.load()
    points = SurfacePoints.spread(model, 500)
    at = points.gather(model, model.mean)
    marks = model.landmark_points(model.mean)
    assert (at[:, 2] > 0).all()
    assert np.linalg.norm(at[:, None] - marks[[13, 14, 159, 145, 386, 374]][None], axis=-1).min() > 5
    assert at[:, 1].max() < marks[10, 1] + 5
    assert at[:, 1].min() > marks[152, 1] - 5


def test_turned_away_points_are_not_seen() -> None:
    truth, frames = scene()
    model = MorphableModel.load()
    points = SurfacePoints.spread(model, 4000)  # of few points the share below is off by chance
    index = np.arange(2)
    crops = FaceCrops.cut(frames, truth, index, 80.0)
    motion = truth.motion[index]
    profile = Motion(
        np.tile(np.array([0, 1.2, 0], np.float32), (2, 1)), motion.translation, motion.expression, motion.gaze
    )
    frontal, turned = (see(points, model, truth, m, crops).visible for m in (motion, profile))
    side = points.gather(model, model.mean)[:, 0]
    assert frontal.mean() > 0.68  # .73 measured: points are also spread where only a turned head shows them
    assert turned[:, side > 25].mean() < 0.1
    assert turned[:, side < -25].mean() > 0.5


def test_gradients_are_those_of_the_sampled_brightness() -> None:
    y, x = np.mgrid[:40, :40].astype(np.float32)
    image = (3 * np.sin(x / 6) + 2 * np.cos(y / 5))[None]
    where = np.random.default_rng(1).uniform(6, 34, (1, 60, 2))
    values, gradients = sample_with_gradient(image, where)
    np.testing.assert_allclose(
        values[0], 3 * np.sin((where[0, :, 0] - 0.5) / 6) + 2 * np.cos((where[0, :, 1] - 0.5) / 5), atol=0.03
    )
    np.testing.assert_allclose(gradients[0, :, 0], 0.5 * np.cos((where[0, :, 0] - 0.5) / 6), atol=0.03)
    np.testing.assert_allclose(gradients[0, :, 1], -0.4 * np.sin((where[0, :, 1] - 0.5) / 5), atol=0.03)
