"""SQL on what was learned on a consent: versions, the stage outputs behind them, jobs, and what those left behind."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from likeness.job_states import ACTIVE
from likeness.tables import Artifact, Consent, Job, JobInput, Person, PersonVersion, Stage, Upload

_GIVEN = ("attested", "verified")


@dataclass(frozen=True)
class LeftBehind:
    """A stage of an ended job whose checkpoint is still in the object store, though its consent does not stand."""

    stage_id: str
    job_id: str
    scope: str


class LearnedRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def stands(self, consent_id: str) -> bool:
        """Whether a consent may be acted upon; until the end of the transaction nobody takes it back."""
        status = self.session.scalar(
            select(Consent.status).where(Consent.id == consent_id).with_for_update(read=True)
        )
        return status in _GIVEN

    def active_jobs(self, consent_id: str, *, checks: bool = False) -> list[str]:
        """Ids of unfinished jobs that learn or show somebody on a consent; with ``checks`` also of those that check its
        recording."""
        query = select(Job.id).where(Job.consent_id == consent_id, Job.status.in_(ACTIVE))
        if not checks:
            query = query.where(Job.kind != "consent")
        return list(self.session.scalars(query.order_by(Job.id)))

    def versions(self, consent_id: str) -> list[PersonVersion]:
        """Those that were learned on a consent."""
        return list(self.session.scalars(select(PersonVersion).where(PersonVersion.consent_id == consent_id)))

    def artifacts(self, consent_id: str) -> list[Artifact]:
        """All that was derived from somebody on a consent, videos aside.

        Of the people concerned everything counts that is not known to be another consent's: what nobody can assign
        goes with the consent that is taken back.
        """
        query = select(Artifact).where(
            Artifact.scope.in_(self._scopes(consent_id)), Artifact.stage_name != "dub"
        )
        mine = {version.artifact_id for version in self.versions(consent_id)}
        others = self._of_others(consent_id)
        found = self.session.scalars(query.order_by(Artifact.id))
        return [artifact for artifact in found if artifact.id in mine or artifact.id not in others]

    def outputs(self, consent_id: str) -> list[str]:
        """Ids of jobs on a consent that have outputs of their learning left."""
        query = (
            select(Job.id)
            .join(Stage, Stage.job_id == Job.id)
            .where(Job.consent_id == consent_id, Job.kind == "training")
            .where(or_(Stage.artifact_id.is_not(None), Stage.checkpoint.is_not(None)))
        )
        return list(self.session.scalars(query.distinct().order_by(Job.id)))

    def trainings(self, consent_id: str) -> list[Job]:
        """All on a consent, ended ones included."""
        query = select(Job).where(Job.consent_id == consent_id, Job.kind == "training")
        return list(self.session.scalars(query))

    def checks(self, consent_id: str) -> list[Job]:
        """The checks of a consent's recordings, the refused ones included."""
        query = select(Job).where(Job.consent_id == consent_id, Job.kind == "consent")
        return list(self.session.scalars(query))

    def recordings(self, consent_id: str) -> list[str]:
        """Ids of the uploads that are, or were, handed in as a consent's recording and as no other's."""
        handed_in = (
            select(JobInput.upload_id)
            .join(Job, Job.id == JobInput.job_id)
            .where(Job.kind == "consent", JobInput.upload_id.is_not(None))
        )
        mine = {
            *self.session.scalars(handed_in.where(Job.consent_id == consent_id)),
            *self.session.scalars(select(Consent.recording_upload_id).where(Consent.id == consent_id)),
        }
        others = {
            *self.session.scalars(handed_in.where(Job.consent_id != consent_id)),
            *self.session.scalars(select(Consent.recording_upload_id).where(Consent.id != consent_id)),
        }
        query = select(Upload.id).where(Upload.id.in_(mine - others), Upload.deleting_at.is_(None))
        return list(self.session.scalars(query.order_by(Upload.id)))

    def consents_of(self, person_id: str) -> list[str]:
        """Ids of the consents that a person was ever learned or shown on."""
        consents = {
            *self.session.scalars(select(Person.consent_id).where(Person.id == person_id)),
            *self.session.scalars(
                select(PersonVersion.consent_id).where(PersonVersion.person_id == person_id)
            ),
            *self.session.scalars(select(Job.consent_id).where(Job.person_id == person_id).distinct()),
        }
        return sorted(each for each in consents if each is not None)

    def needed_by_others(self, consent_id: str, person_id: str) -> bool:
        """Whether another person names a consent, was learned on it, or has an unfinished job on it."""
        queries = (
            select(Person.id).where(Person.consent_id == consent_id, Person.id != person_id),
            select(PersonVersion.id).where(
                PersonVersion.consent_id == consent_id, PersonVersion.person_id != person_id
            ),
            select(Job.id).where(
                Job.consent_id == consent_id, Job.person_id != person_id, Job.status.in_(ACTIVE)
            ),
        )
        return any(self.session.scalar(query.limit(1)) is not None for query in queries)

    def left_behind(self) -> list[LeftBehind]:
        """Checkpoints of ended jobs whose consent does not stand any more."""
        query = (
            select(Stage.id, Stage.job_id, Job.scope)
            .select_from(Consent)
            .join(Job, Job.consent_id == Consent.id)
            .join(Stage, Stage.job_id == Job.id)
            .where(Consent.status.in_(("revoked", "rejected")), Job.status.not_in(ACTIVE))
            .where(Stage.checkpoint.is_not(None))
        )
        return [LeftBehind(*row) for row in self.session.execute(query)]

    def forget_checkpoints(self, stage_ids: list[str]) -> None:
        self.session.execute(update(Stage).where(Stage.id.in_(stage_ids)).values(checkpoint=None))

    def without_consent(self, job_ids: list[str]) -> list[tuple[str, str]]:
        """Id and scope of those ended jobs whose consent does not stand (any more)."""
        query = (
            select(Job.id, Job.scope)
            .outerjoin(Consent, Consent.id == Job.consent_id)
            .where(Job.id.in_(job_ids), Job.status.not_in(ACTIVE))
            .where(Job.consent_id.is_not(None), or_(Consent.id.is_(None), Consent.status.not_in(_GIVEN)))
            .where(Job.person_id.is_not(None))
        )
        return [(row.id, row.scope) for row in self.session.execute(query)]

    def people(self, consent_id: str) -> list[str]:
        """Ids of those who name a consent, or were learned or shown on it."""
        people = {
            *self.session.scalars(select(Person.id).where(Person.consent_id == consent_id)),
            *self.session.scalars(
                select(PersonVersion.person_id).where(PersonVersion.consent_id == consent_id)
            ),
            *self.session.scalars(select(Job.person_id).where(Job.consent_id == consent_id).distinct()),
        }
        return sorted(person_id for person_id in people if person_id is not None)

    def _scopes(self, consent_id: str) -> list[str]:
        return [f"people/{person_id}" for person_id in self.people(consent_id)]

    def _of_others(self, consent_id: str) -> set[str | None]:
        scopes = self._scopes(consent_id)
        versions = (
            select(PersonVersion.artifact_id)
            .join(Artifact, Artifact.id == PersonVersion.artifact_id)
            .where(Artifact.scope.in_(scopes), PersonVersion.consent_id != consent_id)
        )
        outputs = (
            select(Stage.artifact_id)
            .join(Job, Job.id == Stage.job_id)
            .where(Job.scope.in_(scopes), Job.consent_id != consent_id, Stage.artifact_id.is_not(None))
        )
        return {*self.session.scalars(versions), *self.session.scalars(outputs)}
