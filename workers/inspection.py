"""An inspection that also listens: what :mod:`fitting.inspect` sees, and whether lips and voice belong together.

The two halves may not import each other, so they meet here; the command line, the service and every training inspect a
clip through this one function.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fitting.inspect import Finding, Inspection, MouthWatch, inspect_clip
from problems import InvalidParameter
from workers.voice_findings import listen

ACCEPTABLE = ("lips_strange",)
"""Errors that somebody who knows better may accept: they become warnings."""
_NOTHING_TO_COMPARE = frozenset(("no_sound", "silent_sound", "upside_down", "sideways"))
"""Findings beside which nothing can be said of lips and voice: a turned face is not followed."""
_SEVERITIES = ("error", "warning", "hint")


def inspect(path: Path, *, accept: Collection[str] = (), **settings: Any) -> Inspection:
    """Look at a clip and listen to it, for some seconds.

    Args:
        path: any video file.
        accept: codes of :data:`ACCEPTABLE` errors that do not stand in the way.
        settings: those of :func:`fitting.inspect.inspect_clip`.

    Raises:
        InvalidParameter: a code that can't be accepted.
        NotFound, UnreadableMedia, DecodeTimeout, MediaTooLarge: the file can't be read at all; all else is a finding.
    """
    check_acceptable(accept)
    with MouthWatch() as mouth:
        inspection = inspect_clip(path, mouth=mouth, **settings)
        samples, lips = mouth.samples, mouth.lips
    codes = {finding.code for finding in inspection.findings}
    if samples is None or codes & _NOTHING_TO_COMPARE or not np.isfinite(lips).any():
        return inspection
    voice, about_voice = listen(samples, lips)
    found = [*inspection.findings, *(_accepted(finding, accept) for finding in about_voice)]
    found.sort(key=lambda finding: _SEVERITIES.index(finding.severity))
    return replace(inspection, voice=voice, findings=tuple(found))


def check_acceptable(accept: Collection[str]) -> None:
    """Raise InvalidParameter for a code that nobody may accept."""
    for code in accept:
        if code not in ACCEPTABLE:
            raise InvalidParameter(
                f"{code} can't be accepted",
                remedy=f"accept only {', '.join(ACCEPTABLE)}",
                details={"field": "accept", "may_be": list(ACCEPTABLE)},
            )


def _accepted(finding: Finding, accept: Collection[str]) -> Finding:
    if finding.code not in accept or finding.severity != "error":
        return finding
    return replace(
        finding,
        severity="warning",
        message=f"{finding.message}; accepted",
        remedy="nothing need be done if you are sure that the voice is the right one",
    )
