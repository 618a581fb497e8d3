"""The motion of a person for a recording, without a video: the stage and ``likeness motion``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from cli.main import app
from faces.track import FaceTrack
from media.sound import read_sound
from motion.personalize import MotionConfig, train_motion
from motion.predict import MotionControls
from motion.targets import mouth_mask
from motion.train import TrainConfig
from problems import InvalidPackage, InvalidParameter
from tests.fitting.moving_face import moving_face
from tests.media.generated import click, click_time, write_media
from tests.motion.conftest import speak as babble
from tests.motion.conftest import track_of
from workers.meter import expected
from workers.package import MEMBERS, write_package
from workers.runner import STAGES, StageContext
from workers.stages import dub, speak


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PERSON with a real track and a real motion model; this stage opens nothing else in it."""
    work = tmp_path_factory.mktemp("person")
    speech = babble(150, seed=1)
    track = track_of(speech, 1)
    track.save(work / "track.safetensors")
    config = MotionConfig(folds=2, train=TrainConfig(steps=40))
    train_motion(
        track,
        speech.samples,
        work / "motion.safetensors",
        config=config,
        seed=0,
        checkpoint_dir=work / "checkpoints",
    )
    for member in MEMBERS:
        if not (work / member).exists():
            (work / member).write_bytes(b"not opened here")
    write_package(work, work / "ann.person", {"preset": "preview", "seed": 0})
    return work / "ann.person"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "words.wav"
    soundfile.write(path, babble(120, seed=8).samples, 16_000)
    return path


def motion_of(person: Path, recording: Path, out: Path, **options: object) -> FaceTrack:
    speak.run(person, recording, out, **options)  # type: ignore[arg-type]
    return FaceTrack.load(out / "track.safetensors")


def test_the_command_writes_what_was_asked_for(person: Path, recording: Path, tmp_path: Path) -> None:
    arguments = ["motion", str(person), str(recording), "-o", str(tmp_path / "m")]
    result = CliRunner().invoke(app, [*arguments, "--plot", "--preview", "--json"])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout.splitlines()[-1])
    assert figures["frames"] == 120
    assert {Path(file).name for file in figures["files"]} == {
        "track.safetensors",
        "motion.png",
        "preview.mp4",
    }
    assert all(Path(file).stat().st_size > 1000 for file in figures["files"])
    assert figures["lip_opening"]["std"] > 0.005
    assert 0.3 < figures["speech_share"] <= 1


