from __future__ import annotations

from tests.likeness.service import (  # noqa: F401
    database,
    either_database,
    postgres_database,
    postgres_url,
    settings,
    store,
)
