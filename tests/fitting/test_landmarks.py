from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from faces.mouth import eye_aperture, inter_ocular_distance, mouth_opening
from fitting.landmarks import LANDMARKS, FaceLandmarker, FollowedFace
from media.decode import read_frames
from problems import InvalidParameter
from tests.generated_clip import FRAMES, HEIGHT, WIDTH, detected_landmarks, generated_clip, wall


def test_the_detector_finds_the_generated_face_in_every_frame() -> None:
    found = detected_landmarks()
    assert found.points.shape == (FRAMES, LANDMARKS, 2)
    assert found.depth.shape == (FRAMES, LANDMARKS)
    assert found.points.dtype == found.depth.dtype == np.float32
    assert found.found.all()
    assert (found.faces == 1).all()


def test_points_lie_where_the_model_says() -> None:
    """The landmarks of the model were placed by this detector: they agree to a few percent of the eyes' distance."""
    found, truth = detected_landmarks().points, generated_clip().track.landmarks
    error = np.linalg.norm(found - truth, axis=-1) / inter_ocular_distance(truth)[:, None]
    assert error.mean() < 0.04
    assert np.abs((found - truth).mean((0, 1))).max() < 1.0  # no offset by half a pixel or more in sum


def test_openings_follow_the_truth() -> None:
    found, truth = detected_landmarks().points, generated_clip().track.landmarks
    assert np.corrcoef(mouth_opening(found), mouth_opening(truth))[0, 1] > 0.9
    assert np.corrcoef(eye_aperture(found), eye_aperture(truth))[0, 1] > 0.8


def test_frames_without_a_face_are_nan_and_tracking_goes_on() -> None:
    frames = list(generated_clip().frames[:6])
    frames[2] = frames[3] = wall()
    with FaceLandmarker() as landmarker:
        found = landmarker.track(frames)
    np.testing.assert_array_equal(found.found, [True, True, False, False, True, True])
    assert np.isnan(found.points[2:4]).all()
    assert np.isnan(found.depth[2:4]).all()
    assert np.isfinite(found.points[[0, 1, 4, 5]]).all()


def test_nearer_points_have_less_depth() -> None:
    depth = detected_landmarks().depth
    assert (depth[:, 1] < depth[:, 234]).all()  # the nose before the ear


