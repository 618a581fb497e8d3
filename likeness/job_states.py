"""The states of jobs and stages, and every change of state that there is.

job     queued ─▶ running ─▶ succeeded                    stage   pending ─▶ queued ◀─▶ running ─▶ succeeded
          │         │ │ └──▶ failed ───┐                               │        │          └─────▶ failed
          │         │ └─▶ canceling    │ retry                         └────────┴──▶ canceled ◀──────┘
          └─────────┴──▶ canceled ◀────┘                          (retry: any that has ended ─▶ pending)

A job that was asked to stop has one way to go: from canceling to canceled, whatever its stage does meanwhile. A change
that is not in these tables is never written (``likeness.repositories.transitions``).
"""

from __future__ import annotations

from collections.abc import Mapping

ACTIVE = ("queued", "running", "canceling")
"""Of a job that has not ended."""
ENDED = ("succeeded", "failed", "canceled")
AGAIN = ("failed", "canceled")
"""From which a job may be tried again."""

JOB_MOVES: Mapping[str, frozenset[str]] = {
    "queued": frozenset(AGAIN),
    "running": frozenset({"queued", "running"}),  # each of its stages that is taken says so again
    "canceling": frozenset({"running", "canceling"}),
    "succeeded": frozenset({"running"}),
    "failed": frozenset({"running"}),
    "canceled": frozenset({"queued", "running", "canceling"}),
}
"""From which states a job gets to each."""

STAGE_MOVES: Mapping[str, frozenset[str]] = {
    "pending": frozenset({"pending", "succeeded", "failed", "canceled"}),
    "queued": frozenset({"pending", "running"}),
    "running": frozenset({"queued"}),
    "succeeded": frozenset({"running"}),
    "failed": frozenset({"running"}),
    "canceled": frozenset({"pending", "queued", "running"}),
}
"""From which states a stage gets to each."""
