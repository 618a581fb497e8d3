"""Uploads in parts, recorded consents, events of jobs, batches, deletions with receipts, usage, replayed answers.

What there was stays as it is: uploads are ready, jobs belong to no batch, endpoints have one secret.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ADDED: dict[str, tuple[tuple[str, Any, str | None], ...]] = {
    # table: (column, type, what existing rows get; None: the column may be null)
    "tenants": (("limits", sa.JSON(), "{}"),),
    "uploads": (
        ("status", sa.String(16), "ready"),
        ("part_size", sa.BigInteger(), None),
        ("multipart_id", sa.String(255), None),
        ("expires_at", sa.DateTime(timezone=True), None),
        ("source_url", sa.String(2048), None),
    ),
    "consents": (
        ("language", sa.String(16), ""),
        ("purposes", sa.JSON(), "[]"),
        ("passcode", sa.String(64), ""),
        ("expires_at", sa.DateTime(timezone=True), None),
        ("recording_upload_id", sa.String(40), None),
        ("job_id", sa.String(40), None),
        ("report", sa.JSON(none_as_null=True), None),
    ),
    "jobs": (
        ("batch_id", sa.String(40), None),
        ("labels", sa.JSON(), "{}"),
        ("mark", sa.String(12), None),
    ),
    "webhook_endpoints": (
        ("old_secret", sa.String(128), None),
        ("old_secret_until", sa.DateTime(timezone=True), None),
    ),
}


def _time(name: str, *, nullable: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _tenant(table: str) -> tuple[sa.Column[str], sa.ForeignKeyConstraint]:
    return (
        sa.Column("tenant_id", sa.String(40), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=f"fk_{table}_tenant_id_tenants"),
    )


def _counted() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False)


def upgrade() -> None:
    for table, columns in ADDED.items():
        with op.batch_alter_table(table) as batch:
            for name, kind, default in columns:
                batch.add_column(sa.Column(name, kind, nullable=default is None, server_default=default))
        with op.batch_alter_table(table) as batch:
            for name, kind, default in columns:
                if default is not None:
                    batch.alter_column(name, existing_type=kind, server_default=None)
    op.create_index("ix_jobs_batch_id", "jobs", ["batch_id"])
    op.create_index("ix_jobs_mark", "jobs", ["mark"])
    op.create_index("ix_uploads_status_expires_at", "uploads", ["status", "expires_at"])

    op.create_table(
        "job_events",
        _counted(),
        sa.Column("job_id", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        _time("created_at"),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_job_events_job_id_jobs", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_job_events"),
    )
    op.create_index("ix_job_events_job_id_id", "job_events", ["job_id", "id"])
    op.create_table(
        "batches",
        sa.Column("id", sa.String(40), nullable=False),
        *_tenant("batches"),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        _time("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_batches"),
    )
    op.create_index("ix_batches_tenant_id_id", "batches", ["tenant_id", "id"])
    op.create_table(
        "deletions",
        sa.Column("id", sa.String(40), nullable=False),
        *_tenant("deletions"),
        sa.Column("subject", sa.String(40), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("receipt", sa.JSON(), nullable=False),
        _time("created_at"),
        _time("finished_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_deletions"),
    )
    op.create_index("ix_deletions_tenant_id_id", "deletions", ["tenant_id", "id"])
    op.create_index("ix_deletions_subject", "deletions", ["subject"])
    op.create_table(
        "usage_records",
        _counted(),
        *_tenant("usage_records"),
        sa.Column("job_id", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("amount", sa.Double(), nullable=False),
        _time("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_usage_records"),
    )
    op.create_index("ix_usage_records_tenant_id_created_at", "usage_records", ["tenant_id", "created_at"])
    op.create_table(
        "idempotency_keys",
        *_tenant("idempotency_keys"),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("headers", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        _time("created_at"),
        sa.PrimaryKeyConstraint("tenant_id", "key", name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])


def downgrade() -> None:
    for table in ("idempotency_keys", "usage_records", "deletions", "batches", "job_events"):
        op.drop_table(table)
    op.drop_index("ix_uploads_status_expires_at", table_name="uploads")
    op.drop_index("ix_jobs_mark", table_name="jobs")
    op.drop_index("ix_jobs_batch_id", table_name="jobs")
    # An upload whose bytes never arrived is nothing that the older code knows.
    op.execute("delete from uploads where status <> 'ready'")
    # The older code knows consents that were given by word, and revoked ones.
    op.execute("update consents set status = 'attested' where status = 'verified'")
    op.execute("update consents set status = 'revoked' where status not in ('attested', 'revoked')")
    for table, columns in ADDED.items():
        with op.batch_alter_table(table) as batch:
            for name, _, _ in columns:
                batch.drop_column(name)
