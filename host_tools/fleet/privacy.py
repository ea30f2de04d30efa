"""How long encounters stay, what is held of a wearer, and how it goes.

Encounters are deleted when they are older than the rule allows; results stay. Erasing a person deletes encounters,
results, name, staff number and address; the ledger and the audit keep that there was somebody, by number.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from host_tools.errors import UserError
from host_tools.matching.day_result import DayResult
from host_tools.storage.database import Database, record_table, token_table

from . import alerts, audit, settings
from .clock import Clock
from .days import results_in, results_of
from .ledger import Ledger
from .people import People, Person
from .periods import Period, drop_records, periods, records_of
from .tables import person_table, result_table

LONGEST_DAYS = 180
_DAY_S = 86400
_JUMP_S = 7 * _DAY_S  # a clock that leaps ahead by more is not believed at once: it would delete a fortnight

_AT_ONCE = 10_000  # records that go in one transaction
_SEEN = "retention.seen_s"
_TRUSTED = "retention.trusted_from_s"


@dataclass(frozen=True, slots=True)
class Held:
    """All that is held of a wearer.

    Attributes:
        periods: which tokens, from when to when.
        records: how many records of their logs are stored.
        days: what was found, oldest first.
    """

    person: Person
    periods: tuple[Period, ...]
    records: int
    days: tuple[DayResult, ...]


class Privacy:
    """The rule, and the wearer's rights."""

    def __init__(self, database: Database, people: People, ledger: Ledger, now: Clock) -> None:
        self._database = database
        self._people = people
        self._ledger = ledger
        self._now = now

    # --- The rule ----------------------------------------------------------------------------------------------

    def days(self) -> int:
        """For how many days encounters are kept; settings.NEVER: not past the verdict."""
        with self._database.reading() as connection:
            return settings.retention_days(connection)

    def set_days(self, actor: str, days: int) -> None:
        """Change the rule; it is applied at the next `purge`.

        Raises:
            UserError: out of range.
        """
        if not 0 <= days <= LONGEST_DAYS:
            raise UserError(f"Encounters are kept from 0 to {LONGEST_DAYS} days, not {days}. Nothing was changed.")
        with self._database.writing() as connection:
            settings.put_number(connection, settings.DAYS_NAME, days)
            audit.note(connection, self._now(), actor, "retention", days=days)

    def purge(self) -> int:
        """Delete what is too old; returns how many records went. To be called every hour or so.

        After the clock has leapt ahead by more than a week, nothing goes for a day, so that it can be put right.
        Much goes in several transactions: wearers do not wait for all of it, and what is left goes the next time.
        """
        before_s = self._purge_before()
        if before_s is None:
            return 0
        r = record_table.c
        # What was read long ago was logged even longer ago, whatever the token's clock said.
        old = sa.or_(r.received_s < before_s, sa.and_(r.clock_set, r.start_s + r.duration_s < before_s))
        with self._database.reading() as connection:
            query = sa.select(r.serial, sa.func.count()).where(old).group_by(r.serial).order_by(r.serial)
            counts = [(serial, count) for serial, count in connection.execute(query)]
        dropped = sum(self._drop_old(serials, old) for serials in _parts(counts))
        if dropped:
            self._database.forget()
        return dropped

    def _drop_old(self, serials: list[str], old: sa.ColumnElement[bool]) -> int:
        with self._database.writing() as connection:
            dropped = drop_records(connection, sa.and_(record_table.c.serial.in_(serials), old))
            if dropped:
                audit.note(connection, self._now(), "kiosk", "purge", records=dropped)
        return dropped

    def _purge_before(self) -> int | None:
        """What was logged or read before goes (Unix s); None: the clock is not trusted, and nothing does."""
        now_s = self._now()
        with self._database.writing() as connection:
            latest_s = connection.scalar(sa.select(sa.func.max(token_table.c.last_sync_s))) or now_s
            seen_s = settings.get_number(connection, _SEEN, latest_s)
            trusted_s = settings.get_number(connection, _TRUSTED, 0)
            if now_s - seen_s > _JUMP_S:
                trusted_s = now_s + _DAY_S
                settings.put_number(connection, _TRUSTED, trusted_s)
            elif now_s < seen_s:
                trusted_s = min(trusted_s, now_s)  # it was the leap that was wrong
                settings.put_number(connection, _TRUSTED, trusted_s)
            settings.put_number(connection, _SEEN, now_s)
            return None if now_s < trusted_s else now_s - settings.retention_days(connection) * _DAY_S

    def purge_after_verdict(self, serial: bytes) -> None:
        """Where nothing is kept: delete a token's records now."""
        with self._database.writing() as connection:
            keeps = settings.retention_days(connection) != settings.NEVER
            if not keeps:
                drop_records(connection, record_table.c.serial == serial.hex())
        if not keeps:
            self._database.forget()

    # --- The wearer's rights -----------------------------------------------------------------------------------

    def held(self, actor: str, person_id: int) -> Held:
        """What is held of a person; the look is in the audit.

        Raises:
            PersonError: nothing is.
        """
        person = self._people.look_at(actor, person_id)
        with self._database.reading() as connection:
            own = periods(connection, person_id=person_id)
            count = sa.select(sa.func.count()).select_from(record_table)
            records = sum(connection.scalar(count.where(records_of(connection, each))) or 0 for each in own)
            days = tuple(found for each in own for found in results_in(connection, each.serial, each))
        return Held(person, tuple(own), records, days)

    def forget_contacts(self, actor: str, person_id: int) -> int:
        """Delete a person's encounters and results, and alerts that have not gone out; returns how many records went.
        They keep the token."""
        with self._database.writing() as connection:
            dropped = self._forget(connection, person_id)
            audit.note(connection, self._now(), actor, "forget contacts", person_id=person_id)
        self._database.forget()
        return dropped

    def erase(self, actor: str, person_id: int) -> None:
        """Delete all that is held of a person. A token they have counts as returned.

        Raises:
            PersonError: nothing is held.
        """
        with self._database.writing() as connection:
            self._people.person_in(connection, person_id)
            # First, while the period is open: a token whose clock is ahead has records from after this moment.
            self._forget(connection, person_id)
            for each in periods(connection, person_id=person_id):
                if each.until_s is None:
                    self._ledger.move_in(connection, actor, "return", each.serial)
            nothing = {f"{field}_sealed": None for field in ("staff", "name", "address")}
            connection.execute(
                person_table.update()
                .where(person_table.c.id == person_id)
                .values(nothing | {"staff_mac": None, "unit_id": None, "erased_s": self._now()})
            )
            audit.note(connection, self._now(), actor, "erase person", person_id=person_id)
        self._database.forget()

    def _forget(self, connection: sa.Connection, person_id: int) -> int:
        dropped = 0
        for each in periods(connection, person_id=person_id):
            dropped += drop_records(connection, records_of(connection, each))
            connection.execute(result_table.delete().where(results_of(each.serial, each)))
            alerts.withdraw_in(connection, each)
        return dropped


def _parts(counts: Iterable[tuple[str, int]]) -> Iterator[list[str]]:
    """Serials, as many at once as have some _AT_ONCE records together."""
    serials: list[str] = []
    records = 0
    for serial, count in counts:
        serials.append(serial)
        records += count
        if records >= _AT_ONCE:
            yield serials
            serials, records = [], 0
    if serials:
        yield serials
