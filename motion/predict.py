"""Speech to motion: how a person's face and head move while they say a recording.

The mouth follows the sound. The head, brows, gaze and lids get the little that sound explains plus a sample of the
person's own residual (``motion.sway``) and blinks (``motion.blinks``). Work goes in windows on a fixed grid that starts
with the sound, so an hour needs no more memory than a minute, and streaming gives the same motion as one call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from faces.track import Motion
from motion.blinks import BlinkSampler
from motion.extension import Extension, extended, followed
from motion.features import ACTIVITY, DIMENSION, FeatureStream
from motion.lips import FADE, HANGOVER, shown_mouth, speech_gate
from motion.model import MotionModel
from motion.style import spoken_prosody
from motion.sway import SwayConfig, SwaySampler, limit_speed
from motion.targets import POSE, PoseFrame, lid_mask, mouth_mask
from problems import InvalidParameter

Array = NDArray[np.float32]

PoseMode = Literal["learned", "clip", "still", "reference"]

WINDOW = 500
"""Frames of a window (20 s)."""
MARGIN = 100
"""Frames of context on each side; the bidirectional LSTM forgets within them."""


@dataclass(frozen=True)
class MotionControls:
    """What a user may turn."""

    lip_strength: float = 1.0
    """Factor on the mouth's movement about its mean, 0..2."""
    head_strength: float = 1.0
    """Factor on the head's movement about its mean, 0..2; above 1 the head may leave the poses that the clip shows."""
    smoothing: float = 0.0
    """Standard deviation in frames of a Gaussian over the mouth's coefficients, 0..5."""

    def __post_init__(self) -> None:
        for name, most in (("lip_strength", 2.0), ("head_strength", 2.0), ("smoothing", 5.0)):
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise InvalidParameter(
                    f"{name} is {value}; it goes from 0 to {most:g}",
                    remedy=f"choose {name} between 0 and {most:g}",
                    details={"field": name},
                )


class MotionPredictor:
    """Drives a person with sound."""

    def __init__(self, model: MotionModel) -> None:
        self.model = model

    @classmethod
    def load(cls, path: Path) -> MotionPredictor:
        """Read a motion.safetensors.

        Raises:
            InvalidPackage: the file is missing, damaged or of another format.
        """
        return cls(MotionModel.load(path))

    @property
    def expression_names(self) -> tuple[str, ...]:
        """Names of the E expression coefficients."""
        return self.model.expression_names

    def predict(
        self,
        samples: Array,
        *,
        pose: PoseMode = "learned",
        seed: int = 0,
        reference: Motion | None = None,
        controls: MotionControls = MotionControls(),
        extension: Extension = "bounce",
    ) -> Motion:
        """The motion for a whole sound.

        Args:
            samples: (N,) 16 kHz in [-1, 1].
            pose: ``learned`` samples the person's own head motion; ``clip`` replays the clip's head, brows and eyes;
                ``still`` keeps the mean pose with a breath of sway; ``reference`` takes another motion's head, relative
                to its mean.
            seed: of everything that is sampled.
            reference: with ``pose="reference"``.
            controls: strengths and smoothing.
            extension: how ``clip`` and ``reference`` go on after their last frame (``motion.extension``).

        Returns:
            T = ceil(N / 640) frames.

        Raises:
            InvalidParameter: no reference, an unknown mode, or sound that is not finite and mono.
        """
        parts = list(
            self.stream(
                [samples],
                pose=pose,
                seed=seed,
                reference=reference,
                controls=controls,
                extension=extension,
            )
        )
        return Motion.concatenate(parts) if parts else self._nothing()

    def stream(
        self,
        chunks: Iterable[Array],
        *,
        pose: PoseMode = "learned",
        seed: int = 0,
        reference: Motion | None = None,
        controls: MotionControls = MotionControls(),
        extension: Extension = "bounce",
    ) -> Iterator[Motion]:
        """The same for a sound that comes in consecutive pieces, in flat memory; together equal to :meth:`predict`.

        Frames come at most ``WINDOW`` + ``MARGIN`` frames and 8 s after their sound.
        """
        driver = _Driver(self.model, pose, seed, reference, controls, extension)
        for values, before, after in _windows(chunks):
            yield driver.drive(values, before, after)

    def _nothing(self) -> Motion:
        empty = np.zeros((0, 3), np.float32)
        return Motion(empty, empty, np.zeros((0, len(self.expression_names)), np.float32), empty[:, :2])


def _windows(chunks: Iterable[Array]) -> Iterator[tuple[Array, int, int]]:
    """Features in windows of at most WINDOW frames of their own, with (before, after) frames of context."""
    features = FeatureStream()
    held = np.zeros((0, DIMENSION), np.float32)
    before = 0

    def ready(final: bool) -> Iterator[tuple[Array, int, int]]:
        nonlocal held, before
        while len(held) - before >= WINDOW + MARGIN or (final and len(held) > before):
            own = min(WINDOW, len(held) - before)
            after = min(MARGIN, len(held) - before - own)
            yield held[: before + own + after], before, after
            kept = min(MARGIN, before + own)
            held, before = held[before + own - kept :], kept

    for chunk in chunks:
        for part in features.push(chunk):
            held = np.concatenate([held, part.values])
            yield from ready(final=False)
    for part in features.finish():
        held = np.concatenate([held, part.values])
        yield from ready(final=False)
    yield from ready(final=True)


