"""What was found on each day of a wearer, and why. Never with whom, never when.

Results stay when the encounters behind them have been deleted. A new list is held against all stored encounters, a part
of them at a time, so that memory grows neither with the fleet nor with the list.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta

import sqlalchemy as sa

from host_tools.matching.assessment import Judged, assess
from host_tools.matching.case_finder import CaseFinder, Logged
from host_tools.matching.day_result import DayResult, by_day
from host_tools.matching.explanation import ListVersion
from host_tools.matching.national_list import Case, NationalList
from host_tools.matching.rules import Rules
from host_tools.matching.verdict import vietnam_day
from host_tools.storage.database import Database, record_table
from host_tools.storage.store import read_encounters
from tracing.keys import DAY_S
from tracing.records import KIND_ENCOUNTER

from . import alerts, audit, days, settings
from .clock import Clock
from .days import results_in
from .periods import Period, is_nobodys, nobodys_records, periods, records_of
from .tables import result_table

_AT_ONCE = 50_000  # records of a part: some 20 MB


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

    def rematch(
        self,
        cases: NationalList,
        rules: Rules,
        finder: CaseFinder | None = None,
        version: ListVersion | None = None,
        actor: str = "kiosk",
    ) -> Rematch:
        """Hold a list against everything that is stored; what it newly says becomes results and alerts.

        May be broken off and begun again at any time: nothing is alerted twice.

        Args:
            finder: of `cases`; by default hashlib expands them for every part of the records.
            version: of `cases`, to be kept with the results.
        """
        met = self._met(finder or CaseFinder(cases.cases), rules.tolerance_s)
        by_index = {case.index: case for case in cases.cases}
        with self._database.reading() as connection:
            exposed = sa.select(result_table.c.serial).where(result_table.c.exposed).distinct()
            serials = met.keys() | set(connection.scalars(exposed))  # a case may have been taken off the list
        made = 0
        for serial in sorted(serials):
            suspects = [by_index[index] for index in sorted(met.get(serial, ()))]
            made += self._judge_again(bytes.fromhex(serial), suspects, rules, version)
        with self._database.writing() as connection:
            audit.note(connection, self._now(), actor, "match list", cases=len(cases.cases), met=len(met), alerts=made)
        return Rematch(len(met), made)

    def _met(self, finder: CaseFinder, tolerance_s: int) -> dict[str, set[int]]:
        """By serial: the cases that its log has met."""
        r = record_table.c
        met: dict[str, set[int]] = {}
        place = ("", -1)
        query = (
            sa.select(r.serial, r.seq, r.bluezone_id, r.start_s, r.duration_s)
            .where(r.kind == KIND_ENCOUNTER, r.clock_set)
            .order_by(r.serial, r.seq)
            .limit(_AT_ONCE)
        )
        while True:
            with self._database.reading() as connection:  # short ones: a long one keeps the old pages of the database
                cursor = connection.execute(query.where(sa.tuple_(r.serial, r.seq) > place)).cursor
                # The driver's own rows: SQLAlchemy's cost as much as the rest.
                rows = cursor.fetchall() if cursor else []
            if not rows:
                return met
            serials, numbers, ids, starts_s, durations_s = zip(*rows, strict=True)
            place = (serials[-1], numbers[-1])
            for row, case in finder.met(Logged(ids, starts_s, durations_s), tolerance_s):
                met.setdefault(serials[row], set()).add(case)

    def _judge_again(self, serial: bytes, suspects: list[Case], rules: Rules, version: ListVersion | None) -> int:
        made = 0
        cases, finder = NationalList(suspects, []), CaseFinder(suspects)
        with self._database.writing() as connection:
            own: list[Period | None] = [*periods(connection, serial)]
            if is_nobodys(connection, serial):
                own.append(None)
            for period in own:
                which = nobodys_records(connection, serial) if period is None else records_of(connection, period)
                encounters = read_encounters(connection, which)
                verdict = assess(encounters, cases, finder, rules)
                self.keep_in(connection, serial, period, Judged(encounters, verdict, version))
                if period is not None:
                    made += alerts.make_in(connection, period, {day.day for day in verdict.days}, self._now())
        return made

    def keep_in(self, connection: sa.Connection, serial: bytes, period: Period | None, judged: Judged) -> None:
        """Keep a verdict in place of earlier ones on the days of these encounters; other days stay.

        What says the same as before stays as it was, with the list that said so first.
        """
        found = {result.day: result for result in by_day(judged.verdict, judged.version)}
        affected = {vietnam_day(encounter.start_s) for encounter in judged.encounters} | found.keys()
        whole_from = self._whole_from(connection)
        changed = set(affected)
        for before in results_in(connection, serial, period):
            after = found.get(before.day)
            weaker = after is None or (after.exposed, after.minutes_near) < (before.exposed, before.minutes_near)
            if (weaker and before.day < whole_from) or (after is not None and _same(before, after)):
                found[before.day] = before  # in the first case, what made it may have been deleted
                changed.discard(before.day)
        if changed:
            dates = [day.isoformat() for day in sorted(changed)]
            mine = sa.and_(days.results_of(serial, period), result_table.c.day.in_(dates))
            connection.execute(result_table.delete().where(mine))
        rows = [
            days.as_row(result) | {"serial": serial.hex(), "assignment_id": days.number(period), "found_s": self._now()}
            for day, result in found.items()
            if day in changed
        ]
        if rows:
            connection.execute(result_table.insert(), rows)
        if period is not None:
            safe = {day.isoformat() for day in affected if day not in found or not found[day].exposed}
            alerts.withdraw_in(connection, period, safe)

    def _whole_from(self, connection: sa.Connection) -> date:
        """The first day of which all encounters are still stored."""
        kept = settings.retention_days(connection)
        return date.max if kept == settings.NEVER else vietnam_day(self._now() - kept * DAY_S) + timedelta(days=1)


def _same(before: DayResult, after: DayResult) -> bool:
    if before.list_digest is None:
        return before == after
    return replace(after, list_digest=before.list_digest, published_s=before.published_s) == before
