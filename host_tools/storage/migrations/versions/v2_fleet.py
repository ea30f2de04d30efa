"""Version 2: whose token it is: persons, units, the ledger and its audit, results, alerts and accounts."""

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"

# The audit grows and never changes, whoever holds the connection.
_SQLITE_GUARD = """
CREATE TRIGGER audit_{verb} BEFORE {verb} ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END
"""
_POSTGRESQL_GUARD = """
CREATE FUNCTION audit_is_added_to() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the audit log is only added to'; END $$;
CREATE TRIGGER audit_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION audit_is_added_to();
"""


def upgrade() -> None:
    # What has been deleted for age is not to be read from the token again.
    op.add_column("token", sa.Column("kept_from_seq", sa.BigInteger, nullable=False, server_default="0"))
    op.create_index("ix_record_bluezone_id", "record", ["bluezone_id"])
    op.create_index("ix_record_received_s", "record", ["received_s"])
    _people()
    _ledger()
    _results()
    _accounts()
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(_SQLITE_GUARD.format(verb=verb))
    else:
        op.execute(_POSTGRESQL_GUARD)


def _people() -> None:
    op.create_table(
        "unit",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("agency", sa.String, nullable=False),
        sa.Column("district", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.UniqueConstraint("agency", "district", name="uq_unit_agency_district"),
    )
    op.create_table(
        "person",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("staff_mac", sa.LargeBinary(32)),
        sa.Column("staff_sealed", sa.LargeBinary),
        sa.Column("name_sealed", sa.LargeBinary),
        sa.Column("address_sealed", sa.LargeBinary),
        sa.Column("unit_id", sa.Integer, sa.ForeignKey("unit.id")),
        sa.Column("erased_s", sa.BigInteger),
        sa.UniqueConstraint("staff_mac", name="uq_person_staff_mac"),
    )
    op.create_index("ix_person_unit_id", "person", ["unit_id"])


def _ledger() -> None:
    op.create_table(
        "token_state",
        sa.Column("serial", sa.String(16), sa.ForeignKey("token.serial"), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("since_s", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_token_state_state", "token_state", ["state"])
    op.create_table(
        "assignment",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("serial", sa.String(16), sa.ForeignKey("token.serial"), nullable=False),
        sa.Column("person_id", sa.Integer, sa.ForeignKey("person.id"), nullable=False),
        sa.Column("since_s", sa.BigInteger, nullable=False),
        sa.Column("until_s", sa.BigInteger),
    )
    op.create_index("ix_assignment_serial", "assignment", ["serial"])
    op.create_index("ix_assignment_person_id", "assignment", ["person_id"])
    for column in ("serial", "person_id"):
        op.create_index(
            f"uq_assignment_open_{column}",
            "assignment",
            [column],
            unique=True,
            sqlite_where=sa.text("until_s IS NULL"),
            postgresql_where=sa.text("until_s IS NULL"),
        )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at_s", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("serial", sa.String(16)),
        sa.Column("person_id", sa.Integer),
        sa.Column("detail", sa.String, nullable=False),
    )
    op.create_index("ix_audit_serial", "audit", ["serial"])
    op.create_index("ix_audit_person_id", "audit", ["person_id"])


def _results() -> None:
    op.create_table(
        "result",
        sa.Column("serial", sa.String(16), sa.ForeignKey("token.serial"), primary_key=True),
        sa.Column("assignment_id", sa.Integer, primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("minutes", sa.Integer, nullable=False),
        sa.Column("minutes_near", sa.Integer, nullable=False),
        sa.Column("exposed", sa.Boolean, nullable=False),
        sa.Column("rule", sa.String, nullable=False),
        sa.Column("found_s", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "alert",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("assignment_id", sa.Integer, sa.ForeignKey("assignment.id"), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("made_s", sa.BigInteger, nullable=False),
        sa.Column("next_s", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("problem", sa.String, nullable=False),
        sa.UniqueConstraint("assignment_id", "day", name="uq_alert_assignment_day"),
    )
    op.create_index("ix_alert_state", "alert", ["state"])


def _accounts() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("password_hash", sa.String, nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.UniqueConstraint("name", name="uq_account_name"),
    )
    op.create_table(
        "session",
        sa.Column("token_hash", sa.LargeBinary(32), primary_key=True),
        sa.Column("account_id", sa.Integer, sa.ForeignKey("account.id"), nullable=False),
        sa.Column("begun_s", sa.BigInteger, nullable=False),
        sa.Column("seen_s", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_session_account_id", "session", ["account_id"])
    op.create_table(
        "login_failure",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at_s", sa.BigInteger, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
    )
    op.create_index("ix_login_failure_at_s", "login_failure", ["at_s"])
    op.create_table(
        "setting",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )
