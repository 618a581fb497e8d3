"""Training examples of one clip: composites of real frames over other frames of the same clip.

Trained as it will be used: the source frame under an example is never a neighbour of its target (a network that is
shown the frame it has to paint learns to copy), but one about as far away in pose as background matching will find.
Every pass over the clip picks other sources; inside a pass the source runs along with the target for a stretch, so
that the three-frame window is a real sequence.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faces.identity import FaceDescriptor
from faces.mouth import LEFT_EYE, LIPS_OUTER, RIGHT_EYE, eye_aperture, mouth_opening
from faces.track import Motion
from rendering.batches import RenderBatch
from rendering.compositor import Composite, Compositor
from rendering.examples import Examples, Images
from rendering.identity import Box, appearance_value
from rendering.surroundings import pose_features
from training.progress import Progress, Tick, silent
from training.runtime import available_cores, one_thread_each


@dataclass(frozen=True)
class DatasetConfig:
    """How examples are made."""

    size: int = 256
    """Side S of the network's frames in pixels."""
    passes: int = 3
    """Different source frames per target."""
    min_gap: int = 25
    """Frames between a target and its source at least (a sixth of the clip where that is fewer)."""
    nearest: int = 50
    """Sources are drawn among this many frames of nearest pose."""
    stretch: int = 14
    """Frames for which the source runs along with the target."""
    identity_every: int = 4
    """Frames that share one face descriptor, which costs as much as a composite."""
    held_out: int = 8
    """Frames that are never a training target, for the preview strip and early stop."""


def draw_examples(
    compositor: Compositor,
    *,
    config: DatasetConfig | None = None,
    seed: int = 0,
    descriptor: FaceDescriptor | None = None,
    progress: Progress = silent,
) -> Examples:
    """Every valid frame of a fitted clip over sources elsewhere in it (1.2 MB a frame at 256 px and two passes).

    Args:
        compositor: of the fitted clip.
        seed: of the choice of sources.
    """
    config = config or DatasetConfig()
    track = compositor.track
    valid = np.nonzero(track.valid)[0]
    rng = np.random.default_rng(seed)
    size, passes = config.size, config.passes
    shape = (len(valid), size, size, 3)
    target, masks = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
    inside = np.empty((len(valid), 4), np.int64)
    composite, source = np.empty((passes, *shape), np.uint8), np.empty((passes, *shape), np.uint8)
    sources = np.stack([_choose_sources(track.motion[valid], valid, config, rng) for _ in range(passes)])
    describe = descriptor or FaceDescriptor()

    def draw(n: int) -> tuple[Box, Box]:
        index = int(valid[n])
        motion, image = track.motion[index : index + 1], compositor.frames[index]
        for k in range(passes):
            layers = compositor.compose(motion, int(sources[k, n]), unseen=index)
            composite[k, n] = resized(cut_window(layers.image, compositor.window), size)
            source[k, n] = resized(cut_window(layers.source, compositor.window), size)
        target[n] = resized(cut_window(compositor.crop(image, layers.box), compositor.window), size)
        masks[n] = network_masks(layers, compositor.window, size)
        box = window_box(layers.box, compositor)
        inside[n] = _inside(box, image.shape[1], image.shape[0], size)
        local = (track.landmarks[index] - [box[0], box[1]]) * (size / box[2])
        return _around(local, LIPS_OUTER, 0.3), _around(local, (*RIGHT_EYE, *LEFT_EYE), 0.2)

    values, identity = [], np.zeros(0, np.float32)
    with one_thread_each(), ThreadPoolExecutor(available_cores()) as pool:
        for n, (mouth, eyes) in enumerate(pool.map(draw, range(len(valid)))):
            if n % config.identity_every == 0:  # who it is does not change from frame to frame
                index = int(valid[n])
                identity = describe.describe(compositor.frames[index], track.landmarks[index])
            values.append(appearance_value(target[n], mouth, eyes, identity))
            progress(Tick("render.composites", n + 1, len(valid)))
    weights = _sampling_weights(track.landmarks[valid])
    return Examples(target, masks, inside, composite, source, valid, np.stack(values), weights)


