"""Every resource of the client, against the real service."""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from api.app import create_app
from likeness.client import ApiProblem, Client, video_request
from likeness.client.answers import Person, Training, Video
from tests.served import Service
from tests.workers.tiny_stages import chain

SOURCES = Path(__file__).parents[3] / "likeness" / "client"


def learned(client: Client, clip: Path, name: str = "Ada Example") -> Person:
    """A person who has been learned."""
    consent = client.consents.create(name, attested=True)
    person = client.persons.create(name, consent_id=consent.id, metadata={"team": "a"})
    upload = client.uploads.create(clip, "clip")
    client.trainings.wait(client.trainings.create(person.id, upload.id).id, timeout_s=30, poll_s=0.05)
    return client.persons.get(person.id)


def spoken(client: Client, person: Person, tmp_path: Path) -> Video:
    """A finished video of them."""
    (tmp_path / "a.wav").write_bytes(b"sound")
    sound = client.uploads.create(tmp_path / "a.wav", "recording")
    video = client.videos.create(person.id, audio_upload_id=sound.id, pose={"mode": "clip"})
    return client.videos.wait(video.id, timeout_s=30, poll_s=0.05)


def test_pictures_and_titles(client: Client, clip: Path, tmp_path: Path) -> None:
    consent = client.consents.create("Fay Example", attested=True)
    person = client.persons.create("Fay", consent_id=consent.id)
    with pytest.raises(ApiProblem) as early:
        client.persons.portrait(person.id, tmp_path / "face.jpg")
    assert early.value.code == "conflict"
    learnt = learned(client, clip, "Fay Example")
    assert client.persons.portrait(learnt.id, tmp_path / "face.jpg").read_bytes() == b"a face"
    video = spoken(client, learnt, tmp_path)
    assert video.title == "a", "its recording's name"
    assert client.videos.thumbnail(video.id, tmp_path / "small.jpg").read_bytes() == b"a small picture"
    assert video.audio_upload_id is not None
    named = client.videos.create(learnt.id, audio_upload_id=video.audio_upload_id, title="Lesson 12")
    assert client.videos.get(named.id).title == "Lesson 12"


def test_a_motion_before_its_video(client: Client, clip: Path, tmp_path: Path) -> None:
    person = learned(client, clip, "Mo Example")
    (tmp_path / "a.wav").write_bytes(b"sound")
    sound = client.uploads.create(tmp_path / "a.wav", "recording")
    asked = client.motions.create(
        person.id, audio_upload_id=sound.id, pose={"mode": "still", "seed": 4}, metadata={"take": "1"}
    )
    assert (asked.status, asked.pose.mode, asked.preview) == ("queued", "still", None)
    motion = client.motions.wait(asked.id, timeout_s=30, poll_s=0.05)
    assert (motion.pose.seed, motion.metadata, motion.result) == (4, {"take": "1"}, {"frames": 2})
    for call, expected in (
        (client.motions.preview, b"head soundstill"),
        (client.motions.curves, b"curves"),
        (client.motions.track, b"track"),
    ):
        assert call(motion.id, tmp_path / "file").read_bytes() == expected
    video = client.videos.create(person.id, audio_upload_id=sound.id, pose=asdict(motion.pose))
    assert (video.pose_mode, video.seed) == ("still", 4)
    client.videos.wait(video.id, timeout_s=30, poll_s=0.05)
    assert [each.id for each in client.motions.list(person_id=person.id)] == [motion.id]
    assert client.estimates.motion(10.0).compute_seconds > 0
    (tmp_path / "b.wav").write_bytes(b"other sound")
    other = client.uploads.create(tmp_path / "b.wav", "recording")
    waiting = client.motions.create(person.id, audio_upload_id=other.id)
    client.deletions.wait(client.motions.delete(waiting.id).id, timeout_s=30, poll_s=0.05)
    with pytest.raises(ApiProblem):
        client.motions.get(waiting.id)


