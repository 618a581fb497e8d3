"""Stage publish: everything learnt -> one PERSON file."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from training.progress import Progress, Tick, silent
from workers.package import write_package


def run(
    work: Path,
    out: Path,
    *,
    preset: str,
    seed: int,
    progress: Progress = silent,
    metrics: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write ``out`` (a ``.likeness`` zip) from the members in ``work``; returns the manifest."""
    try:
        product = version("likeness")
    except PackageNotFoundError:
        product = "unknown"
    progress(Tick("publish", 0, 1))
    manifest = write_package(
        work, out, {"version": product, "preset": preset, "seed": seed, "metrics": dict(metrics or {})}
    )
    progress(Tick("publish", 1, 1))
    return manifest
