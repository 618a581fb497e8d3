"""The sheet: frames of real and generated clips at the same moments, their mouths, and curves over time, in
one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from evaluation.head_pose import head_angles
from evaluation.regions import visible
from faces.camera import Camera
from faces.mouth import LIPS, eye_aperture, mouth_opening
from media.atomic import replacing

Image = NDArray[np.uint8]

COLOURS = {
    "real": "#222222",
    "reenact": "#1f77b4",
    "dub": "#d62728",
    "ceiling": "#2ca02c",
    "replay": "#9467bd",
}


@dataclass(frozen=True)
class SheetConfig:
    """Sizes in pixels."""

    cell: int = 168
    """Width and height of a face cell; mouth cells are 0.6 as high."""
    label: int = 72
    """Width of the column with the rows' names."""
    header: int = 22
    """Height of the line with the times."""
    curve: int = 190
    """Height of each curve."""
    columns: int = 12
    """Time points."""


def time_points(landmarks: NDArray[Any], count: int) -> NDArray[np.int64]:
    """``count`` evenly spaced frames of a (T, 478, 2) track, each moved to the nearest frame that shows a
    face."""
    shown = np.flatnonzero(visible(landmarks))
    wanted = ((np.arange(count) + 0.5) * len(landmarks) / count).astype(int)
    if not len(shown):
        return wanted
    return shown[np.abs(shown[None, :] - wanted[:, None]).argmin(axis=1)]


def make_sheet(
    pictures: Mapping[str, Sequence[Image]],
    landmarks: Mapping[str, NDArray[Any]],
    times: NDArray[Any],
    *,
    camera: Camera,
    fps: float = 25.0,
    config: SheetConfig | None = None,
) -> Image:
    """Draw the sheet.

    Args:
        pictures: row name -> one (H, W, 3) uint8 RGB picture per time point. The first row is the real clip.
        landmarks: row name -> (T, 478, 2) pixels of the whole clip, for the crops and the curves.
        times: frame index of each time point.
        camera: assumed camera for the yaw curve.
        fps: frames per second.
        config: sizes.

    Returns:
        (H, W, 3) uint8 RGB: a face row and a zoomed mouth row for each clip, then lip opening, yaw and eye
        aperture. Face cells of one time point show the same place of the picture in every row; mouths are
        followed.
    """
    config = config or SheetConfig()
    real = next(iter(pictures))
    rows = [_header(times, fps, config)]
    for kind in ("face", "mouth"):
        for name, images in pictures.items():
            cells = [
                _cell(
                    image,
                    _points(landmarks, name if kind == "mouth" else real, real, int(time)),
                    kind,
                    config.cell,
                )
                for image, time in zip(images, times, strict=True)
            ]
            rows.append(np.hstack([_label(name, cells[0].shape[0], config.label), *cells]))
    rows.append(_curves(landmarks, times, camera, fps, rows[-1].shape[1], config))
    return np.vstack(rows)


def _points(landmarks: Mapping[str, NDArray[Any]], name: str, real: str, time: int) -> NDArray[Any] | None:
    for points in (landmarks[name][time], landmarks[real][time]):
        if np.isfinite(points).all():
            return np.asarray(points, np.float64)
    return None


def _cell(image: Image, points: NDArray[Any] | None, kind: str, side: int) -> Image:
    height = side if kind == "face" else round(side * 0.6)
    if points is None:
        return cv2.resize(image, (side, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
    part = points if kind == "face" else points[list(LIPS)]
    low, high = part.min(axis=0), part.max(axis=0)
    centre, span = (low + high) / 2, 1.35 * (high - low)
    width = max(span[0], span[1] * side / height)
    patch = np.array([width, width * height / side])
    corner = centre - patch / 2
    scale = side / patch[0]
    # Maps picture to cell, so that a crop that leaves the picture is filled with its border.
    matrix = np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]])
    if scale < 1:  # warpAffine does not average: shrink first
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)
        matrix = np.array([[1, 0, -corner[0] * scale], [0, 1, -corner[1] * scale]], np.float64)
    return cv2.warpAffine(
        image, matrix, (side, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    ).astype(np.uint8)


def _write(canvas: Image, text: str, x: int, y: int, scale: float = 0.42) -> None:
    cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, (20, 20, 20), 1, cv2.LINE_AA)


def _label(name: str, height: int, width: int) -> Image:
    canvas = np.full((height, width, 3), 255, np.uint8)
    _write(canvas, name, 6, height // 2 + 4)
    return canvas


def _header(times: NDArray[Any], fps: float, config: SheetConfig) -> Image:
    canvas = np.full((config.header, config.label + config.cell * len(times), 3), 255, np.uint8)
    for column, time in enumerate(times):
        _write(canvas, f"{time / fps:.2f} s", config.label + column * config.cell + 6, config.header - 7)
    return canvas


def _curves(
    landmarks: Mapping[str, NDArray[Any]],
    times: NDArray[Any],
    camera: Camera,
    fps: float,
    width: int,
    config: SheetConfig,
) -> Image:
    dpi, height = 100, 3 * config.curve
    figure = Figure(figsize=(width / dpi, height / dpi), dpi=dpi)
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(3, 1, sharex=True)
    for name, track in landmarks.items():
        seconds = np.arange(len(track)) / fps
        curves = (100 * mouth_opening(track), head_angles(track, camera)[:, 1], 100 * eye_aperture(track))
        for axis, curve in zip(axes, curves, strict=True):
            axis.plot(seconds, curve, color=COLOURS.get(name), linewidth=1.1, label=name)
    for axis, title in zip(axes, ("lip opening, % IOD", "yaw, degrees", "eye aperture, % IOD"), strict=True):
        axis.set_ylabel(title, fontsize=8)
        axis.tick_params(labelsize=8)
        axis.margins(x=0)
        axis.grid(alpha=0.25)
        for time in times:
            axis.axvline(time / fps, color="#bbbbbb", linewidth=0.6)
    axes[0].legend(loc="upper right", fontsize=8, ncols=len(landmarks))
    axes[-1].set_xlabel("seconds into the held-out part", fontsize=8)
    figure.subplots_adjust(
        left=config.label / width, right=1 - 8 / width, top=0.985, bottom=0.08, hspace=0.08
    )
    canvas.draw()
    picture = np.asarray(canvas.buffer_rgba())[..., :3]
    return np.ascontiguousarray(
        cv2.resize(picture, (width, height)) if picture.shape[1] != width else picture
    )


def save_png(image: Image, path: Path, width: int | None = None) -> None:
    """Write an RGB picture as PNG, atomically; ``width`` in pixels shrinks a wider one (area average)."""
    if width is not None and image.shape[1] > width:
        height = round(image.shape[0] * width / image.shape[1])
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
    written, data = cv2.imencode(
        ".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9]
    )
    if not written:
        raise OSError(f"{path} could not be encoded as PNG")
    with replacing(path) as part:
        part.write_bytes(data.tobytes())
