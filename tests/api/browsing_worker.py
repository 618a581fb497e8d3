"""``python -m tests.api.browsing_worker QUEUE ...``: a Celery worker of the stages that a browser is shown."""

from __future__ import annotations

import sys

from likeness.settings import Settings
from tests.api.browsing import STAGES
from workers import tasks
from workers.celery_app import work
from workers.spill import spilling_to_disk

if __name__ == "__main__":
    tasks.stages = STAGES
    settings = Settings.load()
    with spilling_to_disk(settings):
        sys.exit(work(settings, sys.argv[1:]))
