"""How long something will take: from what the same took here before, else from what was measured on two cores."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from likeness.clock import now
from likeness.health import GONE_AFTER
from likeness.repositories.accounts import UsageRepository
from likeness.repositories.outbox import OutboxRepository
from likeness.repositories.workers import WorkerRepository
from likeness.requests import PLANS, Kind, queue_of

TRAINING_S = {"instant": 120.0, "preview": 240.0, "standard": 900.0, "best": 1800.0}
"""Measured for instant and preview on two cores (docs/results.md); the other two are aims for a GPU."""
VIDEO_S_PER_S = 1.9
"""Seconds of work a second of video: 720p on two cores."""
MOTION_S_PER_S = 0.6
"""Seconds of work a second of a motion's preview, on two cores."""


@dataclass(frozen=True)
class Estimate:
    """Of one job."""

    compute_seconds: float
    eta_seconds: float
    queue_ahead: int
    from_history: bool


def estimate(session: Session, *, kind: Kind, preset: str, seconds: float | None) -> Estimate:
    """Of a training, a video or a motion; ``seconds`` is the length of the recording, for the last two."""
    usage = UsageRepository(session)
    measured: float | None
    if kind == "video":
        per_second = usage.work_per_video_second()
        measured = None if per_second is None else per_second * (seconds or 10.0)
        compute = measured if measured is not None else VIDEO_S_PER_S * (seconds or 10.0)
    elif kind == "motion":
        measured, compute = None, MOTION_S_PER_S * (seconds or 10.0)
    else:
        measured = usage.mean_training_seconds(preset)
        compute = measured if measured is not None else TRAINING_S[preset]
    moment = now()
    queues = {queue_of(stage) for stage in PLANS[kind].stages}
    ahead = max(OutboxRepository(session).waiting(moment, queue, limit=1000) for queue in queues)
    alive = [each for each in WorkerRepository(session).seen_since(moment - GONE_AFTER) if each.queues]
    workers = max(1, min(sum(queue in each.queues.split(",") for each in alive) for queue in queues))
    return Estimate(round(compute, 1), round(compute * (1 + ahead / workers), 1), ahead, measured is not None)
