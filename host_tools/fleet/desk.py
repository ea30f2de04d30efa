"""The kiosk's questions to the ledger while a wearer stands before it."""

import asyncio

import sqlalchemy as sa

from host_tools.errors import UserError
from host_tools.matching.assessment import Judged
from host_tools.storage.database import Database
from host_tools.storage.store import Encounter, Store, read_encounters
from tracing import wire

from . import alerts, audit, clock
from .ledger import Ledger
from .periods import Period, nobodys_records, periods, records_of
from .privacy import Privacy
from .results import Results

_REASONS = {
    "lost": "is reported lost",
    "revoked": "has been revoked",
    "returned": "has been returned and not been wiped",
}


class TurnedAway(UserError):
    """The token is not for whoever holds it: the wearer is sent to the clerk, and told nothing else."""


class FleetDesk:
    """What kiosk.service.Kiosk asks, by way of DeskInThreads; see its Desk."""

    def __init__(self, database: Database, ledger: Ledger, results: Results, privacy: Privacy) -> None:
        self._database = database
        self._store = Store(database)
        self._ledger = ledger
        self._results = results
        self._privacy = privacy

    def check_clock(self, now_s: float) -> None:
        """Before a token's clock is set.

        Raises:
            ClockWrong: time has gone backwards since the last sync, or it is before there were tokens.
        """
        clock.check(now_s, self._store.latest_sync_s())

    def encounters(self, serial: bytes, now_s: int) -> list[Encounter]:
        """What the one who holds the token may be judged by: their own encounters.

        Raises:
            TurnedAway: the token is lost, revoked, or another's.
        """
        with self._database.writing() as connection:
            standing = self._ledger.standing_in(connection, serial)
            reason = _REASONS.get(standing.state)
            if reason is not None:
                audit.note(connection, now_s, "kiosk", "turn away", serial, state=standing.state)
            encounters = self._own(connection, serial)
        if reason is not None:
            raise TurnedAway(
                f"Token {wire.short_code(serial)} {reason}. Its log is stored; nothing was shown. Bring it to the "
                "clerk."
            )
        return encounters

    def told(self, serial: bytes, judged: Judged, now_s: int) -> None:
        """The wearer has seen the verdict."""
        with self._database.writing() as connection:
            period = self._period(periods(connection, serial))
            self._results.keep_in(connection, serial, period, judged)
            if period is not None:
                days = {day.day for day in judged.verdict.days}
                alerts.make_in(connection, period, days, now_s, alerts.TOLD)
        self._privacy.purge_after_verdict(serial)

    def _own(self, connection: sa.Connection, serial: bytes) -> list[Encounter]:
        period = self._period(periods(connection, serial))
        which = nobodys_records(connection, serial) if period is None else records_of(connection, period)
        return read_encounters(connection, which)

    def _period(self, own: list[Period]) -> Period | None:
        return next((period for period in own if period.until_s is None), None)


class DeskInThreads:
    """A kiosk.contracts.Desk: while the ledger waits for the database, the kiosk serves others."""

    def __init__(self, desk: FleetDesk) -> None:
        self._desk = desk

    async def check_clock(self, now_s: float) -> None:
        await asyncio.to_thread(self._desk.check_clock, now_s)

    async def encounters(self, serial: bytes, now_s: int) -> list[Encounter]:
        return await asyncio.to_thread(self._desk.encounters, serial, now_s)

    async def told(self, serial: bytes, judged: Judged, now_s: int) -> None:
        await asyncio.to_thread(self._desk.told, serial, judged, now_s)