def test_the_service_makes_all_that_it_hands_out(person: Path, recording: Path, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    ticks: list[str] = []
    figures = STAGES["speak"].run(
        StageContext(
            work=tmp_path / "work",
            inputs={"person": person, "recording": recording},
            params={"pose": "still", "seed": 3, "lip_strength": 1.5, "mark": "not of a preview"},
            device="cpu",
            progress=lambda tick: ticks.append(tick.stage),
        )
    )
    assert figures is not None
    assert "video_seconds" not in figures, "a preview is no video made"
    assert json.loads(json.dumps(figures)) == figures
    assert {path.name for path in (tmp_path / "work").iterdir()} == set(STAGES["speak"].produces)
    assert set(ticks) == set(expected(STAGES["speak"].seconds, {}, {"person", "recording"}))
    same = motion_of(
        person, recording, tmp_path / "same", pose="still", seed=3, controls=MotionControls(lip_strength=1.5)
    )
    made = FaceTrack.load(tmp_path / "work" / "track.safetensors")
    np.testing.assert_array_equal(made.motion.rotation, same.motion.rotation)
    np.testing.assert_array_equal(made.motion.expression, same.motion.expression)


def test_lip_strength_freezes_and_widens(person: Path, recording: Path, tmp_path: Path) -> None:
    strengths = {s: MotionControls(lip_strength=s) for s in (0.0, 1.0, 1.5)}
    tracks = {s: motion_of(person, recording, tmp_path / str(s), controls=c) for s, c in strengths.items()}
    mouth = mouth_mask(tracks[1.0].expression_names)
    spread = {s: track.motion.expression[:, mouth].std(0).sum() for s, track in tracks.items()}
    assert spread[0.0] < 1e-5
    assert spread[1.5] > 1.2 * spread[1.0] > 0
    np.testing.assert_array_equal(tracks[0.0].motion.rotation, tracks[1.5].motion.rotation)


def test_a_seed_changes_the_head_and_not_the_lips(person: Path, recording: Path, tmp_path: Path) -> None:
    one, two = (motion_of(person, recording, tmp_path / str(seed), seed=seed) for seed in (1, 2))
    mouth = mouth_mask(one.expression_names)
    np.testing.assert_array_equal(one.motion.expression[:, mouth], two.motion.expression[:, mouth])
    assert np.abs(one.motion.rotation - two.motion.rotation).max() > 0.005


def test_smoothing_slows_the_lips_and_head_strength_the_head(
    person: Path, recording: Path, tmp_path: Path
) -> None:
    plain = motion_of(person, recording, tmp_path / "plain").motion
    smooth = motion_of(person, recording, tmp_path / "smooth", controls=MotionControls(smoothing=3.0)).motion
    calm = motion_of(person, recording, tmp_path / "calm", controls=MotionControls(head_strength=0.3)).motion
    jaw = FaceTrack.load(tmp_path / "plain" / "track.safetensors").expression_names.index("jawOpen")

    def speed(values: np.ndarray) -> float:
        return float(np.abs(np.diff(values, axis=0)).mean())

    assert speed(smooth.expression[:, jaw]) < 0.7 * speed(plain.expression[:, jaw])
    assert calm.rotation.std(0).sum() < 0.5 * plain.rotation.std(0).sum()


def test_what_is_wrong_is_said(person: Path, recording: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidPackage):
        speak.run(recording, recording, tmp_path)
    result = CliRunner().invoke(app, ["motion", str(person), str(recording), "--lip-strength", "3"])
    assert result.exit_code == 2
    assert "lip-strength" in result.output
    everything = {"pose": "reference", "pose_video": recording, "expression_video": recording}
    for options, words in (
        ({"pose": "reference"}, "needs a video"),
        ({"pose": "still", "pose_video": recording}, "pose mode is still"),
        ({"pose": "nod"}, "no pose mode 'nod'"),
        ({**everything, "controls": MotionControls(lip_strength=0.5)}, "a video gives all of it"),
    ):
        with pytest.raises(InvalidParameter, match=words):
            speak.run(person, recording, tmp_path, **options)  # type: ignore[arg-type]
        with pytest.raises(InvalidParameter, match=words):
            dub.run(person, recording, tmp_path / "o.mp4", **options)  # type: ignore[arg-type]


def test_recording_and_expressions_of_one_file_stay_together(person: Path, tmp_path: Path) -> None:
    """The file's sound begins half a second after its picture: what is said at its second 2 is said there."""
    voice = np.concatenate([0.2 * babble(38, seed=3).samples[:24_000], click(0.0, 0.5, 16_000)[:, 0]])
    clip = write_media(
        tmp_path / "talk.mp4",
        moving_face,
        75,
        sound=voice[:, None].astype(np.float32),
        rate=16_000,
        sound_offset_s=0.5,
        options={"preset": "ultrafast"},
    )
    track = motion_of(
        person,
        clip,
        tmp_path / "m",
        pose="reference",
        pose_video=clip,
        expression_video=clip,
        length_mismatch="silence",
        preview=True,
    )
    assert len(track.motion) == 75
    heard = np.concatenate(list(read_sound(tmp_path / "m" / "preview.mp4", rate=16_000, origin_s=0.0)))
    assert click_time(heard, 16_000) == pytest.approx(2.0, abs=0.02)
