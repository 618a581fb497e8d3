from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from faces.texture import Texture
from faces.track import Motion
from rendering.compositor import Compositor
from rendering.export import OnnxGenerator, Renderer, export_onnx
from rendering.generator import Generator, GeneratorConfig
from rendering.memory import Memory, MemoryConfig
from rendering.renderer import FrameRenderer, FrameRendererConfig
from tests.generated_clip import HEIGHT, WIDTH, choreography, generated_clip, render, true_track
from tests.rendering.generated_person import generated_compositor, generated_texture, psnr

COUNT = 11
SOURCES = np.array([30, 31, 32, 33, 5, 6, 7, 8, 9, 20, 21])


def _chunks(motion: Motion, sources: np.ndarray, sizes: list[int]) -> Iterator[tuple[Motion, np.ndarray]]:
    start = 0
    for size in sizes:
        yield motion[start : start + size], sources[start : start + size]
        start += size


@pytest.fixture(scope="module")
def motion() -> Motion:
    return generated_clip().track.motion[10 : 10 + COUNT]


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> OnnxGenerator:
    """Random weights whose picture differs from the composite, and a memory that answers differently per frame."""
    torch.manual_seed(0)
    network, memory = (
        Generator(GeneratorConfig(width=8, rank=8)).eval(),
        Memory(MemoryConfig(slots=12)).eval(),
    )
    values = torch.randn(12, network.config.value_size)
    network.standardise(values)
    network.heads.weight.data.mul_(100)
    memory.set_threshold(values)
    memory.update(memory.query(torch.rand(12, 15, 64, 64)).detach(), values, torch.arange(12))
    path = tmp_path_factory.mktemp("generator") / "generator.onnx"
    export_onnx(Renderer(network, memory, 64, {}, {}), path)
    return OnnxGenerator(path, threads=1)


def test_a_frame_over_itself_comes_back() -> None:
    clip = generated_clip()
    index = np.array([3, 17, 29])
    frames = list(FrameRenderer(generated_compositor(), None).render([(clip.track.motion[index], index)]))
    assert len(frames) == 3
    for k, frame in zip(index, frames, strict=True):
        assert frame.shape == (HEIGHT, WIDTH, 3)
        assert frame.dtype == np.uint8
        assert psnr(frame, clip.frames[k]) > 34


def test_outside_of_the_crop_the_source_frame_is_untouched(motion: Motion) -> None:
    clip = generated_clip()
    numbered = clip.frames.copy()
    numbered[:, :4] = np.arange(len(numbered), dtype=np.uint8)[
        :, None, None, None
    ]  # the wall never changes: mark it
    compositor = Compositor(clip.track, generated_texture(), numbered)
    frames = list(FrameRenderer(compositor, None).render([(motion, SOURCES)]))
    assert len(frames) == COUNT
    for t, frame in enumerate(frames):
        left, top, side = compositor.compose(motion[t : t + 1], int(SOURCES[t])).box
        outside = np.ones((HEIGHT, WIDTH), bool)
        outside[max(top, 0) : top + side, max(left, 0) : left + side] = False
        assert outside[:4].all()
        source = numbered[SOURCES[t]]
        np.testing.assert_array_equal(frame[outside], source[outside])
        assert np.abs(frame.astype(int) - source).max() > 30  # inside, something was done


