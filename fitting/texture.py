"""Unwrap the clip's own pixels into the atlas.

For every texel the frames that see it (facing the camera, not hidden by other parts of the head) each give a sample;
the texel takes a weighted median-like mean in which frontal, large views count most. Eyeballs are only taken from
frames with open eyes. What was never seen is filled in from its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from faces.atlas import atlas_for
from faces.camera import to_camera
from faces.fill import extrapolate
from faces.light import vertex_shading
from faces.morphable import EYES, INNER_MOUTH, TEETH, TONGUE, MorphableModel
from faces.raster import rasterize
from faces.registry import model_named
from faces.texture import Texture
from faces.track import FaceTrack
from fitting.surface import ImageSequence
from training.progress import Progress, Tick, silent
from training.runtime import in_threads


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
    mouth_blur: float = 0.008
    """Share of the atlas's side over which evidence is shared inside the mouth (standard deviation)."""
    mouth_doubt: float = 0.2
    """Frontal views that darkness inside the mouth counts as."""


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
    model = model or model_named(track.model)
    texels = atlas_for(model).texels(model, config.size)
    rows, columns = np.nonzero(texels.triangle >= 0)
    triangle, weights = texels.triangle[rows, columns], texels.barycentric[rows, columns]
    part = model.triangle_part[triangle]
    neutral = model.neutral(track.identity, track.offsets)
    chosen = _informative_frames(track, config.frames)
    eyes_open = _eyes_open(track)
    samples = np.zeros((len(chosen), len(rows), 3), np.uint8)
    confidence = np.zeros((len(chosen), len(rows)), np.uint8)
    shades = np.ones((len(chosen), model.vertex_count, 3), np.float32)
    for n, index in enumerate(chosen):
        motion = track.motion[index : index + 1]
        head = model.vertices(neutral, motion.expression, motion.gaze)[0]
        vertices = to_camera(head, motion.rotation[0], motion.translation[0])
        if len(track.light):
            shades[n] = vertex_shading(model, vertices, track.light[index])
        view = View.of(model, track, vertices, frames[int(index)], config)
        closed = np.array([EYES if not eyes_open[index] else -1], np.int64)
        gather = partial(view.gather, triangle, weights, part, closed, config, samples[n], confidence[n])
        in_threads(gather, len(rows))
        progress(Tick("fit.texture", n + 1, len(chosen)))
    colour, total = np.zeros((len(rows), 3), np.uint8), np.zeros(len(rows), np.float32)
    corners = model.triangles[triangle]
    in_threads(
        lambda s: _combine(
            samples[:, s], confidence[:, s], shades, corners[s], weights[s], colour[s], total[s]
        ),
        len(rows),
    )
    image = np.zeros((config.size, config.size, 3), np.uint8)
    seen = np.zeros((config.size, config.size), np.uint8)
    image[rows, columns] = colour
    seen[rows, columns] = (255 * (total / 2.0).clip(0, 1)).astype(np.uint8)
    inner = np.isin(part, (TEETH, TONGUE, INNER_MOUTH))
    dark = _mouth_shadow(colour[inner & (total > 0)])
    known = (seen > 0).astype(np.float32)
    filled = extrapolate(image * known[..., None], known).round().clip(0, 255).astype(np.uint8)
    for kind in (TEETH, TONGUE, INNER_MOUTH):
        of_kind = part == kind
        place = rows[of_kind], columns[of_kind]
        filled[place] = _soft_inside(colour[of_kind], total[of_kind], place, dark, config)
    return Texture(filled, seen)


def _soft_inside(
    colour: NDArray[np.uint8],
    total: NDArray[np.float32],
    place: tuple[NDArray[np.int64], NDArray[np.int64]],
    dark: NDArray[np.uint8],
    config: TextureConfig,
) -> NDArray[np.uint8]:
    """(N, 3) of one part of the mouth's inside, from its texels' colours, evidence and place in the atlas.

    Lips and jaw are fitted to a millimetre or two, so what is seen between the lips in one frame is gum in the next:
    each texel's colour alone is a lottery, and would draw ragged edges. And a mouth that was never seen open is dark
    inside; skin colour bleeding in would look like a second lip.
    """
    size, sigma = config.size, config.mouth_blur * config.size
    evidence = np.zeros((size, size), np.float32)
    evidence[place] = np.clip(total - 0.3, 0.0, 2.0)  # a glimpse through closed lips is none
    painted = np.zeros((size, size, 3), np.float32)
    painted[place] = colour * evidence[place][:, None]
    mass = cv2.GaussianBlur(evidence, (0, 0), sigma)[place][:, None]
    mean = cv2.GaussianBlur(painted, (0, 0), sigma)[place] + config.mouth_doubt * dark
    result: NDArray[np.uint8] = (mean / (mass + config.mouth_doubt)).round().clip(0, 255).astype(np.uint8)
    return result


