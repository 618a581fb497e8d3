"""The consent that weights were learned on and that a job runs on; what uploads are recognised by.

What there is was learned on the consent that its person names now: nothing else is known of it. Of videos the id is
taken that their manifest names.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_FOREIGN = "fk_person_versions_consent_id_consents"


def upgrade() -> None:
    op.create_table(
        "take_prints",
        sa.Column("upload_id", sa.String(40), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["upload_id"], ["uploads.id"], name="fk_take_prints_upload_id_uploads", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("upload_id", name="pk_take_prints"),
    )
    with op.batch_alter_table("person_versions") as batch:
        batch.add_column(sa.Column("consent_id", sa.String(40), nullable=True))
        batch.create_foreign_key(_FOREIGN, "consents", ["consent_id"], ["id"])
    with op.batch_alter_table("jobs") as batch:
        batch.add_column(sa.Column("consent_id", sa.String(40), nullable=True))
    _fill()
    op.create_index("ix_person_versions_consent_id", "person_versions", ["consent_id"])
    op.create_index("ix_jobs_consent_id", "jobs", ["consent_id"])


def _fill() -> None:
    connection = op.get_bind()
    people = sa.table("people", sa.column("id"), sa.column("consent_id"))
    consents = sa.table("consents", sa.column("id"), sa.column("job_id"))
    versions = sa.table("person_versions", sa.column("person_id"), sa.column("consent_id"))
    jobs = sa.table(
        "jobs",
        sa.column("id"),
        sa.column("kind"),
        sa.column("person_id"),
        sa.column("consent_id"),
        sa.column("params", sa.JSON),
    )
    named = sa.select(people.c.consent_id)
    connection.execute(
        versions.update().values(
            consent_id=named.where(people.c.id == versions.c.person_id).scalar_subquery()
        )
    )
    connection.execute(
        jobs.update()
        .where(jobs.c.person_id.is_not(None))
        .values(consent_id=named.where(people.c.id == jobs.c.person_id).scalar_subquery())
    )
    checked = sa.select(sa.func.min(consents.c.id)).where(consents.c.job_id == jobs.c.id)
    connection.execute(
        jobs.update().where(jobs.c.kind == "consent").values(consent_id=checked.scalar_subquery())
    )
    videos = sa.select(jobs.c.id, jobs.c.params, jobs.c.consent_id).where(jobs.c.kind == "video")
    for row in connection.execute(videos).all():
        marked = ((row.params or {}).get("consent") or {}).get("id")
        if marked and marked != row.consent_id:
            connection.execute(jobs.update().where(jobs.c.id == row.id).values(consent_id=marked))


def downgrade() -> None:
    op.drop_index("ix_jobs_consent_id", "jobs")
    op.drop_index("ix_person_versions_consent_id", "person_versions")
    with op.batch_alter_table("jobs") as batch:
        batch.drop_column("consent_id")
    with op.batch_alter_table("person_versions") as batch:
        batch.drop_constraint(_FOREIGN, type_="foreignkey")
        batch.drop_column("consent_id")
    op.drop_table("take_prints")
