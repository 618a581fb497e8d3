"""What a consent recording is refused for, and what it is not, on the bundled presenter and on faces that are made."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from likeness.database import Database
from likeness.intake import Intake
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.tables import EMBEDDED
from media.audio import read_wav
from media.decode import read_frames
from media.normalise import normalise_recording
from problems import InvalidParameter, NoFace, UnreadableMedia
from tests.fitting.moving_face import SIDE, moving_face, scenery
from tests.media.generated import write_media
from training.progress import Tick
from workers.earlier_takes import EarlierTakes
from workers.stages.consent import ConsentLimits, run, same_face

Picture = Callable[[int], NDArray[np.uint8]]
FRAMES = 160
LIMITS = ConsentLimits(described=6)


class Presenter:
    """Some seconds of the bundled clip at the size of the made faces, her voice, and another sentence of hers."""

    def __init__(self, clip: Path, recording: Path, folder: Path) -> None:
        self.frames = list(read_frames(clip, max_side=SIDE, stop=FRAMES))
        self.voice, self.other = (
            self._sound(path, folder / f"{path.stem}.wav") for path in (clip, recording)
        )

    @staticmethod
    def _sound(path: Path, wav: Path) -> NDArray[np.float32]:
        normalise_recording(path, wav)
        return read_wav(wav)[: FRAMES * 640, None]

    def __call__(self, index: int) -> NDArray[np.uint8]:
        return self.frames[index]


@pytest.fixture(scope="module")
def presenter(
    sample_clip: Path, sample_recording: Path, tmp_path_factory: pytest.TempPathFactory
) -> Presenter:
    return Presenter(sample_clip, sample_recording, tmp_path_factory.mktemp("presenter"))


def film(path: Path, picture: Picture, sound: NDArray[np.float32] | None, frames: int = FRAMES) -> Path:
    options = {"preset": "ultrafast", "crf": "16"}
    samples = None if sound is None else sound[: frames * 640]
    return write_media(path, picture, frames, sound=samples, rate=16000, options=options)


def check(recording: Path, **settings: Any) -> dict[str, Any]:
    report = run(recording, **{"passcode": "seven four nine", "limits": LIMITS, **settings})
    assert report["measures"]["passcode"] == "unchecked"
    assert report["accepted"] is not bool(codes(report, "error"))
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert all(finding["message"] and finding["remedy"] for finding in report["findings"])
    return report


def codes(report: dict[str, Any], severity: str) -> set[str]:
    return {finding["code"] for finding in report["findings"] if finding["severity"] == severity}


@pytest.fixture(scope="module")
def astronaut(tmp_path_factory: pytest.TempPathFactory, presenter: Presenter) -> Path:
    """Another person's clip."""
    return film(tmp_path_factory.mktemp("astronaut") / "clip.mp4", moving_face, presenter.voice, 50)


def test_the_person_who_speaks_is_accepted(tmp_path: Path, presenter: Presenter, sample_clip: Path) -> None:
    ticks: list[Tick] = []
    recording = film(tmp_path / "consent.mp4", presenter, presenter.voice)
    report = check(recording, clip=sample_clip, language="de", progress=ticks.append)
    assert report["accepted"], report["findings"]
    assert codes(report, "warning") == set()
    [note] = [finding for finding in report["findings"] if finding["severity"] == "info"]
    assert note["code"] == "passcode_unchecked"
    assert "seven four nine" in note["remedy"]
    assert note["facts"] == {"passcode": "seven four nine", "language": "de"}
    measures = report["measures"]
    assert measures["seconds"] == pytest.approx(FRAMES / 25, abs=0.1)
    assert measures["lips_follow_voice"] > 0.4
    assert measures["lips_z"] > 5
    assert abs(measures["lips_lag_frames"]) <= 2
    assert measures["identity_distance"] < 0.4
    assert measures["identity_strange_frames"] == 0
    assert measures["head_range"] > 0.05
    assert measures["voice_seconds"] > 4
    assert isinstance(measures["blinks"], int)
    assert {tick.stage for tick in ticks} == {"inspect", "consent"}


