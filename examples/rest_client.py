"""The whole way by REST with nothing but the standard library: clip and recording up, a video down.

likeness up                       # in another terminal
python examples/rest_client.py --name "Ada Example" --i-have-consent CLIP RECORDING OUT.mp4
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

FINAL = {"succeeded", "failed", "canceled"}


class Refused(Exception):
    """The service answered with a problem (RFC 9457)."""


class Client:
    """A few calls of the API at ``base``."""

    def __init__(self, base: str) -> None:
        self.base = base.rstrip("/")

    def call(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """Send ``body`` (JSON types, or an open file) and return the answer's JSON.

        Raises:
            Refused: with what is wrong and what to do about it.
        """
        data = json.dumps(body).encode() if content_type == "application/json" and body is not None else body
        request = urllib.request.Request(self.base + path, data=data, method=method)
        request.add_header("Content-Type", content_type)
        if hasattr(body, "fileno"):
            request.add_header("Content-Length", str(Path(body.name).stat().st_size))
        try:
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            problem = json.load(error)
            raise Refused(
                f"{problem['title']}: {problem['detail']}\nWhat to do: {problem['remedy']}"
            ) from None
        except urllib.error.URLError as error:
            raise Refused(
                f"{self.base} does not answer ({error.reason})\nWhat to do: start `likeness up`"
            ) from None

    def upload(self, file: Path, purpose: str) -> str:
        """Stream a file up; returns its id."""
        query = urllib.parse.urlencode({"purpose": purpose, "filename": file.name})
        with open(file, "rb") as stream:
            return str(self.call("POST", f"/v1/uploads?{query}", stream, "application/octet-stream")["id"])

    def wait(self, path: str, timeout_s: float) -> dict[str, Any]:
        """Poll a job until it has ended; prints its progress.

        Raises:
            Refused: the job failed or was canceled, or ``timeout_s`` ran out.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            job: dict[str, Any] = self.call("GET", path)
            progress = job["progress"]
            eta = progress["eta_seconds"]
            left = f", about {eta:.0f} s left" if eta is not None else ""
            print(
                f"{job['object']} {job['status']} {job['stage'] or ''} {progress['percent']:.0f} %{left}",
                flush=True,
            )
            if job["status"] == "succeeded":
                return job
            if job["status"] in FINAL:
                error = job["error"] or {"detail": "it was canceled", "remedy": "start it again"}
                raise Refused(
                    f"{job['object']} {job['status']}: {error['detail']}\nWhat to do: {error['remedy']}"
                )
            if time.monotonic() > deadline:
                raise Refused(f"{path} is still {job['status']}\nWhat to do: wait longer (--timeout)")
            time.sleep(min(2.0, timeout_s))

    def download(self, path: str, out: Path) -> None:
        """Stream a file down."""
        with urllib.request.urlopen(self.base + path) as answer, open(out, "wb") as stream:
            while block := answer.read(1 << 20):
                stream.write(block)


def main(arguments: list[str]) -> int:
    """Run the example; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("recording", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--name", required=True, help="full name of the person in the clip")
    parser.add_argument(
        "--i-have-consent", action="store_true", help="you attest that this person has agreed"
    )
    parser.add_argument("--base", default="http://127.0.0.1:8000")
    parser.add_argument("--timeout", type=float, default=3600.0, help="seconds to wait for each job")
    options = parser.parse_args(arguments)
    if options.out.exists() and any(
        each.exists() and each.samefile(options.out) for each in (options.clip, options.recording)
    ):
        parser.error(f"the video would overwrite {options.out}; give it another name")
    client = Client(options.base)
    try:
        consent = {"attested": options.i_have_consent, "subject_name": options.name}
        person = client.call("POST", "/v1/persons", {"name": options.name, "consent": consent})["id"]
        clip = client.upload(options.clip, "clip")
        recording = client.upload(options.recording, "recording")
        training = client.call(
            "POST", f"/v1/persons/{person}/trainings", {"upload_id": clip, "preset": "preview"}
        )
        client.wait(f"/v1/trainings/{training['id']}", options.timeout)
        video = client.call("POST", "/v1/videos", {"person_id": person, "audio": {"upload_id": recording}})
        done = client.wait(f"/v1/videos/{video['id']}", options.timeout)
        client.download(done["download_url"], options.out)
    except Refused as problem:
        print(problem, file=sys.stderr)
        return 1
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
