"""Dense face landmarks from pixels: MediaPipe's FaceMesh with attention (478 points with lips, lids and irises).

The models ship inside the ``mediapipe`` wheel, so nothing is downloaded. Video is tracked frame to frame; when the
tracker loses the face in a frame, detection starts afresh on the next.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

# MediaPipe's C++ logs would drown the progress bar; errors still show.
os.environ.setdefault("GLOG_minloglevel", "2")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

LANDMARKS = 478


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

    def track(self, frames: Iterable[NDArray[np.uint8]]) -> Landmarks:
        """Frames (H, W, 3) uint8 RGB -> :class:`Landmarks`."""
        points, depth, faces = [], [], []
        for image in frames:
            found = self.detect(image)
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
