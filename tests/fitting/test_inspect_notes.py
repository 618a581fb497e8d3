"""What inspection says of the frame rate, of fields, sound tracks, and of a picture that is not upright."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.main import app
from fitting.inspect import inspect_clip
from fitting.inspect.notes import pictures_a_second
from fitting.inspect.upright import Uprightness
from media.decode import read_frames
from problems import InvalidParameter, NoFace
from tests.fitting.inspected_clip import FRAMES, QUICK, clip_of, codes, look, speech
from tests.fitting.moving_face import moving_face
from tests.media.generated import write_media
from workers.stages import validate


@pytest.mark.parametrize("fps", [15, 5])
def test_few_frames_a_second_are_said_with_what_they_cost(tmp_path: Path, fps: int) -> None:
    frames = round(FRAMES / 25 * fps)
    clip = clip_of(
        tmp_path, lambda k: moving_face(round(k * 25 / fps)), frames, fps=fps, sound=speech(FRAMES / 25)
    )
    inspection = look(clip)
    assert inspection.cuts == ()
    assert inspection.trainable
    found = next(f for f in inspection.findings if f.code == "low_frame_rate")
    assert f"{fps} frames a second" in found.message
    assert f"{1000 / fps:.0f} ms" in found.message
    assert found.facts["fps"] == pytest.approx(fps, abs=0.1)


def test_repeated_frames_count_once(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (100, 48, 48)).astype(np.uint8)
    assert pictures_a_second(pictures, 13) == 25
    assert pictures_a_second(np.repeat(pictures[:50], 2, 0), 13) == pytest.approx(12.5, abs=0.3)
    stands = pictures.copy()
    stands[40:80] = stands[40]
    assert pictures_a_second(stands, 13) == 25
    clip = write_media(
        tmp_path / "clip.mp4",
        lambda k: moving_face(k // 2 * 2),
        FRAMES,
        sound=speech(FRAMES / 25),
        options={"qp": "0"},
    )
    found = next(f for f in look(clip).findings if f.code == "low_frame_rate")
    assert "though it has 25 frames" in found.message


def test_a_good_clip_gets_no_notes(tmp_path: Path) -> None:
    notes = {"low_frame_rate", "interlaced", "sound_track_chosen", "out_of_phase", "upside_down", "sideways"}
    inspection = look(clip_of(tmp_path))
    assert not notes & {finding.code for finding in inspection.findings}


def test_the_sound_that_was_chosen_is_said(tmp_path: Path) -> None:
    silence = np.zeros((round(FRAMES / 25 * 48000), 1), np.float32)
    clip = clip_of(tmp_path, sound=silence, more_sounds=[speech(FRAMES / 25)])
    inspection = look(clip)
    assert inspection.trainable
    assert "sound_track_chosen" in codes(inspection, "hint")
    asked = inspect_clip(clip, config=QUICK, audio_track=1)
    assert "silent_sound" in codes(asked, "error")
    voice = speech(FRAMES / 25)
    opposed = clip_of(tmp_path, sound=np.hstack([voice, -voice]))
    inspection = look(opposed)
    assert inspection.trainable
    assert "out_of_phase" in codes(inspection, "hint")


@pytest.fixture(scope="module")
def turned(sample_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """The sample, lying by so many degrees clockwise, without a tag."""
    images = list(read_frames(sample_clip, stop=FRAMES, max_side=320))
    folder = tmp_path_factory.mktemp("turned")
    return {
        degrees: write_media(
            folder / f"{degrees}.mp4",
            lambda k, quarter=degrees // 90: np.ascontiguousarray(np.rot90(images[k], -quarter)),
            FRAMES,
            sound=speech(FRAMES / 25),
        )
        for degrees in (0, 90, 180, 270)
    }


def test_which_way_up_is_seen(turned: dict[int, Path]) -> None:
    for degrees, clip in turned.items():
        with Uprightness() as uprightness:
            for image in list(read_frames(clip))[::15]:
                uprightness.look(image)
        assert uprightness.turn() == (360 - degrees) % 360


def test_an_upside_down_clip_is_refused_with_the_turn_that_helps(
    turned: dict[int, Path], tmp_path: Path
) -> None:
    with pytest.raises(NoFace, match="upside down") as caught:
        validate.run(turned[180], tmp_path / "work")
    assert "--rotate 180" in caught.value.remedy
    found = inspect_clip(turned[180], config=QUICK)
    assert codes(found, "error") == {"upside_down"}
    answer = CliRunner().invoke(app, ["inspect", str(turned[180]), "--rotate", "180"])
    assert answer.exit_code == 0, answer.output
    validate.run(turned[180], tmp_path / "work", rotate=180)
    seen = next(read_frames(tmp_path / "work" / "clip.mp4")).astype(float)
    upright = next(read_frames(turned[0])).astype(float)
    assert np.abs(seen - upright).mean() < 4


def test_a_clip_on_its_side_is_turned(turned: dict[int, Path]) -> None:
    found = inspect_clip(turned[90], config=QUICK)
    assert codes(found, "error") == {"sideways"}
    upright = inspect_clip(turned[90], config=QUICK, rotate=270)
    assert not codes(upright, "error")
    assert upright.media.video is not None
    assert upright.media.video.rotation_deg == 270
    with pytest.raises(InvalidParameter, match="45 degrees"):
        inspect_clip(turned[0], config=QUICK, rotate=45)
