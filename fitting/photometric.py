"""Photometric refinement: pose and expression from the skin's own detail, and the light that falls on it.

Landmarks say where a face's features are within a pixel or so; the picture itself says it much finer. Points on the
skin keep their look from frame to frame: their colour (times the light, nine spherical harmonics a frame) and their
fine detail (brightness without what is smooth, which no lamp and no highlight's drift can change). So

1. on key frames, the look of the points is learnt and pose and expression are refined to match it, in turns;
2. on all frames, window by window, pose and expression are refined with the look fixed;
3. the light of each frame is solved from the points' colours.

The refinement is the landmark solver with one more row per point: its brightness, linearised in the image (Lucas and
Kanade 1981; for morphable models Blanz and Vetter 1999).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from faces.light import harmonics
from faces.morphable import MorphableModel
from faces.mouth import LEFT_EYE, LIPS, RIGHT_EYE
from faces.registry import model_named
from faces.track import FaceTrack, Motion
from fitting.gaze import solve_gaze
from fitting.solver import FitState, LandmarkSolver, SolverConfig
from fitting.surface import FaceCrops, ImageSequence, Sight, SurfacePoints, sample_with_gradient, see
from fitting.windows import fill_gaps, landmark_model, observe, spread, windows
from training.progress import Progress, Tick, silent

Array = NDArray[np.float32]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PhotometricConfig:
    """How the surface is looked at."""

    points: int = 1200
    """Points on the skin."""
    iod_px: float = 96.0
    """Inter-ocular distance of the small pictures that are compared, pixels; 48..160."""
    smooth: float = 0.7
    """Standard deviation of the blur before comparing, crop pixels."""
    band: float = 4.0
    """Brightness smoother than this standard deviation is left out, crop pixels."""
    brightness_sigma: float = 10.0
    """Expected error of a point's fine brightness, grey levels of 255."""
    landmark_trust: float = 0.5
    """Weight of landmarks off lips and lids against their weight in the first fit: their errors go together, a
    thousand points on the skin know better where it is."""
    key_frames: int = 80
    """Frames that the look of the points is learnt on."""
    rounds: int = 2
    """Turns of look and motion on the key frames."""
    iterations: int = 3
    """Steps of the solver each time."""
    light_sigma: float = 0.25
    """Prior standard deviation of a frame's light round the clip's, per harmonic."""


@dataclass(frozen=True)
class Look:
    """What the points look like, whatever the light and the pose."""

    albedo: Array
    """(N, 3) colour under neutral light, 0..255."""
    detail: Array
    """(N,) fine brightness, grey levels."""
    light: Array
    """(9, 3) the clip's mean light."""


@dataclass(frozen=True)
class Detail:
    """Brightness of points in a window of frames, as the solver wants it."""

    neutral: Floats
    """(N, 3) millimetres."""
    expression_basis: Floats
    """(N, 3, E)."""
    images: Array
    """(T, S, S) fine brightness of the crops."""
    crops: FaceCrops
    target: Array
    """(N,) what each point should show."""
    weight: Array
    """(T, N) one over sigma, 0 where a point is not seen."""

    def measure(self, pixels: Floats) -> tuple[Floats, Floats]:
        """(T, N, 2) full-frame pixels -> residuals (T, N) in sigmas and gradients (T, N, 2) per full-frame pixel."""
        values, gradients = sample_with_gradient(self.images, self.crops.local(pixels))
        scale = (self.weight * self.crops.scale[:, None])[..., None]
        return (values - self.target) * self.weight, gradients * scale


