from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from faces.atlas import atlas_for
from faces.morphable import EYES, INNER_MOUTH, SKIN, TEETH, TONGUE, MorphableModel
from faces.texture import Texture
from faces.track import FaceTrack, Motion
from fitting.texture import TextureConfig, _combine, _mouth_shadow, _soft_inside, unwrap_texture
from tests.generated_clip import choreography, painted, true_track
from training.progress import Tick

SIZE = 256
CONFIG = TextureConfig(size=SIZE, frames=12)


def _checker() -> NDArray[np.uint8]:
    """Soft squares of 16 texels in three colours: smooth enough to survive resampling, sharp enough to be placed."""
    y, x = (np.mgrid[:SIZE, :SIZE] + 0.5) / 16 * np.pi
    waves = [np.sin(x) * np.sin(y), np.sin(x / 2 + 1) * np.sin(y), np.sin(x) * np.sin(y / 2 + 2)]
    return (128 + 90 * np.stack(waves, axis=-1)).round().astype(np.uint8)


@pytest.fixture(scope="module")
def track() -> FaceTrack:
    model = MorphableModel.load()
    return true_track(choreography(24, model), width=420, height=400)


@pytest.fixture(scope="module")
def frames(track: FaceTrack) -> NDArray[np.uint8]:
    return painted(track, _checker())


@pytest.fixture(scope="module")
def texture(track: FaceTrack, frames: NDArray[np.uint8]) -> Texture:
    return unwrap_texture(track, frames, config=CONFIG)


def _part_of_texels() -> NDArray[np.int64]:
    """(A, A) part, -1 where there is no chart."""
    model = MorphableModel.load()
    triangle = atlas_for(model).texels(model, SIZE).triangle
    return np.where(triangle >= 0, model.triangle_part[triangle].astype(int), -1)


def test_texels_that_were_seen_get_their_colour_back(texture: Texture) -> None:
    part = _part_of_texels()
    seen = (texture.seen > 200) & (part == SKIN)
    assert seen.sum() > 6000
    error = np.abs(texture.image.astype(int) - _checker())[seen].mean(-1)
    assert error.mean() < 8  # of contrasts of 180
    assert np.percentile(error, 90) < 25
    shifted = np.abs(texture.image.astype(int) - np.roll(_checker(), 4, axis=1))[seen].mean()
    assert shifted > 3 * error.mean()  # a quarter of a square aside would show


def test_what_no_frame_sees_is_told(texture: Texture) -> None:
    part = _part_of_texels()
    assert (texture.seen[part == -1] == 0).all()
    columns = np.nonzero((texture.seen[40:65] > 100).any(0))[0]  # the forehead, all round
    assert 0.2 * SIZE < columns.min() < 0.3 * SIZE  # the back of the head is never seen
    assert 0.65 * SIZE < columns.max() < 0.75 * SIZE
    assert (texture.seen[part == EYES] > 100).mean() > 0.2


def test_texels_never_seen_are_filled_from_their_surroundings(track: FaceTrack) -> None:
    one_colour = np.full((SIZE, SIZE, 3), (200, 120, 90), np.uint8)
    texture = unwrap_texture(track, painted(track, one_colour), config=CONFIG)
    skin = _part_of_texels() == SKIN
    hidden = skin & (texture.seen == 0)
    assert hidden.sum() > 500
    assert np.abs(texture.image[hidden].astype(int) - [200, 120, 90]).mean() < 30
    seen = np.abs(texture.image[skin & (texture.seen > 200)].astype(int) - [200, 120, 90])
    assert np.percentile(seen, 90) <= 3  # the rim takes a little of the black behind it


def test_a_hand_in_some_frames_does_not_get_into_the_texture(
    track: FaceTrack, frames: NDArray[np.uint8]
) -> None:
    dirty = frames.copy()
    dirty[::5, 180:230, 190:230] = (0, 255, 0)  # over the nose in every fifth frame
    texture = unwrap_texture(track, dirty, config=replace(CONFIG, frames=24))
    clean = unwrap_texture(track, frames, config=replace(CONFIG, frames=24)).image.astype(int)
    first = unwrap_texture(track.frames(slice(0, 1)), dirty[:1], config=CONFIG)
    covered = (first.image[..., 1] > 250) & (first.image[..., 0] < 5) & (texture.seen > 200)
    assert covered.sum() > 500
    assert np.abs(texture.image - clean)[covered].mean() < 6  # a plain mean over the frames is 25 off


def test_frames_without_a_face_are_not_used(
    track: FaceTrack, frames: NDArray[np.uint8], texture: Texture
) -> None:
    broken, valid = frames.copy(), np.ones(len(track), bool)
    broken[3::4], valid[3::4] = 255, False
    without = unwrap_texture(replace(track, valid=valid), broken, config=CONFIG)
    seen = (texture.seen > 200) & (without.seen > 200)
    assert np.abs(texture.image.astype(int) - without.image)[seen].mean() < 8


def test_a_closed_mouth_is_dark_inside(track: FaceTrack) -> None:
    motion = track.motion
    shut = Motion(motion.rotation, motion.translation, np.zeros_like(motion.expression), motion.gaze)
    still = replace(track, motion=shut)
    texture = unwrap_texture(still, painted(still, np.full((SIZE, SIZE, 3), 220, np.uint8)), config=CONFIG)
    inside = np.isin(_part_of_texels(), (TONGUE, INNER_MOUTH))
    assert texture.image[inside & (texture.seen < 20)].max() < 60
    assert texture.image[_part_of_texels() == SKIN].mean() > 180


