"""Make the pictures of docs/recording.md: how to film, and how not to.

    python -m studio.recording_pictures docs/recording

The person is the sample's presenter, who exists nowhere (CC0 head model, ``studio.presenter``); the faults are those of
``studio.inspection_faults``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faces.rotation import rotvec_from_euler
from faces.track import Motion
from fitting.landmarks import FaceLandmarker
from problems import NoFace
from studio.inspection_faults import lit, shaken, with_hand, with_microphone
from studio.presenter import DISTANCE_MM, RISE_MM, SIZE, Presenter, Studio, body_plate

Image = NDArray[np.uint8]

SIDE = 360
"""Of a picture, pixels."""
_SPEAKING = {"jawOpen": 0.35, "mouthLowerDownLeft": 0.2, "mouthLowerDownRight": 0.2}


def posed(person: Presenter, *, yaw: float = 0.0, pitch: float = 0.0, **expression: float) -> Motion:
    """One frame's motion: a head turned by some degrees with the given expression coefficients, 0..1."""
    names = person.model.expression_names
    weights = np.zeros((1, len(names)), np.float32)
    for name, amount in expression.items():
        weights[0, names.index(name)] = amount
    place = np.array([[0.0, -RISE_MM, DISTANCE_MM]], np.float32)
    turn = rotvec_from_euler(np.array([[pitch, yaw, 0.0]])).astype(np.float32)
    return Motion(turn, place, weights, np.zeros((1, 2), np.float32))


def backlit(picture: Image, person: NDArray[np.float32]) -> Image:
    """(h, w, 3) the picture as if a window stood behind the person, who covers ``person`` (h, w, 1), 0..1."""
    mixed = lit(picture, -3.4) * person + lit(picture, 1.6) * (1 - person)
    return np.clip(mixed, 0, 255).astype(np.uint8)


def far_away(picture: Image, person: NDArray[np.float32], part: float = 0.3) -> Image:
    """(h, w, 3) the picture's person (h, w, 1), 0..1, shrunk to ``part`` of the side, at the foot of the same wall."""
    side = len(picture)
    wall = cv2.resize(cv2.GaussianBlur(picture[: side // 20], (0, 0), 6), (side, side))
    small, alpha = (
        cv2.resize(x, None, fx=part, fy=part, interpolation=cv2.INTER_AREA) for x in (picture, person)
    )
    top, left = side - len(small), (side - small.shape[1]) // 2
    place = wall[top:, left : left + small.shape[1]]
    place += ((small.astype(np.float32) - place) * alpha[..., None]).astype(np.int16).astype(np.uint8)
    return wall


def person_mask(picture: Image) -> NDArray[np.float32]:
    """(SIZE, SIZE, 1) 0..1: head and clothes of a picture that the studio took."""
    plate, cloth = body_plate(SIZE)
    wall = np.clip(plate, 0, 1) ** (1 / 2.2) * 255
    head = (np.abs(picture - wall).max(-1) > 14).astype(np.uint8)
    head = cv2.morphologyEx(head, cv2.MORPH_CLOSE, np.ones((11, 11), np.uint8))
    head = cv2.morphologyEx(head, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    mask = np.maximum(head.astype(np.float32), cloth.astype(np.float32))
    return cv2.GaussianBlur(mask, (0, 0), 1.0)[..., None]


def pictures() -> dict[str, Image]:
    """File name without ending -> (360, 360, 3) RGB.

    Raises:
        NoFace: the detector does not find the presenter.
    """
    person = Presenter.invent(seed=11)
    studio = Studio(person)
    good = studio.frame(posed(person, yaw=3.0, **_SPEAKING))
    turned = studio.frame(posed(person, yaw=48.0))
    person_there = person_mask(good)
    with FaceLandmarker(still=True) as landmarker:
        found = landmarker.detect(good)
    if not found:
        raise NoFace("the presenter has no face", remedy="look at studio.presenter's frames")
    mesh = found[0]
    large = {
        "good": good,
        "too_far": far_away(good, person_there),
        "backlit": backlit(good, person_there),
        "hand": with_hand(good, mesh, "mouth", 0.85),
        "microphone": with_microphone(good, mesh, "mouth", 0.75),
        "motion_blur": shaken(good, mesh, 0.22, 15.0),
        "turned_away": turned,
    }
    return {name: cv2.resize(p, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for name, p in large.items()}


def main(folder: Path) -> None:
    """Write the pictures as JPEG files into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures().items():
        cv2.imwrite(str(folder / f"{name}.jpg"), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
