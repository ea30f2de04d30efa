"""The tables of the fleet, beside those of the store. Migrations make them; a test holds the two together.

Names, staff numbers and addresses are sealed (vault.py). Times are Unix s, days are ISO dates in Viet Nam.
"""

import sqlalchemy as sa

from host_tools.storage.database import metadata

unit_table = sa.Table(
    "unit",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("agency", sa.String, nullable=False),
    sa.Column("district", sa.String, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.UniqueConstraint("agency", "district", name="uq_unit_agency_district"),
)
person_table = sa.Table(
    "person",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("staff_mac", sa.LargeBinary(32)),  # finds a staff number without opening any
    sa.Column("staff_sealed", sa.LargeBinary),
    sa.Column("name_sealed", sa.LargeBinary),
    sa.Column("address_sealed", sa.LargeBinary),
    sa.Column("unit_id", sa.Integer, sa.ForeignKey("unit.id"), index=True),
    sa.Column("erased_s", sa.BigInteger),
    sa.UniqueConstraint("staff_mac", name="uq_person_staff_mac"),
)
state_table = sa.Table(
    "token_state",
    metadata,
    sa.Column("serial", sa.String(16), sa.ForeignKey("token.serial"), primary_key=True),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("since_s", sa.BigInteger, nullable=False),
)
assignment_table = sa.Table(
    "assignment",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("serial", sa.String(16), sa.ForeignKey("token.serial"), nullable=False, index=True),
    sa.Column("person_id", sa.Integer, sa.ForeignKey("person.id"), nullable=False, index=True),
    sa.Column("since_s", sa.BigInteger, nullable=False),
    sa.Column("until_s", sa.BigInteger),
)
# The database itself keeps a token from being with two persons, and a person from having two tokens.
for _column in ("serial", "person_id"):
    sa.Index(
        f"uq_assignment_open_{_column}",
        assignment_table.c[_column],
        unique=True,
        sqlite_where=assignment_table.c.until_s.is_(None),
        postgresql_where=assignment_table.c.until_s.is_(None),
    )
audit_table = sa.Table(  # triggers refuse to change or delete what is there
    "audit",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at_s", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("serial", sa.String(16), index=True),
    sa.Column("person_id", sa.Integer, index=True),
    sa.Column("detail", sa.String, nullable=False),
)
result_table = sa.Table(
    "result",
    metadata,
    sa.Column("serial", sa.String(16), sa.ForeignKey("token.serial"), primary_key=True),
    sa.Column("assignment_id", sa.Integer, primary_key=True),  # 0: it was with nobody
    sa.Column("day", sa.String(10), primary_key=True),
    sa.Column("minutes", sa.Integer, nullable=False),
    sa.Column("minutes_near", sa.Integer, nullable=False),
    sa.Column("minutes_far", sa.Integer, nullable=False, server_default="0"),
    sa.Column("exposed", sa.Boolean, nullable=False),
    sa.Column("rule", sa.String, nullable=False),
    sa.Column("found_s", sa.BigInteger, nullable=False),
    # None where a kiosk of version 2 kept the result.
    sa.Column("percent", sa.Integer),
    sa.Column("cases", sa.Integer),
    sa.Column("rule_version", sa.Integer),
    sa.Column("list_digest", sa.String),
    sa.Column("published_s", sa.BigInteger),
)
alert_table = sa.Table(
    "alert",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("assignment_id", sa.Integer, sa.ForeignKey("assignment.id"), nullable=False),
    sa.Column("day", sa.String(10), nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("made_s", sa.BigInteger, nullable=False),
    sa.Column("next_s", sa.BigInteger, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("problem", sa.String, nullable=False),
    sa.UniqueConstraint("assignment_id", "day", name="uq_alert_assignment_day"),
)
account_table = sa.Table(
    "account",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("password_hash", sa.String, nullable=False),
    sa.Column("disabled", sa.Boolean, nullable=False),
    sa.UniqueConstraint("name", name="uq_account_name"),
)
session_table = sa.Table(
    "session",
    metadata,
    sa.Column("token_hash", sa.LargeBinary(32), primary_key=True),
    sa.Column("account_id", sa.Integer, sa.ForeignKey("account.id"), nullable=False, index=True),
    sa.Column("begun_s", sa.BigInteger, nullable=False),
    sa.Column("seen_s", sa.BigInteger, nullable=False),
)
failure_table = sa.Table(
    "login_failure",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at_s", sa.BigInteger, nullable=False, index=True),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
)
setting_table = sa.Table(
    "setting",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.LargeBinary, nullable=False),
)
