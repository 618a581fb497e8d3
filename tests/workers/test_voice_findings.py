"""What inspection and training say of lips and voice: the bundled presenter, late, cut off, with another voice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from faces.mouth import lip_shape
from fitting.inspect import Finding, Inspection
from fitting.landmarks import FaceLandmarker
from media.audio import read_wav
from media.decode import read_frames
from media.normalise import normalise_recording
from motion.personalize import MotionReport
from motion.shift import shifted
from problems import InvalidParameter, LipsStrange
from tests.media.generated import write_media
from workers.inspection import inspect
from workers.stages import validate
from workers.voice_findings import listen, training_findings

Array = np.ndarray
FRAMES = 300


class Presenter:
    """The bundled clip: frames of 256 px, lips, her voice and another sentence, repeated to the same length."""

    def __init__(self, clip: Path, recording: Path, folder: Path) -> None:
        self.frames = list(read_frames(clip, max_side=256, stop=FRAMES))
        with FaceLandmarker() as landmarker:
            self.lips = lip_shape(landmarker.track(self.frames).points)
        normalise_recording(clip, folder / "voice.wav")
        normalise_recording(recording, folder / "other.wav")
        self.voice = read_wav(folder / "voice.wav")[: FRAMES * 640]
        self.other = np.resize(read_wav(folder / "other.wav"), FRAMES * 640)

    def film(self, path: Path, sound: Array) -> Path:
        options = {"preset": "ultrafast", "crf": "16"}
        return write_media(
            path, lambda k: self.frames[k], FRAMES, sound=sound[:, None], rate=16000, options=options
        )


@pytest.fixture(scope="module")
def presenter(
    sample_clip: Path, sample_recording: Path, tmp_path_factory: pytest.TempPathFactory
) -> Presenter:
    return Presenter(sample_clip, sample_recording, tmp_path_factory.mktemp("presenter"))


def codes(found: list[Finding] | tuple[Finding, ...]) -> dict[str, str]:
    return {finding.code: finding.severity for finding in found}


def test_nothing_is_said_of_lips_that_follow_their_voice(presenter: Presenter) -> None:
    voice, found = listen(presenter.voice, presenter.lips)
    assert found == []
    assert voice.verdict == "together"
    assert voice.z > 6
    assert abs(voice.sound_late_ms) < 60
    assert (voice.shifted_ms, voice.missing, voice.unvoiced, voice.unmoved) == (0, (), (), ())


@pytest.mark.parametrize(("late_ms", "code"), [(400, "sound_late"), (-700, "sound_early")])
def test_a_late_or_early_sound_is_said_with_its_figure(presenter: Presenter, late_ms: int, code: str) -> None:
    own = listen(presenter.voice, presenter.lips)[0].sound_late_ms
    voice, found = listen(shifted(presenter.voice, -late_ms), presenter.lips)
    assert codes(found) == {code: "warning"}
    assert voice.shifted_ms == voice.sound_late_ms == pytest.approx(late_ms + own, abs=20)
    assert str(abs(voice.shifted_ms)) in found[0].message
    assert found[0].facts["sound_late_ms"] == voice.shifted_ms


def test_a_voice_from_elsewhere_is_an_error(presenter: Presenter) -> None:
    voice, found = listen(presenter.other, presenter.lips)
    assert codes(found) == {"lips_strange": "error"}
    assert voice.verdict == "strange"
    assert voice.shifted_ms == 0
    assert found[0].facts["z"] < 3 < found[0].facts["power"]


def test_four_seconds_of_another_voice_are_a_warning(presenter: Presenter) -> None:
    _, found = listen(presenter.other[: 100 * 640], presenter.lips[:100])
    assert codes(found) == {"lips_unsure": "warning"}


def test_sound_that_ends_or_begins_in_the_middle_is_told(presenter: Presenter) -> None:
    ended = presenter.voice.copy()
    ended[100 * 640 :] = 0
    voice, found = listen(ended, presenter.lips)
    assert codes(found) == {"sound_ends_early": "warning"}
    assert voice.missing == ((100, 299),)
    assert "4.0 s" in found[0].message
    begun = presenter.voice.copy()
    begun[: 60 * 640] = 0
    assert codes(listen(begun, presenter.lips)[1]) == {"sound_starts_late": "warning"}
    hole = presenter.voice.copy()
    hole[40 * 640 : 90 * 640] = 0
    found = listen(hole, presenter.lips)[1]
    assert codes(found) == {"sound_drops_out": "warning"}
    assert min(found[0].frames) == 40
    assert max(found[0].frames) < 90


def report(**settings: float) -> MotionReport:
    fields = {
        "frames": 300, "lip_r": 0.6, "sound_late_ms": 0, "lips_z": 8.0, "frames_without_sound": 0, "lag_frames": 0,
        "lag_scores": {}, "mouth_gain": 1.0, "explained_rotation": 0.1, "fold_steps": (), "ridge": 1.0,
        "blinks_per_minute": 10.0, "seconds": 1.0,
    }  # fmt: skip
    return replace(MotionReport(**fields), **settings)  # type: ignore[arg-type]


def test_a_training_says_what_it_learnt_poorly() -> None:
    assert training_findings(report()) == []
    [poor] = training_findings(report(lip_r=0.05))
    assert (poor.code, poor.severity, poor.facts["lip_r"]) == ("lips_poorly_learnt", "warning", 0.05)
    assert "0.05" in poor.message
    assert [f.code for f in training_findings(report(sound_late_ms=410))] == ["sound_late"]
    assert [f.code for f in training_findings(report(sound_late_ms=-90))] == ["sound_early"]
    assert [f.code for f in training_findings(report(frames_without_sound=200))] == ["sound_missing"]


def test_validation_moves_a_late_sound_to_the_lips(presenter: Presenter, tmp_path: Path) -> None:
    clip = presenter.film(tmp_path / "late.mp4", shifted(presenter.voice, -400))
    inspection = validate.run(clip, tmp_path / "work")
    assert inspection.voice is not None
    assert inspection.voice.shifted_ms == pytest.approx(400, abs=45)
    assert "sound_late" in codes(inspection.findings)
    heard = read_wav(tmp_path / "work" / "audio.wav")
    assert len(heard) == FRAMES * 640
    lags = np.arange(-1600, 1601, 80)
    inner = slice(3200, 100000)
    fits = [float(np.dot(heard[inner], np.roll(presenter.voice, lag)[inner])) for lag in lags]
    assert abs(lags[int(np.argmax(fits))]) <= 0.045 * 16000


def test_another_voice_is_refused_and_may_be_accepted(presenter: Presenter, tmp_path: Path) -> None:
    clip = presenter.film(tmp_path / "other.mp4", presenter.other)
    with pytest.raises(LipsStrange, match="do not move with the voice") as refused:
        validate.run(clip, tmp_path / "work")
    assert "lips_strange" in refused.value.remedy
    assert not (tmp_path / "work").exists()
    accepted: Inspection = validate.run(clip, tmp_path / "work", accept=["lips_strange"])
    assert codes(accepted.findings)["lips_strange"] == "warning"
    assert accepted.trainable
    assert (tmp_path / "work" / "audio.wav").is_file()


def test_only_what_may_be_accepted_is(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="no_face"):
        inspect(tmp_path / "clip.mp4", accept=["no_face"])


def test_the_faults_that_were_filed(shared_clips: Path) -> None:
    faults = shared_clips.parent / "faults"
    if not faults.is_dir():
        pytest.skip(f"no {faults}")
    late = inspect(faults / "08_sound_400ms_late.mp4")
    assert late.voice is not None
    assert late.voice.shifted_ms == pytest.approx(400, abs=40)
    ended = inspect(faults / "07_sound_ends_after_4s.mp4")
    assert "sound_ends_early" in codes(ended.findings)
    assert ended.trainable


def test_nothing_is_said_of_the_lips_of_a_turned_face(presenter: Presenter, tmp_path: Path) -> None:
    """The remedy is to turn the clip; that its lips are strange would only be a second riddle."""
    upright, presenter.frames = (
        presenter.frames,
        [np.ascontiguousarray(f[::-1, ::-1]) for f in presenter.frames],
    )
    try:
        clip = presenter.film(tmp_path / "turned.mp4", presenter.voice)
    finally:
        presenter.frames = upright
    found = inspect(clip)
    assert {finding.code for finding in found.findings if finding.severity == "error"} == {"upside_down"}
    assert found.voice is None
