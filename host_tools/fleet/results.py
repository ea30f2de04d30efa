"""What was found on each day of a wearer: minutes, and whether they make an F1. Never with whom, never when.

Results stay when the encounters behind them have been deleted. A new list is held against all stored encounters by
looking up the ids of its cases, so that memory does not grow with the fleet.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date, timedelta

import sqlalchemy as sa

from host_tools.kiosk.service import assess
from host_tools.matching.case_finder import CaseFinder
from host_tools.matching.case_index import case_slots
from host_tools.matching.national_list import Case, NationalList
from host_tools.matching.risk import DayExposure
from host_tools.matching.rules import Rules
from host_tools.matching.verdict import Verdict, vietnam_day
from host_tools.storage.database import Database, record_table
from host_tools.storage.store import Encounter, read_encounters
from tracing.keys import DAY_S, day_of

from . import alerts, audit, settings
from .clock import Clock
from .periods import Period, periods, records_of
from .tables import result_table

_LOOKED_UP = 500  # ids a query


@dataclass(frozen=True, slots=True)
class DayResult:
    """A day (Viet Nam time) with a case. `rule` is the id of the rule that was in force."""

    day: date
    minutes: int
    minutes_near: int
    exposed: bool
    rule: str


@dataclass(frozen=True, slots=True)
class Rematch:
    """What a new list brought: how many tokens have met a case of it, and how many alerts are new."""

    tokens: int
    alerts: int


class Results:
    """Keeps results and holds new lists against what is stored."""

    def __init__(self, database: Database, now: Clock) -> None:
        self._database = database
        self._now = now

    def of(self, serial: bytes, period: Period | None) -> list[DayResult]:
        """What was found of a token with one wearer, oldest first (None: while it was with nobody)."""
        with self._database.reading() as connection:
            return results_in(connection, serial, period)

    def rematch(self, cases: NationalList, rules: Rules, actor: str = "kiosk") -> Rematch:
        """Hold a list against everything that is stored; what it newly says becomes results and alerts.

        May be broken off and begun again at any time: nothing is alerted twice.
        """
        met = self._met(cases.cases)
        with self._database.reading() as connection:
            exposed = sa.select(result_table.c.serial).where(result_table.c.exposed).distinct()
            serials = met.keys() | set(connection.scalars(exposed))  # a case may have been taken off the list
        made = 0
        for serial in sorted(serials):
            suspects = NationalList([case for case in cases.cases if case.index in met.get(serial, ())], [])
            made += self._judge_again(bytes.fromhex(serial), suspects, rules)
        with self._database.writing() as connection:
            audit.note(connection, self._now(), actor, "match list", cases=len(cases.cases), met=len(met), alerts=made)
        return Rematch(len(met), made)

    def _met(self, cases: Iterable[Case]) -> dict[str, set[int]]:
        """By serial: the cases of which an id is in the log, at whatever time."""
        r = record_table.c
        found: dict[str, set[int]] = {}
        with self._database.reading() as connection:
            first_s, last_s = connection.execute(sa.select(sa.func.min(r.start_s), sa.func.max(r.start_s))).one()
            if first_s is None:
                return {}
            days = range(day_of(max(first_s, 0)) - 1, day_of(max(last_s, 0)) + 3)
            wanted: dict[bytes, list[int]] = {}

            def look_up() -> None:
                query = sa.select(r.serial, r.bluezone_id).where(r.bluezone_id.in_(list(wanted))).distinct()
                for serial, ident in connection.execute(query):
                    found.setdefault(serial, set()).update(wanted[bytes(ident)])
                wanted.clear()

            for case in cases:
                for ident, _ in case_slots(case, days):
                    wanted.setdefault(ident, []).append(case.index)
                    if len(wanted) == _LOOKED_UP:
                        look_up()
            if wanted:
                look_up()
        return found

    def _judge_again(self, serial: bytes, suspects: NationalList, rules: Rules) -> int:
        made = 0
        finder = CaseFinder(suspects.cases)
        with self._database.writing() as connection:
            for period in periods(connection, serial):
                encounters = read_encounters(connection, records_of(connection, period))
                verdict = assess(encounters, suspects, finder, rules)
                self.keep_in(connection, serial, period, encounters, verdict)
                made += alerts.make_in(connection, period, {day.day for day in verdict.days}, self._now())
        return made

    def keep_in(
        self,
        connection: sa.Connection,
        serial: bytes,
        period: Period | None,
        encounters: list[Encounter],
        verdict: Verdict,
    ) -> None:
        """Keep a verdict in place of earlier ones on the days of these encounters; other days stay."""
        found = {result.day: result for result in _by_day(verdict)}
        judged = {vietnam_day(encounter.start_s) for encounter in encounters}
        whole_from = self._whole_from(connection)
        for before in results_in(connection, serial, period):
            after = found.get(before.day)
            weaker = after is None or (after.exposed, after.minutes_near) < (before.exposed, before.minutes_near)
            if weaker and before.day < whole_from:
                found[before.day] = before  # what made it may have been deleted
        kept = sorted(judged | found.keys())
        c = result_table.c
        mine = sa.and_(c.serial == serial.hex(), c.assignment_id == _number(period))
        connection.execute(result_table.delete().where(mine, c.day.in_([day.isoformat() for day in kept])))
        rows = [
            {
                **asdict(result),
                "day": result.day.isoformat(),
                "serial": serial.hex(),
                "assignment_id": _number(period),
                "found_s": self._now(),
            }
            for result in found.values()
        ]
        if rows:
            connection.execute(result_table.insert(), rows)
        if period is not None:
            alerts.withdraw_in(
                connection, period, {day.isoformat() for day in judged if day not in found or not found[day].exposed}
            )

    def _whole_from(self, connection: sa.Connection) -> date:
        """The first day of which all encounters are still stored."""
        days = settings.retention_days(connection)
        return date.max if days == settings.NEVER else vietnam_day(self._now() - days * DAY_S) + timedelta(days=1)


def results_in(connection: sa.Connection, serial: bytes, period: Period | None) -> list[DayResult]:
    """What was found of a token with one wearer, oldest first (None: while it was with nobody)."""
    c = result_table.c
    query = (
        sa.select(c.day, c.minutes, c.minutes_near, c.exposed, c.rule)
        .where(c.serial == serial.hex(), c.assignment_id == _number(period))
        .order_by(c.day)
    )
    return [DayResult(date.fromisoformat(row[0]), *row[1:]) for row in connection.execute(query)]


def _by_day(verdict: Verdict) -> list[DayResult]:
    """One result a day: the case that was near for longest."""
    exposed = {found.day for found in verdict.days}
    longest: dict[date, DayExposure] = {}
    for found in (*verdict.days, *verdict.met):
        if found.day not in longest or found.minutes_near > longest[found.day].minutes_near:
            longest[found.day] = found
    return [
        DayResult(day, found.minutes, found.minutes_near, day in exposed, found.rule.id)
        for day, found in longest.items()
    ]


def _number(period: Period | None) -> int:
    return 0 if period is None else period.id
