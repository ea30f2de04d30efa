"""What speaks against this machine's clock, and an admin's word that it is right all the same.

A clock that was ahead, of this kiosk, another one or the authority, leaves times that have not come yet. They would
keep every kiosk from its work until then.
"""

import contextlib
from dataclasses import dataclass

import sqlalchemy as sa

from host_tools.storage.database import Database, StorageError, token_table

from . import audit, clock, settings
from .clock import DIFFER_S, Clock, ClockWrong

_LIST = "clock.list_s"  # when a list was signed by which a kiosk found its clock wrong
_MISDATED = "clock.misdated_s"  # when a list was signed, by a clock of the authority that was ahead


@dataclass(frozen=True, slots=True)
class Evidence:
    """Times that the clock has not reached, Unix s.

    Attributes:
        now_s: what it says.
        syncs: of how many tokens the last sync lies ahead.
        latest_sync_s: the latest of these; 0: there is none.
        published_s: when the list in use was signed, if that lies ahead.
    """

    now_s: int
    syncs: int = 0
    latest_sync_s: int = 0
    published_s: int | None = None

    def __bool__(self) -> bool:
        return bool(self.syncs or self.published_s)


def believed(connection: sa.Connection, published_s: int | None) -> int | None:
    """When a list was signed; None: nobody knows, or an admin has said that it cannot have been then."""
    return None if published_s == settings.get_number(connection, _MISDATED, 0) else published_s


class ClockEvidence:
    """Collects and dismisses it."""

    def __init__(self, database: Database, now: Clock) -> None:
        self._database = database
        self._now = now

    def check_list(self, now_s: float, published_s: int | None) -> None:
        """Whether a clock can be right beside the list in use; if not, that is remembered for `found`.

        Raises:
            ClockWrong: it lags behind the signing of that list.
        """
        try:
            clock.check(now_s, published_s=published_s)
        except ClockWrong:
            with self._database.reading() as connection:
                published_s = believed(connection, published_s)
                known_s = settings.get_number(connection, _LIST, 0)
            if published_s is not None and published_s != known_s:
                with contextlib.suppress(StorageError), self._database.writing() as connection:
                    settings.put_number(connection, _LIST, published_s)
            clock.check(now_s, published_s=published_s)

    def found(self) -> Evidence:
        """What speaks against this machine's clock now."""
        with self._database.reading() as connection:
            return self._found_in(connection)

    def _found_in(self, connection: sa.Connection) -> Evidence:
        now_s = self._now()
        last = token_table.c.last_sync_s
        query = sa.select(sa.func.count(), sa.func.max(last)).where(last > now_s + DIFFER_S)
        syncs, latest_s = connection.execute(query).one()
        published_s = believed(connection, settings.get_number(connection, _LIST, 0))
        ahead = published_s is not None and published_s > now_s + DIFFER_S
        return Evidence(now_s, syncs, latest_s or 0, published_s if ahead else None)

    def trust(self, actor: str) -> Evidence:
        """This machine's clock is right: times that it has not reached do not count any more; returns what they were.

        When these tokens last synced is unknown from now on.

        Raises:
            ClockWrong: it cannot be right, whoever says so.
        """
        clock.check(self._now())
        with self._database.writing() as connection:
            found = self._found_in(connection)
            if found.syncs:
                ahead = token_table.c.last_sync_s > found.now_s + DIFFER_S
                connection.execute(token_table.update().where(ahead).values(last_sync_s=None))
            if found.published_s:
                settings.put_number(connection, _MISDATED, found.published_s)
            if found:
                audit.note(
                    connection, found.now_s, actor, "trust clock", syncs=found.syncs,
                    latest_sync_s=found.latest_sync_s, published_s=found.published_s,
                )  # fmt: skip
        return found
