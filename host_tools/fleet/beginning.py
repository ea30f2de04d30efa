"""How far a new fleet has come: what its clerk is told to do next."""

from dataclasses import dataclass

import sqlalchemy as sa

from host_tools.storage.database import Database, token_table

from .tables import account_table, assignment_table, person_table


@dataclass(frozen=True, slots=True)
class Begun:
    """What there is at least one of; `accounts`: besides the first. They follow one another in this order."""

    accounts: bool
    tokens: bool
    people: bool
    assigned: bool
    synced: bool

    @property
    def done(self) -> bool:
        """Nothing is left to be told. Whoever works alone needs no second account."""
        return self.tokens and self.people and self.assigned and self.synced


def begun(database: Database) -> Begun:
    """Look what there is.

    Raises:
        StorageError: the database failed.
    """
    a, p, t = account_table.c, person_table.c, token_table.c
    questions = (
        sa.select(a.id).offset(1),
        sa.select(t.serial),
        sa.select(p.id).where(p.erased_s.is_(None)),
        sa.select(assignment_table.c.id),
        sa.select(t.serial).where(t.last_sync_s > 0),
    )
    with database.reading() as connection:
        return Begun(*(connection.execute(question.limit(1)).first() is not None for question in questions))