class ClipDataset:
    """The examples of one clip, some of which are held out."""

    def __init__(self, examples: Examples, *, held_out: int = DatasetConfig.held_out) -> None:
        self.examples = examples
        self._values, self._weights = torch.from_numpy(examples.values), torch.from_numpy(examples.weights)
        self._held, self._train = _split(len(examples), held_out)
        self._device = torch.device("cpu")

    def to(self, device: torch.device) -> ClipDataset:
        """Batches will be put together on ``device``, where the whole clip goes (a byte a colour)."""
        self._device = device
        return self

    @classmethod
    def of(
        cls,
        compositor: Compositor,
        *,
        config: DatasetConfig | None = None,
        seed: int = 0,
        descriptor: FaceDescriptor | None = None,
        progress: Progress = silent,
    ) -> ClipDataset:
        """Drawn for the purpose; see :func:`draw_examples`."""
        config = config or DatasetConfig()
        return cls(
            draw_examples(compositor, config=config, seed=seed, descriptor=descriptor, progress=progress),
            held_out=config.held_out,
        )

    def __len__(self) -> int:
        return len(self._train)

    @property
    def values(self) -> Tensor:
        """(N, Dv) float32 memory values of the training frames."""
        return self._values[self._train]

    @property
    def weights(self) -> Tensor:
        """(N,) float32 sampling weights: open mouths and closed eyes are rare and are drawn more often."""
        return self._weights[self._train]

    @property
    def held_out(self) -> RenderBatch:
        """The held-out frames, with the sources of the first pass."""
        return self.examples.batch(self._held, np.zeros(len(self._held), np.int64), self._device)

    def batch(self, indices: Tensor, generator: torch.Generator) -> RenderBatch:
        """Examples (B,), each with the sources of a random pass."""
        which = torch.randint(self.examples.passes, (len(indices),), generator=generator).numpy()
        return self.examples.batch(self._train[indices.numpy()], which, self._device)


def _split(total: int, count: int, margin: int = 2) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Held-out and training rows: ``count`` held-out frames in pairs at different moments, neighbours in neither."""
    count = min(count, total // 12)
    moments = np.round(np.linspace(0, total - 1, (count + 1) // 2 + 2)[1:-1]).astype(np.int64)
    held = np.sort(np.concatenate([moments, moments + 1]))[:count]
    near = (held[:, None] + np.arange(-margin, margin + 1)).ravel()
    return held, np.setdiff1d(np.arange(total), near)


def network_masks(layers: Composite, window: tuple[int, int, int], size: int) -> Images:
    """(S, S, 3) uint8: face coverage, mouth, eyes, as the network sees them."""
    stacked = cv2.merge([cut_window(x, window) for x in (layers.coverage, layers.mouth, layers.eyes)])
    return resized(cv2.convertScaleAbs(stacked, alpha=255), size)


def cut_window(image: NDArray[Any], window: tuple[int, int, int]) -> NDArray[Any]:
    """The part of a crop (R, R, ...) that the network sees (``Compositor.window``), a view."""
    left, top, side = window
    return image[top : top + side, left : left + side]


def window_box(box: tuple[int, int, int], compositor: Compositor) -> tuple[float, float, float]:
    """Left, top and side of the network's window in full-frame pixels, for a crop that lies at ``box``."""
    left, top, side = (value / compositor.scale for value in compositor.window)
    return box[0] + left, box[1] + top, side


def _choose_sources(
    motion: Motion, frames: NDArray[np.int64], config: DatasetConfig, rng: np.random.Generator
) -> NDArray[np.int64]:
    """(N,) a source frame for every target, in stretches that run along with the target."""
    features = pose_features(motion)
    gap = min(config.min_gap, max(len(frames) // 6, 1))
    chosen = np.empty(len(frames), np.int64)
    offset, left = 0, 0
    for n in range(len(frames)):
        partner = n + offset
        if left == 0 or not 0 <= partner < len(frames):
            distance = np.linalg.norm(features - features[n], axis=1)
            distance[np.abs(np.arange(len(frames)) - n) < gap] = np.inf
            near = np.argsort(distance)[: min(config.nearest, int(np.isfinite(distance).sum()))]
            partner = int(rng.choice(near))
            offset, left = partner - n, int(rng.integers(config.stretch // 2, config.stretch + 1))
        chosen[n] = partner
        left -= 1
    return frames[chosen]


def _sampling_weights(landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    opening, aperture = mouth_opening(landmarks), eye_aperture(landmarks)
    wide = opening / max(float(np.percentile(opening, 90)), 1e-6)
    closed = aperture < 0.5 * np.median(aperture)
    return (1.0 + 2.0 * np.clip(wide, 0, 1.5) + 2.0 * closed).astype(np.float32)


def _around(points: NDArray[np.float32], members: tuple[int, ...], margin: float) -> Box:
    low, high = points[list(members)].min(0), points[list(members)].max(0)
    grow = margin * (high - low)
    return (
        float(low[0] - grow[0]),
        float(low[1] - grow[1]),
        float(high[0] + grow[0]),
        float(high[1] + grow[1]),
    )


def _inside(box: tuple[float, float, float], width: int, height: int, size: int) -> tuple[int, int, int, int]:
    left, top, side = box
    scale = size / side
    return (
        int(np.ceil(max(-left, 0) * scale)), int(np.ceil(max(-top, 0) * scale)),
        int(min(width - left, side) * scale), int(min(height - top, side) * scale),
    )  # fmt: skip


def resized(image: Images, size: int) -> Images:
    """A square picture (R, R, ...) at side ``size``."""
    if image.shape[0] == size:
        return image
    kind = cv2.INTER_AREA if image.shape[0] > size else cv2.INTER_CUBIC
    result: Images = cv2.resize(image, (size, size), interpolation=kind).astype(np.uint8, copy=False)
    return result
