from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.fit_errors import (
    PER_FRAME,
    detected_blinks,
    fit_errors,
    match_blinks,
    rigid_alignment,
    summary,
)
from faces.camera import HEAD_TO_CAMERA
from faces.rotation import compose, exp_map
from faces.track import Motion
from studio.acting import Blink
from tests.benchmarks.exact_clip import FRAMES, exact_clip


def test_the_truth_has_no_error() -> None:
    clip = exact_clip()
    errors = fit_errors(clip.track(), clip)
    for name in PER_FRAME:
        assert np.max(getattr(errors, name)) < 2e-3 * (100 if name == "gaze_deg" else 1), name
    assert errors.focal_pct == 0
    assert errors.blinks == errors.blinks_found > 0
    assert errors.blinks_false == 0


def test_known_errors_are_measured_in_their_units() -> None:
    clip = exact_clip()
    track = clip.track()
    motion = track.motion
    turned = compose(np.tile(np.radians([2.0, 0.0, 0.0]), (FRAMES, 1)), motion.rotation)
    moved = motion.translation * 1.03
    errors = fit_errors(replace(track, motion=Motion(turned, moved, motion.expression, motion.gaze)), clip)
    np.testing.assert_allclose(errors.rotation_deg, 2.0, atol=0.01)
    np.testing.assert_allclose(errors.rotation_raw_deg, 2.0, atol=0.01)
    np.testing.assert_allclose(errors.translation_pct, 3.0, atol=0.01)
    assert errors.mesh_mm.max() < 1e-3, "shape does not care about pose"

    looking = motion.gaze + np.array([0.1, 0.0], np.float32)
    errors = fit_errors(
        replace(track, motion=Motion(motion.rotation, motion.translation, motion.expression, looking)), clip
    )
    np.testing.assert_allclose(errors.gaze_deg, np.degrees(0.1), rtol=0.03)

    farther = replace(track.camera, focal=track.camera.focal * 1.1)
    assert fit_errors(replace(track, camera=farther), clip).focal_pct == pytest.approx(10.0)


def test_a_constant_turn_is_not_a_failure_to_follow() -> None:
    clip = exact_clip()
    track = clip.track()
    constant = compose(track.motion.rotation, np.tile([0.0, 0.05, 0.0], (FRAMES, 1)))
    motion = Motion(constant, track.motion.translation, track.motion.expression, track.motion.gaze)
    errors = fit_errors(replace(track, motion=motion), clip)
    assert errors.rotation_deg.min() > 2.8
    assert errors.rotation_turns_deg.max() < 0.01


def test_another_head_frame_or_another_size_tells_the_same_picture() -> None:
    clip = exact_clip()
    track = clip.track()
    model = clip.person.model
    turn, shift, size = exp_map(np.array([0.02, -0.03, 0.01])), np.array([1.0, -2.0, 3.0]), 1.05
    still = Motion(
        track.motion.rotation,
        track.motion.translation,
        np.zeros_like(track.motion.expression),
        track.motion.gaze,
    )
    truth = replace(clip, motion=still)
    neutral = size * (clip.person.neutral @ turn.T + shift)
    rotation = exp_map(track.motion.rotation) @ turn.T
    offset = np.einsum("ij,tjk,k->ti", HEAD_TO_CAMERA, rotation, shift)
    from faces.rotation import log_map

    other = replace(
        track,
        offsets=(neutral - model.mean).astype(np.float32),
        motion=Motion(
            log_map(rotation), size * (track.motion.translation - offset), still.expression, still.gaze
        ),
    )
    errors = fit_errors(other, truth)
    assert errors.rotation_deg.max() < 0.01
    assert errors.rotation_raw_deg.min() > 1.0
    assert errors.translation_scaled_pct.max() < 0.01
    np.testing.assert_allclose(errors.translation_pct, 5.0, atol=0.8)  # the origin lies behind the face
    assert errors.mesh_scaled_mm.max() < 0.01
    assert errors.mesh_mm.min() > 1.0


def test_frames_without_a_face_do_not_count() -> None:
    clip = exact_clip()
    valid = np.ones(FRAMES, bool)
    valid[:4] = False
    errors = fit_errors(replace(clip.track(), valid=valid), clip)
    assert len(errors.rotation_deg) == FRAMES - 4
    assert errors.found == pytest.approx(1 - 4 / FRAMES)


def test_blinks_match_within_a_frame() -> None:
    gap = np.full(60, 10.0)
    gap[[19, 20, 21]] = 4, 0, 5
    gap[[40, 41]] = 3, 4
    gap[50] = 7.5  # no blink
    peaks = detected_blinks(gap)
    assert peaks.tolist() == [20, 40]
    blinks = (Blink(18, 21, 23), Blink(29, 30, 31))
    assert match_blinks(peaks, blinks, np.arange(60)) == (1, 1)
    assert match_blinks(peaks, (), np.arange(60)) == (0, 2)
    assert match_blinks(np.zeros(0, np.int64), blinks, np.arange(60)) == (0, 0)


def test_alignment_undoes_a_similarity() -> None:
    points = np.random.default_rng(0).normal(size=(30, 3))
    turn = exp_map(np.array([0.4, 1.0, -0.2]))
    found, shift, scale = rigid_alignment(points, 1.2 * points @ turn.T + [1, 2, 3], scaled=True)
    np.testing.assert_allclose(found, turn, atol=1e-9)
    np.testing.assert_allclose(shift, [1, 2, 3], atol=1e-9)
    assert scale == pytest.approx(1.2)
    assert rigid_alignment(points, 1.2 * points, scaled=False)[2] == 1.0


def test_summary_pools_frames_of_all_people() -> None:
    clip = exact_clip()
    errors = fit_errors(clip.track(), clip)
    worse = replace(errors, rotation_deg=errors.rotation_deg + 4.0)
    result = summary([errors, worse, worse])
    rotation = result["rotation_deg"]
    assert isinstance(rotation, dict)
    assert rotation["p50"] == pytest.approx(4.0, abs=0.01)
    assert result["people"] == 3
    assert result["frames"] == 3 * FRAMES
