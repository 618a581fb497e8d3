"""What is finished in a folder of results, so that a second run does only what is new.

Each stage has a key: a hash over its inputs, its settings, the stages before it and the source code that it
runs.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from evaluation.resources import MemoryWatch
from media.atomic import replacing

REPOSITORY = Path(__file__).resolve().parents[1]


class Ledger:
    """Key, seconds and memory of each stage (``stages.json`` in the folder).

    An entry is written before a stage starts and again when it ends, so a run that was killed is told apart
    from one
    that finished: the same key resumes from the stage's own checkpoints, another key first removes what the
    old one left.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "stages.json"
        try:
            self.entries: dict[str, dict[str, Any]] = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # none yet, or damaged: everything runs again
            self.entries = {}

    def run(
        self,
        stage: str,
        key: str,
        outputs: Sequence[Path],
        work: Callable[[], object],
        *,
        leftovers: Sequence[Path] = (),
    ) -> bool:
        """Run ``work`` unless it is done under this key and its outputs exist; True when it ran.

        Args:
            stage: name in the ledger.
            key: hash of everything the result depends on.
            outputs: files it makes, removed first when they were made under another key.
            work: makes them.
            leftovers: files and folders (checkpoints) that it may make, removed likewise.
        """
        entry = self.entries.get(stage, {})
        if entry.get("key") == key and entry.get("done") and all(path.exists() for path in outputs):
            return False
        if entry.get("key") != key:
            for path in (*outputs, *leftovers):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
        resumed = entry.get("key") == key and not entry.get("done")
        spent, peak = (entry["seconds"], entry["peak_rss_mb"]) if resumed else (0.0, 0.0)
        self._record(stage, key, False, spent, peak)
        started, done = time.monotonic(), False
        watch = MemoryWatch()
        try:
            with watch:
                work()
            done = True
        finally:  # an interrupted stage keeps the time it used: the resumed one adds to it
            self._record(stage, key, done, spent + time.monotonic() - started, max(peak, watch.peak_mb))
        return True

    def _record(self, stage: str, key: str, done: bool, seconds: float, peak_rss_mb: float) -> None:
        self.entries[stage] = {"key": key, "done": done, "seconds": seconds, "peak_rss_mb": peak_rss_mb}
        write_json(self.entries, self._path)


def key_of(*parts: object) -> str:
    """SHA-256 over the parts' texts, in hex."""
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@cache
def code_hash(*names: str) -> str:
    """SHA-256 over sources and data files of this checkout, in hex.

    Taken once per process: an edit meanwhile does not change the modules that are already loaded.

    Args:
        names: folders (with all below them) and files, relative to the checkout.
    """
    digest = hashlib.sha256()
    for name in names:
        root = REPOSITORY / name
        for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
            if path.suffix in {".py", ".npz", ".onnx", ".safetensors"} and path.is_file():
                digest.update(str(path.relative_to(REPOSITORY)).encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def write_json(content: object, path: Path) -> None:
    """Write JSON atomically."""
    with replacing(path) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
