"""What each process's loops last did, in the register of workers: health names one that stands still.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("workers") as batch:
        batch.add_column(sa.Column("loops", sa.JSON(), nullable=False, server_default="{}"))
    with op.batch_alter_table("workers") as batch:
        batch.alter_column("loops", existing_type=sa.JSON(), server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("workers") as batch:
        batch.drop_column("loops")