def test_from_clip_to_receipt(client: Client, clip: Path, tmp_path: Path) -> None:
    upload = client.uploads.create(clip, "clip")
    assert (upload.size, upload.sha256) == (6, hashlib.sha256(b"a clip").hexdigest())
    inspection = client.inspections.wait(client.inspections.create(upload.id).id, timeout_s=30, poll_s=0.05)
    assert inspection.report is not None
    assert inspection.report["trainable"] is True
    assert client.inspections.pictures(inspection.id) == []

    person = learned(client, clip)
    assert (person.status, person.metadata, person.consent and person.consent.status) == (
        "ready",
        {"team": "a"},
        "attested",
    )
    assert [version.promoted for version in client.persons.versions(person.id)] == [True]
    assert person.consent is not None
    assert client.persons.versions(person.id)[0].consent_id == person.consent.id
    assert [version.number for version in client.persons.promote(person.id, 1)] == [1]
    package = client.persons.download(person.id, tmp_path / "ada.likeness")
    assert package.read_bytes().startswith(b"PK")
    assert client.persons.patch(person.id, name="Ada Other", metadata={}).metadata == {}

    video = spoken(client, person, tmp_path)
    assert video.consent_id == person.consent.id
    saved = client.videos.download(video.id, tmp_path / "video.mp4")
    assert saved.read_bytes().startswith(chain(b"a clip", 0).encode() + b"soundclip")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["clip.mp4", "a.wav", "ada.likeness", "video.mp4"]
    ), "no partial file is left"

    shown = client.uploads.create(saved, "video")
    verified = client.verifications.wait(client.verifications.create(shown.id).id, timeout_s=30, poll_s=0.05)
    assert (verified.ours, verified.video_id) == (True, video.id)

    receipt = client.deletions.wait(client.persons.delete(person.id).id, timeout_s=30, poll_s=0.05)
    assert (receipt.status, receipt.subject, receipt.rows["people"]) == ("done", person.id, 1)
    assert receipt.objects
    with pytest.raises(ApiProblem) as gone:
        client.persons.get(person.id)
    assert (gone.value.code, gone.value.status, gone.value.retryable) == ("not_found", 404, False)
    assert gone.value.remedy
    assert gone.value.request_id


def test_a_failed_job_raises_its_own_error(client: Client, clip: Path) -> None:
    clip.write_bytes(b"no face here")
    consent = client.consents.create("Bo", attested=True)
    person = client.persons.create("Bo", consent_id=consent.id)
    training = client.trainings.create(person.id, client.uploads.create(clip, "clip").id, seed=5)
    seen: list[Training] = []
    with pytest.raises(ApiProblem) as failed:
        client.trainings.wait(training.id, timeout_s=30, poll_s=0.05, progress=seen.append)
    assert (failed.value.code, failed.value.details) == ("no_face", {"frames": [0]})
    assert failed.value.remedy == "film again with the face in view"
    assert (seen[-1].status, seen[-1].seed) == ("failed", 5)
    assert client.trainings.retry(training.id).status == "queued"
    with pytest.raises(ApiProblem):
        client.trainings.wait(training.id, timeout_s=30, poll_s=0.05)
    assert client.trainings.delete(training.id).subject == training.id


