"""Consent as a resource: asked for with a random passcode, recorded by the person, checked, and taken back.

attested                                            the user's word; only where the deployment takes it
awaiting_recording ─▶ verifying ─▶ verified         the person says the statement on camera
        │                   └────▶ rejected ─▶ verifying (another recording, while it has not expired)
        └─▶ expired
any of them ─▶ revoked                              stops what runs on it, deletes the weights
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from likeness.accounts import Account
from likeness.admission import hold_uploads
from likeness.clock import now
from likeness.database import Database
from likeness.ids import new_id
from likeness.learned import drop_learned
from likeness.refusals import ConsentMissing, RecordingReused
from likeness.repositories.audit import AuditRepository
from likeness.repositories.consents import ConsentRepository
from likeness.repositories.learned import LearnedRepository
from likeness.repositories.take_prints import TakePrintRepository
from likeness.requests import add_job, consent_or_refuse, upload_or_refuse
from likeness.settings import Settings
from likeness.tables import Consent
from problems import Conflict, InvalidParameter

PURPOSES = ("train", "dub")
LANGUAGES = ("en", "de")
OPEN_FOR = timedelta(minutes=30)
"""How long a recording is waited for: a passcode that is old may have been rehearsed with."""

_STATEMENTS = {
    "en": (
        "I am {name}. I agree that a model of my face and of how I speak is made from my video, "
        "and that videos are made with it in which I say other words. The words of today are: {passcode}."
    ),
    "de": (
        "Ich bin {name}. Ich bin einverstanden, dass aus meinem Video ein Modell meines Gesichts und meines Sprechens "
        "entsteht und dass damit Videos entstehen, in denen ich andere Worte sage. Die Worte von heute sind: "
        "{passcode}."
    ),
}
_WORDS = {
    # Common, two syllables, hard to take for one another.
    "en": """
        anchor apple basket bottle bridge butter candle carpet castle coffee copper corner cotton dinner doctor dragon
        engine falcon feather finger flower forest garden ginger guitar hammer harbor honey island jacket kettle ladder
        lemon marble meadow mirror monkey mountain needle ocean orange paper pencil pepper pillow planet pocket rabbit
        river rocket saddle silver summer table tiger timber tunnel turtle velvet violin window winter yellow zebra
    """,
    "de": """
        Anker Apfel Becher Birne Blume Brille Brunnen Butter Decke Donner Drache Eimer Ente Fackel Feder Fenster
        Flasche Garten Gabel Hafen Hammer Honig Insel Jacke Kaffee Kerze Kissen Koffer Kupfer Laterne Leiter Mantel
        Messer Mauer Nadel Nebel Orange Papier Pfeffer Pinsel Regen Ritter Sattel Schatten Silber Sommer Spiegel
        Stiefel Tiger Tasche Teller Tunnel Vogel Wagen Wasser Winter Wolke Zebra Zitrone Zucker Zwiebel
    """,
}


def vocabulary(language: str) -> list[str]:
    """The words that may be said in a recording, the name aside: those of the statement and all that are drawn from."""
    statement = _STATEMENTS[language].format(name="", passcode="")
    return sorted({word.lower() for word in re.findall(r"\w+", statement)} | set(_WORDS[language].split()))


def request_consent(
    database: Database,
    account: Account,
    *,
    subject_name: str,
    language: str = "en",
    purposes: Sequence[str] = PURPOSES,
) -> Consent:
    """Ask for a recorded consent; the answer has the statement to be read aloud.

    Raises:
        InvalidParameter: no name, an unknown language or purpose.
    """
    name = _name(subject_name)
    if language not in LANGUAGES:
        raise InvalidParameter(
            f"there is no statement in {language!r}",
            remedy=f"use one of {', '.join(LANGUAGES)}",
            details={"field": "language"},
        )
    passcode = " ".join(secrets.SystemRandom().sample(_WORDS[language].split(), 4))
    return _enter(
        database,
        account,
        Consent(
            id=new_id("con"),
            tenant_id=account.tenant_id,
            subject_name=name,
            status="awaiting_recording",
            language=language,
            purposes=_purposes(purposes),
            passcode=passcode,
            statement=_STATEMENTS[language].format(name=name, passcode=passcode),
            expires_at=now() + OPEN_FOR,
            created_at=now(),
        ),
    )


def attest_consent(
    database: Database,
    account: Account,
    settings: Settings,
    *,
    subject_name: str,
    purposes: Sequence[str] = PURPOSES,
) -> Consent:
    """Take the user's word that somebody agreed.

    Raises:
        ConsentMissing: this deployment wants a recording.
        InvalidParameter: no name, or an unknown purpose.
    """
    if settings.consent == "recorded":
        raise ConsentMissing(
            "here a person's consent is recorded, and nobody can give it for them",
            remedy="leave attested out; the answer has the statement that the person reads aloud on camera",
            details={"field": "attested"},
        )
    return _enter(
        database,
        account,
        Consent(
            id=new_id("con"),
            tenant_id=account.tenant_id,
            subject_name=_name(subject_name),
            status="attested",
            purposes=_purposes(purposes),
            created_at=now(),
        ),
    )


def record_consent(database: Database, account: Account, consent_id: str, upload_id: str) -> None:
    """Hand in the recording of a consent: queues its check.

    Raises:
        NotFound: no such consent or upload.
        Conflict: the consent waits for no recording.
        RecordingReused: the upload is a clip, was used for something else, or its bytes were handed in before.
    """
    with database.write() as session:
        consent = consent_or_refuse(session, consent_id, tenant_id=account.tenant_id, lock=True)
        moment = now()
        open_still = consent.expires_at is not None and moment < consent.expires_at
        if consent.status not in ("awaiting_recording", "rejected") or not open_still:
            standing = "expired" if not open_still and consent.expires_at else consent.standing(moment)
            raise Conflict(
                f"the consent {consent_id} waits for no recording: it is {standing}",
                remedy="make a new one with POST /v1/consents: each has its own words and half an hour",
                details={"status": standing},
            )
        hold_uploads(session, [upload_id])
        recording = upload_or_refuse(session, upload_id, field="upload_id", tenant_id=account.tenant_id)
        known = TakePrintRepository(session).handed_in_before(recording, consent_id=consent_id)
        if known is not None:
            raise RecordingReused(
                f"the upload {upload_id} is no new recording: it is {known}",
                remedy="film the person saying the statement now, and upload that video with purpose=consent",
                details={"field": "upload_id", "id": upload_id},
            )
        status = consent.status
        consent.recording_upload_id = recording.id
        consent.status, consent.report = "verifying", None
        consent.job_id = add_job(
            session,
            "consent",
            tenant_id=account.tenant_id,
            scope=f"uploads/{recording.id}",
            params={"passcode": consent.passcode, "language": consent.language},
            inputs={"consent": recording},
            consent_id=consent.id,
        )
        _audit(session, account, "consent.recorded", consent, status, upload_id=upload_id)


def review_consent(database: Database, account: Account, consent_id: str, *, words_heard: bool) -> list[str]:
    """Enter what somebody heard who listened to the recording. When the words of
    today are not in it, the consent is rejected and what was learned on it goes; returns the prefixes to delete.

    Raises:
        NotFound: no such consent.
        Conflict: it has no recording that passed the other checks.
    """
    with database.write() as session:
        consent = consent_or_refuse(session, consent_id, tenant_id=account.tenant_id, lock=True)
        if consent.status != "verified":
            raise Conflict(
                f"the consent {consent_id} is {consent.standing(now())}; only a verified one is reviewed",
                remedy="wait until its recording has been checked",
                details={"status": consent.standing(now())},
            )
        review = {"words_heard": words_heard, "by": account.actor, "at": now().isoformat(timespec="seconds")}
        consent.report = {**(consent.report or {}), "review": review}
        if not words_heard:
            consent.status = "rejected"
        _audit(session, account, "consent.reviewed", consent, "verified", words_heard=words_heard)
        return [] if words_heard else drop_learned(session, consent_id)


def revoke_consent(database: Database, account: Account, consent_id: str) -> list[str]:
    """Take a consent back: what runs on it stops, the weights that were learned on it go. Returns the prefixes in the
    object store to delete; the videos stay until the person is deleted.

    Raises:
        NotFound: no such consent.
    """
    with database.write() as session:
        consent = consent_or_refuse(session, consent_id, tenant_id=account.tenant_id, lock=True)
        if consent.status == "revoked":
            return []
        before = consent.status
        consent.status, consent.revoked_at = "revoked", now()
        versions = [
            {"person_id": version.person_id, "version": version.number}
            for version in LearnedRepository(session).versions(consent_id)
        ]
        prefixes = drop_learned(session, consent_id)
        _audit(session, account, "consent.revoked", consent, before, versions=versions)
    return prefixes


def _audit(
    session: Session, account: Account, action: str, consent: Consent, before: str, **more: Any
) -> None:
    """Write down a change of a consent's status; nothing that tells whose consent it is."""
    details = {"before": {"status": before}, "after": {"status": consent.status}, **more}
    AuditRepository(session).enter(account.tenant_id, account.actor, action, consent.id, details)


def _enter(database: Database, account: Account, consent: Consent) -> Consent:
    with database.write() as session:
        ConsentRepository(session).add(consent)
        AuditRepository(session).enter(
            account.tenant_id,
            account.actor,
            "consent.created",
            consent.id,
            {"after": {"status": consent.status, "purposes": consent.purposes}},
        )
    return consent


def _name(subject_name: str) -> str:
    name = subject_name.strip()
    if not name:
        raise InvalidParameter(
            "the consent names nobody",
            remedy="give the full name of the person shown",
            details={"field": "subject_name"},
        )
    return name


def _purposes(purposes: Sequence[str]) -> list[str]:
    unknown = [purpose for purpose in purposes if purpose not in PURPOSES]
    if unknown or not purposes:
        raise InvalidParameter(
            f"{', '.join(unknown) or 'nothing'} is no purpose",
            remedy=f"use one or more of {', '.join(PURPOSES)}",
            details={"field": "purposes"},
        )
    return sorted(set(purposes), reverse=True)
