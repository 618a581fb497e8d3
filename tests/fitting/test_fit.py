from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from faces.camera import Camera, to_camera
from faces.morphable import SKIN, TEETH, MorphableModel
from faces.raster import rasterize
from faces.rotation import compose
from faces.track import FaceTrack
from fitting.fit import (
    FitConfig,
    OffsetSpreader,
    Person,
    fit_landmarks,
    project_landmarks,
    reprojection_error,
)
from fitting.landmarks import LANDMARKS, Landmarks
from fitting.windows import landmark_weights
from problems import Cancelled, NoFace
from tests.generated_clip import (
    FRAMES,
    HEIGHT,
    WIDTH,
    choreography,
    detected_landmarks,
    exact_landmarks,
    fitted_track,
    generated_clip,
    true_track,
)
from training.progress import Tick

SIZE = (WIDTH, HEIGHT)


@pytest.fixture(scope="module")
def truth() -> FaceTrack:
    return generated_clip().track


@pytest.fixture(scope="module")
def from_exact(truth: FaceTrack) -> FaceTrack:
    return fit_landmarks(exact_landmarks(truth), SIZE)


@pytest.fixture(scope="module")
def known(truth: FaceTrack) -> FaceTrack:
    return fit_landmarks(exact_landmarks(truth), SIZE, person=Person.of(truth))


def _turn_between(one: FaceTrack, other: FaceTrack) -> np.ndarray:
    """(T,) degrees."""
    return np.degrees(np.linalg.norm(compose(one.motion.rotation, -other.motion.rotation), axis=1))


def _coefficient(track: FaceTrack, name: str) -> np.ndarray:
    return track.motion.expression[:, track.expression_names.index(name)]


def _without(landmarks: Landmarks, frames: list[int]) -> Landmarks:
    points, faces = landmarks.points.copy(), landmarks.faces.copy()
    points[frames], faces[frames] = np.nan, 0
    return Landmarks(points, landmarks.depth, faces)


def test_a_clip_of_pixels_is_fitted(truth: FaceTrack) -> None:
    """MediaPipe's own landmarks of the rendered frames, nothing known of the person."""
    track = fitted_track()
    assert len(track) == FRAMES
    assert track.valid.all()
    assert track.model == MorphableModel.load().name
    assert (track.camera.width, track.camera.height) == SIZE
    assert np.nanmean(reprojection_error(track)) < 1.2  # % of the inter-ocular distance
    # A bald head in one plain colour is no person that the detector knows: its nod is read 3 degrees off throughout.
    assert _turn_between(track, truth).mean() < 4.5
    for axis, wanted in ((0, 0.9), (1, 0.98), (2, 0.98)):
        assert np.corrcoef(track.motion.euler()[:, axis], truth.motion.euler()[:, axis])[0, 1] > wanted
    assert np.corrcoef(_coefficient(track, "jawOpen"), _coefficient(truth, "jawOpen"))[0, 1] > 0.85
    # An eye is 15 pixels wide here; the detector draws its lids up to a fifth of a blink off. .90 measured.
    assert np.corrcoef(_coefficient(track, "eyeBlinkLeft"), _coefficient(truth, "eyeBlinkLeft"))[0, 1] > 0.85
    assert np.corrcoef(track.motion.gaze[:, 0], truth.motion.gaze[:, 0])[0, 1] > 0.85


def test_exact_landmarks_of_an_unknown_person(from_exact: FaceTrack, truth: FaceTrack) -> None:
    assert np.nanmean(reprojection_error(from_exact)) < 0.15
    assert _turn_between(from_exact, truth).mean() < 1.0  # a person's zero is only known to the prior
    for name in ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight", "mouthSmileLeft"):
        assert np.corrcoef(_coefficient(from_exact, name), _coefficient(truth, name))[0, 1] > 0.99, name
    assert np.abs(_coefficient(from_exact, "jawOpen") - _coefficient(truth, "jawOpen")).max() < 0.06


def test_exact_landmarks_of_a_known_person(known: FaceTrack, truth: FaceTrack) -> None:
    assert _turn_between(known, truth).max() < 0.2
    # The prior draws each towards 0, and a blink, which moves the fewest landmarks, by most: .068, .012, .025 measured.
    for name, most in (("eyeBlinkLeft", 0.09), ("jawOpen", 0.03), ("mouthSmileLeft", 0.05)):
        assert np.abs(_coefficient(known, name) - _coefficient(truth, name)).max() < most, name
    np.testing.assert_array_equal(known.identity, truth.identity)
    np.testing.assert_array_equal(known.offsets, truth.offsets)
    assert known.camera == truth.camera


