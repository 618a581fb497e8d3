from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from faces.mouth import eye_aperture, mouth_opening
from faces.track import Motion
from fitting.landmarks import FaceLandmarker, Landmarks
from studio.presenter import DISTANCE_MM, RISE_MM, SIZE, Presenter, Studio, hair_cover, smooth_step


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(Presenter.invent(seed=11))


def still(studio: Studio, **expression: float) -> Motion:
    names = studio.person.model.expression_names
    row = np.zeros((1, len(names)), np.float32)
    for name, amount in expression.items():
        row[0, names.index(name)] = amount
    place = np.array([[0.0, -RISE_MM, DISTANCE_MM]], np.float32)
    return Motion(np.zeros((1, 3), np.float32), place, row, np.zeros((1, 2), np.float32))


def test_what_is_rendered_is_a_face_that_moves_as_told(studio: Studio) -> None:
    rest = studio.frame(still(studio))
    spoken = studio.frame(still(studio, jawOpen=0.6))
    blink = studio.frame(still(studio, eyeBlinkLeft=1.0, eyeBlinkRight=1.0))
    assert rest.shape == (SIZE, SIZE, 3)
    assert rest.dtype == np.uint8
    with FaceLandmarker(still=True) as landmarker:
        found = landmarker.track([rest, spoken, blink])
    assert found.found.all()
    opening, lids = mouth_opening(found.points), eye_aperture(found.points)
    assert opening[1] > opening[0] + 0.08
    assert lids[2] < 0.5 * lids[0]


def test_the_body_stays_where_it_is(studio: Studio) -> None:
    left = studio.frame(still(studio)).astype(int)
    turned = still(studio)
    yawed = np.array([[0.0, 0.3, 0.0]], np.float32)
    right = studio.frame(Motion(yawed, turned.translation, turned.expression, turned.gaze))
    difference = np.abs(left - right.astype(int)).mean(-1)
    assert difference[SIZE - 60 :].max() <= 8  # the jumper: grain only
    assert difference[150:330, 150:360].mean() > 8


def test_no_hair_grows_on_the_face() -> None:
    points = np.array([[0.0, 95.0, 0.0], [0.0, 60.0, -90.0], [0.0, 0.0, 100.0], [30.0, -30.0, 80.0]])
    assert hair_cover(points).round(3).tolist() == [1.0, 1.0, 0.0, 0.0]
    assert smooth_step(np.array([0.0, 0.5, 1.0]), 1, 0).tolist() == [1.0, 0.5, 0.0]


@pytest.fixture(scope="module")
def presenter_landmarks() -> Landmarks:
    path = Path(__file__).parents[2] / "studio" / "sample" / "presenter.mp4"
    with av.open(str(path)) as container, FaceLandmarker() as landmarker:
        return landmarker.track(frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))


def test_the_bundled_clip_is_a_clip_to_learn_from(sample_clip: Path, presenter_landmarks: Landmarks) -> None:
    with av.open(str(sample_clip)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.width, video.height, float(video.average_rate or 0)) == (SIZE, SIZE, 25.0)
        assert 11.0 <= float(video.duration * video.time_base) <= 14.0  # type: ignore[operator]
        assert audio.codec_context.name == "aac"
    assert (presenter_landmarks.faces == 1).mean() > 0.95
    opening = mouth_opening(presenter_landmarks.points)
    assert np.nanpercentile(opening, 95) - np.nanpercentile(opening, 5) > 0.08, "the mouth speaks"
    lids = eye_aperture(presenter_landmarks.points)
    assert np.nanmin(lids) < 0.6 * np.nanmedian(lids), "the eyes blink"


def test_the_bundled_files_are_small_and_their_licence_lies_beside_them(
    sample_clip: Path, sample_recording: Path
) -> None:
    assert sample_clip.stat().st_size + sample_recording.stat().st_size < 3e6
    assert "CC0" in (sample_clip.parent / "LICENSE").read_text()
    sound = soundfile.info(sample_recording)
    assert (sound.samplerate, sound.channels) == (16000, 1)
    assert 4.0 <= sound.duration <= 7.0
