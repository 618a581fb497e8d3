"""SQL on people and their promoted weights."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from likeness.repositories.pages import Page, read_page
from likeness.tables import Person


class PersonRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def add(self, person: Person) -> None:
        self.session.add(person)

    def get(self, person_id: str) -> Person | None:
        """The person, one that is being deleted included."""
        return self.session.get(Person, person_id)

    def page(self, *, limit: int, cursor: str | None) -> Page[Person]:
        return read_page(self.session, select(Person), Person.id, limit=limit, cursor=cursor)

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
