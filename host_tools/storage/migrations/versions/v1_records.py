"""Version 1: tokens, the records of their logs, and the sync sessions."""

import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None


def upgrade() -> None:
    op.create_table("schema", sa.Column("version", sa.Integer, nullable=False))
    op.create_table(
        "token",
        sa.Column("serial", sa.String(16), primary_key=True),
        sa.Column("short_code", sa.String(6), nullable=False),
        sa.Column("label", sa.String),
        sa.Column("firmware", sa.String),
        sa.Column("battery_mv", sa.Integer),
        sa.Column("boot", sa.Integer),
        sa.Column("last_sync_s", sa.BigInteger),
        sa.Column("damaged", sa.Integer),
        sa.Column("dropped", sa.Integer),
    )
    op.create_index("ix_token_short_code", "token", ["short_code"])
    op.create_table(
        "record",
        sa.Column("serial", sa.String(16), sa.ForeignKey("token.serial"), primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True),
        sa.Column("raw", sa.LargeBinary(28), nullable=False),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("clock_set", sa.Boolean, nullable=False),
        sa.Column("connected", sa.Boolean, nullable=False),
        sa.Column("boot", sa.Integer, nullable=False),
        sa.Column("start_s", sa.BigInteger, nullable=False),
        sa.Column("duration_s", sa.Integer, nullable=False),
        sa.Column("windows", sa.Integer, nullable=False),
        sa.Column("sightings", sa.Integer, nullable=False),
        sa.Column("rssi_max_dbm", sa.Integer, nullable=False),
        sa.Column("rssi_mean_dbm", sa.Integer, nullable=False),
        sa.Column("bluezone_id", sa.LargeBinary(12), nullable=False),
        sa.Column("received_s", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "sync",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("serial", sa.String(16), sa.ForeignKey("token.serial"), nullable=False),
        sa.Column("finished_s", sa.BigInteger, nullable=False),
        sa.Column("battery_mv", sa.Integer, nullable=False),
        sa.Column("next_seq", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "clock",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("serial", sa.String(16), sa.ForeignKey("token.serial"), nullable=False),
        sa.Column("boot", sa.Integer, nullable=False),
        sa.Column("before_seq", sa.BigInteger, nullable=False),
        sa.Column("token_s", sa.BigInteger, nullable=False),
        sa.Column("true_s", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_clock_serial", "clock", ["serial"])
