"""The layers under the network: a real frame bent to the new pose, and the textured face rendered over it.

For an output frame with some motion, a source frame of the clip is chosen elsewhere (background matching). Then

1. the source frame is warped: every vertex of the head knows where it lies in both frames; the displacement is
   carried to hair and collar by extrapolation that falls off with the distance from the head and vanishes at the
   crop's border, so that the body and the room stay still;
2. the head model is rendered with the person's texture, in the new expression and gaze and the source frame's light;
3. its colours are brought to the source frame's: the difference between the source frame and the model rendered in the
   source's own pose, without lips and eyes and without the finest grain, is carried along, so that light, highlights
   and skin follow the real frame;
4. both are blended inside the face oval with a soft border.

This composite alone is close to a photograph (docs/rendering.md); the network repairs what it can't know.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from faces.atlas import atlas_for
from faces.camera import to_camera
from faces.fill import extrapolate
from faces.light import vertex_shading
from faces.morphable import EYES, SKIN, MorphableModel
from faces.mouth import FACE_OVAL, LEFT_EYE, LIPS_OUTER, RIGHT_EYE
from faces.raster import Fragments, rasterize
from faces.registry import model_named
from faces.ring import ring_distance
from faces.texture import Texture
from faces.track import FaceTrack, Motion
from rendering.recent import Recent
from rendering.shading import Surface, face_weight, facing
from rendering.surroundings import GRID, Surroundings, pose_features


class FrameSource(Protocol):
    """Indexable frames of the normalised clip."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class CompositorConfig:
    """Sizes are in inter-ocular distances (IOD, outer eye corners) unless said otherwise."""

    crop: float = 3.4
    """Side of the square crop round the head."""
    max_crop_px: int = 640
    """Upper limit of the crop's working size in pixels; larger crops are worked on at this size."""
    fall_off: float = 0.3
    """Distance from the head at which the warp has fallen to 1/e."""
    border: float = 0.14
    """Share of the crop over which the warp fades to nothing at the border."""
    light_blur: float = 0.025
    """Standard deviation of the low-pass on the carried difference; it also bridges lips and eyes."""
    light_size: int = 128
    """Side in pixels of the low-resolution light difference."""
    fine: int = 2
    """Samples per pixel and axis in mouth and eyes: teeth, lips' edges and lashes are finer than a pixel."""
    remembered: int = 512
    """Source frames whose place and light are kept for the next output frame over them, 1 or more."""


@dataclass(frozen=True)
class Composite:
    """One output frame's layers inside its crop; R is the working size of the crop."""

    image: NDArray[np.uint8]
    """(R, R, 3) RGB: the textured face over the warped source frame."""
    source: NDArray[np.uint8]
    """(R, R, 3) RGB: the source frame, unwarped, in the same crop."""
    coverage: NDArray[np.float32]
    """(R, R) in [0, 1]: how much of the pixel is rendered face."""
    box: tuple[int, int, int]
    """Left, top and side of the crop in full-frame pixels; it may reach over the frame's border."""
    landmarks: NDArray[np.float32]
    """(478, 2) projected landmarks in full-frame pixels."""
    unit: float
    """The clip's inter-ocular distance in working pixels."""

    @cached_property
    def mouth(self) -> NDArray[np.float32]:
        """(R, R) in [0, 1]: lips and mouth interior."""
        return self._mask(LIPS_OUTER, 0.06)

    @cached_property
    def eyes(self) -> NDArray[np.float32]:
        """(R, R) in [0, 1]: both eye openings with their lids."""
        return np.maximum(self._mask(RIGHT_EYE, 0.05), self._mask(LEFT_EYE, 0.05))

    def _mask(self, ring: tuple[int, ...], grow: float) -> NDArray[np.float32]:
        left, top, side = self.box
        size = len(self.image)
        local = (self.landmarks[list(ring)] - [left, top]) * (size / side)
        return _polygon_mask(local, size, grow=grow * self.unit)


@dataclass(frozen=True)
class Window:
    """A part of the crop in working pixels, exclusive end, round a ring of landmarks."""

    ring: tuple[int, ...]
    left: int
    top: int
    right: int
    bottom: int


