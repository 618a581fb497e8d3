from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest

from faces.mouth import FACE_OVAL, LEFT_EYE, LIPS_OUTER, RIGHT_EYE
from faces.raster import rasterize
from faces.track import Motion
from rendering.compositor import Compositor, CompositorConfig, _cut
from tests.generated_clip import FRAMES, HEIGHT, WIDTH, generated_clip, placed
from tests.rendering.generated_person import generated_compositor, generated_texture, psnr


@pytest.fixture(scope="module")
def compositor() -> Compositor:
    return generated_compositor()


@pytest.fixture(scope="module")
def motion() -> Motion:
    return generated_clip().track.motion


def _displacement(compositor: Compositor, motion: Motion, source: int) -> np.ndarray:
    vertices = compositor.place(motion)
    pixels = compositor._to_crop(compositor._project(vertices), compositor.box(vertices))
    fragments = rasterize(pixels, compositor.model.triangles, (compositor.size, compositor.size))
    return compositor.displacement(vertices, source, fragments, np.zeros(6), None)


@pytest.mark.parametrize("frame", [0, 7, 20, 33])
def test_a_frame_over_itself_is_the_frame(compositor: Compositor, motion: Motion, frame: int) -> None:
    layers = compositor.compose(motion[frame : frame + 1], frame)
    real = compositor.crop(generated_clip().frames[frame], layers.box)
    outside = layers.coverage < 0.01
    assert 0.5 < outside.mean() < 0.95
    assert psnr(layers.image, real, outside) > 50
    assert psnr(layers.image, real, layers.coverage > 0.9) > 28
    assert psnr(layers.image, real) > 34
    np.testing.assert_array_equal(layers.source, real)
    assert np.abs(_displacement(compositor, motion[frame : frame + 1], frame)).max() < 1e-3


def test_layers_have_one_size_and_range(compositor: Compositor, motion: Motion) -> None:
    layers, size = compositor.compose(motion[4:5], 30), compositor.size
    for image in (layers.image, layers.source):
        assert image.shape == (size, size, 3)
        assert image.dtype == np.uint8
    for mask in (layers.coverage, layers.mouth, layers.eyes):
        assert mask.shape == (size, size)
        assert mask.dtype == np.float32
        assert mask.min() >= 0
        assert 0.9 < mask.max() <= 1.0 + 1e-6
    assert layers.box[2] == compositor.side
    assert layers.landmarks.shape == (478, 2)


@pytest.mark.parametrize(("target", "source"), [(20, 0), (20, 26), (5, 12)])
def test_another_frame_is_brought_to_the_targets_pose(
    compositor: Compositor, motion: Motion, target: int, source: int
) -> None:
    layers = compositor.compose(motion[target : target + 1], source)
    real = compositor.crop(generated_clip().frames[target], layers.box)
    face = layers.coverage > 0.9
    bent, unbent = psnr(layers.image, real, face), psnr(layers.source, real, face)
    assert bent > 24
    assert bent > unbent + 6
    track = generated_clip().track
    on_the_surface = compositor.model.landmark_points(
        placed(track, target)
    )  # not where a detector would draw them
    np.testing.assert_allclose(layers.landmarks, track.camera.project(on_the_surface), atol=0.05)


def test_the_warp_vanishes_at_the_crops_border(compositor: Compositor, motion: Motion) -> None:
    for source in (0, 5, 33):
        field = _displacement(compositor, motion[20:21], source)
        border = np.concatenate([field[0], field[-1], field[:, 0], field[:, -1]])
        assert np.abs(field).max() > 8
        assert np.abs(border).max() < 0.1
        layers = compositor.compose(motion[20:21], source)
        edge = np.ones_like(layers.coverage, bool)
        edge[2:-2, 2:-2] = False
        assert np.abs(layers.image.astype(int) - layers.source)[edge].max() <= 3


