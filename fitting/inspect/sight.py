"""What single frames show: faces, and of the largest its place, pose, mouth, eyes, colours and sharpness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from faces.mouth import eye_aperture, inter_ocular_distance, mouth_opening
from fitting.inspect.blur import detail_tensor
from fitting.inspect.chart import face_chart
from fitting.inspect.config import InspectConfig
from fitting.inspect.pose import head_pose
from fitting.landmarks import FaceLandmarker
from media.survey import SurveyFrame

_NAN = float("nan")


@dataclass(frozen=True)
class Sight:
    """One sampled frame; what is measured on the face's mesh is NaN or None where there is none."""

    index: int
    """Its number at 25 fps."""
    seen: bool
    """By the mesh: the fit can use it."""
    confirmed: bool
    """By the full-range detector."""
    count: int
    """Faces."""
    iod: float
    """Inter-ocular distance, px; from the detector's eyes when only that sees a face, NaN without a face."""
    box: tuple[float, float] = (_NAN, _NAN)
    """Width and height of the landmarks' box, px."""
    sharpness: float = _NAN
    """See :attr:`InspectConfig.min_sharpness`."""
    brightness: float = _NAN
    """Mean grey, 0..255."""
    yaw: float = _NAN
    """Degrees, positive: the nose points to the image's right."""
    pitch: float = _NAN
    """Degrees, positive: up."""
    mouth: float = _NAN
    """Inner-lip opening over the inter-ocular distance."""
    eyes: float = _NAN
    """Lid opening over the inter-ocular distance."""
    chart: NDArray[np.uint8] | None = None
    """(H, W, 3) RGB, see :class:`fitting.inspect.chart.FaceChart`."""
    detail: NDArray[np.float64] | None = None
    """(2, 2), see :func:`fitting.inspect.blur.detail_tensor`."""
    places: tuple[tuple[float, float, float, float], ...] = ()
    """Left, top, width and height of every face, the largest mesh's first, in parts of the picture's sides."""


class Looker:
    """The face models, on single frames.

    Args:
        config: what counts as a second face.
    """

    def __init__(self, config: InspectConfig) -> None:
        from mediapipe.python.solutions.face_detection import FaceDetection

        self._config = config
        self._mesh = FaceLandmarker(still=True, max_faces=2)  # the larger one is the face
        self._detector: Any = FaceDetection(model_selection=1, min_detection_confidence=0.6)

    def __enter__(self) -> Looker:
        return self

    def __exit__(self, *_: object) -> None:
        self._mesh.close()
        self._detector.close()

    def look(self, frame: SurveyFrame, scale: float) -> Sight:
        """``scale``: px of the normalised clip over px of the image."""
        image = frame.image
        height, width = image.shape[:2]
        meshes = self._mesh.detect(image)
        boxes, eyes = [], []
        for detection in self._detector.process(image).detections or []:
            box = detection.location_data.relative_bounding_box
            boxes.append((box.xmin * width, box.ymin * height, box.width * width, box.height * height))
            right, left = detection.location_data.relative_keypoints[:2]
            eyes.append(np.hypot((right.x - left.x) * width, (right.y - left.y) * height))
        # Only the detector counts: the mesh alone sees faces in collars and folds.
        count = _distinct(boxes, self._config.second_face_size) or int(bool(meshes))
        if not meshes:
            # The detector gives the eyes' centres; their outer corners are about 1.5 times as far apart.
            iod = 1.5 * float(max(eyes)) * scale if eyes else np.nan
            places = _places(boxes, width, height)
            return Sight(frame.index, seen=False, confirmed=bool(boxes), count=count, iod=iod, places=places)
        mesh = meshes[0]
        own = (*mesh[:, :2].min(0).tolist(), *np.ptp(mesh[:, :2], axis=0).tolist())
        box = np.ptp(mesh[:, :2], axis=0) * scale
        sharpness, brightness = _face_pixels(image, mesh)
        pitch, yaw, _ = head_pose(mesh, (width, height))
        return Sight(
            index=frame.index,
            seen=True,
            confirmed=any(_overlap(other, own) > 0.2 for other in boxes),
            count=count,
            iod=float(inter_ocular_distance(mesh)) * scale,
            box=(float(box[0]), float(box[1])),
            sharpness=sharpness,
            brightness=brightness,
            yaw=yaw,
            pitch=-pitch,
            mouth=float(mouth_opening(mesh)),
            eyes=float(eye_aperture(mesh)),
            chart=face_chart().read(image, mesh),
            detail=detail_tensor(image, mesh),
            places=_places([own, *(box for box in boxes if _overlap(box, own) <= 0.2)], width, height),
        )


def _places(
    boxes: Sequence[tuple[float, ...]], width: int, height: int
) -> tuple[tuple[float, float, float, float], ...]:
    """Boxes (x, y, w, h) in pixels as parts of the picture's sides."""
    return tuple((x / width, y / height, w / width, h / height) for x, y, w, h in boxes)


def _distinct(boxes: Sequence[tuple[float, ...]], smallest: float) -> int:
    """How many different faces the boxes (x, y, w, h) show, leaving out those far smaller than the
    largest."""
    kept: list[tuple[float, ...]] = []
    for box in sorted(boxes, key=lambda b: -b[2]):
        if all(_overlap(box, other) < 0.2 for other in kept) and (
            not kept or box[2] >= smallest * kept[0][2]
        ):
            kept.append(box)
    return len(kept)


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Shared area over the smaller one's."""
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(0.0, wide) * max(0.0, high) / max(1e-6, min(a[2] * a[3], b[2] * b[3]))


def _face_pixels(image: NDArray[np.uint8], mesh: NDArray[np.float32]) -> tuple[float, float]:
    """(sharpness, mean grey) of the landmarks' box, seen with 64 px between the eye corners."""
    low = np.maximum(mesh[:, :2].min(0), 0).astype(int)
    high = np.minimum(mesh[:, :2].max(0) + 1, image.shape[1::-1]).astype(int)
    crop = image[low[1] : high[1], low[0] : high[0]]
    if min(crop.shape[:2]) < 4:
        return float("nan"), float("nan")
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    shrink = 64.0 / float(inter_ocular_distance(mesh))
    if shrink < 1:
        grey = cv2.resize(grey, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    contrast = float(grey.var())
    edges = cv2.Laplacian(grey, cv2.CV_64F)
    return float(edges.var()) / max(contrast, 1.0), float(grey.mean())