def test_beyond_the_pictures_edge_nothing_is_seen(track: FaceTrack) -> None:
    """The head half out of the picture: its far half must not wear the border's smeared pixels."""
    motion = track.motion
    place = motion.translation.copy()
    place[:, 0] += 560 * 210 / track.camera.focal  # the nose at the right border
    aside = replace(
        track, motion=Motion(np.zeros_like(motion.rotation), place, motion.expression, motion.gaze)
    )
    texture = unwrap_texture(aside, painted(aside, _checker()), config=CONFIG)
    part = _part_of_texels() == SKIN
    left, right = part.copy(), part.copy()
    left[:, SIZE // 2 - 8 :], right[:, : SIZE // 2 + 24] = False, False
    assert (texture.seen[left] > 100).mean() > 0.25
    assert (texture.seen[right] == 0).all()


def test_teeth_are_seen_through_the_open_lips(texture: Texture) -> None:
    teeth = (_part_of_texels() == TEETH) & (texture.seen > 100)
    assert teeth.sum() > 20
    assert np.abs(texture.image.astype(int) - _checker())[teeth].mean() < 45


def test_one_frame_is_enough(track: FaceTrack, frames: NDArray[np.uint8]) -> None:
    single = unwrap_texture(track.frames(slice(0, 1)), frames[:1], config=CONFIG)
    assert single.image.shape == (SIZE, SIZE, 3)
    assert (single.seen > 0).mean() > 0.1


def test_progress_counts_the_frames(track: FaceTrack, frames: NDArray[np.uint8]) -> None:
    ticks: list[Tick] = []
    unwrap_texture(track.frames(slice(0, 4)), frames[:4], config=CONFIG, progress=ticks.append)
    assert [t.done for t in ticks] == list(range(1, ticks[-1].total + 1))
    assert {t.stage for t in ticks} == {"fit.texture"}


def combined(
    samples: NDArray[np.uint8], confidence: NDArray[np.uint8], light: float = 1.0
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Colours of texels that all lie on one triangle whose light grows from frame to frame up to ``light``."""
    frames, texels = confidence.shape
    shades = np.linspace(1.0, light, frames, dtype=np.float32)[:, None, None] * np.ones((1, 3, 3), np.float32)
    corners, weights = (
        np.tile(np.arange(3, dtype=np.int32), (texels, 1)),
        np.full((texels, 3), 1 / 3, np.float32),
    )
    colour, total = np.zeros((texels, 3), np.uint8), np.zeros(texels, np.float32)
    _combine(samples, confidence, shades, corners, weights, colour, total)
    return colour, total


def test_light_is_taken_out_of_the_samples() -> None:
    samples = np.linspace(80, 160, 9).round().astype(np.uint8)[:, None, None] * np.ones((1, 3, 3), np.uint8)
    colour, _ = combined(samples, np.full((9, 3), 255, np.uint8), light=2.0)
    np.testing.assert_allclose(colour, 80, atol=1)
    plain, _ = combined(samples, np.full((9, 3), 255, np.uint8))
    assert (plain > 100).all()


def test_outliers_lose_against_the_majority() -> None:
    samples = np.full((9, 3, 3), 100, np.uint8)
    samples[:3] = 240
    colour, total = combined(samples, np.full((9, 3), 255, np.uint8))
    assert np.abs(colour.astype(int) - 100).max() < 12  # the plain mean is 147
    np.testing.assert_allclose(total, 9)
    far = np.full((9, 3), 255, np.uint8)
    far[1:] = 25  # one good view against eight glancing ones of another colour
    assert (combined(samples, far)[0] == 240).all()


def test_mouth_shadow_is_the_dark_end() -> None:
    colours = np.concatenate([np.full((90, 3), 200), np.full((60, 3), 20)]).astype(np.uint8)
    np.testing.assert_array_equal(_mouth_shadow(colours), 20)
    assert _mouth_shadow(colours[:10]).max() < 50


def test_the_mouths_inside_is_soft_and_dark_where_it_was_never_seen() -> None:
    """Every texel's own colour is a lottery there; what neighbours share stays, what nobody saw is dark."""
    side = 200
    rows, columns = (index.ravel() for index in np.mgrid[40:160, 40:160])
    lottery = np.random.default_rng(0).choice([40, 220], (len(rows), 1)).repeat(3, 1).astype(np.uint8)
    lottery[rows > 100, 2] = 10  # the lower half has no blue
    seen = (columns < 100).astype(np.float32)
    dark = np.array([30, 20, 20], np.uint8)
    config = TextureConfig(size=side, mouth_blur=0.02, mouth_doubt=0.2)
    soft = _soft_inside(lottery, seen, (rows, columns), dark, config).reshape(120, 120, 3).astype(float)
    within = soft[10:50, 10:40]
    assert within.std() < 0.35 * lottery.std()
    assert 80 < within.mean() < 140
    assert soft[80:110, 10:40, 2].mean() < 15
    np.testing.assert_allclose(soft[:, 100:], np.broadcast_to(dark, (120, 20, 3)), atol=1)
    assert np.abs(np.diff(soft[30], axis=0)).max() < 40  # no step between the two
