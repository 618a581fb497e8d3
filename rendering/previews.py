"""Pictures of a training under way: real frames over what is made of them, once a minute and at the end.

They are for whoever waits. Nothing here touches what is learnt: no random number is drawn, no state is written, and
whatever goes wrong is logged and passed over.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from media.atomic import replacing

log = logging.getLogger("likeness.previews")

Images = NDArray[np.uint8]

FRAMES = 3
"""Frames shown side by side."""
CELL = 300
"""Side of each in pixels."""
KEPT = 6
"""Newest pictures that stay in the folder."""
SHARE = 0.02
"""Part of the training's time that pictures may take, 0..1."""
_NAME = re.compile(r"preview-(\d+)\.jpg")


class TrainingPreviews:
    """Writes ``preview-<step>.jpg`` into a folder.

    Args:
        folder: made when the first picture is written.
        every_s: seconds between two; longer where painting is slow, see :data:`SHARE`.
    """

    def __init__(self, folder: Path, *, every_s: float = 60.0) -> None:
        self._folder, self._every_s = folder, every_s
        self._next = time.monotonic()

    def offer(self, step: int, paint: Callable[[], tuple[Images, Images]], *, last: bool = False) -> None:
        """Write a picture if it is time for one, or the ``last``; never raises but what ends the process.

        Args:
            step: steps taken.
            paint: real and generated frames, each (B, S, S, 3) uint8 RGB; called only if it is time.
        """
        began = time.monotonic()
        if began < self._next and not last:
            return
        try:
            self._write(step, *paint())
        # torch raises RuntimeError for anything, its OutOfMemoryError among them; a picture is not worth a training
        except Exception:
            log.warning("the preview of step %d could not be made", step, exc_info=True)
        ended = time.monotonic()
        self._next = ended + max(self._every_s, (ended - began) / SHARE)

    def _write(self, step: int, real: Images, generated: Images) -> None:
        colours = cv2.cvtColor(comparison(real, generated, f"generated, step {step}"), cv2.COLOR_RGB2BGR)
        with replacing(self._folder / f"preview-{step}.jpg") as inside:
            inside.write_bytes(cv2.imencode(".jpg", colours, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())
        steps = {
            int(found[1]): path for path in self._folder.iterdir() if (found := _NAME.fullmatch(path.name))
        }
        for old in sorted(steps)[:-KEPT]:
            steps[old].unlink(missing_ok=True)


def comparison(real: Images, generated: Images, caption: str) -> Images:
    """(B, S, S, 3) each -> one picture, :data:`CELL` px a frame: the real ones over the generated ones, which
    ``caption`` stands over."""
    rows = []
    for images, words in ((real, "real"), (generated, caption)):
        cells = [cv2.resize(image, (CELL, CELL), interpolation=cv2.INTER_AREA) for image in images]
        strip = np.full((24, CELL * len(cells), 3), (24, 26, 30), np.uint8)
        cv2.putText(strip, words, (8, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.48, (245, 245, 245), 1, cv2.LINE_AA)
        rows += [strip, np.hstack(cells)]
    return np.vstack(rows).astype(np.uint8)
