"""Version 3: why a result says what it says, and which unit got a token that is with nobody.

`token.label` goes: it said whose token it is, in the clear. Only the simulation ever wrote it; names are sealed in
`person`.
"""

import sqlalchemy as sa
from alembic import op

revision = "3"
down_revision = "2"


def upgrade() -> None:
    op.drop_column("token", "label")
    op.add_column("token", sa.Column("unit", sa.String, nullable=False, server_default=""))
    op.create_index("ix_token_unit", "token", ["unit"])
    op.add_column("result", sa.Column("minutes_far", sa.Integer, nullable=False, server_default="0"))
    # Nobody has kept how the rest was divided; the national rule knows near and far only.
    op.execute("UPDATE result SET minutes_far = minutes - minutes_near")
    for name, kind in (
        ("percent", sa.Integer),
        ("cases", sa.Integer),
        ("rule_version", sa.Integer),
        ("list_digest", sa.String),
        ("published_s", sa.BigInteger),
    ):
        op.add_column("result", sa.Column(name, kind))
