"""Faults of the face that inspection names, put into the bundled presenter's pictures; and its silence without them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from fitting.inspect import InspectConfig
from fitting.inspect.sight import Sight
from fitting.inspect.verdict import judge_face
from media.survey import SurveyFrame
from studio.inspection_faults import Image, lit, shaken, unfocused, with_hand, with_microphone
from studio.inspection_thresholds import CODES, Bench, Frame

SAMPLES = 30
HINTS = {"no_blink", "head_still"}
Change = Callable[[Frame, float], Image]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    sample = Path(__file__).resolve().parents[2] / "studio" / "sample" / "presenter.mp4"
    with Bench(sample, samples=SAMPLES) as opened:
        yield opened


def seen_with(bench: Bench, change: Change, first: int, last: int) -> list[Sight]:
    """The clip's sights with a changed stretch."""
    sights = list(bench.clean)
    for k in range(first, last):
        image = change(bench.frames[k], (k - first) / (last - first))
        sights[k] = bench.look(SurveyFrame(bench.frames[k].index, image))
    return sights


def frames_of(bench: Bench, first: int, last: int) -> set[int]:
    return {frame.index for frame in bench.frames[first:last]}


def test_a_clean_clip_gets_figures_and_no_warning(bench: Bench) -> None:
    face, found = bench.judged(bench.clean)
    assert face is not None
    assert not (set(found) & set(CODES)) - HINTS
    config = InspectConfig()
    assert -15 < face.yaw_deg[0] < -3 < 3 < face.yaw_deg[1] < 15
    assert abs(face.pitch_deg[0]) < 10
    # With margin: half of what would be a warning.
    assert face.light_step < config.max_light_step / 2
    assert face.light_drift < config.max_light_drift / 2
    assert face.covered == 0
    assert face.motion_blur == 0
    assert face.soft == 0
    assert face.colourless_lips is not None
    assert face.colourless_lips < 0.2
    assert face.mouth_widest > 2 * config.min_mouth_widest
    assert 0.2 < face.mouth_open < 0.8


SLIGHT: list[tuple[str, Change]] = [
    ("dimmer by a tenth of a stop", lambda frame, _: lit(frame.image, -0.1)),
    ("motion of a hundredth", lambda frame, _: shaken(frame.image, frame.mesh, 0.01, 0.0)),
]


@pytest.mark.parametrize("change", [c for _, c in SLIGHT], ids=[name for name, _ in SLIGHT])
def test_slight_faults_are_let_pass(bench: Bench, change: Change) -> None:
    found = bench.judged(seen_with(bench, change, 12, 18))[1]
    assert not (set(found) & set(CODES)) - HINTS


STRETCHES: list[tuple[str, Change, str]] = [
    ("hand before the mouth", lambda f, _: with_hand(f.image, f.mesh, "mouth", 1.0), "face_covered"),
    ("cup on a cheek", lambda f, _: with_microphone(f.image, f.mesh, "cheek", 0.6), "face_covered"),
    ("microphone", lambda f, _: with_microphone(f.image, f.mesh, "mouth", 0.7), "face_covered"),
    ("motion", lambda f, _: shaken(f.image, f.mesh, 0.15, 25.0), "motion_blur"),
    ("focus lost", lambda f, _: unfocused(f.image, f.mesh, 0.05), "blurred"),
]


@pytest.mark.parametrize(("change", "code"), [s[1:] for s in STRETCHES], ids=[s[0] for s in STRETCHES])
def test_the_frames_with_a_fault_are_named(bench: Bench, change: Change, code: str) -> None:
    found = bench.judged(seen_with(bench, change, 12, 18))[1]
    named, faulty = set(found[code].frames), frames_of(bench, 12, 18)
    assert len(named & faulty) >= 5
    assert named <= faulty
    assert found[code].severity == "warning"
    assert found[code].remedy
    assert not {"motion_blur", "blurred"} <= set(found)


def test_a_jump_of_brightness_is_named_where_it_happens(bench: Bench) -> None:
    found = bench.judged(seen_with(bench, lambda f, _: lit(f.image, -0.5), 15, SAMPLES))[1]
    assert found["light_jumps"].frames == (bench.frames[15].index,)
    assert "light_drifts" not in found
    assert "face_covered" not in found


def test_a_jump_of_colour_is_named_too(bench: Bench) -> None:
    found = bench.judged(seen_with(bench, lambda f, _: lit(f.image, -0.4, 0.4), 15, SAMPLES))[1]
    assert found["light_jumps"].frames == (bench.frames[15].index,)


def test_slow_drift_is_no_jump(bench: Bench) -> None:
    found = bench.judged(seen_with(bench, lambda f, part: lit(f.image, -part), 0, SAMPLES))[1]
    assert "light_drifts" in found
    assert "light_jumps" not in found


def test_a_microphone_before_the_mouth_throughout(bench: Bench) -> None:
    hidden = seen_with(bench, lambda f, _: with_microphone(f.image, f.mesh, "mouth", 0.7), 0, SAMPLES)
    face, found = bench.judged([sight for sight in hidden if sight.seen])
    assert face is not None
    assert "mouth_covered" in found


def test_a_grey_picture_says_nothing_about_lips(bench: Bench) -> None:
    def grey(frame: Frame, _: float) -> Image:
        return np.repeat(frame.image.mean(-1, keepdims=True).astype(np.uint8), 3, 2)

    face, found = bench.judged(seen_with(bench, grey, 0, SAMPLES))
    assert face is not None
    assert face.colourless_lips is None
    assert "mouth_covered" not in found


@pytest.mark.parametrize(("widest", "code"), [(0.02, "mouth_still"), (0.05, "mouth_narrow")])
def test_a_mouth_that_hardly_opens(bench: Bench, widest: float, code: str) -> None:
    face, found = bench.judged(bench.with_mouth_below(widest))
    assert face is not None
    assert face.mouth_widest <= widest
    assert {"mouth_still", "mouth_narrow"} & set(found) == {code}


def test_blinks_and_a_still_head_are_hints(bench: Bench) -> None:
    awake = [s for s in bench.clean if s.eyes > 0.07]
    still = [s for s in awake if abs(s.yaw - 4) < 1.5]
    found = bench.judged(awake)[1]
    assert found["no_blink"].severity == "hint"
    assert "head_still" not in found
    assert bench.judged(still)[1]["head_still"].severity == "hint"


def test_no_face_gets_no_remarks() -> None:
    face, found = judge_face([Sight(0, False, False, 0, float("nan"))], 1, 100.0, InspectConfig())
    assert face is None
    assert [finding.code for finding in found] == ["no_face"]