def test_gaze_is_found_up_to_the_persons_own_straight_ahead(known: FaceTrack, truth: FaceTrack) -> None:
    expected = truth.motion.gaze - np.median(truth.motion.gaze, axis=0)
    open_eyes = _coefficient(truth, "eyeBlinkLeft") < 0.3
    assert np.abs(known.motion.gaze - expected)[open_eyes].max() < 0.05
    assert known.motion.gaze[:, 0].std() > 0.1


def test_bounds_and_what_is_switched_off(from_exact: FaceTrack) -> None:
    expression = from_exact.motion.expression
    assert expression.min() >= 0
    assert expression.max() <= 1
    for name in ("tongueOut", "mh:nose-compression"):
        assert not _coefficient(from_exact, name).any()
    assert np.abs(from_exact.motion.gaze).max() <= 0.7


def test_missing_frames_are_interpolated_and_flagged(truth: FaceTrack, known: FaceTrack) -> None:
    lost = [0, 12, 13, 14, FRAMES - 1]
    track = fit_landmarks(_without(exact_landmarks(truth), lost), SIZE, person=Person.of(truth))
    assert len(track) == FRAMES
    np.testing.assert_array_equal(np.nonzero(~track.valid)[0], lost)
    assert np.isnan(track.landmarks[lost]).all()
    seen = np.setdiff1d(np.arange(FRAMES), lost)
    assert np.isfinite(track.landmarks[seen]).all()
    assert _turn_between(track, known)[seen].max() < 0.1
    middle = (track.motion.translation[11] + track.motion.translation[15]) / 2
    np.testing.assert_allclose(track.motion.translation[13], middle, atol=1e-3)
    np.testing.assert_array_equal(track.motion.expression[0], track.motion.expression[1])  # held at the ends
    assert np.isnan(reprojection_error(track)[lost]).all()


def test_several_windows_equal_one(truth: FaceTrack, known: FaceTrack) -> None:
    config = FitConfig(window=18, overlap=8)
    windows = fit_landmarks(exact_landmarks(truth), SIZE, person=Person.of(truth), config=config)
    assert _turn_between(windows, known).max() < 0.1
    assert np.abs(windows.motion.translation - known.motion.translation).max() < 1.0
    assert np.abs(windows.motion.expression - known.motion.expression).max() < 0.05


def test_a_picture_of_twice_the_size_is_the_same_scene(truth: FaceTrack, known: FaceTrack) -> None:
    larger = replace(exact_landmarks(truth), points=truth.landmarks * 2)
    focal = truth.camera.focal * 2
    camera = Camera(focal, cx=WIDTH, cy=HEIGHT, width=2 * WIDTH, height=2 * HEIGHT)
    person = replace(Person.of(truth), camera=camera)
    track = fit_landmarks(larger, (2 * WIDTH, 2 * HEIGHT), person=person)
    assert _turn_between(track, known).max() < 0.05
    assert np.abs(track.motion.translation - known.motion.translation).max() < 0.5


def test_no_face() -> None:
    landmarks = _without(detected_landmarks(), list(range(9, FRAMES)))
    with pytest.raises(NoFace, match="only 9 of 40 frames") as caught:
        fit_landmarks(landmarks, SIZE)
    assert caught.value.details["frames_with_face"] == list(range(9))


def test_progress_is_told_and_may_stop_the_fit(truth: FaceTrack) -> None:
    ticks: list[Tick] = []

    def listen(tick: Tick) -> None:
        ticks.append(tick)
        if tick.stage == "fit.frames":
            raise Cancelled("stopped", remedy="start again")

    with pytest.raises(Cancelled):
        fit_landmarks(
            exact_landmarks(truth.frames(slice(0, 14))),
            SIZE,
            config=FitConfig(offset_rounds=1),
            progress=listen,
        )
    assert [t.done for t in ticks if t.stage == "fit.identity"] == [1, 2]


def test_landmark_weights_are_symmetric_in_left_and_right() -> None:
    weights = landmark_weights()
    for right, left in ((33, 263), (61, 291), (159, 386), (234, 454)):
        assert weights[right] == weights[left]


def test_projected_landmarks_do_not_depend_on_the_chunk(truth: FaceTrack) -> None:
    model = MorphableModel.load()
    np.testing.assert_allclose(project_landmarks(truth, model), truth.landmarks, atol=1e-2)
    np.testing.assert_allclose(
        project_landmarks(truth, model, chunk=7), project_landmarks(truth, model), atol=1e-4
    )


@pytest.fixture(scope="module")
def spread() -> OffsetSpreader:
    return OffsetSpreader(MorphableModel.load())


