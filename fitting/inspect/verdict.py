"""From the frames that were looked at to what is said about the face."""

from __future__ import annotations

from fitting.inspect.config import InspectConfig
from fitting.inspect.face import face_findings
from fitting.inspect.figures import face_figures
from fitting.inspect.remarks import face_remarks
from fitting.inspect.report import FaceFigures, Finding
from fitting.inspect.sight import Sight


def judge_face(
    sights: list[Sight], frames: int, longest: float, config: InspectConfig
) -> tuple[FaceFigures | None, list[Finding]]:
    """Figures and findings of the frames that were looked at; ``longest``: of the normalised clip's sides, px."""
    face, marks = face_figures(sights, frames, config)
    found = face_findings(sights, face, frames, longest, config)
    if face is not None and marks is not None and not any(f.severity == "error" for f in found):
        found += face_remarks(sights, face, marks, config)
    return face, found
