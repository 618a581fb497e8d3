"""Dense face landmarks from pixels: MediaPipe's FaceMesh with attention (478 points with lips, lids and irises).

The models ship inside the ``mediapipe`` wheel, so nothing is downloaded. Video is tracked frame to frame; when the
tracker loses the face in a frame, detection starts afresh on the next.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from problems import InvalidParameter

# MediaPipe's C++ logs would drown the progress bar; errors still show.
os.environ.setdefault("GLOG_minloglevel", "2")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

LANDMARKS = 478
MOST_FACES = 5
"""Faces that are looked for when one of several is to be followed; each costs its share of time."""


@dataclass(frozen=True)
class Landmarks:
    """Landmarks of T frames."""

    points: NDArray[np.float32]
    """(T, 478, 2) pixels, NaN where no face was found; pixel centres lie at integers + 0.5."""
    depth: NDArray[np.float32]
    """(T, 478) MediaPipe's relative depth in pixels (smaller is nearer), NaN where no face was found."""
    faces: NDArray[np.int64]
    """(T,) number of faces the detector reported, at most ``max_faces``."""

    @property
    def found(self) -> NDArray[np.bool_]:
        """(T,) True where a face was found."""
        return self.faces > 0


@contextmanager
def _quiet_native_logs() -> Iterator[None]:
    """Keep MediaPipe's C++ start-up notes off stderr: its log settings act only after they were written."""
    if os.environ.get("LIKENESS_DEBUG"):
        yield
        return
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class FollowedFace:
    """One of several faces, from frame to frame.

    Args:
        near: its place where it is first seen, x and y in 0..1 of the picture's sides.
    """

    REACH = 0.6
    """How far a face may have moved since it was last seen, in its own sides; a tenth more for each frame without."""

    def __init__(self, near: tuple[float, float]) -> None:
        self._near = near
        self._centre: NDArray[np.float32] | None = None
        self._side = 0.0
        self._missed = 0

    def among(self, found: list[NDArray[np.float32]], width: int, height: int) -> list[NDArray[np.float32]]:
        """Of a frame's faces (478, 3), px, the followed one alone, or none when it is not there.

        Raises:
            InvalidParameter: in the first frame with a face, none is at the place.
        """
        if not found:
            self._missed += 1
            return []
        boxes = [(mesh[:, :2].min(0), mesh[:, :2].max(0)) for mesh in found]
        if self._centre is None:
            place = np.array(self._near, np.float32) * (width, height)
            # The landmarks end at the forehead: who points at the hair means this face, too.
            inside = [
                bool(np.all(np.abs(place - (low + high) / 2) <= 0.75 * (high - low))) for low, high in boxes
            ]
            if not any(inside):
                raise _nobody_there(self._near, [(low + high) / 2 / (width, height) for low, high in boxes])
            boxes = [box for box, there in zip(boxes, inside, strict=True) if there]
            found = [mesh for mesh, there in zip(found, inside, strict=True) if there]
            self._centre = place
            self._side = np.inf
        away = [float(np.linalg.norm((low + high) / 2 - self._centre)) for low, high in boxes]
        best = int(np.argmin(away))
        if away[best] > self._side * (self.REACH + 0.1 * self._missed):
            self._missed += 1
            return []
        low, high = boxes[best]
        self._centre, self._side, self._missed = (low + high) / 2, float(np.max(high - low)), 0
        return [found[best]]


def _nobody_there(near: tuple[float, float], centres: Sequence[NDArray[np.floating]]) -> InvalidParameter:
    places = ", ".join(f"{x:.2f},{y:.2f}" for x, y in centres)
    return InvalidParameter(
        f"there is no face at {near[0]:.2f},{near[1]:.2f}; the first frame with a face shows one at {places}",
        remedy="give one of these places (x,y from the left and the top, 0 to 1), or leave the choice out",
        details={"field": "face", "faces": [[round(float(v), 3) for v in centre] for centre in centres]},
    )


class FaceLandmarker:
    """Track one face through a video, or detect it in single images.

    Args:
        still: treat every image on its own (no tracking between them).
        max_faces: report up to this many faces; the landmarks are those of the largest.
        min_confidence: detection and tracking threshold, 0..1.
    """

    def __init__(self, *, still: bool = False, max_faces: int = 1, min_confidence: float = 0.5) -> None:
        from mediapipe.python.solutions.face_mesh import FaceMesh  # half a second to import

        with _quiet_native_logs():
            self._mesh: Any = FaceMesh(
                static_image_mode=still,
                refine_landmarks=True,
                max_num_faces=max_faces,
                min_detection_confidence=min_confidence,
                min_tracking_confidence=min_confidence,
            )
        self._talkative = 3  # the graph's one-time warnings come with the first images

    def detect(self, image: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """(H, W, 3) uint8 RGB -> a list of (478, 3) pixel arrays (x, y, relative depth), largest face first."""
        height, width = image.shape[:2]
        if self._talkative:
            self._talkative -= 1
            with _quiet_native_logs():
                result = self._mesh.process(np.ascontiguousarray(image))
        else:
            result = self._mesh.process(np.ascontiguousarray(image))
        if not result.multi_face_landmarks:
            return []
        scale = np.array([width, height, width], np.float32)
        found = [
            np.array([(p.x, p.y, p.z) for p in face.landmark], np.float32) * scale
            for face in result.multi_face_landmarks
        ]
        return sorted(found, key=lambda f: -float(np.prod(np.ptp(f[:, :2], axis=0))))

    def track(
        self, frames: Iterable[NDArray[np.uint8]], *, near: tuple[float, float] | None = None
    ) -> Landmarks:
        """Frames (H, W, 3) uint8 RGB -> :class:`Landmarks`.

        Args:
            frames: of one video, in order.
            near: follow the face at this place of the first frame that shows one, from left and top, 0..1 of the
                picture's sides; needs a ``max_faces`` of all that may be seen. None: the largest face.

        Raises:
            InvalidParameter: no face is at that place.
        """
        chosen = FollowedFace(near) if near is not None else None
        points, depth, faces = [], [], []
        for image in frames:
            found = self.detect(image)
            if chosen is not None:
                found = chosen.among(found, image.shape[1], image.shape[0])
            faces.append(len(found))
            best = found[0] if found else np.full((LANDMARKS, 3), np.nan, np.float32)
            points.append(best[:, :2])
            depth.append(best[:, 2])
        if not points:
            nothing = np.zeros((0, LANDMARKS, 2), np.float32)
            return Landmarks(nothing, nothing[..., 0], np.zeros(0, np.int64))
        return Landmarks(np.stack(points), np.stack(depth), np.array(faces))

    def close(self) -> None:
        """Free the graph."""
        self._mesh.close()

    def __enter__(self) -> FaceLandmarker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
