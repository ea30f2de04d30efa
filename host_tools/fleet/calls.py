"""Whom somebody has to call: stored logs make them an F1, and no kiosk and no gateway has told them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from host_tools.matching.day_result import DayResult
from host_tools.matching.explanation import Explanation, explain_kept
from host_tools.matching.rules import Rules
from host_tools.storage.database import token_table
from tracing.wire import short_code

from . import alerts, days
from .periods import FREE
from .tables import alert_table, assignment_table, result_table, state_table

if TYPE_CHECKING:
    from .office import Office


@dataclass(frozen=True, slots=True)
class Call:
    """A wearer to be called.

    Attributes:
        days: the days that make the verdict, oldest first.
        last_sync_s: how far the log reaches, Unix s; None: no kiosk has finished a sync.
    """

    serial: bytes
    days: tuple[DayResult, ...]
    reasons: Explanation
    last_sync_s: int | None

    @property
    def short_code(self) -> str:
        return short_code(self.serial)

    def as_json(self) -> dict[str, object]:
        """For machines."""
        return {
            "serial": self.serial.hex(),
            "short_code": self.short_code,
            "verdict": "exposed",
            "days": [found.as_json() for found in self.days],
            "explanation": {"vi": list(self.reasons.vi), "en": list(self.reasons.en)},
            "last_sync_s": self.last_sync_s,
        }


def to_call(office: "Office", rules: Rules) -> list[Call]:
    """Everybody with an alert that is open, and the holders of tokens that are with nobody in the ledger."""
    a, g, r, t, s = alert_table.c, assignment_table.c, result_table.c, token_table.c, state_table.c
    cells = (t.serial, t.last_sync_s, *days.COLUMNS)
    of_alert = sa.and_(g.id == a.assignment_id, g.serial == r.serial, a.state.in_(alerts.OPEN))
    alerted = sa.exists().where(of_alert, g.id == r.assignment_id, a.day == r.day)
    free = sa.exists().where(s.serial == r.serial, s.state.not_in(FREE))
    query = (
        sa.select(*cells)
        .select_from(result_table.join(token_table))
        .where(r.exposed, sa.or_(alerted, sa.and_(r.assignment_id == 0, ~free)))
        .order_by(t.short_code, t.serial, r.day)
    )
    found: dict[tuple[str, int | None], list[DayResult]] = {}
    with office.database.reading() as connection:
        for row in connection.execute(query):
            found.setdefault((row.serial, row.last_sync_s), []).append(days.from_row(row[2:]))
    return [_call(bytes.fromhex(serial), told, last_s, rules, office.now()) for (serial, last_s), told in found.items()]


def _call(serial: bytes, found: Sequence[DayResult], last_sync_s: int | None, rules: Rules, now_s: int) -> Call:
    return Call(serial, tuple(found), explain_kept(found, rules, now_s), last_sync_s)
