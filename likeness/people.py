"""Changes of a person: their name and labels, the consent they are learned on, the version in use."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from likeness.accounts import Account
from likeness.admission import hold_people
from likeness.clock import now
from likeness.database import Database
from likeness.refusals import ConsentMissing
from likeness.repositories.audit import AuditRepository
from likeness.repositories.consents import ConsentRepository
from likeness.repositories.jobs import JobRepository
from likeness.repositories.people import PersonRepository
from likeness.requests import person_or_refuse, usable_consent
from likeness.tables import Consent, Person
from problems import Conflict, InvalidParameter


def change_person(
    database: Database,
    account: Account,
    person_id: str,
    *,
    name: str | None = None,
    labels: Mapping[str, Any] | None = None,
    consent_id: str | None = None,
) -> None:
    """Change what is given; the rest stays.

    Raises:
        NotFound: no such person or consent.
        InvalidParameter: the name is empty.
        ConsentMissing: the consent was not given (yet), or was taken back.
        Conflict: the person was learned on the consent of somebody with another name.
    """
    with database.write() as session:
        if consent_id is not None:
            usable_consent(session, consent_id, account.tenant_id, lock=True)
        hold_people(session, [person_id])
        person = person_or_refuse(session, person_id, tenant_id=account.tenant_id)
        changed: list[str] = []
        before: dict[str, Any] = {}
        after: dict[str, Any] = {}
        if name is not None and name.strip() != person.name:
            person.name = _name(name)
            changed.append("name")
        if labels is not None and dict(labels) != person.labels:
            person.labels = dict(labels)
            changed.append("metadata")
        if consent_id is not None and consent_id != person.consent_id:
            consent = usable_consent(session, consent_id, account.tenant_id)
            require_same_subject(session, person, consent)
            before["consent_id"], after["consent_id"] = person.consent_id, consent.id
            person.consent = consent
            changed.append("consent_id")
        if changed:
            # Names and labels may say who it is, and an entry stays when the person is deleted: only that they changed.
            AuditRepository(session).enter(
                account.tenant_id,
                account.actor,
                "person.changed",
                person_id,
                {"changed": changed, "before": before, "after": after},
            )


def require_same_subject(session: Session, person: Person, consent: Consent) -> None:
    """Refuse a consent of somebody else than those whose consent a person was, or is being, learned on.

    Raises:
        Conflict: the names of those who consented differ.
    """
    learned_on = {
        version.consent.id: version.consent
        for version in PersonRepository(session).versions(person.id)
        if version.consent is not None
    }
    jobs = JobRepository(session)
    consents = ConsentRepository(session)
    for job_id in jobs.active_of_people([person.id]):
        job = jobs.get(job_id)
        running_on = consents.get(job.consent_id) if job is not None and job.consent_id else None
        if running_on is not None:
            learned_on[running_on.id] = running_on
    others = [
        each.id for each in learned_on.values() if _spoken(each.subject_name) != _spoken(consent.subject_name)
    ]
    if others:
        raise Conflict(
            f"{person.id} was learned on the consent of somebody with another name than the one of {consent.id}",
            remedy="enter a new person for a new face; the same person's new consent names them as the old one does. "
            "Versions that are not needed can be deleted, and a consent that is taken back deletes its own",
            details={"field": "consent_id", "learned_on": sorted(others)},
        )


def promote_version(database: Database, account: Account, person_id: str, number: int) -> None:
    """Make videos with this version from now on.

    Raises:
        NotFound: no such person or version.
        Conflict: it is damaged.
        ConsentMissing: the consent that it was learned on does not stand.
    """
    with database.write() as session:
        hold_people(session, [person_id])
        person = person_or_refuse(session, person_id, tenant_id=account.tenant_id)
        people = PersonRepository(session)
        version = people.version_or_refuse(person_id, number)
        if version.status != "ready":
            raise Conflict(
                f"version {number} is damaged: its bytes are not those that were stored",
                remedy="promote another, or train again",
                details={"version": number},
            )
        consent = version.consent
        if consent is None or not consent.given:
            raise ConsentMissing(
                f"version {number} was learned on a consent that does not stand",
                remedy="promote another, or train again on a consent that was given",
                details={"version": number, "consent_id": version.consent_id},
            )
        in_use = people.version_of(person.package_artifact_id)
        people.promote(
            person_id,
            version.artifact_id,
            job_id=version.job_id,
            consent_id=version.consent_id,
            when=now(),
        )
        AuditRepository(session).enter(
            account.tenant_id,
            account.actor,
            "person.version_promoted",
            person_id,
            {
                "before": {"version": in_use.number if in_use else None},
                "after": {"version": number, "consent_id": version.consent_id},
            },
        )


def _name(name: str) -> str:
    if not name.strip():
        raise InvalidParameter(
            "the person has no name",
            remedy="give a name of 1 to 200 letters",
            details={"field": "name"},
        )
    return name.strip()


def _spoken(name: str) -> str:
    """A name without what differs between two ways of writing it: case, spaces, composed letters."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
