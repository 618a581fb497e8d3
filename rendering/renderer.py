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
from typing import Literal, TypeVar, get_args

import cv2
import numpy as np
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

    batch: int = 4
    """Frames given to the network at once."""
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
        generator = self.generator
        if generator is None:
            yield from self._ahead(motion, self._drawn)
            return
        prepared = self._ahead(motion, partial(self._prepare, size=generator.size))
        waiting: deque[tuple[Prepared, NDArray[np.float32]]] = deque()

        def recalled() -> Iterator[NDArray[np.float32]]:
            window: deque[NDArray[np.float32]] = deque(maxlen=3)
            chunk: list[NDArray[np.float32]] = []
            for item in prepared:
                while len(window) < 2:  # the first frame repeats itself
                    window.append(item.picture)
                window.append(item.picture)
                frames = np.concatenate([*window, item.rest])  # (15, S, S)
                waiting.append((item, frames))
                chunk.append(frames)
                if len(chunk) == self.config.batch:
                    yield generator.recall(np.stack(chunk))
                    chunk = []
            if chunk:
                yield generator.recall(np.stack(chunk))

        for values in interpolate_stream(recalled(), generator.half_window):
            for start in range(0, len(values), self.config.batch):
                part = values[start : start + self.config.batch]
                items = [waiting.popleft() for _ in part]
                images, attention = generator.paint(np.stack([frames for _, frames in items]), part)
                for (item, _), image, keep in zip(items, images, attention, strict=True):
                    yield self._put_back(self._full_size(item, image, keep[0]), item.layers.box, item.source)

    def _ahead(
        self,
        motion: Iterable[tuple[Motion, NDArray[np.integer]]],
        make: Callable[[Motion, int], Made],
    ) -> Iterator[Made]:
        """``make`` of every frame, in other threads while earlier ones are worked on (order is kept)."""
        cores = available_cores()
        ahead = cores + 2 * self.config.batch
        with one_thread_each(), ThreadPoolExecutor(max_workers=cores) as pool:
            pending: deque[Future[Made]] = deque()
            for chunk, sources in motion:
                for t in range(len(chunk)):
                    pending.append(pool.submit(make, chunk[t : t + 1], int(sources[t])))
                    if len(pending) > ahead:
                        yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def _drawn(self, motion: Motion, source: int) -> Frame:
        layers = self.compositor.compose(motion, source)
        return self._put_back(layers.image, layers.box, source)

    def _prepare(self, motion: Motion, source: int, size: int) -> Prepared:
        layers = self.compositor.compose(motion, source)
        window = self.compositor.window
        picture, below = (
            resized(cut_window(image, window), size).transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
            for image in (layers.image, layers.source)
        )
        masks = network_masks(layers, window, size).transpose(2, 0, 1).astype(np.float32) / 255
        return Prepared(layers, source, picture, np.concatenate([below, masks]))

    def _full_size(self, item: Prepared, image: NDArray[np.float32], keep: NDArray[np.float32]) -> Frame:
        """Network image (3, S, S) and attention (S, S) -> (R, R, 3): the network's picture with the composite's detail.

        With m the attention and c the painted colour, image = m composite + (1 - m) c at the network's size; the same
        blend at full size is up(image - m composite) + up(m) composite_full. For any m this is the network's picture at
        the network's size; a greater m keeps more of the composite's finer detail (``detail``).
        """
        size, detail = self.compositor.window[2], self.config.detail
        rim = self._rim  # the network's square must not show
        keep = detail + (1 - detail) * keep
        painted = ((image - keep * item.picture) * rim).transpose(1, 2, 0)
        keep = 1 - (1 - keep) * rim
        painted = cv2.resize(np.ascontiguousarray(painted), (size, size), interpolation=cv2.INTER_CUBIC)
        wide = cv2.resize(keep, (size, size), interpolation=cv2.INTER_LINEAR)[..., None]
        # painted is in [-1, 1] units, the composite in 0..255: (x + 1) * 127.5 with the constant split by m.
        crop = item.layers.image.copy()
        part = cut_window(crop, self.compositor.window)
        part[...] = ((painted + (1 - wide)) * 127.5 + wide * part).round().clip(0, 255).astype(np.uint8)
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
                below[...] = (below + weight * (crop[inside].astype(np.float32) - below)).round().clip(0, 255)
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


def _ramp(size: int, share: float) -> NDArray[np.float32]:
    """(size, size) 0 at the border, 1 from ``share`` of the side inwards."""
    edge = np.minimum(np.arange(size), np.arange(size)[::-1]) / max(size * share, 1)
    line = np.clip(edge, 0, 1).astype(np.float32)
    return np.minimum(line[:, None], line[None, :])
