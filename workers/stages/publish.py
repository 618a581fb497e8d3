"""Stage publish: everything learnt -> one PERSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from training.progress import Progress, Tick, silent
from workers.package import write_package
from workers.stages.motion import REPORT


def run(
    work: Path,
    out: Path,
    *,
    preset: str,
    seed: int,
    progress: Progress = silent,
    metrics: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write ``out`` (a ``.likeness`` zip) from the members in ``work``; returns the manifest.

    The manifest's ``metrics`` and ``findings`` say how well the motion was learnt, where the stage left its report.
    """
    try:
        product = version("likeness")
    except PackageNotFoundError:
        product = "unknown"
    progress(Tick("publish", 0, 1))
    measured, findings = _learnt(work / REPORT)
    manifest = write_package(
        work,
        out,
        {
            "version": product,
            "preset": preset,
            "seed": seed,
            "metrics": {**measured, **(metrics or {})},
            "findings": findings,
        },
    )
    progress(Tick("publish", 1, 1))
    return manifest


_MEASURED = ("lip_r", "lips_z", "sound_late_ms", "frames_without_sound")
"""What of the motion's report is worth a line beside the person."""


def _learnt(report: Path) -> tuple[dict[str, Any], list[Any]]:
    """Metrics and findings of the motion stage; none in a folder that was made by hand."""
    if not report.is_file():
        return {}, []
    content = json.loads(report.read_text(encoding="utf-8"))
    return {name: content[name] for name in _MEASURED if name in content}, content.get("findings", [])
