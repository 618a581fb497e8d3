from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest

from faces.rotation import compose
from faces.track import Motion
from motion.extension import SEAM, ping_pong
from motion.features import extract
from motion.lips import speech_gate
from motion.matching import match_sources
from motion.predict import MARGIN, WINDOW, MotionControls, MotionPredictor, PoseMode
from motion.targets import mouth_mask
from problems import InvalidParameter
from tests.motion.conftest import FRAME, Person, speak

MODES = get_args(PoseMode)


def arrays(motion: Motion) -> list[np.ndarray]:
    return [motion.rotation, motion.translation, motion.expression, motion.gaze]


@pytest.mark.parametrize("samples", [0, 1, 640, 641, 9_999, (WINDOW + 1) * 640])
def test_the_length_is_the_sounds(person: Person, samples: int) -> None:
    motion = person.predictor.predict(np.full(samples, 0.001, np.float32))
    assert len(motion) == -(-samples // 640)
    assert motion.expression.shape[1] == len(person.track.expression_names)


@pytest.mark.parametrize("mode", MODES)
def test_a_stream_equals_one_call(person: Person, mode: PoseMode) -> None:
    frames = WINDOW + MARGIN + 130
    samples = np.tile(speak(200, seed=31).samples, 4)[: frames * FRAME - 5]
    options: dict[str, Any] = {"pose": mode, "seed": 4}
    if mode == "reference":
        options["reference"] = person.track.motion[:77]
    whole = person.predictor.predict(samples, **options)
    pieces = [samples[i : i + 50_001] for i in range(0, len(samples), 50_001)]
    parts = list(person.predictor.stream(pieces, **options))
    assert len(parts) > 1
    for a, b in zip(arrays(Motion.concatenate(parts)), arrays(whole), strict=True):
        np.testing.assert_array_equal(a, b)


def test_no_seam_shows_between_windows(person: Person) -> None:
    """The mouth near a window's edge is what one pass over everything says."""
    samples = np.tile(speak(250, seed=32).samples, 3)
    regress = person.predictor.model.deviation
    features = extract(samples)
    once = regress(features)
    start = WINDOW - MARGIN
    windowed = regress(features[start:])[MARGIN:]
    np.testing.assert_allclose(windowed[:20], once[WINDOW : WINDOW + 20], atol=5e-3)
    head = regress(features[: WINDOW + MARGIN])[:WINDOW]
    np.testing.assert_allclose(head[-20:], once[WINDOW - 20 : WINDOW], atol=5e-3)


def test_values_are_in_range_and_finite(person: Person) -> None:
    motion = person.predictor.predict(speak(300, seed=33).samples)
    for values in arrays(motion):
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
    assert motion.expression.min() >= 0
    assert motion.expression.max() <= 1


def test_nothing_speech_like_moves_in_silence(person: Person) -> None:
    speech = speak(150, seed=34).samples
    silence = 1e-4 * np.random.default_rng(0).standard_normal(200 * FRAME).astype(np.float32)
    motion = person.predictor.predict(np.concatenate([speech, silence, speech]))
    mouth = motion.expression[:, mouth_mask(person.track.expression_names)]
    quiet = mouth[150 + 25 : 350 - 25]
    assert np.abs(np.diff(quiet, axis=0)).max() < 1e-3
    assert np.abs(np.diff(mouth[:150], axis=0)).max() > 0.02
    rest = person.predictor.model.style.rest
    np.testing.assert_allclose(quiet[50], rest[mouth_mask(person.track.expression_names)], atol=1e-3)
    # The rest mouth is the person's in the clip's pauses, which is not shut here.
    pauses = person.jaw(person.track.motion)[person.speech.silent].mean()
    assert abs(rest[person.track.expression_names.index("jawOpen")] - pauses) < 0.04
    # And the rest of the face goes on living.
    assert motion.rotation[175:325].std() > 1e-3
    whole = person.predictor.predict(silence)
    assert (
        np.abs(np.diff(whole.expression[:, mouth_mask(person.track.expression_names)], axis=0)).max() < 1e-3
    )


def test_the_gate_opens_around_speech_and_shuts_in_silence() -> None:
    activity = np.zeros(200, np.float32)
    activity[80:120] = 1.0
    gate = speech_gate(activity, reach=10, fade=3.0)
    assert gate[78:122].min() > 0.97
    assert gate[:60].max() == 0
    assert gate[140:].max() == 0
    assert np.abs(np.diff(gate)).max() < 0.2


def test_two_seeds_differ_in_the_head_and_agree_on_the_lips(person: Person) -> None:
    samples = speak(300, seed=35).samples
    one, two, again = (person.predictor.predict(samples, seed=seed) for seed in (1, 2, 1))
    assert np.degrees(np.abs(one.rotation - two.rotation)).mean() > 0.5
    mouth = mouth_mask(person.track.expression_names)
    np.testing.assert_array_equal(one.expression[:, mouth], two.expression[:, mouth])
    for a, b in zip(arrays(one), arrays(again), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_head_moves_like_the_person_and_never_too_fast(person: Person) -> None:
    motion = person.predictor.predict(np.tile(speak(300, seed=36).samples, 4), seed=5)
    source = person.track.motion
    pose = person.predictor.model.style.pose
    ours, theirs = pose.deviation(motion), pose.deviation(source)
    ratio = ours.std(0) / theirs.std(0)
    assert (ratio > 0.6).all()
    assert (ratio < 1.5).all()
    limits = person.predictor.model.style.speed_limits
    for part, limit in ((slice(0, 3), limits[0]), (slice(3, 6), limits[1])):
        assert np.linalg.norm(np.diff(ours[:, part], axis=0), axis=1).max() <= 1.001 * limit
    still = np.lib.stride_tricks.sliding_window_view(ours[:, 1], 75).std(-1)
    assert still.min() > 0.05 * theirs[:, 1].std()  # never frozen for three seconds
    found = match_sources(motion, source)
    assert np.degrees(np.linalg.norm(compose(-source.rotation[found], motion.rotation), axis=1)).mean() < 3


def test_the_modes_are_what_they_say(person: Person) -> None:
    samples = speak(650, seed=37).samples
    predict, source = person.predictor.predict, person.track.motion
    clip = predict(samples, pose="clip")
    index = ping_pong(np.arange(650), 300)
    np.testing.assert_allclose(clip.rotation, source.rotation[index], atol=1e-5)
    np.testing.assert_allclose(clip.translation, source.translation[index], atol=1e-3)
    still = predict(samples, pose="still")
    spread = np.linalg.norm(still.rotation.std(0)) / np.linalg.norm(source.rotation.std(0))
    assert 0.01 < spread < 0.2
    other = Motion(
        source.rotation[:90] + np.array([0.3, 0, 0]),
        source.translation[:90],
        source.expression[:90],
        source.gaze[:90],
    )
    taken = predict(samples, pose="reference", reference=other)
    mean = person.predictor.model.style.pose.rotation
    assert np.abs(compose(-mean, taken.rotation)[:179].mean(0)).max() < 0.02
    assert np.corrcoef(taken.rotation[:90, 1], other.rotation[:, 1])[0, 1] > 0.99
    mouth = mouth_mask(person.track.expression_names)
    for motion in (still, taken):
        np.testing.assert_array_equal(motion.expression[:, mouth], clip.expression[:, mouth])


def test_the_eyes_blink_in_every_mode(person: Person) -> None:
    lid = person.track.expression_names.index("eyeBlinkLeft")
    samples = np.tile(speak(300, seed=38).samples, 2)
    for mode in ("learned", "still", "clip"):
        closing = person.predictor.predict(samples, pose=mode).expression[:, lid]  # type: ignore[arg-type]
        assert (np.diff((closing > 0.5).astype(int)) == 1).sum() >= 3, mode


def test_controls_scale_the_mouth_and_the_head(person: Person) -> None:
    samples = speak(300, seed=39).samples
    predict = person.predictor.predict
    plain = predict(samples)
    weak = predict(samples, controls=MotionControls(lip_strength=0.5, head_strength=0.5))
    assert 0.35 < person.jaw(weak).std() / person.jaw(plain).std() < 0.7
    pose = person.predictor.model.style.pose
    assert 0.45 < pose.deviation(weak).std() / pose.deviation(plain).std() < 0.6
    smooth = predict(samples, controls=MotionControls(smoothing=2.0))
    assert np.abs(np.diff(person.jaw(smooth))).mean() < 0.8 * np.abs(np.diff(person.jaw(plain))).mean()
    with pytest.raises(InvalidParameter, match="lip_strength"):
        MotionControls(lip_strength=3)


def test_wrong_requests_are_named(person: Person) -> None:
    samples = np.zeros(1000, np.float32)
    with pytest.raises(InvalidParameter, match="reference"):
        person.predictor.predict(samples, pose="reference")
    with pytest.raises(InvalidParameter, match="dancing"):
        person.predictor.predict(samples, pose="dancing")  # type: ignore[arg-type]


def test_loading_gives_the_same_motion(person: Person) -> None:
    samples = speak(80, seed=40).samples
    again = MotionPredictor.load(person.path)
    np.testing.assert_array_equal(
        again.predict(samples).expression, person.predictor.predict(samples).expression
    )


def test_a_clip_may_go_on_in_three_ways(person: Person) -> None:
    predictor, sound = person.predictor, speak(650, seed=38).samples
    bounce, loop, hold = (
        predictor.predict(sound, pose="clip", extension=how) for how in ("bounce", "loop", "hold")
    )
    length = len(predictor.model.style.clip)
    assert len(bounce) > length + 50
    for other in (loop, hold):
        assert np.array_equal(bounce.rotation[:length], other.rotation[:length])
    again = slice(length + SEAM, min(2 * length, len(loop)))
    first = slice(SEAM, again.stop - length)
    assert np.allclose(loop.rotation[again], loop.rotation[first], atol=1e-5)
    # Held, the head stays but breathes, and the eyes blink on.
    rest = hold.rotation[length + SEAM :]
    assert 0 < rest.std(0).max() < 0.25 * bounce.rotation.std(0).max()
    assert hold.gaze[length + SEAM :].std(0).max() > 0
