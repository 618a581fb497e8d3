"""Unwrap the clip's own pixels into the atlas.

For every texel the frames that see it (facing the camera, not hidden by other parts of the head) each give a sample;
the texel takes a weighted median-like mean in which frontal, large views count most. Eyeballs are only taken from
frames with open eyes. What was never seen is filled in from its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from faces.atlas import atlas_for
from faces.camera import to_camera
from faces.morphable import EYES, INNER_MOUTH, TEETH, TONGUE, MorphableModel
from faces.raster import rasterize
from faces.texture import Texture
from faces.track import FaceTrack
from training.progress import Progress, Tick, silent


class ImageSequence(Protocol):
    """Indexable (H, W, 3) uint8 RGB frames."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class TextureConfig:
    """How the clip is unwrapped."""

    size: int = 1024
    """Side of the square atlas in texels."""
    frames: int = 64
    """Frames that give samples, spread over the clip's poses."""
    depth_tolerance: float = 2.5
    """Millimetres by which a texel may lie behind the nearest surface and still count as seen."""
    min_facing: float = 0.25
    """Least cosine between surface normal and view."""


def unwrap_texture(
    track: FaceTrack,
    frames: ImageSequence,
    *,
    model: MorphableModel | None = None,
    config: TextureConfig | None = None,
    progress: Progress = silent,
) -> Texture:
    """Make the texture of a fitted clip.

    Args:
        track: the fitted track of ``frames``.
        frames: indexable (H, W, 3) uint8 RGB images, one per frame of the track.
    """
    config = config or TextureConfig()
    model = model or MorphableModel.load()
    atlas = atlas_for(model)
    texels = atlas.texels(model, config.size)
    rows, columns = np.nonzero(texels.triangle >= 0)
    triangle, weights = texels.triangle[rows, columns], texels.barycentric[rows, columns]
    part = model.triangle_part[triangle]
    neutral = model.neutral(track.identity, track.offsets)
    chosen = _informative_frames(track, config.frames)
    eyes_open = _eyes_open(track)
    samples = np.zeros((len(chosen), len(rows), 3), np.uint8)
    confidence = np.zeros((len(chosen), len(rows)), np.float16)
    for n, index in enumerate(chosen):
        motion = track.motion[index : index + 1]
        vertices = to_camera(
            model.vertices(neutral, motion.expression, motion.gaze)[0],
            motion.rotation[0],
            motion.translation[0],
        )
        image = frames[int(index)]
        height, width = image.shape[:2]
        pixels = np.column_stack([track.camera.project(vertices), vertices[:, 2] + model.recess])
        low = np.floor(pixels[:, :2].min(0)).astype(int).clip(0)
        high = np.ceil(pixels[:, :2].max(0)).astype(int).clip(0, [width, height])
        span = np.maximum(high - low, 1)
        local = pixels - [low[0], low[1], 0]
        fragments = rasterize(local, model.triangles, (int(span[1]), int(span[0])))
        depth = fragments.interpolate(pixels[:, 2:3], model.triangles)[..., 0]
        depth[fragments.triangle < 0] = np.inf
        corners = vertices[model.triangles]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        centre = corners.mean(1)
        facing = -(normal * centre).sum(1) / (
            np.linalg.norm(normal, axis=1) * np.linalg.norm(centre, axis=1) + 1e-9
        )
        facing[np.isin(model.triangle_part, (TEETH, TONGUE, INNER_MOUTH))] = (
            0.8  # seen through the lips, any angle
        )
        place = (local[model.triangles[triangle]] * weights[:, :, None]).sum(1).astype(np.float32)  # (N, 3)
        nearest = _sample(depth.astype(np.float32), place[:, :2] - 0.5, cv2.INTER_NEAREST)
        visible = (place[:, 2] - nearest < config.depth_tolerance) & (facing[triangle] > config.min_facing)
        # Beyond the picture's edge its last pixels would be taken for what lies there.
        visible &= ((place[:, :2] >= 0) & (place[:, :2] <= span)).all(1)
        if not eyes_open[index]:
            visible &= part != EYES
        samples[n] = _sample(image, place[:, :2] + low.astype(np.float32) - 0.5, cv2.INTER_LINEAR)
        confidence[n] = np.where(visible, facing[triangle].clip(0, 1) ** 3, 0)
        progress(Tick("fit.texture", n + 1, len(chosen)))
    colour, total = _robust_colour(samples, confidence)
    image = np.zeros((config.size, config.size, 3), np.uint8)
    seen = np.zeros((config.size, config.size), np.uint8)
    image[rows, columns] = colour
    seen[rows, columns] = (255 * (total / 2.0).clip(0, 1)).astype(np.uint8)
    inner = np.isin(part, (TEETH, TONGUE, INNER_MOUTH))
    dark = _mouth_shadow(colour[inner & (total > 0)])
    filled = _complete(image, seen)
    # A mouth that was never seen open is dark inside; skin colour bleeding in would look like a second lip.
    hidden = inner & (total < 0.4)
    filled[rows[hidden], columns[hidden]] = dark
    return Texture(filled, seen)


