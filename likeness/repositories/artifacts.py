"""SQL on committed stage outputs."""

from __future__ import annotations

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from likeness.tables import Artifact, Job, Person, PersonVersion, Stage


class ArtifactRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def committed(self, stage_key: str) -> Artifact | None:
        """The artifact of a stage key, if some run committed one."""
        return self.session.scalar(select(Artifact).where(Artifact.stage_key == stage_key))

    def of_stage(self, job_id: str, stage: str) -> Artifact | None:
        """What a stage of a job has committed."""
        query = select(Artifact).join(Stage, Stage.artifact_id == Artifact.id)
        return self.session.scalar(query.where(Stage.job_id == job_id, Stage.name == stage))

    def prefixes_in_use(self) -> set[str]:
        """Folders of committed manifests, and ``<stage>-<fence>`` of stages that are running."""
        running = self.session.execute(select(Stage.id, Stage.fence).where(Stage.status == "running"))
        return {
            *self.session.scalars(select(Artifact.prefix)),
            *(f"{stage}-{fence}" for stage, fence in running),
        }

    def of_scope(self, scope: str) -> list[Artifact]:
        return list(self.session.scalars(select(Artifact).where(Artifact.scope == scope)))

    def delete_scope(self, scope: str) -> int:
        """Delete every artifact row of a scope; the rows that point to one are cleared first."""
        ids = list(self.session.scalars(select(Artifact.id).where(Artifact.scope == scope)))
        return self.delete(ids)

    def delete(self, artifact_ids: list[str]) -> int:
        self.session.execute(
            update(Stage).where(Stage.artifact_id.in_(artifact_ids)).values(artifact_id=None)
        )
        self.session.execute(
            update(Person)
            .where(Person.package_artifact_id.in_(artifact_ids))
            .values(package_artifact_id=None)
        )
        self.session.execute(delete(PersonVersion).where(PersonVersion.artifact_id.in_(artifact_ids)))
        gone = self.session.execute(
            delete(Artifact).where(Artifact.id.in_(artifact_ids)).returning(Artifact.id)
        )
        return len(gone.all())

    def unreferenced(self, artifact_ids: list[str]) -> list[Artifact]:
        """Those of the given artifacts that no stage, person or job points to."""
        pointers = (
            select(Stage.artifact_id).where(Stage.artifact_id.is_not(None)),
            select(Person.package_artifact_id).where(Person.package_artifact_id.is_not(None)),
            select(Job.package_artifact_id).where(Job.package_artifact_id.is_not(None)),
            select(PersonVersion.artifact_id),
        )
        query = select(Artifact).where(Artifact.id.in_(artifact_ids))
        for pointer in pointers:
            query = query.where(Artifact.id.not_in(pointer))
        return list(self.session.scalars(query))
