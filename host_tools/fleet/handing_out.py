"""Many assignments in one transaction: checked one after the other in memory, then written together.

Statement by statement, ten thousand of them would keep every other writer of the database waiting for half a minute.
"""

from dataclasses import replace

import sqlalchemy as sa

from . import audit
from .ledger import Standing, has_token, standings, the_one, way
from .tables import assignment_table, state_table


class HandingOut:
    """The ledger as it is within a transaction that has the database to itself, and what is to be done in it.

    Attributes:
        count: how many tokens are assigned.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._standings: dict[bytes, Standing] = {}
        self._named: dict[str, list[bytes]] = {}
        self._holds: dict[int, bytes] = {}
        self._before: dict[bytes, Standing] = {}
        for standing in standings(connection):
            self._standings[standing.serial] = standing
            for name in (standing.short_code, standing.serial.hex()):
                self._named.setdefault(name, []).append(standing.serial)
            if standing.person_id is not None:
                self._holds[standing.person_id] = standing.serial

    @property
    def count(self) -> int:
        return len(self._before)

    def assign(self, text: str, person_id: int) -> None:
        """A person is to have the token that a list names by short code or serial; who has it already keeps it.

        Raises:
            LedgerError: as of Ledger.serial and Ledger.assign.
        """
        wanted = text.strip()
        found = {*self._named.get(wanted.upper(), ()), *self._named.get(wanted.lower(), ())}
        standing = self._standings[the_one(wanted, sorted(found))]
        if standing.person_id == person_id:
            return
        after = way(standing, "assign")
        other = self._holds.get(person_id)
        if other is not None:
            raise has_token(other)
        self._before[standing.serial] = standing
        self._standings[standing.serial] = replace(standing, state=after, person_id=person_id)
        self._holds[person_id] = standing.serial

    def write(self, actor: str, now_s: int) -> None:
        """Do it, with a row in the audit for each."""
        if not self._before:
            return
        after = [self._standings[serial] for serial in self._before]
        keys = [{"key": each.serial.hex()} for each in after]
        self._connection.execute(state_table.delete().where(state_table.c.serial == sa.bindparam("key")), keys)
        self._connection.execute(
            state_table.insert(),
            [{"serial": each.serial.hex(), "state": each.state, "since_s": now_s} for each in after],
        )
        self._connection.execute(
            assignment_table.insert(),
            [{"serial": each.serial.hex(), "person_id": each.person_id, "since_s": now_s} for each in after],
        )
        audit.note_all(self._connection, [
            audit.row(now_s, actor, "assign", each.serial, each.person_id, before=self._before[each.serial].state)
            for each in after
        ])  # fmt: skip
