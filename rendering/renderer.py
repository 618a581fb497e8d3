"""Motion in, full frames out: composite, generate, put back into the source frame.

Windows are streamed, so memory does not grow with the length of the recording. The network works at its own size;
its picture is brought to the crop's size by the composite's help: where the network keeps the composite, the
composite's full-resolution detail is kept as well (joint up-sampling by the attention map).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal, TypeVar, get_args

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from faces.track import Motion
from rendering.compositor import Composite, Compositor
from rendering.dataset import cut_window, network_masks, resized
from rendering.export import OnnxGenerator
from rendering.memory import interpolate_stream
from training.runtime import available_cores, one_thread_each

Frame = NDArray[np.uint8]
Made = TypeVar("Made")
Output = Literal["frame", "face", "alpha"]
OUTPUTS: tuple[Output, ...] = get_args(Output)


@dataclass(frozen=True)
class FrameRendererConfig:
    """How frames are put together."""

    output: Output = "frame"
    """``frame``: the clip's whole picture; ``face``: a square of it round the head, one place for the whole clip;
    ``alpha``: what was drawn, with a soft border, on nothing: RGBA at the clip's size."""

    recall_every: int = 2
    """A value is recalled for every so many frames: what is recalled is a mean over time anyway."""
    detail: float = 1.0
    """Share of the composite's detail, finer than the network's pixels, that stays where the network paints, 0..1: the
    clip's own texture is sharper than what a reconstruction loss paints."""
    feather: float = 0.07
    """Share of the crop's side over which it fades into the full frame."""


@dataclass(frozen=True)
class Prepared:
    """A composite with its network input."""

    layers: Composite
    source: int
    picture: NDArray[np.float32]
    """(3, S, S) composite in [-1, 1]."""
    rest: NDArray[np.float32]
    """(6, S, S) source in [-1, 1] and masks in [0, 1]."""


