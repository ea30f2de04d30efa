"""From exposures to what the wearer is told, with the reasons.

The times of one case's successive ids on one day are put together first (risk.py). Days are days in Viet Nam, since
people read them; an exposure belongs to the day in which it begins, and is judged by the rule of that day.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Literal

from host_tools.matching.exposures import Exposure
from host_tools.matching.national_list import Case
from host_tools.matching.risk import DayExposure, HeardSpan, Span, day_exposure, reaching
from host_tools.matching.rules import Rule, Rules

VIETNAM_TIME = timezone(timedelta(hours=7), "Vietnam time")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the wearer is told.

    Attributes:
        kind: "exposed" (F1) when one day reaches its rule, else "safe".
        days: the days that reach it, oldest first.
        met: the days with a case that stay below it: safe, but the screen can say what was heard.
        rule: the rule of the first of `days`, else of the last day in `met`, else the newest one.
    """

    kind: Literal["safe", "exposed"]
    days: tuple[DayExposure, ...]
    met: tuple[DayExposure, ...]
    rule: Rule


def judge(
    exposures: Iterable[Exposure],
    rules: Rules,
    scan_period_s: float | None = None,
    infectious_s: Mapping[int, Span] | None = None,
) -> Verdict:
    """Apply the rules.

    Args:
        exposures: of one wearer, from one list, in any order; what is there twice counts once.
        scan_period_s: what to add to the time between an encounter's first and last sighting; by default
            that of a token. An exposure never lasts longer than its slot.
        infectious_s: by case, from when to when it was infectious (Unix s), see `infectious_periods`; what was heard
            outside does not count.
    """
    period_s = rules.scan_period_s if scan_period_s is None else scan_period_s
    periods = infectious_s or {}
    person = _persons(exposures := list(exposures))
    heard: dict[tuple[date, int], list[HeardSpan]] = {}
    for exposure in exposures:
        span = _span(exposure, period_s, periods.get(exposure.case))
        if span is not None:
            found = HeardSpan(span, rules.attenuation_db(exposure), rules.probability_within_2m(exposure))
            heard.setdefault((vietnam_day(span[0]), person[exposure.case]), []).append(found)
    found = [day_exposure(day, case, spans, rules.on(day)) for (day, case), spans in sorted(heard.items(), key=_key)]
    enough = reaching(found)
    days = tuple(each for each in found if (each.day, each.case) in enough)
    met = tuple(each for each in found if (each.day, each.case) not in enough)
    rule = days[0].rule if days else met[-1].rule if met else rules.on(date.max)
    return Verdict("exposed" if days else "safe", days, met, rule)


def infectious_periods(cases: Iterable[Case], exposures: Iterable[Exposure]) -> dict[int, Span]:
    """From when to when the cases of these exposures were infectious, as the list says; Unix s.

    An entry whose two times are equal means the slot in which that time lies, and gets no period.
    """
    wanted = {exposure.case for exposure in exposures}
    return {
        case.index: (case.time_start, case.time_end)
        for case in cases
        if case.index in wanted and case.time_start < case.time_end
    }


def vietnam_day(unix_s: float) -> date:
    """The date in Viet Nam at a Unix time."""
    return datetime.fromtimestamp(unix_s, VIETNAM_TIME).date()


def _key(item: tuple[tuple[date, int], list[HeardSpan]]) -> tuple[date, int]:
    return item[0]


def _persons(exposures: Iterable[Exposure]) -> dict[int, int]:
    """Case → the first of the cases that are the same person: entries that share an id, entered twice or with
    contradictory times."""
    person: dict[int, int] = {}
    owner: dict[bytes, int] = {}
    for exposure in exposures:
        person.setdefault(exposure.case, exposure.case)
        other = person[owner.setdefault(exposure.bluezone_id, exposure.case)]
        mine = person[exposure.case]
        if other != mine:
            kept = min(mine, other)
            person = {case: kept if who in (mine, other) else who for case, who in person.items()}
    return person


def _span(exposure: Exposure, period_s: float, infectious_s: Span | None) -> Span | None:
    slot_s = exposure.slot_end_s - exposure.slot_start_s
    seconds = min(exposure.last_s - exposure.first_s + period_s, slot_s)
    start_s, end_s = float(exposure.first_s), exposure.first_s + seconds
    if infectious_s is not None:
        start_s, end_s = max(start_s, infectious_s[0]), min(end_s, infectious_s[1])
    return (start_s, end_s) if start_s < end_s else None