class Compositor:
    """Layers for one person.

    Args:
        track: the clip's fitted track (identity, camera, per-frame motion of the source frames).
        texture: unwrapped from the clip.
        frames: the clip's frames, as many as the track has.
        surroundings: how hair and clothes follow the head (``rendering.follow``); None: they follow less the
            farther away they are.
    """

    def __init__(
        self,
        track: FaceTrack,
        texture: Texture,
        frames: FrameSource,
        *,
        surroundings: Surroundings | None = None,
        model: MorphableModel | None = None,
        config: CompositorConfig | None = None,
    ) -> None:
        self.track, self.texture, self.frames, self.surroundings = track, texture, frames, surroundings
        self.model = model or model_named(track.model)
        self.config = config or CompositorConfig()
        self.neutral = self.model.neutral(track.identity, track.offsets)
        self.uv = atlas_for(self.model).uv
        self.iod = self._clip_inter_ocular_distance()
        self.side = round(self.config.crop * self.iod / 2) * 2
        self.size = min(self.side, self.config.max_crop_px)
        self.scale = self.size / self.side
        self.unit = self.iod * self.scale
        self._triangles = np.ascontiguousarray(self.model.triangles, np.int32)
        self._inside = self.model.triangle_part != SKIN
        self.blend = _face_blend(self.model, self.neutral)
        self.sway = _smooth_step(self.neutral[:, 1], -145.0, -88.0)
        # Frames are drawn by several threads at once, which share these.
        kept = self.config.remembered
        self._source_vertices: Recent[int, NDArray[np.float32]] = Recent(kept)
        self._near_rings: Recent[tuple[int, ...], NDArray[np.int64]] = Recent(8)
        self._light: Recent[int, tuple[NDArray[np.float32], tuple[int, int, int]]] = Recent(kept)

    def compose(
        self,
        motion: Motion,
        source: int,
        *,
        surroundings: Surroundings | None = None,
        unseen: int | None = None,
    ) -> Composite:
        """Layers of one output frame.

        Args:
            motion: a motion of length 1.
            source: index of the source frame in the clip.
            surroundings: others than the compositor's own.
            unseen: the clip's frame that ``motion`` is of, to be drawn as if its looks were not known.
        """
        surroundings = surroundings or self.surroundings
        vertices, box, pixels, fragments = self.drawn(motion)
        frame = self.frames[source]
        turn = (pose_features(self.track.motion[source : source + 1]) - pose_features(motion))[0]
        displacement = self.displacement(vertices, source, fragments, turn, surroundings)  # full-frame pixels
        image = self._warped(frame, box, displacement)
        landmarks = self._landmarks(vertices)
        local = (landmarks - [box[0], box[1]]) * self.scale
        area = self._face_area(pixels, self.size)
        surface = self._surface(vertices, self._change(motion, unseen), source)
        face, alpha = self._render(fragments, vertices, surface, area, self._soft)
        for window in self._fine_windows(local) if self.config.fine > 1 else []:
            self._draw_finely(face, pixels, window, area, surface)
        light, light_box = self._source_light(source, frame)
        _lay_over(image[area], face, self._carry_light(light, light_box, box, displacement)[area], alpha)
        coverage = np.zeros((self.size, self.size), np.float32)
        coverage[area] = alpha
        return Composite(
            image=image,
            source=self.crop(frame, box),
            coverage=coverage,
            box=box,
            landmarks=landmarks,
            unit=self.unit,
        )

    def drawn(
        self, motion: Motion
    ) -> tuple[NDArray[np.float32], tuple[int, int, int], NDArray[np.float64], Fragments]:
        """The head in a motion of length 1: camera-space vertices (V, 3), crop, crop pixels and depth (V, 3), what is
        seen of it in the crop."""
        vertices = self.place(motion)
        box = self.box(vertices)
        pixels = self._to_crop(self._project(vertices), box)
        fragments = rasterize(pixels, self._triangles, (self.size, self.size), cull_backfaces=True)
        return vertices, box, pixels, fragments

    def cover(self, motion: Motion, small: int) -> NDArray[np.float32]:
        """(small, small) share of each cell of the crop that the head covers in a motion of length 1."""
        return _cover(self.drawn(motion)[3], small)

    def place(self, motion: Motion) -> NDArray[np.float32]:
        """(V, 3) camera-space vertices of a motion of length 1."""
        shape = self.model.vertices(self.neutral, motion.expression, motion.gaze)[0]
        return to_camera(shape, motion.rotation[0], motion.translation[0]).astype(np.float32)

    def box(self, vertices: NDArray[Any]) -> tuple[int, int, int]:
        """The crop (left, top, side) round camera-space vertices: whole pixels, one side for the whole clip."""
        centre = self.track.camera.project(vertices[self._skull].mean(0))
        return round(float(centre[0] - self.side / 2)), round(float(centre[1] - self.side / 2)), self.side

    def crop(self, image: NDArray[np.uint8], box: tuple[int, int, int]) -> NDArray[np.uint8]:
        """The crop of any full frame, (R, R, 3) uint8."""
        left, top, side = box
        cut = _cut(image, left, top, side)
        if self.size != side:
            return cv2.resize(cut, (self.size, self.size), interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(cut)

    @cached_property
    def window(self) -> tuple[int, int, int]:
        """Left, top and side in the crop's working pixels of the square that the network sees: the face in all frames.

        A fifth of the face's size stays free round it, for a jaw that opens wider and a head that turns farther.
        """
        corners = []
        for vertices, box in self.some_places():
            points = (self._landmarks(vertices)[list(FACE_OVAL)] - [box[0], box[1]]) * self.scale
            corners.append([*points.min(0), *points.max(0)])
        low, high = np.min(corners, axis=0)[:2], np.max(corners, axis=0)[2:]
        side = min(int(np.ceil(1.2 * float((high - low).max()) / 2)) * 2, self.size)
        left, top = np.round((low + high) / 2 - side / 2).astype(int).clip(0, self.size - side)
        return int(left), int(top), side

    def some_places(self) -> Iterator[tuple[NDArray[np.float32], tuple[int, int, int]]]:
        """Camera-space vertices (V, 3) and crop of 40 of the clip's frames at most, spread over it."""
        valid = np.nonzero(self.track.valid)[0]
        for index in valid[np.linspace(0, len(valid) - 1, min(len(valid), 40)).round().astype(int)]:
            vertices = self.place(self.track.motion[index : index + 1])
            yield vertices, self.box(vertices)

    @cached_property
    def _skull(self) -> NDArray[np.int64]:
        eye_line = self.neutral[self.model.vertex_part == EYES].mean(0)
        near = np.abs(self.neutral[:, 1] - (eye_line[1] - 12.0)) < 30.0
        return np.nonzero(near & (self.model.vertex_part == SKIN) & (self.neutral[:, 2] > 0))[0]

    def _clip_inter_ocular_distance(self) -> float:
        points = self.track.landmarks[self.track.valid]
        return float(np.percentile(np.linalg.norm(points[:, 33] - points[:, 263], axis=-1), 80))

    def _project(self, vertices: NDArray[Any]) -> NDArray[np.float64]:
        return np.column_stack([self.track.camera.project(vertices), vertices[:, 2] + self.model.recess])

    def _to_crop(self, pixels: NDArray[Any], box: tuple[int, int, int]) -> NDArray[np.float64]:
        local = pixels.astype(np.float64)
        local[:, :2] = (local[:, :2] - [box[0], box[1]]) * self.scale
        return local

    def _landmarks(self, vertices: NDArray[Any]) -> NDArray[np.float32]:
        return self.track.camera.project(self.model.landmark_points(vertices)).astype(np.float32)

    def _source_pixels(self, source: int) -> NDArray[np.float32]:
        """(V, 3) pixels and depth of the head in a source frame."""

        def project(source: int) -> NDArray[np.float32]:
            return self._project(self.place(self.track.motion[source : source + 1])).astype(np.float32)

        return self._source_vertices.get(source, project)

    def displacement(
        self,
        vertices: NDArray[Any],
        source: int,
        fragments: Fragments,
        turn: NDArray[np.floating],
        surroundings: Surroundings | None,
    ) -> NDArray[np.float32]:
        """(R, R, 2) full-frame pixels from an output pixel to where its content lies in the source frame."""
        if surroundings is not None:
            head, _ = self.head_displacement(vertices, source, fragments, GRID, sway=False)
            small, field = GRID, surroundings.field(head, turn)
        else:
            small = max(self.size // 4, 32)
            field, weight = self.head_displacement(vertices, source, fragments, small, sway=True)
            field = field * self.fall_off(weight)[..., None]
        field = field * _border_window(small, self.config.border)[..., None]
        # Smooth over the silhouette, where front and back surfaces meet; the face itself is covered by the render.
        field = cv2.GaussianBlur(field, (0, 0), 0.05 * self.iod * self.scale * small / self.size)
        return cv2.resize(field, (self.size, self.size), interpolation=cv2.INTER_LINEAR)

    def head_displacement(
        self,
        vertices: NDArray[Any],
        source: int,
        fragments: Fragments,
        small: int,
        *,
        sway: bool,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The head's displacement (small, small, 2) carried to all of the crop, and the head's cover (small, small)."""
        there = self._source_pixels(source)[:, :2]
        moved = there - self.track.camera.project(vertices).astype(np.float32)
        if sway:
            moved = moved * self.sway[:, None]
        if self.size >= 4 * small:  # every second pixel tells enough of something so smooth
            fragments = Fragments(fragments.triangle[::2, ::2], fragments.barycentric[::2, ::2])
        dense = fragments.interpolate(moved.astype(np.float32), self._triangles)  # zero outside the head
        weight = _cover(fragments, small)
        field = cv2.resize(dense, (small, small), interpolation=cv2.INTER_AREA)
        return extrapolate(field, weight), weight

    def fall_off(self, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        """The head's cover (s, s) -> the share of its displacement that the surroundings take part in."""
        small = len(weight)
        away = cv2.distanceTransform((weight < 0.5).astype(np.uint8), cv2.DIST_L2, 5) * (self.size / small)
        reach = self.config.fall_off * self.iod * self.scale
        share: NDArray[np.float32] = np.exp(-((away / reach) ** 2)).astype(np.float32)
        return share

    def _warped(
        self, frame: NDArray[np.uint8], box: tuple[int, int, int], displacement: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        """(R, R, 3) of a full frame inside ``box``, displaced by full-frame pixels."""
        left, top, _ = box
        grid = (np.arange(self.size, dtype=np.float32) + 0.5) / self.scale - 0.5
        x = grid[None, :] + left + displacement[..., 0]
        y = grid[:, None] + top + displacement[..., 1]
        warped: NDArray[np.uint8] = cv2.remap(frame, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return warped

    def _face_area(self, pixels: NDArray[np.float64], size: int) -> tuple[slice, slice]:
        """Rows and columns of the crop, drawn ``size`` pixels wide, outside of which no face is drawn."""
        points = pixels[self.blend > 0, :2]
        margin = 4 + 3 * self._soft
        low = np.floor(points.min(0) - margin).astype(int).clip(0, size - 1)
        high = np.ceil(points.max(0) + margin).astype(int).clip(low + 1, size)
        return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))

    @property
    def _soft(self) -> float:
        """Standard deviation of the face's soft border, working pixels."""
        return max(0.012 * self.unit, 0.5)

    def _surface(self, vertices: NDArray[Any], change: NDArray[np.float32] | None, source: int) -> Surface:
        """The textured head in a source frame's light; ``change`` (A, A, 3) of the texture."""
        lit = len(self.track.light) > 0
        shade = vertex_shading(self.model, vertices, self.track.light[source]) if lit else None
        return Surface(self._triangles, self.uv, self.texture.image, change, shade)

    def _render(
        self,
        fragments: Fragments,
        vertices: NDArray[Any],
        surface: Surface,
        area: tuple[slice, slice],
        soft: float,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The head (h, w, 3) in ``area``, rows and columns of the fragments, and the face's blend weight (h, w)."""
        fragments = Fragments(fragments.triangle[area], fragments.barycentric[area])
        # The rim of a turned cheek was never seen well: let the warped frame show there.
        glance = _smooth_step(facing(vertices, self._triangles), 0.02, 0.22).astype(np.float32)
        glance[self._inside] = 1.0
        alpha, covered = face_weight(
            fragments.triangle, fragments.barycentric, self._triangles, self.blend, glance
        )
        alpha = cv2.GaussianBlur(alpha, (0, 0), soft)
        # Beyond the head's outline there is no colour to show: the soft border lies inside of it.
        within = cv2.GaussianBlur(covered, (0, 0), soft)
        alpha *= covered * np.clip(2 * within - 1, 0, 1)
        return surface.colour(fragments, alpha > 0), alpha

    def _change(self, motion: Motion, unseen: int | None = None) -> NDArray[np.float32] | None:
        """(A, A, 3) of the texture in a motion of length 1, or of a frame of the clip as if it were not known."""
        appearance = self.texture.appearance
        if appearance is None:
            return None
        return appearance.change(
            appearance.coefficients(motion)[0] if unseen is None else appearance.unseen[unseen]
        )

    def _draw_finely(
        self,
        colour: NDArray[np.float32],
        pixels: NDArray[np.float64],
        window: Window,
        area: tuple[slice, slice],
        surface: Surface,
    ) -> None:
        """Draw a window of the crop with several samples a pixel into ``colour``, which shows ``area`` of the crop."""
        fine, across, down = self.config.fine, window.right - window.left, window.bottom - window.top
        local = (pixels - [window.left, window.top, 0.0]) * [fine, fine, 1.0]
        near = self._near(window.ring)
        drawn = rasterize(local, self._triangles[near], (down * fine, across * fine), cull_backfaces=True)
        triangle = np.where(drawn.triangle >= 0, near[drawn.triangle], -1).astype(np.int32)
        rows = slice(window.top - area[0].start, window.bottom - area[0].start)
        columns = slice(window.left - area[1].start, window.right - area[1].start)
        colour[rows, columns] = surface.colour(Fragments(triangle, drawn.barycentric), samples=fine)

    def _near(self, ring: tuple[int, ...]) -> NDArray[np.int64]:
        """Triangles that can show in the window round a ring of landmarks, whatever the face does."""

        def find(ring: tuple[int, ...]) -> NDArray[np.int64]:
            points = self.model.landmark_points(self.neutral)[list(ring)]
            low, high = points.min(0)[:2] - 25.0, points.max(0)[:2] + 25.0
            close = ((self.neutral[:, :2] > low) & (self.neutral[:, :2] < high)).all(1) & (
                self.neutral[:, 2] > 0
            )
            close |= self.model.vertex_part != SKIN
            return np.nonzero(close[self.model.triangles].any(1))[0]

        return self._near_rings.get(ring, find)

    def _fine_windows(self, local: NDArray[np.floating]) -> list[Window]:
        """Mouth and eyes, of landmarks in the crop, where they lie wholly inside of it."""
        margin = 0.04 * self.unit
        windows = []
        for ring in (LIPS_OUTER, RIGHT_EYE, LEFT_EYE):
            left, top = np.floor(local[list(ring)].min(0) - margin).astype(int)
            right, bottom = np.ceil(local[list(ring)].max(0) + margin).astype(int)
            if 0 <= left < right <= self.size and 0 <= top < bottom <= self.size:
                windows.append(Window(ring, int(left), int(top), int(right), int(bottom)))
        return windows

    def _source_light(
        self, source: int, frame: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], tuple[int, int, int]]:
        """(L, L, 3) low-pass of source frame minus its own render, in the source's crop."""

        def measure(source: int) -> tuple[NDArray[np.float32], tuple[int, int, int]]:
            motion = self.track.motion[source : source + 1]
            vertices = self.place(motion)
            box = self.box(vertices)
            small = self.config.light_size
            # Twice as fine as what is kept of it: what is finer is not light.
            size = min(2 * small, self.size)
            scale = size / self.side
            pixels = self._project(vertices)
            pixels[:, :2] = (pixels[:, :2] - [box[0], box[1]]) * scale
            fragments = rasterize(pixels, self._triangles, (size, size), cull_backfaces=True)
            area = self._face_area(pixels, size)
            surface = self._surface(vertices, self._change(motion), source)
            face, alpha = self._render(
                fragments, vertices, surface, area, max(self._soft * size / self.size, 0.5)
            )
            local = (self._landmarks(vertices) - [box[0], box[1]]) * scale
            for ring in (LIPS_OUTER, RIGHT_EYE, LEFT_EYE):  # moving parts say nothing about light
                alpha *= 1 - _polygon_mask(local[list(ring)], size, grow=0.08 * self.iod * scale)[area]
            seen = cv2.resize(_cut(frame, *box), (size, size), interpolation=cv2.INTER_AREA)
            both = np.zeros((size, size, 4), np.float32)  # difference times weight, weight
            both[area] = np.dstack([(seen[area] - face) * alpha[..., None], alpha])
            both = cv2.resize(both, (small, small), interpolation=cv2.INTER_AREA)
            both = cv2.GaussianBlur(both, (0, 0), self.config.light_blur * self.iod * small / self.side)
            light = extrapolate(both[..., :3], both[..., 3])
            return light, box

        return self._light.get(source, measure)

    def _carry_light(
        self,
        light: NDArray[np.float32],
        light_box: tuple[int, int, int],
        box: tuple[int, int, int],
        displacement: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """(R, R, 3) the source's light difference brought to the output pose."""
        small = self.config.light_size
        moved = cv2.resize(displacement, (small, small), interpolation=cv2.INTER_AREA)
        grid = (np.arange(small, dtype=np.float32) + 0.5) * (self.side / small)
        x = (grid[None, :] + box[0] + moved[..., 0] - light_box[0]) * (small / self.side) - 0.5
        y = (grid[:, None] + box[1] + moved[..., 1] - light_box[1]) * (small / self.side) - 0.5
        carried = cv2.remap(light, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return cv2.resize(carried, (self.size, self.size), interpolation=cv2.INTER_LINEAR)


def _cover(fragments: Fragments, small: int) -> NDArray[np.float32]:
    """(small, small) share of each cell that anything covers."""
    covered = (fragments.triangle >= 0).astype(np.float32)
    weight: NDArray[np.float32] = cv2.resize(covered, (small, small), interpolation=cv2.INTER_AREA)
    return weight


def _face_blend(model: MorphableModel, neutral: NDArray[Any]) -> NDArray[np.float32]:
    """(V,) 1 inside the face oval, falling to 0 over 14 mm round it; parts inside mouth and eyes are 1."""
    ring = model.landmark_points(neutral)[list(FACE_OVAL)].astype(np.float64)
    distance = ring_distance(ring, neutral)
    blend = _smooth_step(distance, -9.0, 5.0)
    blend[neutral[:, 2] < 0] = 0.0
    blend[model.vertex_part != SKIN] = 1.0
    return blend.astype(np.float32)


def _smooth_step(x: NDArray[Any], low: float, high: float) -> NDArray[np.float64]:
    t = np.clip((np.asarray(x, np.float64) - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _border_window(size: int, share: float) -> NDArray[np.float32]:
    """(size, size) 0 at the border, 1 from ``share`` of the side inwards."""
    edge = _smooth_step(np.minimum(np.arange(size), np.arange(size)[::-1]) / size, 0.02, share)
    return np.minimum(edge[:, None], edge[None, :]).astype(np.float32)


def _polygon_mask(points: NDArray[Any], size: int, grow: float) -> NDArray[np.float32]:
    """(size, size) soft filled polygon, grown by ``grow`` pixels."""
    full = np.zeros((size, size), np.float32)
    sigma = max(grow / 2, 0.8)
    reach = grow + 4 * sigma + 2
    low = np.floor(points.min(0) - reach).astype(int).clip(0, size - 1)
    high = np.ceil(points.max(0) + reach).astype(int).clip(low + 1, size)
    mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
    hull = cv2.convexHull(np.round(points - low).astype(np.int32))
    cv2.fillConvexPoly(mask, hull, 255)
    cv2.polylines(mask, [hull], True, 255, max(round(2 * grow), 1))
    full[low[1] : high[1], low[0] : high[0]] = cv2.GaussianBlur(mask, (0, 0), sigma)
    return full / 255


@njit(cache=True, nogil=True)
def _lay_over(image: Any, face: Any, light: Any, alpha: Any) -> None:  # pragma: no cover - compiled
    """image (h, w, 3) uint8, in place: face + light over it, with weight alpha (h, w)."""
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            a = alpha[y, x]
            if a > 0.0:
                for c in range(3):
                    below = np.float32(image[y, x, c])
                    value = below + a * (face[y, x, c] + light[y, x, c] - below)
                    image[y, x, c] = np.uint8(min(max(value + 0.5, 0.0), 255.0))


def _cut(frame: NDArray[np.uint8], left: int, top: int, side: int) -> NDArray[np.uint8]:
    """A square cut that may reach over the frame's border (replicated there)."""
    height, width = frame.shape[:2]
    pads = (max(-top, 0), max(top + side - height, 0), max(-left, 0), max(left + side - width, 0))
    inner = frame[
        max(top, 0) : max(min(top + side, height), 0), max(left, 0) : max(min(left + side, width), 0)
    ]
    if not any(pads):
        return inner
    if inner.size == 0:
        return np.zeros((side, side, 3), np.uint8)
    return cv2.copyMakeBorder(inner, *pads, cv2.BORDER_REPLICATE)