class PhotometricFit:
    """Refines tracks of one person.

    Args:
        track: the landmark fit of the clip the person is learnt from.
        frames: its frames.
    """

    def __init__(
        self,
        track: FaceTrack,
        frames: ImageSequence,
        *,
        model: MorphableModel | None = None,
        config: PhotometricConfig | None = None,
        solver: SolverConfig | None = None,
        progress: Progress = silent,
    ) -> None:
        self.model = model or model_named(track.model)
        self.config = config or PhotometricConfig()
        self.solver = replace(solver or SolverConfig(), iterations=self.config.iterations)
        self.points = SurfacePoints.spread(self.model, self.config.points)
        self.expression_basis = self.points.rows(self.model)
        with threadpool_limits(1, "blas"):  # many small systems, as in the solver
            self.look = self._learn(track, frames, progress)

    def refine(self, track: FaceTrack, frames: ImageSequence, progress: Progress = silent) -> FaceTrack:
        """Pose, expression and light of every frame where a face was found, in windows: memory stays flat."""
        with threadpool_limits(1, "blas"):
            return self._refine(track, frames, progress)

    def _refine(self, track: FaceTrack, frames: ImageSequence, progress: Progress) -> FaceTrack:
        found = np.nonzero(track.valid)[0]
        motion, light = track.motion[found], np.empty((len(found), 27), np.float32)
        rotation, place, expression = (
            motion.rotation.copy(),
            motion.translation.copy(),
            motion.expression.copy(),
        )
        for part, keep in windows(len(found)):
            index = found[part]
            crops = FaceCrops.cut(frames, track, index, self.config.iod_px)
            sight = see(self.points, self.model, track, motion[part], crops, 2 * self.config.band)
            images = self._detail(crops)
            refined = self._match(track, index, motion[part], crops, images, sight, self.look, coupled=True)
            sight = see(self.points, self.model, track, refined, crops, 2 * self.config.band)
            kept = np.arange(part.start, part.stop)[keep]
            rotation[kept], place[kept] = refined.rotation[keep], refined.translation[keep]
            expression[kept] = refined.expression[keep]
            light[kept] = self._lights(crops, sight, self.look)[keep]
            progress(Tick("fit.surface", int(part.stop), len(found)))
        neutral = self.model.neutral(track.identity, track.offsets)
        looks = solve_gaze(
            self.model, neutral, track.camera, rotation, place, expression, track.landmarks[found]
        )
        rotation, place, expression, gaze, light = (
            fill_gaps(x, found, len(track)) for x in (rotation, place, expression, looks, light)
        )
        return replace(track, motion=Motion(rotation, place, expression, gaze), light=light)

    def _learn(self, track: FaceTrack, frames: ImageSequence, progress: Progress) -> Look:
        found = np.nonzero(track.valid)[0]
        index = found[spread(len(found), self.config.key_frames)]
        crops = FaceCrops.cut(frames, track, index, self.config.iod_px)
        images, motion = self._detail(crops), track.motion[index]
        for turn in range(self.config.rounds + 1):
            sight = see(self.points, self.model, track, motion, crops, 2 * self.config.band)
            look = self._look(crops, images, sight)
            if turn < self.config.rounds:
                motion = self._match(track, index, motion, crops, images, sight, look, coupled=False)
            progress(Tick("fit.look", turn + 1, self.config.rounds + 1))
        return look

    def _look(self, crops: FaceCrops, images: Array, sight: Sight) -> Look:
        """Albedo, detail and mean light from samples of the key frames; robust means over the frames."""
        colours = crops.sample(sight.pixels)  # (T, N, 3)
        values, _ = sample_with_gradient(images, crops.local(sight.pixels))
        detail = _robust_mean(values[..., None], sight.visible, 6.0)[..., 0]
        basis = harmonics(sight.normals)  # (T, N, 9)
        light = np.zeros((9, 3), np.float32)
        light[0] = 1.0
        lights = np.tile(light, (len(colours), 1, 1))
        for _ in range(4):
            shade = np.maximum(basis @ lights, 0.2)
            albedo = _robust_mean(colours / shade, sight.visible, 10.0)
            lights = self._solve_light(colours, basis, albedo, sight.visible, light)
            light = lights.mean(0)
            # Only the product of colour and light is seen: the light is one on average.
            gain = np.maximum(basis @ light, 0.2)[sight.visible].mean(0)
            light, lights = light / gain, lights / gain
        albedo = _robust_mean(colours / np.maximum(basis @ lights, 0.2), sight.visible, 10.0)
        # Colours are stored in eight bits: a bright skin in half shade must not run over.
        gain = max(float(np.percentile(albedo, 99)) / 235.0, 1.0)
        albedo, light = albedo / gain, light * gain
        return Look(albedo.astype(np.float32), detail.astype(np.float32), light.astype(np.float32))

    def _lights(self, crops: FaceCrops, sight: Sight, look: Look) -> Array:
        """(T, 27) light of each frame."""
        colours, basis = crops.sample(sight.pixels), harmonics(sight.normals)
        lights = self._solve_light(colours, basis, look.albedo, sight.visible, look.light)
        return lights.reshape(len(lights), 27).astype(np.float32)

    def _solve_light(
        self,
        colours: Array,
        basis: Array,
        albedo: NDArray[np.floating],
        visible: NDArray[np.bool_],
        prior: Array,
    ) -> Array:
        """(T, 9, 3) robust ridge regression of each frame's colours on albedo times harmonics, round ``prior``."""
        result = np.empty((len(colours), 9, 3), np.float32)
        # A grey level of noise per point, but errors of neighbouring points go together: a tenth of them counts.
        strength = np.eye(9) * (8.0**2 * 10 / self.config.light_sigma**2)
        for channel in range(3):
            rows = basis * albedo[:, channel : channel + 1].astype(np.float32)  # (T, N, 9)
            goal = colours[..., channel] - rows @ prior[:, channel]
            weight = visible.astype(np.float32)
            for _ in range(2):
                scaled = (rows * weight[..., None]).swapaxes(1, 2)
                step = np.linalg.solve(scaled @ rows + strength, scaled @ goal[..., None])
                weight = visible / (1 + ((goal - (rows @ step)[..., 0]) / 12.0) ** 2)
            result[:, :, channel] = prior[:, channel] + step[..., 0]
        return result

    def _detail(self, crops: FaceCrops) -> Array:
        """(T, S, S) brightness between two blurs."""
        out = np.empty(crops.image.shape[:3], np.float32)
        for n, image in enumerate(crops.image):
            grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
            fine = cv2.GaussianBlur(grey, (0, 0), self.config.smooth)
            out[n] = fine - cv2.GaussianBlur(grey, (0, 0), self.config.band)
        return out

    def _match(
        self,
        track: FaceTrack,
        index: NDArray[np.int64],
        motion: Motion,
        crops: FaceCrops,
        images: Array,
        sight: Sight,
        look: Look,
        *,
        coupled: bool,
    ) -> Motion:
        solver = self._solver(track, index, crops, images, sight, look, coupled=coupled)
        state = solver.solve(_state(motion))
        return Motion(
            state.rotation.astype(np.float32),
            state.translation.astype(np.float32),
            state.expression.astype(np.float32),
            motion.gaze,
        )

    def _solver(
        self,
        track: FaceTrack,
        index: NDArray[np.int64],
        crops: FaceCrops,
        images: Array,
        sight: Sight,
        look: Look,
        *,
        coupled: bool,
    ) -> LandmarkSolver:
        neutral = self.model.neutral(track.identity, track.offsets)
        rows = landmark_model(self.model, neutral)
        observed = observe(track.landmarks, index, coupled=coupled)
        rigid = np.setdiff1d(np.arange(len(observed.weights)), [*LIPS, *RIGHT_EYE, *LEFT_EYE])
        observed.weights[rigid] *= self.config.landmark_trust
        detail = Detail(
            neutral=self.points.gather(self.model, neutral.astype(np.float64)),
            expression_basis=self.expression_basis,
            images=images,
            crops=crops,
            target=look.detail,
            weight=(sight.visible / self.config.brightness_sigma).astype(np.float32),
        )
        return LandmarkSolver(rows, track.camera, observed, self.solver, solve_identity=False, surface=detail)


def _state(motion: Motion) -> FitState:
    return FitState(
        motion.rotation.astype(np.float64), motion.translation.astype(np.float64),
        motion.expression.astype(np.float64), np.zeros(0),
    )  # fmt: skip


def _robust_mean(values: NDArray[np.floating], seen: NDArray[np.bool_], scale: float) -> NDArray[np.float64]:
    """(T, N, C) values and (T, N) mask -> (N, C): reweighted three times; ``scale`` is an ordinary deviation."""
    weight = seen.astype(np.float64)[..., None]
    total = np.maximum(weight.sum(0), 1e-6)
    mean = (values * weight).sum(0) / total
    for _ in range(3):
        error = np.abs(values - mean).mean(-1, keepdims=True)
        robust = weight / (1 + (error / scale) ** 2)
        mean = (values * robust).sum(0) / np.maximum(robust.sum(0), 1e-6)
    result: NDArray[np.float64] = mean
    return result
