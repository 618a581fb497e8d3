"""From a clip and a recording to a video of the person saying it, with the Python client.

likeness up                       # in another terminal
python examples/client_quickstart.py --name "Ada Example" --i-have-consent CLIP RECORDING OUT.mp4

Address and key come from LIKENESS_SERVER and LIKENESS_API_KEY. Run again with --person per_… to make another video of
somebody who was learned before.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from likeness.client import ApiProblem, Client
from likeness.client.answers import Job


def main(arguments: list[str]) -> int:
    """Run the example; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("recording", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--name", default="", help="full name of the person in the clip")
    parser.add_argument("--i-have-consent", action="store_true", help="you attest that they have agreed")
    parser.add_argument("--person", help="somebody who was learned before; the clip is not read then")
    options = parser.parse_args(arguments)
    if options.out.exists() and any(
        each.exists() and each.samefile(options.out) for each in (options.clip, options.recording)
    ):
        parser.error(f"the video would overwrite {options.out}; give it another name")
    client = Client()
    try:
        person_id = options.person or learn(client, options.clip, options.name, options.i_have_consent)
        sound = client.uploads.create(options.recording, "recording")
        video = client.videos.create(person_id, audio_upload_id=sound.id)
        client.videos.wait(video.id, progress=show)
        client.videos.download(video.id, options.out)
    except ApiProblem as problem:
        print(f"{problem.title}: {problem.message}\nWhat to do: {problem.remedy}", file=sys.stderr)
        return 1
    print(options.out)
    return 0


def learn(client: Client, clip: Path, name: str, attested: bool) -> str:
    """Learn a person from a clip that is fit for it; returns their id."""
    upload = client.uploads.create(clip, "clip", progress=lambda sent, all_: print(f"sent {sent} of {all_}"))
    report = client.inspections.wait(client.inspections.create(upload.id).id, progress=show).report or {}
    for finding in report["findings"]:
        print(f"{finding['severity']}: {finding['message']} ({finding['remedy']})")
    consent = client.consents.create(name, attested=attested)
    if consent.status == "awaiting_recording":
        print(f"{name} reads aloud on camera, before {consent.expires_at}:\n{consent.statement}")
        recording = Path(input("Path of that video: "))
        client.consents.record(consent.id, client.uploads.create(recording, "consent").id)
        consent = client.consents.wait(consent.id)
    person = client.persons.create(name, consent_id=consent.id)
    training = client.trainings.create(person.id, upload.id, preset="preview")
    for event in client.trainings.events(training.id):  # as it happens; `wait` below raises if it failed
        if event.type == "stage":
            print("stage", event.data.get("stage"), event.data.get("status"))
    client.trainings.wait(training.id)
    print(f"{person.id} is learned")
    return person.id


def show(job: Job) -> None:
    """One line on how far a job is."""
    eta = job.progress.eta_seconds
    left = f", about {eta:.0f} s left" if eta is not None else ""
    print(f"{job.object} {job.status} {job.stage or ''} {job.progress.percent:.0f} %{left}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