def test_a_clip_that_was_encoded_anew_is_refused(
    tmp_path: Path, presenter: Presenter, settings: Settings, database: Database, store: LocalStore
) -> None:
    """Whatever its face, voice and lips are like: they are the clip's."""
    clip = film(tmp_path / "clip.mp4", presenter, presenter.voice, 100)
    with Intake(settings, database, store) as intake:
        intake.write(clip.read_bytes())
        upload = intake.finish(filename="clip.mp4", media_type="video/mp4", purpose="clip")
    sound = presenter.voice[15 * 640 : 100 * 640]
    copy = film(tmp_path / "consent.mkv", lambda index: presenter(15 + index)[:, ::-1], sound, 85)
    report = check(copy, earlier=EarlierTakes(database, store, EMBEDDED, {}))
    assert codes(report, "error") == {"recording_reused"}
    assert upload.id in report["findings"][0]["message"]
    assert "lips_follow_voice" not in report["measures"], "nothing more is looked for"


class Ear:
    """A recogniser that always hears the same words."""

    name, languages = "ear", ("en",)

    def __init__(self, *words: str) -> None:
        self.words = list(words)

    def hear(self, samples: NDArray[np.float32], language: str, vocabulary: Sequence[str]) -> list[str]:
        assert len(samples) > 16000 * 3
        return self.words


@pytest.mark.slow
def test_what_a_recogniser_hears_is_reported_and_refuses_nobody(tmp_path: Path, presenter: Presenter) -> None:
    """Only the passcode's words: what else was said holds a name."""
    recording = film(tmp_path / "consent.mp4", presenter, presenter.voice, 80)
    asked = {"passcode": "seven four nine", "limits": LIMITS}
    report = run(recording, **asked, recogniser=lambda: Ear("i", "am", "robin", "seven", "four", "nine"))
    assert report["words"] == {"heard": True, "by": "ear", "missing": []}
    assert report["measures"]["passcode"] == "heard"
    assert "passcode_heard" in codes(report, "info")
    assert "robin" not in json.dumps(report)
    report = run(recording, **asked, recogniser=lambda: Ear("seven", "nine"))
    assert report["accepted"], "a person may hear what a program does not"
    assert report["words"] == {"heard": False, "by": "ear", "missing": ["four"]}
    assert codes(report, "warning") >= {"passcode_not_heard"}
    german = run(recording, **asked, language="de", recogniser=lambda: Ear("seven"))
    assert "words" not in german, "it knows no German"
    assert "passcode_unchecked" in codes(german, "info")


def test_somebody_else_and_a_voice_from_elsewhere_are_refused(
    tmp_path: Path, presenter: Presenter, astronaut: Path
) -> None:
    # Backwards: forwards it has by chance the rhythm of her own sentence.
    elsewhere = np.pad(presenter.other[::-1], ((FRAMES * 640 - len(presenter.other), 0), (0, 0)))
    report = check(film(tmp_path / "consent.mp4", presenter, elsewhere), clip=astronaut)
    assert codes(report, "error") == {"another_person", "lips_strange"}
    measures = report["measures"]
    assert measures["identity_distance"] > 0.65
    assert measures["identity_strange_frames"] == 1
    assert measures["lips_follow_voice"] < 0.2
    assert measures["lips_z"] < 1


@pytest.mark.slow
def test_faces_are_compared_alone(
    presenter: Presenter, astronaut: Path, sample_clip: Path, tmp_path: Path
) -> None:
    own = film(tmp_path / "own.mp4", lambda index: presenter(100 + index), presenter.voice, 50)
    assert same_face(own, sample_clip, limits=LIMITS) < 0.4
    assert same_face(own, astronaut, limits=LIMITS) > 0.65
    with pytest.raises(NoFace, match="nobody"):
        same_face(film(tmp_path / "nobody.mp4", scenery, None, 10), astronaut, limits=LIMITS)


