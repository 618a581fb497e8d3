"""SQL on people and their promoted weights."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from likeness.ids import new_id
from likeness.repositories.pages import Page, read_page
from likeness.tables import Person, PersonVersion
from problems import NotFound


class PersonRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def add(self, person: Person) -> None:
        self.session.add(person)

    def get(self, person_id: str) -> Person | None:
        """The person, one that is being deleted included."""
        return self.session.get(Person, person_id)

    def get_locked(self, person_id: str) -> Person | None:
        """The same, locked: None when somebody else has deleted the person meanwhile."""
        return self.session.get(Person, person_id, with_for_update={"of": Person})

    def page(self, *, limit: int, cursor: str | None, tenant_id: str | None = None) -> Page[Person]:
        """Newest first; without those whom only kept videos are left of."""
        query = select(Person).where(Person.name != "")
        if tenant_id is not None:
            query = query.where(Person.tenant_id == tenant_id)
        return read_page(self.session, query, Person.id, limit=limit, cursor=cursor)

    def names(self, person_ids: Collection[str]) -> dict[str, str]:
        """Names by id."""
        rows = self.session.execute(select(Person.id, Person.name).where(Person.id.in_(person_ids)))
        return {row.id: row.name for row in rows}

    def versions(self, person_id: str) -> list[PersonVersion]:
        """Newest first."""
        query = select(PersonVersion).where(PersonVersion.person_id == person_id)
        return list(self.session.scalars(query.order_by(PersonVersion.number.desc())))

    def version_or_refuse(self, person_id: str, number: int) -> PersonVersion:
        """One version, or NotFound."""
        version = next((each for each in self.versions(person_id) if each.number == number), None)
        if version is None:
            raise NotFound(
                f"{person_id} has no version {number}",
                remedy=f"list them with GET /v1/persons/{person_id}/versions",
                details={"version": number},
            )
        return version

    def promote(
        self, person_id: str, artifact_id: str, *, job_id: str | None, when: datetime
    ) -> PersonVersion:
        """Make an artifact the person's weights: a new version, or the one that it is already."""
        versions = self.versions(person_id)
        version = next((each for each in versions if each.artifact_id == artifact_id), None)
        if version is None:
            version = PersonVersion(
                id=new_id("ver"),
                person_id=person_id,
                number=1 + max((each.number for each in versions), default=0),
                artifact_id=artifact_id,
                job_id=job_id,
                status="ready",
                created_at=when,
            )
            self.session.add(version)
        version.status = "ready"
        self.session.execute(
            update(Person).where(Person.id == person_id).values(package_artifact_id=artifact_id)
        )
        return version

    def drop_versions(self, person_id: str) -> None:
        self.session.execute(delete(PersonVersion).where(PersonVersion.person_id == person_id))

    def mark_corrupt(self, artifact_id: str) -> None:
        """Never use these weights again: their bytes are not those that were stored."""
        self.session.execute(
            update(PersonVersion).where(PersonVersion.artifact_id == artifact_id).values(status="corrupt")
        )
        for person in self.session.scalars(select(Person).where(Person.package_artifact_id == artifact_id)):
            whole = [each for each in self.versions(person.id) if each.status == "ready"]
            # The newest whole version takes its place, or none.
            person.package_artifact_id = whole[0].artifact_id if whole else None

    def mark_deleting(self, person_id: str, when: datetime) -> None:
        self.session.execute(
            update(Person)
            .where(Person.id == person_id, Person.deleting_at.is_(None))
            .values(deleting_at=when)
        )

    def deleting(self) -> list[str]:
        return list(self.session.scalars(select(Person.id).where(Person.deleting_at.is_not(None))))

    def delete(self, person_id: str) -> int:
        gone = self.session.execute(delete(Person).where(Person.id == person_id).returning(Person.id))
        return len(gone.all())
