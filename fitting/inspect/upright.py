"""Which way up the person is: a camera's tag may be lost, and a picture that stands on its head is learned so.

The landmark mesh can't tell, since it draws an upright face on one that is upside down. The face detectors can: what
they look at is turned by each quarter, and they are surest of the face that is upright.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fitting.inspect.report import Finding

_SIDE = 480
"""Longest side at which pictures are shown to the detectors, px."""
_LEAST = 0.5
"""Mean score of the two detectors for a face, 0..1, under which the turned picture proves nothing."""
_SURER = 0.08
"""By how much that must exceed the score of the picture as it is."""


class Uprightness:
    """Looks at some pictures of a clip in all four turns.

    Args:
        pictures: how many it looks at; further ones are ignored.
    """

    def __init__(self, pictures: int = 8) -> None:
        from mediapipe.python.solutions.face_detection import FaceDetection

        self._left = pictures
        self._scores: list[NDArray[np.float64]] = []
        self._detectors: list[Any] = [
            FaceDetection(model_selection=model, min_detection_confidence=0.1) for model in (0, 1)
        ]

    def __enter__(self) -> Uprightness:
        return self

    def __exit__(self, *_: object) -> None:
        for detector in self._detectors:
            detector.close()

    def look(self, image: NDArray[np.uint8]) -> None:
        """Take a picture, (H, W, 3) RGB, into account."""
        if self._left <= 0:
            return
        self._left -= 1
        shrink = _SIDE / max(image.shape[:2])
        if shrink < 1:
            image = np.asarray(
                cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA), np.uint8
            )
        turns = [np.ascontiguousarray(np.rot90(image, -quarter)) for quarter in range(4)]
        self._scores.append(np.array([self._score(turn) for turn in turns]))

    def _score(self, image: NDArray[np.uint8]) -> float:
        best = [
            max((float(each.score[0]) for each in detector.process(image).detections or []), default=0.0)
            for detector in self._detectors
        ]
        return sum(best) / len(best)

    def turn(self) -> int:
        """Degrees clockwise by which the picture must be turned: 0, 90, 180 or 270."""
        scores = np.mean(self._scores, axis=0) if self._scores else np.zeros(4)
        quarter = int(np.argmax(scores))
        sure = scores[quarter] >= _LEAST and scores[quarter] >= scores[0] + _SURER
        return 90 * quarter if sure else 0


def turned_finding(turn: int) -> Finding:
    """What is said of a clip that must be turned by so many degrees clockwise."""
    lies = {180: "is upside down", 90: "lies on its left side", 270: "lies on its right side"}[turn]
    return Finding(
        "upside_down" if turn == 180 else "sideways",
        "error",
        f"the picture {lies}, and nothing in the file says so",
        f"turn it by {turn} degrees clockwise: --rotate {turn} (in the API: rotate), or in the phone's editor",
        facts={"rotate_deg": turn},
    )