def test_lists_go_through_every_page(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("likeness.client.pages._PAGE", 2)
    consent = client.consents.create("Cy", attested=True)
    made = [client.persons.create(f"P{number}", consent_id=consent.id).id for number in range(5)]
    listed = [person.id for person in client.persons.list() if person.name.startswith("P")]
    assert listed == made[::-1]
    assert consent.id in [each.id for each in client.consents.list()]
    assert client.consents.revoke(consent.id).status == "revoked"
    receipt = client.consents.delete(consent.id)
    assert (receipt.status, receipt.subject, receipt.rows) == ("done", consent.id, {"consents": 1})
    with pytest.raises(ApiProblem):
        client.consents.get(consent.id)


def test_jobs_are_read_as_what_they_are(client: Client, clip: Path, tmp_path: Path) -> None:
    person = learned(client, clip, "Di Example")
    spoken(client, person, tmp_path)
    kinds = [type(job).__name__ for job in client.jobs.list(person_id=person.id)]
    assert kinds == ["Video", "Training"]
    assert client.trainings.previews(person.training_id or "") == []
    with pytest.raises(ApiProblem, match="there is no"):
        client.videos.get(person.training_id or "")


def test_a_batch(client: Client, clip: Path, tmp_path: Path) -> None:
    person = learned(client, clip, "Ed Example")
    (tmp_path / "a.wav").write_bytes(b"sound")
    sound = client.uploads.create(tmp_path / "a.wav", "recording").id
    good = video_request(person.id, audio_upload_id=sound, pose={"mode": "still"})
    bad = video_request(person.id, audio_upload_id="upl_none")
    checked = client.batches.check([good, bad])
    assert (checked.items, [error["index"] for error in checked.errors]) == (2, [1])
    assert client.videos.check(good).errors == ()
    with pytest.raises(ApiProblem) as refused:
        client.batches.create([good, bad])
    assert refused.value.details["field"] == "items.1"
    batch = client.batches.create([good, good], name="two")
    done = client.batches.wait(batch.id, timeout_s=30, poll_s=0.05)
    assert (done.total, done.counts) == (2, {"succeeded": 2})
    assert len(list(client.batches.videos(batch.id))) == 2
    assert client.batches.cancel(batch.id).counts == {"succeeded": 2}
    assert [each.name for each in client.batches.list()] == ["two"]


def test_the_account(client: Client) -> None:
    assert client.estimates.training("preview").compute_seconds > 0
    assert client.estimates.video(10.0).queue_ahead >= 0
    assert client.usage().limits["concurrent_jobs"] is None
    assert client.system().auth == "local"
    key = client.api_keys.create("ci", ["read"])
    assert key.key is not None
    assert key.key.startswith("lk_")
    assert key.key not in repr(key), "a key must not end up in a log"
    client.api_keys.revoke(key.id)
    assert [each.id for each in client.api_keys.list() if each.revoked_at] == [key.id]
    endpoint = client.webhook_endpoints.create("http://127.0.0.1:9/hook", ["video.succeeded"])
    assert endpoint.secret is not None
    rotated = client.webhook_endpoints.rotate(endpoint.id)
    assert rotated.secret not in (None, endpoint.secret)
    assert client.webhook_endpoints.patch(endpoint.id, enabled=False, events=[]).events == ()
    moved = client.webhook_endpoints.patch(endpoint.id, url="http://127.0.0.1:9/other")
    assert (moved.url, moved.enabled) == ("http://127.0.0.1:9/other", False)
    sent = client.webhook_endpoints.test(endpoint.id)
    assert [each.id for each in client.webhook_endpoints.deliveries(endpoint.id)] == [sent.id]
    assert client.webhook_endpoints.redeliver(endpoint.id, sent.id).status == "pending"
    assert [each.id for each in client.webhook_endpoints.list()] == [endpoint.id]
    client.webhook_endpoints.delete(endpoint.id)
    with pytest.raises(ApiProblem):
        client.webhook_endpoints.get(endpoint.id)
    assert "add_key" in {event.action for event in client.audit_events.list(subject=key.id)} | {
        event.action for event in client.audit_events.list()
    }


def test_every_path_of_the_service_has_a_call(service: Service) -> None:
    text = "".join(path.read_text() for path in SOURCES.glob("*.py"))
    words = set(re.findall(r"/([a-z-]+)", text))
    # Their addresses come with the video, the motion and the person.
    words |= {"download", "preview", "curves", "track", "portrait", "thumbnail"}
    for path in create_app(service.settings).openapi()["paths"]:
        if path.startswith("/v1/") and not path.startswith("/v1/objects"):
            for word in re.findall(r"/([a-z-]+)(?=/|$)", path.removeprefix("/v1")):
                assert word in words, f"{path}: no call of the client names {word!r}"