class FrameRenderer:
    """Frames of one person.

    Args:
        compositor: layers of the person.
        generator: the trained network; None gives the bare composite.
    """

    def __init__(
        self,
        compositor: Compositor,
        generator: OnnxGenerator | None,
        *,
        config: FrameRendererConfig | None = None,
    ) -> None:
        self.compositor, self.generator = compositor, generator
        self.config = config or FrameRendererConfig()
        side = compositor.side
        self._feather = _ramp(side, self.config.feather)[..., None]

    def render(self, motion: Iterable[tuple[Motion, NDArray[np.integer]]]) -> Iterator[Frame]:
        """Chunks of (motion (T), source frame per motion frame (T,)) -> frames uint8, in order.

        Each is (H, W, 3) RGB of :attr:`size`, or (H, W, 4) RGBA with output ``alpha``.
        """
        generator, cores = self.generator, available_cores()
        with one_thread_each(), ThreadPoolExecutor(max_workers=cores) as pool:
            frames = (
                (chunk[t : t + 1], int(sources[t])) for chunk, sources in motion for t in range(len(chunk))
            )
            if generator is None:
                yield from _ahead(pool, cores, self._drawn, frames)
                return
            prepared = _ahead(pool, cores, partial(self._prepare, size=generator.size), frames)
            yield from _ahead(pool, cores, self._painted, self._recalled(prepared, generator))

    def _recalled(
        self, prepared: Iterable[Prepared], generator: OnnxGenerator
    ) -> Iterator[tuple[Prepared, NDArray[np.float32], NDArray[np.float32]]]:
        """Each frame with its network input (1, 15, S, S) and the value (1, Dv) recalled for it, a little later."""
        waiting: deque[tuple[Prepared, NDArray[np.float32]]] = deque()
        every = max(self.config.recall_every, 1)

        def recalled() -> Iterator[NDArray[np.float32]]:
            window: deque[NDArray[np.float32]] = deque(maxlen=3)
            value = np.zeros((1, 0), np.float32)
            for number, item in enumerate(prepared):
                while len(window) < 2:  # the first frame repeats itself
                    window.append(item.picture)
                window.append(item.picture)
                frames = np.concatenate([*window, item.rest])[None]  # (1, 15, S, S)
                waiting.append((item, frames))
                if number % every == 0:
                    value = generator.recall(frames)
                yield value

        for values in interpolate_stream(recalled(), generator.half_window):
            for value in values:
                yield *waiting.popleft(), value[None]

    def _painted(self, item: Prepared, frames: NDArray[np.float32], value: NDArray[np.float32]) -> Frame:
        assert self.generator is not None
        images, attention = self.generator.paint(frames, value)
        crop = self._full_size(item, images[0], attention[0, 0])
        return self._put_back(crop, item.layers.box, item.source)

    def _drawn(self, motion: Motion, source: int) -> Frame:
        layers = self.compositor.compose(motion, source)
        return self._put_back(layers.image, layers.box, source)

    def _prepare(self, motion: Motion, source: int, size: int) -> Prepared:
        layers = self.compositor.compose(motion, source)
        window = self.compositor.window
        picture, below = (
            _channels(resized(cut_window(image, window), size), 127.5, 127.5)
            for image in (layers.image, layers.source)
        )
        masks = _channels(network_masks(layers, window, size), 0.0, 255.0)
        return Prepared(layers, source, picture, np.concatenate([below, masks]))

    def _full_size(self, item: Prepared, image: NDArray[np.float32], keep: NDArray[np.float32]) -> Frame:
        """Network image (3, S, S) and attention (S, S) -> (R, R, 3): the network's picture with the composite's detail.

        With m the attention and c the painted colour, image = m composite + (1 - m) c at the network's size; the same
        blend at full size is up(image - m composite) + up(m) composite_full. For any m this is the network's picture at
        the network's size; a greater m keeps more of the composite's finer detail (``detail``).
        """
        size, detail = self.compositor.window[2], self.config.detail
        rim = self._rim  # the network's square must not show
        kept = detail + (1 - detail) * keep
        painted = ((image - kept * item.picture) * (127.5 * rim)).transpose(1, 2, 0)
        painted = cv2.resize(np.ascontiguousarray(painted), (size, size), interpolation=cv2.INTER_CUBIC)
        wide = (
            cv2.resize(1 - (1 - kept) * rim, (size, size), interpolation=cv2.INTER_LINEAR)
            if detail < 1
            else None
        )
        crop = item.layers.image.copy()
        _add(cut_window(crop, self.compositor.window), painted, wide)
        return crop

    @cached_property
    def _rim(self) -> NDArray[np.float32]:
        return _ramp(self.generator.size if self.generator is not None else self.compositor.window[2], 0.05)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the frames."""
        if self.config.output == "face":
            left, top, right, bottom = self._face
            return right - left, bottom - top
        height, width = self.compositor.frames[0].shape[:2]
        return width, height

    @cached_property
    def _face(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of what output ``face`` shows: the square that holds the head in all of the clip."""
        height, width = self.compositor.frames[0].shape[:2]
        boxes = np.array([box for _, box in self.compositor.some_places()], np.float64)
        centre = (boxes[:, :2].min(0) + (boxes[:, :2] + boxes[:, 2:]).max(0)) / 2
        # The crop reaches over the head by a half; so much room serves a head that moves, too.
        side = min(int((boxes[:, 2].max() + np.ptp(boxes[:, :2], axis=0).max()) / 2) * 2, width, height)
        left = int(np.clip(round(centre[0] - side / 2), 0, width - side))
        top = int(np.clip(round(centre[1] - side / 2), 0, height - side))
        return left, top, left + side, top + side

    def _put_back(self, crop: Frame, box: tuple[int, int, int], number: int) -> Frame:
        """Feather a crop (R, R, 3) into source frame ``number`` at full resolution, and show what is asked for."""
        left, top, side = box
        source = self.compositor.frames[number]
        only = self.config.output == "alpha"
        full = np.zeros((*source.shape[:2], 4), np.uint8) if only else source.copy()
        if crop.shape[0] != side:
            crop = cv2.resize(crop, (side, side), interpolation=cv2.INTER_CUBIC)
        height, width = full.shape[:2]
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
        if x0 < x1 and y0 < y1:
            inside = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
            weight = self._edge_free(inside, left, top, width, height)
            below = full[y0:y1, x0:x1]
            if only:
                below[..., :3] = crop[inside]
                below[..., 3:] = (255 * weight).round()
            else:
                _feather_in(below, crop[inside], weight[..., 0])
        if self.config.output == "face":
            x0, y0, x1, y1 = self._face
            return np.ascontiguousarray(full[y0:y1, x0:x1])
        return full

    def _edge_free(
        self, inside: tuple[slice, slice], left: int, top: int, width: int, height: int
    ) -> NDArray[np.float32]:
        """The feather, except along sides where the crop reaches the picture's own border."""
        side = self.compositor.side
        if left >= 0 and top >= 0 and left + side <= width and top + side <= height:
            return self._feather[inside]
        distance = np.full((side, 4), np.inf)
        index = np.arange(side)
        if left >= 0:
            distance[:, 0] = index
        if left + side <= width:
            distance[:, 1] = index[::-1]
        if top >= 0:
            distance[:, 2] = index
        if top + side <= height:
            distance[:, 3] = index[::-1]
        reach = max(side * self.config.feather, 1)
        across = np.clip(distance[:, :2].min(1) / reach, 0, 1)
        down = np.clip(distance[:, 2:].min(1) / reach, 0, 1)
        return np.minimum(down[:, None], across[None, :]).astype(np.float32)[..., None][inside]