class _Driver:
    """The running state of one prediction: samplers, the last pose, the frame number."""

    def __init__(
        self,
        model: MotionModel,
        pose: str,
        seed: int,
        reference: Motion | None,
        controls: MotionControls,
        extension: Extension,
    ) -> None:
        if pose not in ("learned", "clip", "still", "reference"):
            raise InvalidParameter(
                f"pose mode {pose!r} is unknown",
                remedy="use learned, clip, still or reference",
                details={"field": "pose"},
            )
        if pose == "reference" and (reference is None or len(reference) == 0):
            raise InvalidParameter(
                "pose mode reference needs a reference motion",
                remedy="give a video whose head motion is to be taken",
                details={"field": "reference"},
            )
        self._model, self._mode, self._controls, self._extension = model, pose, controls, extension
        names, style = model.expression_names, model.style
        self._mouth, self._lids = mouth_mask(names), lid_mask(names)
        self._face = ~self._mouth & ~self._lids
        spread = style.residual[style.usable].std(0)
        matched = np.where(spread > 1e-6, 1 / np.maximum(spread, 1e-6), 0).astype(np.float32)
        matched[POSE:] *= 0.3  # the head must not jump; brows and gaze are used to
        drifting = np.arange(style.residual.shape[1]) < POSE
        self._sway = SwaySampler(
            style.residual, style.usable, matched, drifting, style.prosody, seed, SwayConfig()
        )
        self._blinks = BlinkSampler(style.blinks, seed)
        self._frame = 0
        self._last_pose: Array | None = None
        self._reference: Array | None = None
        if reference is not None and pose == "reference":
            everywhere = np.ones(len(reference), bool)
            self._reference = PoseFrame.of(reference, everywhere).deviation(reference)

    def drive(self, values: Array, before: int, after: int) -> Motion:
        """(before + T + after, D) features -> T frames."""
        model, style = self._model, self._model.style
        own = slice(before, len(values) - after)
        # (before + T + after, O) deviation from the mean
        scaled = model.deviation(values)
        expressions = len(model.expression_names)
        speaking, contact = values[:, ACTIVITY], None
        if model.general is not None:
            contact, speaking = model.general.event_chances(values, model.centre).T
        controls = self._controls
        mouth = shown_mouth(
            scaled[:, :expressions], model.mean[:expressions], speaking, contact, style,
            controls.lip_strength, controls.smoothing,
        )[own]  # fmt: skip
        scaled, gate = scaled[own], speech_gate(speaking, HANGOVER, FADE)[own, None]
        frames = len(mouth)

        # (T, C) drawn in every mode, so that modes differ in the head only
        sample = self._sway.next(frames, spoken_prosody(values)[before:])
        faces = int(self._face.sum())
        face = sample[:, POSE : POSE + faces]
        gaze = style.gaze + sample[:, POSE + faces : POSE + faces + 2]
        lids = style.lids + sample[:, POSE + faces + 2 :]
        blinks = self._blinks.next(frames)
        expression = np.zeros((frames, expressions), np.float32)
        expression[:, self._mouth] = mouth[:, self._mouth]
        mean = model.mean[:expressions]
        expression[:, self._face] = (mean + gate * scaled[:, :expressions])[:, self._face] + face
        # A lid that closes covers what is left of the opening; it does not add to a lowered lid.
        expression[:, self._lids] = lids + blinks * np.clip(1 - (lids - style.lids), 0, 1)
        if self._mode == "clip":
            led, rest = self._led(len(style.clip), frames), ~self._mouth
            shown = self._extended(style.clip.expression, frames)[:, rest]
            expression[:, rest] += led * (shown - expression[:, rest])
            gaze = gaze + led * (self._extended(style.clip.gaze, frames) - gaze)
        rotation, translation = self._head(sample[:, :POSE], gate * scaled[:, expressions:])
        self._frame += frames
        return Motion(rotation, translation, np.clip(expression, 0, 1), gaze.astype(np.float32))

    def _extended(self, values: Array, frames: int) -> Array:
        return extended(values, self._frame, frames, self._extension)

    def _led(self, length: int, frames: int) -> Array:
        return followed(self._frame, frames, length, self._extension)

    def _head(self, sample: Array, spoken: Array) -> tuple[Array, Array]:
        style, strength = self._model.style, self._controls.head_strength
        breath = 0.08 * sample
        if self._mode in ("clip", "reference"):
            leader = self._reference if self._reference is not None else style.pose.deviation(style.clip)
            led = self._led(len(leader), len(sample))
            deviation = self._extended(leader, len(sample)) + (1 - led) * breath
        else:
            deviation = breath if self._mode == "still" else spoken + sample
        deviation = deviation * strength
        if self._mode in ("learned", "still"):
            limits = style.speed_limits * max(strength, 1e-6)
            deviation = limit_speed(deviation, limits, self._last_pose)
            self._last_pose = deviation[-1]
        return style.pose.pose(deviation.astype(np.float32))