def _mouth_shadow(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The dark end of what was seen inside the mouth, (3,) RGB; a warm near-black when nothing was."""
    if len(colours) < 50:
        return np.array([38, 18, 18], np.uint8)
    order = np.argsort(colours.astype(int).sum(1))
    return colours[order[: max(len(order) // 4, 1)]].mean(0).astype(np.uint8)


def _sample(image: NDArray[Any], where: NDArray[np.float32], interpolation: int) -> NDArray[Any]:
    """(H, W[, C]) image at (N, 2) pixel positions -> (N[, C]); folded into rows, as remap's sides are 16-bit."""
    count, width = len(where), 4096
    folded = np.zeros((-(-count // width) * width, 2), np.float32)
    folded[:count] = where
    x, y = folded.reshape(-1, width, 2).transpose(2, 0, 1)
    result = cv2.remap(image, x, y, interpolation, borderMode=cv2.BORDER_REPLICATE)
    return result.reshape(-1, *image.shape[2:])[:count]


def _informative_frames(track: FaceTrack, count: int) -> NDArray[np.int64]:
    """Frames spread evenly in time, plus the turned heads and the open mouths."""
    usable = np.nonzero(track.valid)[0]
    euler = track.motion.euler()[usable]
    jaw = track.motion.expression[usable, track.expression_names.index("jawOpen")]
    even = usable[np.unique(np.linspace(0, len(usable) - 1, count // 2).round().astype(int))]
    extra = max(count // 10, 1)
    picks = [even]
    for score in (euler[:, 1], -euler[:, 1], euler[:, 0], -euler[:, 0], jaw):
        picks.append(usable[np.argsort(-score)[: extra * 3 : 3]])
    return np.unique(np.concatenate(picks))


def _eyes_open(track: FaceTrack) -> NDArray[np.bool_]:
    """(T,) True where the lids are less closed than in most of the clip."""
    blink = [track.expression_names.index(n) for n in ("eyeBlinkLeft", "eyeBlinkRight")]
    closed = track.motion.expression[:, blink].max(1)
    return closed <= np.percentile(closed, 60)


def _robust_colour(
    samples: NDArray[np.uint8], confidence: NDArray[np.float16], chunk: int = 1 << 15
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Per texel: from the confident samples' mean on, outliers are down-weighed (three times, 12 grey levels)."""
    count = samples.shape[1]
    colour = np.zeros((count, 3), np.uint8)
    total = confidence.astype(np.float32).sum(0)
    for start in range(0, count, chunk):
        part = slice(start, start + chunk)
        values = samples[:, part].astype(np.float32)
        weights = confidence[:, part].astype(np.float32)
        # Only the best views of a texel matter: blur comes from averaging glancing ones in.
        weights = weights * (weights >= 0.6 * weights.max(0))
        mean = (values * weights[..., None]).sum(0) / np.maximum(weights.sum(0), 1e-6)[:, None]
        for _ in range(3):
            error = np.abs(values - mean).mean(-1)
            robust = weights / (1 + (error / 12.0) ** 2)
            mean = (values * robust[..., None]).sum(0) / np.maximum(robust.sum(0), 1e-6)[:, None]
        colour[part] = mean.round().clip(0, 255)
    return colour, total


def _complete(image: NDArray[np.uint8], seen: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fill unseen texels by pulling colours down from coarser levels (normalised pyramid)."""
    levels: list[tuple[NDArray[Any], NDArray[Any]]] = [
        (image.astype(np.float32) * (seen > 0)[..., None], (seen > 0).astype(np.float32))
    ]
    while levels[-1][0].shape[0] > 1:
        colour, weight = levels[-1]
        half = (colour.shape[1] // 2, colour.shape[0] // 2)
        smaller = [cv2.resize(level, half, interpolation=cv2.INTER_AREA) for level in (colour, weight)]
        levels.append((smaller[0], smaller[1]))
    filled = levels[-1][0] / np.maximum(levels[-1][1], 1e-6)[..., None]
    for colour, weight in reversed(levels[:-1]):
        up = cv2.resize(filled, (colour.shape[1], colour.shape[0]), interpolation=cv2.INTER_LINEAR)
        known = np.minimum(weight, 1.0)[..., None]
        filled = colour + up * (1 - known)
    return filled.round().clip(0, 255).astype(np.uint8)
