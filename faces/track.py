"""FaceTrack: the one word that fitting, motion and rendering share.

Fitting writes it from pixels, motion writes its :class:`Motion` from sound, rendering reads it. So any source of
motion drives any renderer.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from faces.camera import Camera
from faces.rotation import euler_from_rotvec
from problems import InvalidPackage

Array = NDArray[np.float32]

FORMAT = "likeness.track/1"


@dataclass(frozen=True)
class Motion:
    """What changes from frame to frame; all arrays are float32 with T frames first."""

    rotation: Array
    """(T, 3) axis-angle in radians, head frame (see ``faces.rotation``)."""
    translation: Array
    """(T, 3) millimetres in camera axes (x right, y down, z away)."""
    expression: Array
    """(T, E) coefficients in [0, 1], named by the track's ``expression_names``."""
    gaze: Array
    """(T, 2) radians relative to the head: x > 0 turns the eyes to the image's right, y > 0 turns them up."""

    def __post_init__(self) -> None:
        frames = len(self.rotation)
        for name, width in (("rotation", 3), ("translation", 3), ("expression", None), ("gaze", 2)):
            value = np.asarray(getattr(self, name), dtype=np.float32)
            if value.ndim != 2 or len(value) != frames or (width is not None and value.shape[1] != width):
                raise ValueError(
                    f"Motion.{name} has shape {value.shape}; expected ({frames}, {width or 'E'})"
                )
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.rotation)

    def __getitem__(self, index: slice | NDArray[Any]) -> Motion:
        """The motion of some frames: a slice, or an index or boolean array."""
        return Motion(self.rotation[index], self.translation[index], self.expression[index], self.gaze[index])

    def euler(self) -> Array:
        """(T, 3) degrees: pitch, yaw, roll."""
        return euler_from_rotvec(self.rotation).astype(np.float32)

    @staticmethod
    def concatenate(parts: Sequence[Motion]) -> Motion:
        """Join motions end to end."""
        return Motion(
            np.concatenate([p.rotation for p in parts]),
            np.concatenate([p.translation for p in parts]),
            np.concatenate([p.expression for p in parts]),
            np.concatenate([p.gaze for p in parts]),
        )


@dataclass(frozen=True)
class FaceTrack:
    """A clip's face: one identity, one camera, and per frame a motion and light."""

    motion: Motion
    """Per-frame pose, expression and gaze."""
    model: str
    """Name of the morphable model the coefficients belong to."""
    expression_names: tuple[str, ...]
    """Names of the E expression coefficients (ARKit vocabulary)."""
    identity: Array
    """(K,) identity coefficients in standard deviations."""
    offsets: Array
    """(V, 3) personal offset field in millimetres, head frame, added to the identity's shape."""
    camera: Camera
    """The clip's camera."""
    light: Array
    """(T, 27) spherical-harmonics light (9 per colour channel), or (0, 27) when it was not fitted."""
    valid: NDArray[np.bool_]
    """(T,) False where no face was found; the motion there is interpolated."""
    landmarks: Array
    """(T, 478, 2) observed landmarks in pixels, NaN where ``valid`` is False."""
    fps: float = 25.0
    """Frames per second."""

    def __len__(self) -> int:
        return len(self.motion)

    def with_motion(self, motion: Motion) -> FaceTrack:
        """The same face in another motion: observed landmarks and light no longer apply and are emptied."""
        frames = len(motion)
        return replace(
            self,
            motion=motion,
            valid=np.ones(frames, bool),
            landmarks=np.full((frames, self.landmarks.shape[1], 2), np.nan, np.float32),
            light=np.zeros((0, 27), np.float32),
        )

    def frames(self, index: slice) -> FaceTrack:
        """The track of some frames."""
        light = self.light[index] if len(self.light) else self.light
        return replace(
            self,
            motion=self.motion[index],
            valid=self.valid[index],
            landmarks=self.landmarks[index],
            light=light,
        )

    def save(self, path: Path) -> None:
        """Write one safetensors file, atomically."""
        header = {
            "format": FORMAT,
            "model": self.model,
            "expression_names": json.dumps(self.expression_names),
            "camera": json.dumps(vars(self.camera)),
            "fps": repr(self.fps),
        }
        tensors: dict[str, NDArray[Any]] = {
            "rotation": self.motion.rotation,
            "translation": self.motion.translation,
            "expression": self.motion.expression,
            "gaze": self.motion.gaze,
            "identity": np.asarray(self.identity, np.float32),
            "offsets": np.asarray(self.offsets, np.float32),
            "light": np.asarray(self.light, np.float32),
            "valid": self.valid.astype(np.uint8),
            "landmarks": np.asarray(self.landmarks, np.float32),
        }
        save_tensors(path, tensors, header)

    @classmethod
    def load(cls, path: Path) -> FaceTrack:
        """Read what :meth:`save` wrote.

        Raises:
            InvalidPackage: the file is damaged, incomplete or of another format.
        """
        tensors, header = load_tensors(path, FORMAT)
        try:
            return cls(
                motion=Motion(
                    tensors["rotation"], tensors["translation"], tensors["expression"], tensors["gaze"]
                ),
                model=header["model"],
                expression_names=tuple(json.loads(header["expression_names"])),
                identity=tensors["identity"],
                offsets=tensors["offsets"],
                camera=Camera(**json.loads(header["camera"])),
                light=tensors["light"],
                valid=tensors["valid"].astype(bool),
                landmarks=tensors["landmarks"],
                fps=float(header["fps"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidPackage(
                f"{path.name} is not a complete track ({error})",
                remedy="make the file again, or copy it again",
            ) from error


def save_tensors(path: Path, tensors: dict[str, NDArray[Any]], header: dict[str, str]) -> None:
    """Write safetensors atomically: temporary file, fsync, ``os.replace``. ``header`` must have ``format``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, temporary, metadata=header)
        with open(temporary, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_tensors(path: Path, expected_format: str) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Read a safetensors file and its header.

    Raises:
        InvalidPackage: the file is missing, damaged, or its ``format`` is not ``expected_format``.
    """
    try:
        with safe_open(path, framework="np") as content:
            header = dict(content.metadata() or {})
            found = header.get("format")
            if found != expected_format:
                raise InvalidPackage(
                    f"{path.name} has format {found!r}; this version reads {expected_format!r}",
                    remedy="make the file again with this version of likeness",
                )
            return {name: content.get_tensor(name) for name in content.keys()}, header  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InvalidPackage(
            f"{path.name} is damaged or missing ({error})", remedy="make the file again, or copy it again"
        ) from error