@dataclass(frozen=True)
class View:
    """One frame as the texels see it."""

    image: NDArray[np.uint8]  # (h, w, 3) the part of the frame that holds the head
    depth: NDArray[np.float32]  # (h, w) millimetres of the nearest surface, infinite where there is none
    pixels: NDArray[np.float32]  # (V, 3) pixels in that part, and depth
    facing: NDArray[np.float32]  # (F,) cosine between surface normal and view
    corners: NDArray[np.int32]  # (F, 3)

    @classmethod
    def of(
        cls,
        model: MorphableModel,
        track: FaceTrack,
        vertices: NDArray[Any],
        frame: NDArray[np.uint8],
        config: TextureConfig,
    ) -> View:
        height, width = frame.shape[:2]
        pixels = np.column_stack([track.camera.project(vertices), vertices[:, 2] + model.recess])
        low = np.floor(pixels[:, :2].min(0)).astype(int).clip(0, [width - 1, height - 1])
        high = np.ceil(pixels[:, :2].max(0)).astype(int).clip(low + 1, [width, height])
        local = pixels - [low[0], low[1], 0]
        fragments = rasterize(local, model.triangles, (int(high[1] - low[1]), int(high[0] - low[0])))
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
        image = np.ascontiguousarray(frame[low[1] : high[1], low[0] : high[0]])
        return cls(image, depth, local.astype(np.float32), facing.astype(np.float32), model.triangles)

    def gather(
        self,
        triangle: NDArray[np.int32],
        weights: NDArray[np.float32],
        part: NDArray[np.uint8],
        closed: NDArray[np.int64],
        config: TextureConfig,
        colour: NDArray[np.uint8],
        confidence: NDArray[np.uint8],
        some: slice,
    ) -> None:
        """Colours (N, 3) and confidence (N,) of some texels, in place."""
        _gather(
            self.image, self.depth, self.pixels, self.facing, self.corners, triangle[some], weights[some],
            part[some], closed, config.depth_tolerance, config.min_facing, colour[some], confidence[some],
        )  # fmt: skip


@njit(cache=True, nogil=True)
def _gather(
    image: Any, depth: Any, pixels: Any, facing: Any, corners: Any, triangle: Any, weights: Any, part: Any,
    closed: Any, tolerance: Any, min_facing: Any, colour: Any, confidence: Any,
) -> None:  # pragma: no cover - compiled  # fmt: skip
    height, width = depth.shape
    for n in range(len(triangle)):
        t = triangle[n]
        if facing[t] <= min_facing or part[n] == closed[0]:
            continue
        x = y = z = 0.0
        for corner in range(3):
            vertex = corners[t, corner]
            x += weights[n, corner] * pixels[vertex, 0]
            y += weights[n, corner] * pixels[vertex, 1]
            z += weights[n, corner] * pixels[vertex, 2]
        # Beyond the picture's edge its last pixels would be taken for what lies there.
        if x < 0 or y < 0 or x >= width or y >= height:
            continue
        if z - depth[int(y), int(x)] >= tolerance:
            continue
        u, v = min(max(x - 0.5, 0.0), width - 1.001), min(max(y - 0.5, 0.0), height - 1.001)
        i, j = int(u), int(v)
        u, v = u - i, v - j
        below, right = min(j + 1, height - 1), min(i + 1, width - 1)
        for c in range(3):
            top = (1 - u) * image[j, i, c] + u * image[j, right, c]
            bottom = (1 - u) * image[below, i, c] + u * image[below, right, c]
            colour[n, c] = np.uint8((1 - v) * top + v * bottom + 0.5)
        confidence[n] = np.uint8(255.0 * min(facing[t], 1.0) ** 3)


@njit(cache=True, nogil=True)
def _combine(
    samples: Any, confidence: Any, shades: Any, corners: Any, weights: Any, colour: Any, total: Any
) -> None:  # pragma: no cover - compiled
    """Per texel: from the confident samples' mean on, outliers are down-weighed (three times, 12 grey levels)."""
    frames, count = confidence.shape
    values, own = np.empty((frames, 3)), np.empty(frames)
    mean = np.empty(3)
    for n in range(count):
        best = 0
        for f in range(frames):
            total[n] += confidence[f, n] / 255.0
            best = max(best, confidence[f, n])
        if best == 0:
            continue
        used = 0
        for f in range(frames):
            # Only the best views of a texel matter: blur comes from averaging glancing ones in.
            if confidence[f, n] < 0.6 * best:
                continue
            own[used] = confidence[f, n]
            for c in range(3):
                shade = 0.0
                for corner in range(3):
                    shade += weights[n, corner] * shades[f, corners[n, corner], c]
                values[used, c] = samples[f, n, c] / shade
            used += 1
        for turn in range(4):
            mass = 0.0
            last = mean.copy()
            mean[:] = 0.0
            for f in range(used):
                weight = own[f]
                if turn > 0:
                    error = 0.0
                    for c in range(3):
                        error += abs(values[f, c] - last[c]) / 3
                    weight /= 1 + (error / 12.0) ** 2
                mass += weight
                for c in range(3):
                    mean[c] += weight * values[f, c]
            for c in range(3):
                mean[c] /= mass
        for c in range(3):
            colour[n, c] = np.uint8(min(max(mean[c] + 0.5, 0.0), 255.0))


def _mouth_shadow(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The dark end of what was seen inside the mouth, (3,) RGB; a warm near-black when nothing was."""
    if len(colours) < 50:
        return np.array([38, 18, 18], np.uint8)
    order = np.argsort(colours.astype(int).sum(1))
    return colours[order[: max(len(order) // 4, 1)]].mean(0).astype(np.uint8)


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