def test_the_warp_carries_the_head_to_where_it_lies_in_the_source(
    compositor: Compositor, motion: Motion
) -> None:
    """The displacement at a landmark's new place leads to its place in the source frame."""
    truth = generated_clip().track.landmarks
    field = _displacement(compositor, motion[20:21], 5)
    left, top, _ = compositor.box(compositor.place(motion[20:21]))
    for landmark in (10, 151, 9, 168, 5, 50, 280):  # forehead to cheeks; under the chin the neck takes over
        x, y = truth[20, landmark] - [left, top]
        found = field[int(y * compositor.scale), int(x * compositor.scale)]
        assert np.linalg.norm(truth[5, landmark] - truth[20, landmark] - found) < 2.5, landmark


def test_masks_lie_on_their_parts(compositor: Compositor, motion: Motion) -> None:
    layers = compositor.compose(motion[12:13], 30)
    local = (layers.landmarks - [layers.box[0], layers.box[1]]) * compositor.scale

    def hull(*rings: tuple[int, ...]) -> np.ndarray:
        mask = np.zeros(layers.mouth.shape, np.uint8)
        for ring in rings:
            cv2.fillConvexPoly(mask, cv2.convexHull(local[list(ring)].round().astype(np.int32)), 1)
        return mask > 0

    for mask, inside in ((layers.mouth, hull(LIPS_OUTER)), (layers.eyes, hull(RIGHT_EYE, LEFT_EYE))):
        assert mask[inside].min() > 0.4
        assert mask[inside].mean() > 0.85
        far = cv2.dilate(inside.astype(np.uint8), np.ones((31, 31))) == 0
        assert mask[far].max() < 0.02
    oval = hull(FACE_OVAL)
    assert layers.coverage[cv2.erode(oval.astype(np.uint8), np.ones((15, 15))) > 0].mean() > 0.9
    assert layers.coverage[cv2.dilate(oval.astype(np.uint8), np.ones((41, 41))) == 0].max() < 0.05


def test_the_mouth_opens_with_the_jaw_and_the_eyes_turn_with_the_gaze(
    compositor: Compositor, motion: Motion
) -> None:
    jaw = generated_clip().track.expression_names.index("jawOpen")
    shut, opened = motion[10:11].expression.copy(), motion[10:11].expression.copy()
    shut[0, jaw], opened[0, jaw] = 0.0, 0.7
    one, other = (compositor.compose(replace(motion[10:11], expression=e), 10) for e in (shut, opened))
    # The crop may follow the cheeks by a pixel: compare in the frame, not in the crop.
    across, down = (other.box[n] - one.box[n] for n in (0, 1))
    aligned = np.roll(other.image.astype(int), (down, across), axis=(0, 1))
    changed = np.abs(one.image - aligned).mean(-1)
    assert changed[one.mouth > 0.9].mean() > 10
    assert changed[one.eyes > 0.9].mean() < 2
    sideways = compositor.compose(replace(motion[10:11], gaze=np.array([[0.4, 0.0]])), 10)
    ahead = compositor.compose(replace(motion[10:11], gaze=np.array([[-0.4, 0.0]])), 10)
    turned = np.abs(sideways.image.astype(int) - ahead.image).mean(-1)
    assert turned[ahead.eyes > 0.9].mean() > 5 * turned[ahead.mouth > 0.9].mean() + 1


def test_the_sources_light_is_carried_along(motion: Motion) -> None:
    """One frame is darker than the clip: a face composited over it is as dark."""
    clip = generated_clip()
    frames = clip.frames.copy()
    frames[25] = (frames[25] * 0.7).astype(np.uint8)
    dim = Compositor(clip.track, generated_texture(), frames).compose(motion[22:23], 25)
    plain = generated_compositor().compose(motion[22:23], 25)
    face = dim.coverage > 0.95
    ratio = dim.image[face].mean() / plain.image[face].mean()
    assert 0.62 < ratio < 0.8


