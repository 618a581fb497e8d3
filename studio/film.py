"""Pictures of an invented person: rasterised at twice the size, lit, averaged down, then what a camera adds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from faces.atlas import atlas_for
from faces.camera import HEAD_TO_CAMERA, Camera, to_camera
from faces.light import vertex_normals
from faces.morphable import EYES, SKIN, TEETH, TONGUE
from faces.raster import rasterize
from faces.rotation import exp_map
from faces.track import Motion
from studio.backdrop import Backdrop
from studio.complexion import smooth_step
from studio.lighting import Light
from studio.mesh_surface import neighbour_mean
from studio.occlusion import lamp_visibility
from studio.synthetic_people import SyntheticPerson

Array = NDArray[np.float32]

SUPERSAMPLING = 2


@dataclass(frozen=True)
class Lens:
    """What the camera does to light."""

    exposure: float
    """Factor on linear light."""
    focus_px: float
    """Deviation of the focus blur in pixels."""
    shutter: float
    """Share of the frame time for which the shutter is open, 0..1; it smears moving heads."""
    read_noise: float
    """Deviation of the noise in black, grey levels."""
    shot_noise: float
    """Deviation of the noise that grows with the root of light, grey levels at white."""


class Film:
    """Renders frames of one person before one backdrop."""

    def __init__(
        self,
        person: SyntheticPerson,
        camera: Camera,
        backdrop: Backdrop,
        light: Light,
        lens: Lens,
        gloss: float,
    ) -> None:
        self.person, self.camera, self.backdrop, self.light, self.lens = person, camera, backdrop, light, lens
        model = person.model
        self._atlas = atlas_for(model)
        self._smooth = neighbour_mean(model.triangles, model.vertex_count)
        part = model.vertex_part
        wet = np.isin(part, (EYES, TEETH, TONGUE))
        forehead = 1 + 0.6 * smooth_step(model.mean[:, 1], 5, 40)
        self._gloss = np.where(wet, 0.5, gloss * forehead * (1 - person.hair) + 0.06 * person.hair).astype(
            np.float32
        )
        self._polish = np.where(wet, 150.0, np.where(person.hair > 0.5, 8.0, 16.0)).astype(np.float32)
        self._neck = (1 - 0.5 * smooth_step(model.mean[:, 1], -86, -108) * (part == SKIN)).astype(np.float32)

    def frame(self, motion: Motion, index: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Array]:
        """Frame ``index`` of a motion: (H, W, 3) uint8 RGB, and (V, 3) the head's camera millimetres."""
        person, _model, camera = self.person, self.person.model, self.camera
        now = motion[index : index + 1]
        head = person.vertices(now)
        placed = to_camera(head, now.rotation, now.translation)[0].astype(np.float64)
        pixels = camera.project(placed)
        low = np.clip(np.floor(pixels.min(0)).astype(int) - 6, 0, [camera.width, camera.height])
        high = np.clip(np.ceil(pixels.max(0)).astype(int) + 6, 0, [camera.width, camera.height])
        colour, alpha = self._head(placed, pixels, low, high, index)
        start = camera.project(motion.translation[max(index - 1, 0)].astype(np.float64))
        end = camera.project(motion.translation[min(index + 1, len(motion) - 1)].astype(np.float64))
        turn = exp_map(motion.rotation[[max(index - 1, 0), min(index + 1, len(motion) - 1)]])
        nose = camera.focal / placed[:, 2].mean() * 90.0  # millimetres from the axis to the nose's tip
        swing = ((HEAD_TO_CAMERA @ turn)[:, :2, 2] * nose) @ np.array([[1.0, 0], [0, 1.0]])
        path = (end - start + swing[1] - swing[0]) / 2 * self.lens.shutter
        layers = _smear(np.dstack([colour, alpha]), path)

        here = camera.project(now.translation[0].astype(np.float64))
        rest = camera.project(np.median(motion.translation, axis=0).astype(np.float64))
        dressed = self.backdrop.moved(*(0.8 * (here - rest)))
        picture = dressed.wall * (1 - dressed.collar_cover[..., None]) + dressed.collar
        box = np.s_[low[1] : high[1], low[0] : high[0]]
        picture[box] = picture[box] * (1 - layers[..., 3:]) + layers[..., :3]
        picture += (dressed.clothes - picture) * dressed.cover[..., None]
        return self._develop(picture, rng), placed.astype(np.float32)

    def _head(self, placed: Any, pixels: Any, low: Any, high: Any, index: int) -> tuple[Array, Array]:
        """Premultiplied linear colour (h, w, 3) and coverage (h, w) inside the box, at the picture's scale."""
        person, model, light = self.person, self.person.model, self.light
        scale = SUPERSAMPLING
        local = np.column_stack([(pixels - low) * scale, placed[:, 2] + model.recess])
        span = (high - low) * scale
        fragments = rasterize(local, model.triangles, (int(span[1]), int(span[0])))
        normals = vertex_normals(placed, model.triangles)
        lit = lamp_visibility(placed, model.triangles, light.towards[index])
        lit = self._smooth @ lit
        soft = person.occlusion * self._neck
        attributes = np.column_stack(
            [normals, soft, lit * (0.35 + 0.65 * soft), self._gloss, self._polish, person.vertex_albedo]
        ).astype(np.float32)
        picture = _shade(
            fragments.triangle,
            fragments.barycentric,
            model.triangles,
            attributes,
            self._atlas.uv,
            self._atlas.charted,
            person.albedo,
            light.soft[index],
            light.key[index],
            light.towards[index],
            light.glint[index],
        )
        eyes = (model.triangle_part[fragments.triangle] == EYES) & (fragments.triangle >= 0)
        _lashes(picture, eyes, self.camera.focal / float(placed[:, 2].mean()) * scale)
        alpha = (fragments.triangle >= 0).astype(np.float32)
        size = (int(span[0]) // scale, int(span[1]) // scale)
        small = cv2.resize(np.dstack([picture, alpha]), size, interpolation=cv2.INTER_AREA)
        return small[..., :3], small[..., 3]

    def _develop(self, picture: Array, rng: np.random.Generator) -> NDArray[np.uint8]:
        lens = self.lens
        exposed = cv2.GaussianBlur(picture, (0, 0), lens.focus_px) * lens.exposure
        bright = np.clip(exposed, 0, None)
        bright = np.where(bright > 0.8, 1 - 0.2 * np.exp(-(bright - 0.8) / 0.2), bright)  # a soft shoulder
        levels = 255 * bright ** (1 / 2.2)
        coarse = rng.standard_normal(
            (*levels.shape[:2], 1), np.float32
        )  # sensors' noise is mostly luma after demosaicing
        colour = rng.standard_normal(levels.shape, np.float32)
        deviation = np.sqrt(lens.read_noise**2 + lens.shot_noise**2 * bright)
        levels = levels + deviation * (0.8 * coarse + 0.5 * colour)
        return np.clip(levels + 0.5, 0, 255).astype(np.uint8)


def _smear(layers: Array, path: NDArray[np.float64]) -> Array:
    """Blur along ``path`` (pixels), centred: what moves while the shutter is open."""
    length = float(np.hypot(*path))
    if length < 0.4:
        return layers
    reach = int(np.ceil(length / 2)) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for part in np.linspace(-0.5, 0.5, 4 * reach + 1):
        x, y = reach + part * path[0], reach + part * path[1]
        i, j = int(np.floor(x)), int(np.floor(y))
        u, v = x - i, y - j
        for dj, wj in ((0, 1 - v), (1, v)):
            for di, wi in ((0, 1 - u), (1, u)):
                if wi * wj > 0:
                    kernel[j + dj, i + di] += wi * wj
    return np.asarray(cv2.filter2D(layers, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE))


def _lashes(picture: Array, eyes: NDArray[np.bool_], px_per_mm: float) -> None:
    """Darken ``picture`` along the upper lids: lashes, and the shadow that they cast on the ball."""
    rows, columns = np.nonzero(eyes.any(1))[0], np.nonzero(eyes.any(0))[0]
    if not len(rows):
        return
    pad = int(6 * px_per_mm) + 4
    box = np.s_[max(rows[0] - pad, 0) : rows[-1] + pad, max(columns[0] - pad, 0) : columns[-1] + pad]
    thin, thick = max(1, round(1.5 * px_per_mm)), max(2, round(2.6 * px_per_mm))
    opened = cv2.morphologyEx(
        eyes[box].astype(np.float32), cv2.MORPH_OPEN, np.ones((thin + 1, thin + 1), np.uint8)
    )
    above = cv2.dilate(opened, np.ones((thin + 1, 2), np.uint8), anchor=(0, 0)) - opened
    below = opened - cv2.erode(opened, np.ones((thick, 1), np.uint8), anchor=(0, thick - 1))
    dark = cv2.GaussianBlur(above, (0, 0), 0.4 * px_per_mm) * 1.2
    dark += 0.6 * cv2.GaussianBlur(below, (0, 0), 0.7 * px_per_mm)
    picture[box] *= 1 - 0.62 * np.clip(dark, 0, 1)[..., None]


@njit(cache=True, nogil=True, fastmath=True)
def _shade(triangle: Any, barycentric: Any, faces: Any, attributes: Any, uv: Any, charted: Any, albedo: Any, soft: Any,
           key: Any, towards: Any, glint: Any) -> Any:  # fmt: skip  # pragma: no cover - compiled
    height, width = triangle.shape
    out = np.zeros((height, width, 3), np.float32)
    size = albedo.shape[0]
    values = np.zeros(attributes.shape[1], np.float32)
    basis = np.zeros(9, np.float32)
    halfway = np.array([towards[0], towards[1], towards[2] - 1.0])
    halfway /= np.sqrt((halfway * halfway).sum())
    for row in range(height):
        for column in range(width):
            t = triangle[row, column]
            if t < 0:
                continue
            values[:] = 0.0
            u, v = 0.0, 0.0
            for corner in range(3):
                weight = barycentric[row, column, corner]
                for c in range(len(values)):
                    values[c] += weight * attributes[faces[t, corner], c]
                u += weight * uv[t, corner, 0]
                v += weight * uv[t, corner, 1]
            x, y, z = values[0], values[1], values[2]
            length = np.sqrt(x * x + y * y + z * z) + 1e-9
            if z > 0:
                length = -length
            x, y, z = x / length, y / length, z / length
            basis[0], basis[1], basis[2], basis[3] = 1.0, x, y, z  # as faces.light.harmonics
            basis[4], basis[5], basis[6] = x * y, y * z, 3 * z * z - 1
            basis[7], basis[8] = x * z, x * x - y * y
            facing = max(0.0, x * halfway[0] + y * halfway[1] + z * halfway[2])
            shine = values[5] * facing ** values[6] * values[4]
            px, py = u * size - 0.5, v * size - 0.5
            i = min(max(int(np.floor(px)), 0), size - 2)
            j = min(max(int(np.floor(py)), 0), size - 2)
            a, b = min(max(px - i, 0.0), 1.0), min(max(py - j, 0.0), 1.0)
            for c in range(3):
                if charted[t]:
                    tone = (albedo[j, i, c] * (1 - a) + albedo[j, i + 1, c] * a) * (1 - b)
                    tone += (albedo[j + 1, i, c] * (1 - a) + albedo[j + 1, i + 1, c] * a) * b
                else:
                    tone = values[7 + c]
                even, lamp = 0.0, 0.0
                for n in range(9):
                    even += basis[n] * soft[n, c]
                    lamp += basis[n] * key[n, c]
                out[row, column, c] = (
                    tone * (max(even, 0.0) * values[3] + max(lamp, 0.0) * values[4]) + shine * glint[c]
                )
    return out