def _ahead(
    pool: ThreadPoolExecutor, cores: int, make: Callable[..., Made], work: Iterable[tuple[Any, ...]]
) -> Iterator[Made]:
    """``make`` of every piece of work, in the pool's threads while earlier ones are worked on (order is kept)."""
    pending: deque[Future[Made]] = deque()
    for piece in work:
        pending.append(pool.submit(make, *piece))
        if len(pending) > cores + 2:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _channels(image: NDArray[np.uint8], mean: float, scale: float) -> NDArray[np.float32]:
    """(S, S, 3) -> (3, S, S) float32: less ``mean``, over ``scale``."""
    planes: NDArray[np.float32] = cv2.dnn.blobFromImage(image, 1 / scale, mean=(mean,) * 3)
    return planes[0]


@njit(cache=True, nogil=True)
def _feather_in(below: Any, above: Any, weight: Any) -> None:  # pragma: no cover - compiled
    """below (h, w, 3) uint8, in place: ``above`` over it, with weight (h, w)."""
    for y in range(below.shape[0]):
        for x in range(below.shape[1]):
            a = weight[y, x]
            if a >= 1.0:
                below[y, x] = above[y, x]
            elif a > 0.0:
                for c in range(3):
                    value = np.float32(below[y, x, c])
                    value += a * (np.float32(above[y, x, c]) - value)
                    below[y, x, c] = np.uint8(min(max(value + np.float32(0.5), 0.0), 255.0))


def _add(image: Any, painted: Any, keep: Any) -> None:
    """image (h, w, 3) uint8, in place: ``keep`` (h, w) of it, or all, plus ``painted`` (h, w, 3).

    ``painted`` has its zero at middle grey where nothing is kept: its unit was [-1, 1].
    """
    _add_painted(image, painted, np.ones((1, 1), np.float32) if keep is None else keep)


@njit(cache=True, nogil=True)
def _add_painted(image: Any, painted: Any, keep: Any) -> None:  # pragma: no cover - compiled
    partly = keep.size > 1
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            share = keep[y, x] if partly else np.float32(1.0)
            middle = np.float32(127.5) * (np.float32(1.0) - share)
            for c in range(3):
                value = share * np.float32(image[y, x, c]) + painted[y, x, c] + middle
                image[y, x, c] = np.uint8(min(max(value + np.float32(0.5), 0.0), 255.0))


def _ramp(size: int, share: float) -> NDArray[np.float32]:
    """(size, size) 0 at the border, 1 from ``share`` of the side inwards."""
    edge = np.minimum(np.arange(size), np.arange(size)[::-1]) / max(size * share, 1)
    line = np.clip(edge, 0, 1).astype(np.float32)
    return np.minimum(line[:, None], line[None, :])
