"""Many videos from one table: a line a video, all of them checked before the first is made.

python examples/batch_from_csv.py --person per_… LINES.csv OUT_FOLDER

LINES.csv has a column `recording` (a sound file, beside the table) and may have `out` (a file name), `pose` (learned,
clip, still) and `seed`. Run the same command again after an interruption: what was sent and made is not sent and made
twice, and only the videos that OUT_FOLDER lacks are downloaded.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from likeness.client import ApiProblem, Client, video_request
from likeness.client.files import file_sha256


def main(arguments: list[str]) -> int:
    """Run the example; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--person", required=True, help="who speaks (per_…)")
    options = parser.parse_args(arguments)
    with open(options.table, newline="") as stream:
        lines = list(csv.DictReader(stream))
    clashes = overwritten(options.table.parent, lines, options.folder)
    if clashes:
        print(f"{', '.join(clashes)}: a recording would be overwritten", file=sys.stderr)
        print("What to do: give another folder", file=sys.stderr)
        return 2
    client = Client()
    try:
        return make(client, options.person, options.table.parent, lines, options.folder)
    except ApiProblem as problem:
        print(f"{problem.title}: {problem.message}\nWhat to do: {problem.remedy}", file=sys.stderr)
        for error in problem.details.get("errors", []):
            print(f"line {error['index'] + 2}: {error['detail']}", file=sys.stderr)
        return 1


def make(client: Client, person: str, beside: Path, lines: list[dict[str, str]], folder: Path) -> int:
    """Have every line spoken, and save the videos; returns the exit code."""
    known = {upload.sha256: upload.id for upload in client.uploads.list(purpose="recording")}
    items = [request(client, person, beside, line, known) for line in lines]
    # The same table for the same person is the same batch, however often this is run (within a day).
    key = hashlib.sha256(json.dumps([person, items], sort_keys=True).encode()).hexdigest()
    batch = client.batches.create(items, name=person, idempotency_key=key)
    print(f"{batch.id}: {batch.total} videos")
    client.batches.wait(batch.id, progress=lambda batch: print(batch.counts, flush=True))
    folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    for video in client.batches.videos(batch.id):
        if video.error is not None:
            failed += 1
            print(f"{video.metadata['out']}: {video.error.detail} ({video.error.remedy})", file=sys.stderr)
        elif video.status == "succeeded":
            target = folder / video.metadata["out"]
            if not target.exists() or file_sha256(target) != video.sha256:
                client.videos.download(video.id, target)
            print(target)
    return 1 if failed else 0


def video_name(line: dict[str, str]) -> str:
    """The name of a line's video."""
    return Path(line.get("out") or f"{Path(line['recording']).stem}.mp4").name


def overwritten(beside: Path, lines: list[dict[str, str]], folder: Path) -> list[str]:
    """Videos that would take a recording's place."""
    recordings = [beside / line["recording"] for line in lines]
    targets = [folder / video_name(line) for line in lines]
    return [
        str(target)
        for target in targets
        if target.exists() and any(each.exists() and each.samefile(target) for each in recordings)
    ]


def request(
    client: Client, person: str, beside: Path, line: dict[str, str], known: dict[str | None, str]
) -> dict[str, Any]:
    """One line as an item of the batch; its recording is sent unless the service has it."""
    recording = beside / line["recording"]
    sha256 = file_sha256(recording)
    if sha256 not in known:
        known[sha256] = client.uploads.create(recording, "recording").id
    out = video_name(line)
    pose = {"mode": line.get("pose") or "learned", "seed": int(line.get("seed") or 0)}
    return video_request(person, audio_upload_id=known[sha256], pose=pose, metadata={"out": out})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
