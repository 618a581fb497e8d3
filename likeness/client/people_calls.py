"""Calls for people and their consent, uploads, and receipts of what was deleted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .answers import Consent, Deletion, Person, Upload, Version
from .decoding import decode
from .errors import ApiProblem
from .files import ONE_PIECE, Sent, receive_file, resume_file, send_file
from .pages import each_of, list_of
from .transport import Transport
from .waiting import FETCH_S, POLL_S, wait_until


class Uploads:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        path: Path | str,
        purpose: str,
        *,
        filename: str | None = None,
        progress: Sent | None = None,
        one_piece: int = ONE_PIECE,
    ) -> Upload:
        """Send a file: in one piece up to ``one_piece`` bytes, else in parts, of which a broken connection costs one.

        Args:
            purpose: ``clip``, ``recording``, ``consent`` or ``video``.
            filename: shown instead of the path's own.
            progress: gets bytes that are through and bytes in all.
        """
        return send_file(
            self._transport,
            Path(path),
            purpose,
            filename=filename,
            progress=progress,
            one_piece=one_piece,
        )

    def resume(self, upload_id: str, path: Path | str, *, progress: Sent | None = None) -> Upload:
        """Go on with an upload in parts, in a new process for instance: only what has not come is sent."""
        return resume_file(self._transport, upload_id, Path(path), progress)

    def fetch(
        self,
        url: str,
        purpose: str,
        *,
        filename: str = "",
        sha256: str | None = None,
        idempotency_key: str | None = None,
    ) -> Upload:
        """Have the service fetch a file from a public address."""
        body = {"source_url": url, "purpose": purpose, "filename": filename, "sha256": sha256}
        answer = self._transport.call(
            "POST", "/v1/uploads", body, idempotency_key=idempotency_key, timeout_s=FETCH_S
        )
        return decode(Upload, answer)

    def get(self, upload_id: str) -> Upload:
        return decode(Upload, self._transport.call("GET", f"/v1/uploads/{quote(upload_id, safe='')}"))

    def list(self, *, purpose: str | None = None) -> Iterator[Upload]:
        """Newest first."""
        return each_of(
            self._transport, "/v1/uploads", lambda data: decode(Upload, data), {"purpose": purpose}
        )

    def delete(self, upload_id: str) -> Deletion:
        return decode(Deletion, self._transport.call("DELETE", f"/v1/uploads/{quote(upload_id, safe='')}"))


class Consents:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        subject_name: str,
        *,
        language: str = "en",
        purposes: Sequence[str] = ("train", "dub"),
        attested: bool = False,
        idempotency_key: str | None = None,
    ) -> Consent:
        """Ask for one: ``statement`` of the answer is what the person reads aloud on camera.

        Args:
            attested: your word that the person agreed, instead of a recording; not every service takes it.
        """
        body = {
            "subject_name": subject_name,
            "language": language,
            "purposes": list(purposes),
            "attested": attested,
        }
        return decode(
            Consent, self._transport.call("POST", "/v1/consents", body, idempotency_key=idempotency_key)
        )

    def record(self, consent_id: str, upload_id: str) -> Consent:
        """Hand in the video (an upload of purpose ``consent``) of the person reading the statement."""
        path = f"/v1/consents/{quote(consent_id, safe='')}/recording"
        return decode(Consent, self._transport.call("POST", path, {"upload_id": upload_id}))

    def wait(self, consent_id: str, *, timeout_s: float | None = None, poll_s: float = POLL_S) -> Consent:
        """Until the check of the recording has ended.

        Raises:
            ApiProblem: ``consent_missing`` when it can't be used, with the check's ``report`` in the details;
                ``still_running`` when the time is over.
        """
        consent = wait_until(
            self._transport,
            lambda: self.get(consent_id),
            lambda consent: consent.status != "verifying",
            f"consent {consent_id}",
            timeout_s=timeout_s,
            poll_s=poll_s,
        )
        if consent.status in ("verified", "attested"):
            return consent
        raise ApiProblem(
            f"the consent {consent_id} is {consent.status}",
            remedy="look at its report, then hand in another recording or ask for a new consent",
            details={"status": consent.status, "report": consent.report},
            code="consent_missing",
            title="There is no consent for this person",
            status=403,
        )

    def review(self, consent_id: str, *, words_heard: bool) -> Consent:
        """Say whether somebody who listened to the recording heard the words of the statement in it."""
        path = f"/v1/consents/{quote(consent_id, safe='')}/review"
        return decode(Consent, self._transport.call("POST", path, {"words_heard": words_heard}))

    def get(self, consent_id: str) -> Consent:
        return decode(Consent, self._transport.call("GET", f"/v1/consents/{quote(consent_id, safe='')}"))

    def list(self) -> Iterator[Consent]:
        """Newest first."""
        return each_of(self._transport, "/v1/consents", lambda data: decode(Consent, data))

    def revoke(self, consent_id: str) -> Consent:
        """Take it back: what runs on it stops, and the weights that were learned on it go."""
        path = f"/v1/consents/{quote(consent_id, safe='')}/revoke"
        return decode(Consent, self._transport.call("POST", path))

    def delete(self, consent_id: str) -> Deletion:
        """Delete it with its recordings; refused (``conflict``) while anything that was learned on it is left."""
        path = f"/v1/consents/{quote(consent_id, safe='')}"
        return decode(Deletion, self._transport.call("DELETE", path))


def not_learned(person_id: str) -> ApiProblem:
    """The problem of somebody who has nothing yet to download."""
    return ApiProblem(
        f"{person_id} has not been learned yet",
        remedy="train first, and wait for it",
        details={"person_id": person_id},
        code="conflict",
        title="The resource's state does not allow this",
        status=409,
    )


class Persons:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        name: str,
        *,
        consent_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Person:
        """Enter a person, with a consent that is verified or attested."""
        body = {"name": name, "consent_id": consent_id, "metadata": dict(metadata or {})}
        return decode(
            Person, self._transport.call("POST", "/v1/persons", body, idempotency_key=idempotency_key)
        )

    def get(self, person_id: str) -> Person:
        return decode(Person, self._transport.call("GET", self._at(person_id)))

    def list(self) -> Iterator[Person]:
        """Newest first; pages are asked for as they are needed."""
        return each_of(self._transport, "/v1/persons", lambda data: decode(Person, data))

    def patch(
        self,
        person_id: str,
        *,
        name: str | None = None,
        consent_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Person:
        """Change what is named; the rest stays."""
        changes: dict[str, Any] = {"name": name, "consent_id": consent_id}
        changes = {field: value for field, value in changes.items() if value is not None}
        if metadata is not None:
            changes["metadata"] = dict(metadata)
        return decode(Person, self._transport.call("PATCH", self._at(person_id), changes))

    def versions(self, person_id: str) -> Sequence[Version]:
        """Of the weights, newest first."""
        return list_of(self._transport, f"{self._at(person_id)}/versions", Version)

    def promote(self, person_id: str, number: int) -> Sequence[Version]:
        """From now on videos are made with this version."""
        answer = self._transport.call("POST", f"{self._at(person_id)}/versions/{number}/promote")
        return [decode(Version, item) for item in answer["data"]]

    def delete_version(self, person_id: str, number: int) -> Deletion:
        """Delete a version that is not promoted, with the training that made it."""
        return decode(Deletion, self._transport.call("DELETE", f"{self._at(person_id)}/versions/{number}"))

    def download(self, person_id: str, path: Path | str, *, progress: Sent | None = None) -> Path:
        """Save the person file, as ``likeness dub`` takes it: whole and verified, or not at all.

        Raises:
            ApiProblem: ``conflict`` before it was learned; refused, unreachable, or damaged on the way.
        """
        weights = self.get(person_id).weights
        if weights is None:
            raise not_learned(person_id)
        return receive_file(
            self._transport,
            f"{self._at(person_id)}/package",
            Path(path),
            size=weights.size,
            sha256=weights.sha256,
            progress=progress,
        )

    def portrait(self, person_id: str, path: Path | str) -> Path:
        """Save the person's face as their clip shows it, a jpg.

        Raises:
            ApiProblem: ``conflict`` before they were learned; refused, unreachable, or damaged on the way.
        """
        portrait = self.get(person_id).portrait
        if portrait is None:
            raise not_learned(person_id)
        return receive_file(
            self._transport, portrait.url, Path(path), size=portrait.size, sha256=portrait.sha256
        )

    def delete(self, person_id: str, *, keep_videos: bool = False) -> Deletion:
        """Everything of them goes; the answer is the receipt (see :meth:`Deletions.wait`)."""
        query = {"keep_videos": keep_videos}
        return decode(Deletion, self._transport.call("DELETE", self._at(person_id), query=query))

    def _at(self, person_id: str) -> str:
        return f"/v1/persons/{quote(person_id, safe='')}"


class Deletions:
    """Receipts."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, deletion_id: str) -> Deletion:
        return decode(Deletion, self._transport.call("GET", f"/v1/deletions/{quote(deletion_id, safe='')}"))

    def list(self) -> Iterator[Deletion]:
        """Newest first."""
        return each_of(self._transport, "/v1/deletions", lambda data: decode(Deletion, data))

    def wait(self, deletion_id: str, *, timeout_s: float | None = None, poll_s: float = POLL_S) -> Deletion:
        """Until everything is gone.

        Raises:
            ApiProblem: ``still_running`` when the time is over.
        """
        return wait_until(
            self._transport,
            lambda: self.get(deletion_id),
            lambda receipt: receipt.status == "done",
            f"deletion {deletion_id}",
            timeout_s=timeout_s,
            poll_s=poll_s,
        )