def test_spread_landmarks_get_nearly_what_was_asked(spread: OffsetSpreader) -> None:
    model = spread.model
    points = model.landmark_points(model.mean)
    wanted = np.column_stack([2 * np.sin(points[:, 1] / 40), np.cos(points[:, 0] / 40), points[:, 1] / 60])
    offsets = spread(wanted)
    assert offsets.shape == (model.vertex_count, 3)
    got = model.landmark_points(offsets.astype(np.float32))
    assert np.abs(got - wanted)[spread.used].mean() < 0.1


def test_one_shift_of_all_moves_the_face_as_a_whole_and_teeth_with_it(spread: OffsetSpreader) -> None:
    model = spread.model
    offsets = spread(np.tile([1.0, -2.0, 0.5], (LANDMARKS, 1)))
    placed = to_camera(model.mean, np.zeros(3), np.array([0, 0, 600.0]))
    pixels = np.column_stack([Camera.for_image(200, 200).project(placed), placed[:, 2]])
    fragments = rasterize(pixels, model.triangles, (200, 200))
    face = (fragments.triangle >= 0) & (model.triangle_part[fragments.triangle] == SKIN)
    face &= (np.abs(fragments.interpolate(model.mean, model.triangles) - [0, -20, 90]) < [50, 60, 30]).all(-1)
    assert face.sum() > 2000
    moved = fragments.interpolate(offsets, model.triangles)[face]  # what is seen of the face
    np.testing.assert_allclose(moved, np.tile([1.0, -2.0, 0.5], (face.sum(), 1)), atol=0.4)
    np.testing.assert_allclose(offsets[model.vertex_part == TEETH][0], [1.0, -2.0, 0.5], atol=1e-9)


def test_lips_move_apart_independently(spread: OffsetSpreader) -> None:
    wanted = np.zeros((LANDMARKS, 3))
    wanted[[14, 17, 87, 317, 84, 314, 16, 15]] = [0, -3.0, 0]
    offsets = spread.model.landmark_points(spread(wanted).astype(np.float32))
    assert offsets[14, 1] < -2.0
    assert offsets[13, 1] > -1.0


def test_what_lies_far_from_all_landmarks_stays(spread: OffsetSpreader) -> None:
    points = spread.model.landmark_points(spread.model.mean)
    offsets = spread(np.column_stack([points[:, 1] / 20, np.zeros(LANDMARKS), points[:, 0] / 20]))
    back = spread.model.mean[:, 2] < -60
    assert back.any()
    assert np.abs(offsets[back]).max() < 4.0  # a biharmonic field alone would run away


def test_fitting_is_deterministic(truth: FaceTrack) -> None:
    part = true_track(choreography(12, MorphableModel.load()))
    config = FitConfig(offset_rounds=1)
    one, other = (fit_landmarks(exact_landmarks(part), SIZE, config=config) for _ in range(2))
    np.testing.assert_array_equal(one.motion.rotation, other.motion.rotation)
    np.testing.assert_array_equal(one.offsets, other.offsets)


def test_a_mirrored_picture_gives_the_mirrored_motion(truth: FaceTrack, known: FaceTrack) -> None:
    """Left and right change places; the model is symmetric."""
    model = MorphableModel.load()
    marks = model.landmark_points(model.mean)
    partner = np.linalg.norm(marks[:, None] * [-1, 1, 1] - marks[None], axis=-1).argmin(1)
    assert (partner[partner] == np.arange(478)).all()
    flipped = truth.landmarks[:, partner] * [-1, 1] + [WIDTH, 0]
    identity = Person.of(truth)
    offsets = model.neutral(truth.identity) - model.mean
    vertex_partner = cKDTree(model.mean * [-1, 1, 1]).query(model.mean)[1]
    person = Person(
        np.zeros_like(identity.identity), (offsets[vertex_partner] * [-1, 1, 1]).astype(float), truth.camera
    )
    seen = replace(exact_landmarks(truth), points=flipped.astype(np.float32))
    track = fit_landmarks(seen, SIZE, person=person)
    np.testing.assert_allclose(track.motion.euler()[:, 0], known.motion.euler()[:, 0], atol=0.3)
    np.testing.assert_allclose(track.motion.euler()[:, 1:], -known.motion.euler()[:, 1:], atol=0.3)
    for name in ("jawOpen", "eyeBlinkLeft", "mouthSmileRight"):
        other = name.replace("Left", "#").replace("Right", "Left").replace("#", "Right")
        np.testing.assert_allclose(_coefficient(track, other), _coefficient(known, name), atol=0.1)
