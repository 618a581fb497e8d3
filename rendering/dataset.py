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
from rendering.identity import Box, appearance_value
from rendering.surroundings import pose_features
from training.progress import Progress, Tick, silent
from training.runtime import available_cores, one_thread_each

Images = NDArray[np.uint8]


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


class ClipDataset:
    """The examples of one clip, made once and kept in memory (about 1.6 MB a frame at 256 px).

    Args:
        compositor: of the fitted clip.
        frames: which frames of the clip to learn from; all valid ones by default.
        seed: of the choice of sources.
    """

    def __init__(
        self,
        compositor: Compositor,
        *,
        config: DatasetConfig | None = None,
        seed: int = 0,
        descriptor: FaceDescriptor | None = None,
        progress: Progress = silent,
    ) -> None:
        self.config = config or DatasetConfig()
        track = compositor.track
        valid = np.nonzero(track.valid)[0]
        rng = np.random.default_rng(seed)
        size, passes = self.config.size, self.config.passes
        shape = (len(valid), size, size, 3)
        self.target = np.empty(shape, np.uint8)
        self.masks = np.empty(shape, np.uint8)
        self.inside = np.empty(
            (len(valid), 4), np.int64
        )  # left, top, right, bottom of the real pixels in the crop
        self.composite = np.empty((passes, *shape), np.uint8)
        self.source = np.empty((passes, *shape), np.uint8)
        self.frame = valid
        sources = np.stack(
            [_choose_sources(track.motion[valid], valid, self.config, rng) for _ in range(passes)]
        )
        describe = descriptor or FaceDescriptor()

        def draw(n: int) -> tuple[Box, Box]:
            index = int(valid[n])
            motion, image = track.motion[index : index + 1], compositor.frames[index]
            for k in range(passes):
                layers = compositor.compose(motion, int(sources[k, n]))
                self.composite[k, n] = resized(cut_window(layers.image, compositor.window), size)
                self.source[k, n] = resized(cut_window(layers.source, compositor.window), size)
            self.target[n] = resized(cut_window(compositor.crop(image, layers.box), compositor.window), size)
            self.masks[n] = network_masks(layers, compositor.window, size)
            box = window_box(layers.box, compositor)
            self.inside[n] = _inside(box, image.shape[1], image.shape[0], size)
            local = (track.landmarks[index] - [box[0], box[1]]) * (size / box[2])
            return _around(local, LIPS_OUTER, 0.3), _around(local, (*RIGHT_EYE, *LEFT_EYE), 0.2)

        values, identity = [], np.zeros(0, np.float32)
        with one_thread_each(), ThreadPoolExecutor(available_cores()) as pool:
            for n, (mouth, eyes) in enumerate(pool.map(draw, range(len(valid)))):
                if n % self.config.identity_every == 0:  # who it is does not change from frame to frame
                    index = int(valid[n])
                    identity = describe.describe(compositor.frames[index], track.landmarks[index])
                values.append(appearance_value(self.target[n], mouth, eyes, identity))
                progress(Tick("render.composites", n + 1, len(valid)))
        self._values = torch.from_numpy(np.stack(values))
        self._weights = torch.from_numpy(_sampling_weights(track.landmarks[valid]))
        self._held, self._train = _split(len(valid), self.config.held_out)

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
        return self._batch(self._held, np.zeros(len(self._held), np.int64))

    def batch(self, indices: Tensor, generator: torch.Generator) -> RenderBatch:
        """Examples (B,), each with the sources of a random pass."""
        which = torch.randint(self.config.passes, (len(indices),), generator=generator).numpy()
        return self._batch(self._train[indices.numpy()], which)

    def _batch(self, rows: NDArray[np.int64], passes: NDArray[np.int64]) -> RenderBatch:
        # (B, 3) rows of frames t-2, t-1, t; the clip's first frames repeat themselves.
        window = np.stack([np.maximum(rows - back, 0) for back in (2, 1, 0)], axis=1)
        composite = self.composite[passes[:, None], window]  # (B, 3, S, S, 3)
        valid = torch.zeros(len(rows), 1, self.config.size, self.config.size)
        for n, (left, top, right, bottom) in enumerate(self.inside[rows]):
            valid[n, :, top:bottom, left:right] = 1.0
        return RenderBatch(
            composite_window=_colours(composite).permute(0, 1, 4, 2, 3).contiguous(),
            source=_colours(self.source[passes, rows]).permute(0, 3, 1, 2).contiguous(),
            masks=torch.from_numpy(self.masks[rows]).permute(0, 3, 1, 2).float().div_(255).contiguous(),
            target=_colours(self.target[rows]).permute(0, 3, 1, 2).contiguous(),
            valid=valid,
            value=self._values[rows],
            frame=torch.from_numpy(self.frame[rows].astype(np.int64)),
        )


def _split(total: int, count: int, margin: int = 2) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Held-out and training rows: ``count`` held-out frames in pairs at different moments, neighbours in neither."""
    count = min(count, total // 12)
    moments = np.round(np.linspace(0, total - 1, (count + 1) // 2 + 2)[1:-1]).astype(np.int64)
    held = np.sort(np.concatenate([moments, moments + 1]))[:count]
    near = (held[:, None] + np.arange(-margin, margin + 1)).ravel()
    return held, np.setdiff1d(np.arange(total), near)


def network_masks(layers: Composite, window: tuple[int, int, int], size: int) -> Images:
    """(S, S, 3) uint8: face coverage, mouth, eyes, as the network sees them."""
    stacked = np.stack([cut_window(x, window) for x in (layers.coverage, layers.mouth, layers.eyes)], axis=-1)
    return resized((stacked * 255).round().astype(np.uint8), size)


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


def _colours(image: Images) -> Tensor:
    return torch.from_numpy(image).float().div_(127.5).sub_(1.0)