def test_there_is_no_seam_at_the_crops_border(motion: Motion) -> None:
    """A crop of quite another colour fades in: no step between neighbouring pixels as large as the change."""
    compositor = generated_compositor()
    renderer = FrameRenderer(compositor, None)
    item = renderer._prepare(motion[4:5], 5, 64)
    white = np.full_like(item.layers.image, 255)
    change = renderer._put_back(white, item.layers.box, item.source).astype(int) - generated_clip().frames[5]
    room = 255 - generated_clip().frames[5].astype(int)
    share = (change / np.maximum(room, 1)).mean(-1)
    left, top, side = item.layers.box
    middle = share[np.clip(top + side // 2, 0, HEIGHT - 1)]
    assert middle[left + side // 2] > 0.99
    assert np.abs(np.diff(middle)).max() < 0.15


def test_the_source_frames_are_not_written_to(motion: Motion) -> None:
    before = generated_clip().frames.copy()
    list(FrameRenderer(generated_compositor(), None).render([(motion, SOURCES)]))
    np.testing.assert_array_equal(generated_clip().frames, before)


@pytest.mark.parametrize("sizes", [[1] * COUNT, [3, 5, 3], [4, 7]])
@pytest.mark.parametrize("with_network", [False, True])
def test_chunks_do_not_matter(
    motion: Motion, generator: OnnxGenerator, sizes: list[int], with_network: bool
) -> None:
    renderer = FrameRenderer(generated_compositor(), generator if with_network else None)
    whole = np.stack(list(renderer.render([(motion, SOURCES)])))
    parts = np.stack(list(renderer.render(_chunks(motion, SOURCES, sizes))))
    assert whole.shape == (COUNT, HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(parts, whole)


def test_values_recalled_for_every_second_frame_are_nearly_those_of_every_frame(
    motion: Motion, generator: OnnxGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    compositor, asked = generated_compositor(), []
    recall = generator.recall

    def counted(frames: NDArray[np.float32]) -> NDArray[np.float32]:
        asked.append(len(frames))
        return recall(frames)

    monkeypatch.setattr(generator, "recall", counted)
    pictures, calls = [], []
    for every in (1, 2, 100):
        asked.clear()
        config = FrameRendererConfig(recall_every=every)
        pictures.append(
            np.stack(list(FrameRenderer(compositor, generator, config=config).render([(motion, SOURCES)])))
        )
        calls.append(sum(asked))
    assert calls == [COUNT, (COUNT + 1) // 2, 1]
    apart = [np.abs(pictures[0].astype(int) - other).mean() for other in pictures[1:]]
    assert apart[0] < min(apart[1], 0.5)


def test_the_network_paints_into_the_crop_only(motion: Motion, generator: OnnxGenerator) -> None:
    compositor = generated_compositor()
    bare = list(FrameRenderer(compositor, None).render([(motion, SOURCES)]))
    painted = list(FrameRenderer(compositor, generator).render([(motion, SOURCES)]))
    assert len(painted) == len(bare) == COUNT
    for t, (one, other) in enumerate(zip(bare, painted, strict=True)):
        left, top, side = compositor.compose(motion[t : t + 1], int(SOURCES[t])).box
        inside = np.zeros((HEIGHT, WIDTH), bool)
        inside[max(top, 0) : top + side, max(left, 0) : left + side] = True
        assert np.abs(one.astype(int) - other)[inside].mean() > 1
        np.testing.assert_array_equal(one[~inside], other[~inside])


def test_what_the_network_keeps_keeps_the_composites_detail(motion: Motion, generator: OnnxGenerator) -> None:
    renderer = FrameRenderer(generated_compositor(), generator, config=FrameRendererConfig(detail=0.0))
    item = renderer._prepare(motion[:1], 30, 64)
    keep = np.ones((64, 64), np.float32)
    np.testing.assert_array_equal(renderer._full_size(item, item.picture, keep), item.layers.image)
    # Where nothing is kept the picture is the network's own, enlarged.
    flat = np.full((3, 64, 64), 0.5, np.float32)
    painted = renderer._full_size(item, flat, np.zeros((64, 64), np.float32))
    left, top, side = renderer.compositor.window
    rim = round(0.1 * side)
    within = painted[top + rim : top + side - rim, left + rim : left + side - rim]
    np.testing.assert_allclose(within, 191, atol=1)
    # Outside of its window, and on the window's very edge, the composite stays.
    aside = np.ones(painted.shape[:2], bool)
    aside[top + 1 : top + side - 1, left + 1 : left + side - 1] = False
    assert np.abs(painted.astype(int) - item.layers.image)[aside].max() <= 4
    # With all of its detail, the composite differs from the painted picture by what is coarse.
    sharp = FrameRenderer(generated_compositor(), generator, config=FrameRendererConfig(detail=1.0))
    painted = sharp._full_size(item, item.picture + 0.1, np.zeros((64, 64), np.float32)).astype(int)
    within = (slice(top + rim, top + side - rim), slice(left + rim, left + side - rim))
    np.testing.assert_allclose(painted[within], (item.layers.image[within] + 12.75).clip(0, 255), atol=1.5)
    # Half kept, and the network paints what the composite shows: no change but the lost detail.
    half = renderer._full_size(item, item.picture, np.full((64, 64), 0.5, np.float32))
    assert psnr(half, item.layers.image) > 24
    blurred = cv2.resize(
        cv2.resize(item.layers.image, (64, 64), interpolation=cv2.INTER_AREA), half.shape[:2]
    )
    assert psnr(half, item.layers.image) > psnr(blurred, item.layers.image) + 3


def test_nothing_in_nothing_out(generator: OnnxGenerator, motion: Motion) -> None:
    for network in (None, generator):
        assert list(FrameRenderer(generated_compositor(), network).render([])) == []
        assert list(FrameRenderer(generated_compositor(), network).render([(motion[:0], SOURCES[:0])])) == []


def test_frames_stream_before_the_motion_has_ended(generator: OnnxGenerator, motion: Motion) -> None:
    """An hour of motion must not be read before the first frame comes out."""
    taken = 0

    def endless() -> Iterator[tuple[Motion, np.ndarray]]:
        nonlocal taken
        while True:
            taken += 1
            yield motion[:2], SOURCES[:2]

    frames = FrameRenderer(generated_compositor(), generator).render(endless())
    for _ in range(6):
        next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert taken < 30


def test_a_bad_source_fails_loudly(motion: Motion) -> None:
    with pytest.raises(IndexError):
        list(FrameRenderer(generated_compositor(), None).render([(motion[:2], np.array([0, 4000]))]))


@pytest.mark.parametrize(("width", "height"), [(301, 257), (223, 341)])
def test_odd_frame_sizes(width: int, height: int, generator: OnnxGenerator) -> None:
    track = true_track(choreography(6, generated_compositor().model), width=width, height=height)
    frames = render(track)
    texture = Texture(generated_texture().image, generated_texture().seen)
    compositor = Compositor(track, texture, frames)
    sources = np.array([5, 0])
    for network in (None, generator):
        out = list(FrameRenderer(compositor, network).render([(track.motion[:2], sources)]))
        assert [frame.shape for frame in out] == [(height, width, 3)] * 2
    same = next(iter(FrameRenderer(compositor, None).render([(track.motion[:1], np.array([0]))])))
    assert psnr(same, frames[0]) > 30


def test_alpha_over_the_source_is_the_whole_frame(motion: Motion) -> None:
    whole = list(FrameRenderer(generated_compositor(), None).render([(motion, SOURCES)]))
    alone = FrameRenderer(generated_compositor(), None, config=FrameRendererConfig(output="alpha"))
    assert alone.size == (WIDTH, HEIGHT)
    for t, picture in enumerate(alone.render([(motion, SOURCES)])):
        assert picture.shape == (HEIGHT, WIDTH, 4)
        assert picture[..., 3].max() == 255
        assert picture[..., 3].min() == 0
        opaque = picture[..., 3:] / 255.0
        laid = picture[..., :3] * opaque + generated_clip().frames[SOURCES[t]] * (1 - opaque)
        assert np.abs(laid - whole[t]).max() <= 1.5


def test_face_is_a_square_of_the_whole_frame_that_holds_the_head(motion: Motion) -> None:
    whole = list(FrameRenderer(generated_compositor(), None).render([(motion, SOURCES)]))
    renderer = FrameRenderer(generated_compositor(), None, config=FrameRendererConfig(output="face"))
    width, height = renderer.size
    assert width == height
    assert width % 2 == 0
    points = generated_clip().track.landmarks
    left, top, right, bottom = renderer._face
    assert (points[..., 0] > left).all()
    assert (points[..., 0] < right).all()
    assert (points[..., 1] > top).all()
    assert (points[..., 1] < bottom).all()
    for picture, frame in zip(renderer.render([(motion, SOURCES)]), whole, strict=True):
        np.testing.assert_array_equal(picture, frame[top:bottom, left:right])