@pytest.mark.parametrize("shift", [(-170.0, 0.0), (170.0, 0.0), (0.0, -150.0), (0.0, 170.0), (-160.0, 150.0)])
def test_a_crop_may_reach_over_the_frames_border(
    compositor: Compositor, motion: Motion, shift: tuple[float, float]
) -> None:
    aside = replace(
        motion[20:21], translation=motion[20:21].translation + np.array([[*shift, 0.0]], np.float32)
    )
    layers = compositor.compose(aside, 20)
    left, top, side = layers.box
    assert left < 0 or top < 0 or left + side > WIDTH or top + side > HEIGHT
    assert layers.image.shape == (compositor.size, compositor.size, 3)
    frame = generated_clip().frames[20]
    rows = np.clip(np.arange(top, top + side), 0, HEIGHT - 1)
    columns = np.clip(np.arange(left, left + side), 0, WIDTH - 1)
    np.testing.assert_array_equal(layers.source, frame[rows][:, columns])
    assert layers.coverage.max() > 0.9


def test_a_crop_wholly_outside_is_black() -> None:
    frame = np.full((20, 30, 3), 9, np.uint8)
    for left, top in ((40, 0), (-25, 0), (0, 30), (0, -25)):
        assert _cut(frame, left, top, 20).shape == (20, 20, 3)
    np.testing.assert_array_equal(_cut(frame, 4, 3, 10), frame[3:13, 4:14])


def test_large_crops_are_worked_on_at_the_limit(motion: Motion) -> None:
    clip = generated_clip()
    small = Compositor(clip.track, generated_texture(), clip.frames, config=CompositorConfig(max_crop_px=120))
    assert (small.size, small.side) == (120, generated_compositor().side)
    layers, large = small.compose(motion[20:21], 5), generated_compositor().compose(motion[20:21], 5)
    assert layers.image.shape == (120, 120, 3)
    assert layers.box == large.box
    shrunk = cv2.resize(large.image, (120, 120), interpolation=cv2.INTER_AREA)
    assert psnr(layers.image, shrunk) > 22
    np.testing.assert_allclose(layers.landmarks, large.landmarks)


def test_the_order_of_asking_does_not_matter(motion: Motion) -> None:
    clip = generated_clip()
    fresh = Compositor(clip.track, generated_texture(), clip.frames)
    one = fresh.compose(motion[3:4], 18)
    for source in (18, 2, 18):
        fresh.compose(motion[9:10], source)
    again = fresh.compose(motion[3:4], 18)
    np.testing.assert_array_equal(one.image, again.image)
    np.testing.assert_array_equal(one.image, generated_compositor().compose(motion[3:4], 18).image)


def test_the_crop_holds_the_whole_head_in_every_frame(compositor: Compositor, motion: Motion) -> None:
    for t in range(0, FRAMES, 5):
        vertices = compositor.place(motion[t : t + 1])
        left, top, side = compositor.box(vertices)
        x, y = compositor.track.camera.project(vertices).T
        assert left < x.min()
        assert x.max() < left + side
        assert top < y.min()
        assert y.max() < top + side + 1


def test_threads_that_push_out_what_others_ask_for_draw_the_same(motion: Motion) -> None:
    """With room for one source frame, every look finds that another thread has just made its own fit."""
    alone = generated_compositor()
    crowded = Compositor(
        alone.track,
        alone.texture,
        alone.frames,
        surroundings=alone.surroundings,
        config=CompositorConfig(remembered=1),
    )
    work = [(frame, source) for frame in (3, 17) for source in (0, 9, 20, 31)]

    def drawn(compositor: Compositor, frame: int, source: int) -> np.ndarray:
        return compositor.compose(motion[frame : frame + 1], source).image

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda each: drawn(crowded, *each), work))
    for each, image in zip(work, together, strict=True):
        np.testing.assert_array_equal(image, drawn(alone, *each))
    assert len(crowded._light) == len(crowded._source_vertices) == 1