def test_two_faces_come_largest_first() -> None:
    one = generated_clip().frames[0]
    small = cv2.resize(one, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
    both = np.concatenate([wall(), one], axis=1)
    both[20 : 20 + small.shape[0], 10 : 10 + small.shape[1]] = small
    with FaceLandmarker(still=True, max_faces=2, min_confidence=0.3) as landmarker:
        faces = landmarker.detect(both)
    assert len(faces) == 2
    assert faces[0].shape == (LANDMARKS, 3)
    assert faces[0][1, 0] > WIDTH > faces[1][1, 0]
    assert np.ptp(faces[0][:, 1]) > 1.2 * np.ptp(faces[1][:, 1])


def test_no_frames_and_no_face() -> None:
    with FaceLandmarker(still=True) as landmarker:
        assert landmarker.detect(np.zeros((HEIGHT, WIDTH, 3), np.uint8)) == []
        nothing = landmarker.track([])
    assert nothing.points.shape == (0, LANDMARKS, 2)
    assert nothing.depth.shape == (0, LANDMARKS)
    assert nothing.found.shape == (0,)


@pytest.mark.parametrize("shape", [(HEIGHT, WIDTH), (241, 321)])
def test_pixels_are_those_of_the_given_picture(shape: tuple[int, int]) -> None:
    """An odd size or a view that is not contiguous changes nothing."""
    padded = np.zeros((400, 400, 3), np.uint8)
    padded[20 : 20 + HEIGHT, 30 : 30 + WIDTH] = generated_clip().frames[0]
    cut = padded[20 : 20 + shape[0], 30 : 30 + shape[1]]
    with FaceLandmarker(still=True) as landmarker:
        found = landmarker.detect(cut)
    truth = generated_clip().track.landmarks[0]
    assert np.linalg.norm(found[0][:, :2] - truth, axis=1).mean() < 0.06 * inter_ocular_distance(truth)


def _two_people(frames: int) -> list[NDArray[np.uint8]]:
    """A smaller face at the left, a larger one at the right."""
    pictures = []
    for one in list(generated_clip().frames[:frames]):
        small = cv2.resize(one, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
        both = np.concatenate([wall(), one], axis=1)
        both[20 : 20 + small.shape[0], 10 : 10 + small.shape[1]] = small
        pictures.append(both)
    return pictures


@pytest.mark.parametrize(("near", "left"), [((0.2, 0.4), True), ((0.75, 0.5), False)])
def test_the_chosen_face_is_followed(near: tuple[float, float], left: bool) -> None:
    frames = _two_people(6)
    with FaceLandmarker(max_faces=3, min_confidence=0.3) as landmarker:
        found = landmarker.track(frames, near=near)
    assert found.found.sum() >= 5
    centres = np.nanmean(found.points, axis=1)[found.found]
    assert np.all((centres[:, 0] < WIDTH) == left)


@pytest.mark.slow
def test_each_of_two_real_people_is_followed_as_if_alone(shared_clips: Path) -> None:
    """Two filmed people in one picture: the one pointed at moves as in their own clip, throughout."""
    clips = [shared_clips / name for name in ("german_male_20s.mp4", "english_male_10s.mp4")]
    alone = [[_of_height(image, 360) for image in islice(read_frames(clip), 150)] for clip in clips]
    together = [np.concatenate(pair, axis=1) for pair in zip(*alone, strict=True)]
    left, width = alone[0][0].shape[1], together[0].shape[1]
    for images, offset in zip(alone, (0, left), strict=True):
        with FaceLandmarker() as landmarker:
            truth = landmarker.track(images)
        x, y = np.nanmean(truth.points[0], axis=0)
        with FaceLandmarker(max_faces=3) as landmarker:
            found = landmarker.track(together, near=((offset + float(x)) / width, float(y) / 360))
        both = found.found & truth.found
        assert both.mean() > 0.97
        points = found.points[both] - np.array([offset, 0], np.float32)
        error = (
            np.linalg.norm(points - truth.points[both], axis=-1)
            / inter_ocular_distance(truth.points[both])[:, None]
        )
        assert error.max(axis=1).max() < 0.5  # never the other person
        assert np.median(error) < 0.03
        assert np.corrcoef(mouth_opening(points), mouth_opening(truth.points[both]))[0, 1] > 0.9


def _of_height(image: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    width = round(image.shape[1] * height / image.shape[0])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def test_a_place_without_a_face_is_an_error_that_names_the_faces() -> None:
    with (
        FaceLandmarker(max_faces=3, min_confidence=0.3) as landmarker,
        pytest.raises(InvalidParameter, match=r"no face at 0\.50,0\.02") as caught,
    ):
        landmarker.track(_two_people(2), near=(0.5, 0.02))
    assert len(caught.value.details["faces"]) in (1, 2)


def face_at(x: float, y: float, side: float = 100) -> NDArray[np.float32]:
    corners = np.array([[-1, -1, 0], [1, 1, 0]], np.float32) * side / 2
    return corners + np.array([x, y, 0], np.float32)


def test_a_followed_face_is_lost_rather_than_mixed_up() -> None:
    followed = FollowedFace((0.25, 0.5))
    [first] = followed.among([face_at(750, 500, 300), face_at(250, 500)], 1000, 1000)
    assert first[:, 0].mean() == 250
    [moved] = followed.among([face_at(750, 500, 300), face_at(290, 500)], 1000, 1000)
    assert moved[:, 0].mean() == 290
    assert followed.among([face_at(750, 500, 300)], 1000, 1000) == []
    assert followed.among([], 1000, 1000) == []
    [back] = followed.among([face_at(340, 510), face_at(750, 500, 300)], 1000, 1000)
    assert back[:, 0].mean() == 340
