"""Tenants, consents as rows, versions of weights, queues, the outbox, webhooks, API keys and the audit log.

What there was belongs to one tenant afterwards; an attested consent becomes a row of its own; promoted weights become
version 1; a stage that waits gets its wake-up.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

EMBEDDED = "ten_embedded"
OWNED = ("uploads", "artifacts", "people", "jobs", "stages")
GPU = ("render",)
"""Stages that want a GPU where there is one."""


def _id(length: int = 40) -> sa.Column[str]:
    return sa.Column("id", sa.String(length=length), nullable=False)


def _tenant(table: str) -> tuple[sa.Column[str], sa.ForeignKeyConstraint]:
    return (
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=f"fk_{table}_tenant_id_tenants"),
    )


def _time(name: str, *, nullable: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    connection = op.get_bind()
    op.create_table(
        "tenants",
        _id(),
        sa.Column("name", sa.String(length=200), nullable=False),
        _time("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_tenants"),
    )
    moment = datetime.now(UTC)
    moment = moment.replace(tzinfo=None) if connection.dialect.name == "sqlite" else moment
    tenants = sa.table("tenants", sa.column("id"), sa.column("name"), sa.column("created_at", sa.DateTime()))
    connection.execute(tenants.insert().values(id=EMBEDDED, name="Everybody", created_at=moment))

    for table in OWNED:
        with op.batch_alter_table(table) as batch:
            batch.add_column(
                sa.Column("tenant_id", sa.String(length=40), nullable=False, server_default=EMBEDDED)
            )
            batch.create_foreign_key(f"fk_{table}_tenant_id_tenants", "tenants", ["tenant_id"], ["id"])
            if table == "stages":
                batch.add_column(
                    sa.Column("queue", sa.String(length=16), nullable=False, server_default="cpu")
                )
                batch.add_column(sa.Column("checkpoint", sa.JSON(none_as_null=True), nullable=True))
        with op.batch_alter_table(table) as batch:
            batch.alter_column("tenant_id", existing_type=sa.String(length=40), server_default=None)
            if table == "stages":
                batch.alter_column("queue", existing_type=sa.String(length=16), server_default=None)
    stages = sa.table(
        "stages",
        *(sa.column(name) for name in ("id", "name", "queue", "status", "not_before", "queued_at")),
    )
    connection.execute(stages.update().where(stages.c.name.in_(GPU)).values(queue="gpu"))
    for table in ("uploads", "people", "jobs"):
        op.create_index(f"ix_{table}_tenant_id_id", table, ["tenant_id", "id"])
    op.drop_index("ix_stages_claim", table_name="stages")
    op.create_index(
        "ix_stages_claim", "stages", ["status", "queue", "tenant_id", "priority", "queued_at", "id"]
    )
    op.create_index("ix_stages_tenant_id_started_at", "stages", ["tenant_id", "started_at"])
    with op.batch_alter_table("workers") as batch:
        batch.add_column(sa.Column("queues", sa.String(length=64), nullable=False, server_default="cpu,gpu"))
    with op.batch_alter_table("workers") as batch:
        batch.alter_column("queues", existing_type=sa.String(length=64), server_default=None)

    _consents_become_rows()

    op.create_table(
        "person_versions",
        _id(),
        sa.Column("person_id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("artifact_id", sa.String(length=40), nullable=False),
        sa.Column("job_id", sa.String(length=40), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        _time("created_at"),
        sa.ForeignKeyConstraint(
            ["person_id"], ["people.id"], name="fk_person_versions_person_id_people", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["artifact_id"],
            ["artifacts.id"],
            name="fk_person_versions_artifact_id_artifacts",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_person_versions_job_id_jobs", ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_person_versions"),
        sa.UniqueConstraint("person_id", "number", name="uq_person_versions_person_id_number"),
    )
    op.create_index("ix_person_versions_artifact_id", "person_versions", ["artifact_id"])
    op.execute(
        "insert into person_versions (id, person_id, number, artifact_id, job_id, status, created_at) "
        "select 'ver_' || substr(people.id, 5), people.id, 1, artifacts.id, null, 'ready', artifacts.created_at "
        "from people join artifacts on artifacts.id = people.package_artifact_id"
    )

    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("stage_id", sa.String(length=40), nullable=False),
        sa.Column("queue", sa.String(length=16), nullable=False),
        _time("not_before", nullable=True),
        _time("created_at"),
        sa.ForeignKeyConstraint(
            ["stage_id"], ["stages.id"], name="fk_outbox_stage_id_stages", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
    )
    op.create_index("ix_outbox_stage_id", "outbox", ["stage_id"])
    op.execute(
        "insert into outbox (stage_id, queue, not_before, created_at) "
        "select id, queue, not_before, queued_at from stages where status = 'queued' order by queued_at"
    )
    _webhooks_keys_and_audit()


def _consents_become_rows() -> None:
    op.create_table(
        "consents",
        _id(),
        *_tenant("consents"),
        sa.Column("subject_name", sa.String(length=200), nullable=False),
        sa.Column("status", sa.String(length=24), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        _time("created_at"),
        _time("revoked_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_consents"),
    )
    op.create_index("ix_consents_tenant_id_id", "consents", ["tenant_id", "id"])
    with op.batch_alter_table("people") as batch:
        batch.add_column(sa.Column("consent_id", sa.String(length=40), nullable=True))
        batch.create_foreign_key(
            "fk_people_consent_id_consents", "consents", ["consent_id"], ["id"], ondelete="SET NULL"
        )
    op.execute(
        "insert into consents (id, tenant_id, subject_name, status, statement, created_at) "
        f"select 'con_' || substr(id, 5), '{EMBEDDED}', coalesce(consent_subject, ''), 'attested', '', "
        "consent_attested_at from people where consent_attested_at is not null"
    )
    op.execute("update people set consent_id = 'con_' || substr(id, 5) where consent_attested_at is not null")
    with op.batch_alter_table("people") as batch:
        batch.drop_column("consent_subject")
        batch.drop_column("consent_attested_at")


def _webhooks_keys_and_audit() -> None:
    op.create_table(
        "webhook_endpoints",
        _id(),
        *_tenant("webhook_endpoints"),
        sa.Column("url", sa.String(length=2048), nullable=False),
        sa.Column("secret", sa.String(length=128), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        _time("created_at"),
        _time("disabled_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_endpoints"),
    )
    op.create_index("ix_webhook_endpoints_tenant_id", "webhook_endpoints", ["tenant_id"])
    op.create_table(
        "webhook_deliveries",
        _id(),
        sa.Column("endpoint_id", sa.String(length=40), nullable=False),
        sa.Column("event_id", sa.String(length=40), nullable=False),
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _time("next_at", nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.String(length=500), nullable=True),
        _time("created_at"),
        _time("delivered_at", nullable=True),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["webhook_endpoints.id"],
            name="fk_webhook_deliveries_endpoint_id_webhook_endpoints",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_deliveries"),
    )
    op.create_index("ix_webhook_deliveries_due", "webhook_deliveries", ["status", "next_at"])
    op.create_index("ix_webhook_deliveries_endpoint_id", "webhook_deliveries", ["endpoint_id"])
    op.create_table(
        "api_keys",
        _id(),
        *_tenant("api_keys"),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("prefix", sa.String(length=24), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        _time("created_at"),
        _time("last_used_at", nullable=True),
        _time("revoked_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("digest", name="uq_api_keys_digest"),
    )
    op.create_index("ix_api_keys_tenant_id", "api_keys", ["tenant_id"])
    op.create_table(
        "audit_events",
        _id(),
        *_tenant("audit_events"),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        _time("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_audit_events"),
    )
    op.create_index("ix_audit_events_tenant_id_id", "audit_events", ["tenant_id", "id"])


def downgrade() -> None:
    for table in (
        "audit_events",
        "api_keys",
        "webhook_deliveries",
        "webhook_endpoints",
        "outbox",
        "person_versions",
    ):
        op.drop_table(table)
    with op.batch_alter_table("people") as batch:
        batch.add_column(sa.Column("consent_subject", sa.String(length=200), nullable=True))
        batch.add_column(sa.Column("consent_attested_at", sa.DateTime(timezone=True), nullable=True))
    given = "(select {} from consents where consents.id = people.consent_id and consents.status = 'attested')"
    op.execute(
        f"update people set consent_subject = {given.format('subject_name')}, "
        f"consent_attested_at = {given.format('created_at')} where consent_id is not null"
    )
    op.drop_index("ix_people_tenant_id_id", table_name="people")
    with op.batch_alter_table("people") as batch:
        batch.drop_constraint("fk_people_consent_id_consents", type_="foreignkey")
        batch.drop_column("consent_id")
    op.drop_table("consents")
    op.drop_index("ix_stages_tenant_id_started_at", table_name="stages")
    op.drop_index("ix_stages_claim", table_name="stages")
    for table in ("uploads", "jobs"):
        op.drop_index(f"ix_{table}_tenant_id_id", table_name=table)
    with op.batch_alter_table("workers") as batch:
        batch.drop_column("queues")
    drop: Callable[[str], str] = "fk_{}_tenant_id_tenants".format
    for table in OWNED:
        with op.batch_alter_table(table) as batch:
            batch.drop_constraint(drop(table), type_="foreignkey")
            batch.drop_column("tenant_id")
            if table == "stages":
                batch.drop_column("queue")
                batch.drop_column("checkpoint")
    op.create_index("ix_stages_claim", "stages", ["status", "priority", "queued_at", "id"])
    op.drop_table("tenants")
