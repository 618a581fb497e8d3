"""Pictures for an inspection: frames that show what a finding says, with the faces that were seen, and an overview.

They are taken from the frames that the inspection looks at anyway, so the clip is not decoded again: a finding about a
frame between two of them (a cut, a freeze) is shown by the next one that was looked at.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fitting.inspect.report import Finding, Inspection
from fitting.inspect.sight import Sight
from media.atomic import replacing
from media.survey import FPS, SurveyFrame

Image = NDArray[np.uint8]

OVERVIEW = "overview.jpg"
WIDEST = 480
"""Width of a picture at most, px."""
TALLEST = 640
"""Height of a picture at most, px: phones film upright."""
MOST = 4
"""Pictures of one finding at most."""
QUALITY = 80
"""JPEG, 1..100."""
CELLS, COLUMNS, CELL_WIDTH = 8, 4, 240
"""The overview: frames, frames a row, and the width of each in pixels."""
_MAIN, _OTHER, _INK, _PAPER = (255, 196, 0), (255, 80, 60), (245, 245, 245), (24, 26, 30)


class InspectionPictures:
    """Collects frames while a clip is inspected (:meth:`watch`), then writes the pictures."""

    def __init__(self) -> None:
        self._jpegs: dict[int, bytes] = {}
        self._places: dict[int, tuple[tuple[float, float, float, float], ...]] = {}

    def watch(self, frame: SurveyFrame, sight: Sight) -> None:
        """Keep a frame, small: the listener of :func:`fitting.inspect.inspect_clip`."""
        height, width = frame.image.shape[:2]
        scale = min(1.0, WIDEST / width, TALLEST / height)
        self._jpegs[frame.index] = _jpeg(_resized(frame.image, scale), 92)
        self._places[frame.index] = sight.places

    def write(self, inspection: Inspection, folder: Path) -> dict[str, Any]:
        """Write ``finding-<code>-<frame>.jpg`` and ``overview.jpg`` into ``folder``, each whole or not at all.

        Returns:
            the inspection as JSON types, with the file names: ``pictures`` in every finding, and ``overview``, which is
            None for a file that was not decoded.
        """
        report = inspection.as_dict()
        for finding, entry in zip(inspection.findings, report["findings"], strict=True):
            entry["pictures"] = []
            for index in self._shown(finding.frames):
                name = f"finding-{finding.code}-{index}.jpg"
                _write(folder / name, self._annotated(index, finding))
                entry["pictures"].append(name)
        report["overview"] = OVERVIEW if self._jpegs else None
        if self._jpegs:
            _write(folder / OVERVIEW, self._overview())
        return report

    def _shown(self, frames: Sequence[int]) -> list[int]:
        """Up to :data:`MOST` of the kept frames, evenly spread over those in question."""
        kept = sorted(self._jpegs)
        if not kept or not frames:
            return []
        found = sorted({kept[min(bisect_left(kept, frame), len(kept) - 1)] for frame in frames})
        spread = np.linspace(0, len(found) - 1, min(MOST, len(found))).round().astype(int)
        return [found[n] for n in spread]

    def _image(self, index: int) -> Image:
        stored = cv2.imdecode(np.frombuffer(self._jpegs[index], np.uint8), cv2.IMREAD_COLOR)
        return np.asarray(cv2.cvtColor(stored, cv2.COLOR_BGR2RGB), np.uint8)

    def _with_faces(self, index: int) -> Image:
        image = self._image(index)
        height, width = image.shape[:2]
        for n, (left, top, wide, high) in enumerate(self._places[index]):
            start = round(left * width), round(top * height)
            stop = round((left + wide) * width), round((top + high) * height)
            cv2.rectangle(image, start, stop, _PAPER, 4, cv2.LINE_AA)  # a dark edge: seen on any ground
            cv2.rectangle(image, start, stop, _OTHER if n else _MAIN, 2, cv2.LINE_AA)
        return image

    def _annotated(self, index: int, finding: Finding) -> Image:
        image = self._with_faces(index)
        faces = len(self._places[index])
        seen = {0: "no face", 1: "one face"}.get(faces, f"{faces} faces")
        return _captioned(image, f"{finding.code}: {_moment(index)}, {seen}")

    def _overview(self) -> Image:
        """Evenly spread frames in rows, with their times."""
        kept = sorted(self._jpegs)
        chosen = [kept[n] for n in np.linspace(0, len(kept) - 1, min(CELLS, len(kept))).round().astype(int)]
        cells = []
        for index in chosen:
            image = self._with_faces(index)
            cells.append(_captioned(_resized(image, CELL_WIDTH / image.shape[1]), _moment(index)))
        height = max(cell.shape[0] for cell in cells)
        columns = min(COLUMNS, len(cells))
        rows = -(-len(cells) // columns)
        page = np.full((rows * height, columns * CELL_WIDTH, 3), _PAPER, np.uint8)
        for n, cell in enumerate(cells):
            top, left = n // columns * height, n % columns * CELL_WIDTH
            page[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
        return page


def _moment(index: int) -> str:
    return f"frame {index}, {index / FPS:.2f} s"


def _captioned(image: Image, text: str) -> Image:
    """The picture over a line of text, which shrinks where it would not fit."""
    strip = np.full((22, image.shape[1], 3), _PAPER, np.uint8)
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.42
    wide = cv2.getTextSize(text, font, scale, 1)[0][0]
    scale *= min(1.0, (image.shape[1] - 12) / max(wide, 1))
    cv2.putText(strip, text, (6, 15), font, scale, _INK, 1, cv2.LINE_AA)
    return np.vstack([image, strip])


def _resized(image: Image, scale: float) -> Image:
    if scale == 1:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(
        cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR), np.uint8
    )


def _jpeg(image: Image, quality: int) -> bytes:
    colours = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", colours, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _write(path: Path, image: Image) -> None:
    with replacing(path) as inside:
        inside.write_bytes(_jpeg(image, QUALITY))