def _held_in_the_hand(index: int) -> NDArray[np.uint8]:
    shift = np.array([[1, 0, 6 * np.sin(index / 7)], [0, 1, 4 * np.cos(index / 9)]])
    return cv2.warpAffine(moving_face(0), shift, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT).astype(np.uint8)


def _only_the_lips(index: int) -> NDArray[np.uint8]:
    """The first frame with the lower face of others: a photo whose mouth is animated."""
    image = moving_face(0).copy()
    image[175:, 95:215] = moving_face(round(index * 25 / 28) % 25 if index % 2 else index % 25)[175:, 95:215]
    return image


@pytest.mark.slow
@pytest.mark.parametrize(
    ("picture", "code"),
    [
        (lambda _: moving_face(0), "still_image"),
        (_held_in_the_hand, "mouth_still"),
        (lambda index: np.concatenate([moving_face(index), moving_face(index + 40)], 1), "several_faces"),
    ],
    ids=["photo", "photo in the hand", "two people"],
)
def test_what_is_no_living_person_alone(
    tmp_path: Path, presenter: Presenter, picture: Picture, code: str
) -> None:
    report = check(film(tmp_path / "consent.mp4", picture, presenter.voice, 80))
    assert code in codes(report, "error")


@pytest.mark.slow
def test_an_animated_photo_is_refused_for_its_head(tmp_path: Path, presenter: Presenter) -> None:
    report = check(film(tmp_path / "consent.mp4", _only_the_lips, presenter.voice, 80))
    assert report["measures"]["mouth_range"] > LIMITS.min_mouth_range
    assert "head_static" in codes(report, "error")


@pytest.mark.slow
def test_a_recording_without_a_voice(tmp_path: Path, presenter: Presenter) -> None:
    assert codes(check(film(tmp_path / "mute.mp4", moving_face, None, 60)), "error") == {"no_sound"}
    hiss = np.random.default_rng(0).normal(0, 0.05, (52 * 640, 1)).astype(np.float32)
    report = check(film(tmp_path / "hiss.mp4", moving_face, hiss, 52))
    assert codes(report, "error") == {"no_voice"}
    assert report["measures"]["voice_seconds"] < 1


def test_too_long_and_too_short(tmp_path: Path, presenter: Presenter) -> None:
    recording = film(tmp_path / "consent.mp4", moving_face, presenter.voice, 40)
    assert codes(check(recording), "error") == {"too_short"}
    report = check(recording, limits=ConsentLimits(min_seconds=0.4, max_seconds=1.0))
    assert codes(report, "error") == {"too_long"}
    assert "limit is 1 s" in report["findings"][0]["message"]


def test_a_file_that_is_no_video_is_a_finding_and_a_clip_that_is_none_an_error(
    tmp_path: Path, presenter: Presenter
) -> None:
    (tmp_path / "nothing.mp4").write_text("no media")
    assert codes(check(tmp_path / "nothing.mp4"), "error") == {"unreadable_media"}
    recording = film(tmp_path / "consent.mp4", presenter, presenter.voice, 52)
    with pytest.raises(UnreadableMedia):
        check(recording, clip=tmp_path / "nothing.mp4")


def test_a_consent_needs_a_passcode(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="passcode"):
        run(tmp_path / "consent.mp4", passcode=" ")


def test_real_people_are_accepted_and_told_apart(shared_clips: Path) -> None:
    one, other = shared_clips / "english_male_10s.mp4", shared_clips / "german_male_20s.mp4"
    report = check(one, clip=other)
    assert codes(report, "error") == {"another_person"}
    assert codes(report, "warning") == set()
    assert report["measures"]["lips_follow_voice"] > 0.4
