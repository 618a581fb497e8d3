"""Pictures for people who look for something: a portrait of a person, what the layers alone draw of them, and a small
picture of a video."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faces.track import FaceTrack
from media.atomic import replacing
from rendering.compositor import Compositor, FrameSource
from rendering.dataset import cut_window
from rendering.previews import FRAMES, comparison
from rendering.surroundings import pose_features

log = logging.getLogger("likeness.portraits")

Image = NDArray[np.uint8]

PORTRAIT_PX = 320
"""Side of a portrait."""
THUMBNAIL_PX = 320
"""Longer side of a video's small picture."""
_MARGIN = 1.9
"""Side of a portrait over the face's height: hair and chin belong to it."""
_GAP = 25
"""Frames between a drawn frame and the one it is drawn over at least (a sixth of the clip where that is fewer)."""


def portrait(track: FaceTrack, frames: FrameSource) -> Image:
    """A square round the face, (S, S, 3) uint8 RGB with S at most :data:`PORTRAIT_PX`, of the frame in which the person
    looks most like a portrait: eyes open, mouth at rest, turned as they usually are."""
    index = _portrait_frame(track)
    image, points = frames[index], track.landmarks[index]
    (left, top), (right, bottom) = points.min(0), points.max(0)
    height, width = image.shape[:2]
    side = int(min(_MARGIN * max(bottom - top, right - left), height, width))
    x = int(np.clip((left + right - side) / 2, 0, width - side))
    # A little higher than the landmarks' middle: they end at the brows, and hair is above.
    y = int(np.clip((top + bottom - side) / 2 - 0.06 * side, 0, height - side))
    square = image[y : y + side, x : x + side]
    size = min(side, PORTRAIT_PX)
    return cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA).astype(np.uint8)


def _portrait_frame(track: FaceTrack) -> int:
    valid = np.nonzero(track.valid)[0]
    motion = track.motion[valid]
    names = list(track.expression_names)
    effort = np.zeros(len(valid))
    for name, weight in (
        ("eyeBlinkLeft", 2.0),
        ("eyeBlinkRight", 2.0),
        ("jawOpen", 2.0),
        ("mouthPucker", 1.0),
    ):
        if name in names:
            effort += weight * motion.expression[:, names.index(name)]
    turned = np.abs(motion.euler() - np.median(motion.euler(), axis=0)).sum(1) / 30.0
    return int(valid[np.argmin(effort + turned)])


def layers_beside_real(compositor: Compositor) -> Image:
    """The clip's frames over what the layers draw of them, :data:`rendering.previews.FRAMES` side by side: mouth shut,
    half open and wide open. Each is drawn over another frame of the clip, as in a video, and as if its own looks were
    not known."""
    track = compositor.track
    valid = np.nonzero(track.valid)[0]
    opening = track.motion.expression[valid, list(track.expression_names).index("jawOpen")]
    order = np.argsort(opening, kind="stable")
    chosen = [int(valid[order[round(share * (len(order) - 1))]]) for share in np.linspace(0.1, 0.97, FRAMES)]
    features = pose_features(track.motion[valid])
    gap = min(_GAP, max(len(valid) // 6, 1))
    real, drawn = [], []
    for index in chosen:
        distance = np.linalg.norm(features - features[np.searchsorted(valid, index)], axis=1)
        distance[np.abs(valid - index) < gap] = np.inf
        layers = compositor.compose(
            track.motion[index : index + 1], int(valid[np.argmin(distance)]), unseen=index
        )
        real.append(cut_window(compositor.crop(compositor.frames[index], layers.box), compositor.window))
        drawn.append(cut_window(layers.image, compositor.window))
    return comparison(np.stack(real), np.stack(drawn), "drawn of the layers")


def write_picture(paint: Callable[[], Image], path: Path) -> None:
    """Write a picture as JPEG. What goes wrong is logged and passed over: a picture is not worth a training."""
    try:
        colours = cv2.cvtColor(paint(), cv2.COLOR_RGB2BGR)
        encoded = cv2.imencode(".jpg", colours, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()
        with replacing(path) as inside:
            inside.write_bytes(encoded)
    except Exception:
        log.warning("the picture %s could not be made", path.name, exc_info=True)


def write_thumbnail(image: Image, path: Path) -> None:
    """Write a frame (H, W, 3) RGB or (H, W, 4) RGBA as a small JPEG; what is see-through becomes grey."""

    def small() -> Image:
        height, width = image.shape[:2]
        scale = min(1.0, THUMBNAIL_PX / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        picture = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        if picture.shape[2] == 4:
            alpha = picture[..., 3:] / 255.0
            picture = alpha * picture[..., :3] + (1.0 - alpha) * 128.0
        return picture.round().astype(np.uint8)

    write_picture(small, path)
