"""What one day with one case comes to: minutes by band of attenuation, weighted minutes, and how sure "near" is.

Times of one case are put together before anything is counted: a talk of 40 minutes is heard under three or four ids and
counts 40 minutes once, whatever overlaps. A moment heard in several bands belongs to the nearest of them.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from host_tools.matching.rules import Rule

Span = tuple[float, float]  # from, to; Unix s


@dataclass(frozen=True, slots=True)
class HeardSpan:
    """A stretch of time in which a case was heard.

    Attributes:
        span: Unix s.
        attenuation_db: see Rules.attenuation_db.
        probability: of having been within two metres, or None.
    """

    span: Span
    attenuation_db: float
    probability: float | None


@dataclass(frozen=True, slots=True)
class DayExposure:
    """All that was heard of one case on one day (Viet Nam time). Minutes are rounded to the nearest.

    Attributes:
        case: index in the national list. Never told to anybody.
        minutes_near, minutes_middle, minutes_far: by the bands of the rule; together the time in which it was heard.
        weighted: minutes as the rule counts them.
        probability: of having been within two metres, over the time near; None if unknown, or nothing was near.
        rule: the rule of that day.
    """

    day: date
    case: int
    minutes_near: int
    minutes_middle: int
    minutes_far: int
    weighted: int
    probability: float | None
    rule: Rule

    @property
    def minutes(self) -> int:
        """The time in which the case was heard at all."""
        return self.minutes_near + self.minutes_middle + self.minutes_far

    @property
    def near(self) -> bool:
        """Was any of it near?"""
        return self.minutes_near > 0


def day_exposure(day: date, case: int, heard: Sequence[HeardSpan], rule: Rule) -> DayExposure:
    """Count what was heard of one case on one day."""
    places = [rule.band_of(each.attenuation_db) for each in heard]
    spans = [each.span for each in heard]
    # Seconds within a band or a nearer one: they only grow, and their rounded differences add up to the whole.
    up_to_s = [
        covered_s(span for span, place in zip(spans, places, strict=True) if place <= last)
        for last in range(len(rule.bands))
    ]
    weighted_s = sum(
        band.weight * (upper - lower)
        for band, (lower, upper) in zip(rule.bands, itertools.pairwise([0.0, *up_to_s]), strict=True)
    )
    last = {band.name: place for place, band in enumerate(rule.bands)}
    near = to_minutes(up_to_s[last["near"]]) if "near" in last else 0
    near_or_middle = to_minutes(up_to_s[last["middle"]]) if "middle" in last else near
    whole = to_minutes(up_to_s[-1])
    return DayExposure(
        day=day,
        case=case,
        minutes_near=near,
        minutes_middle=near_or_middle - near,
        minutes_far=whole - near_or_middle,
        weighted=to_minutes(weighted_s),
        probability=_probability(heard, places, last.get("near", -1)) if near else None,
        rule=rule,
    )


def _probability(heard: Sequence[HeardSpan], places: Sequence[int], last_near: int) -> float | None:
    total = total_s = 0.0
    for each, place in zip(heard, places, strict=True):
        if place <= last_near and each.probability is not None:
            seconds = each.span[1] - each.span[0]
            total += each.probability * seconds
            total_s += seconds
    return total / total_s if total_s else None


def reaching(found: Sequence[DayExposure]) -> set[tuple[date, int]]:
    """The (day, case) that make an F1; where a rule adds the cases of a day up, all of them or none."""
    of_day: dict[date, int] = {}
    for each in found:
        of_day[each.day] = of_day.get(each.day, 0) + each.weighted
    return {
        (each.day, each.case)
        for each in found
        if (of_day[each.day] if each.rule.cases_add_up else each.weighted) >= each.rule.minutes
    }


def covered_s(spans: Iterable[Span]) -> float:
    """Seconds covered by at least one of the spans."""
    covered = 0.0
    until_s = float("-inf")
    for start_s, end_s in sorted(spans):
        covered += max(0.0, end_s - max(start_s, until_s))
        until_s = max(until_s, end_s)
    return covered


def to_minutes(seconds: float) -> int:
    """Minutes to the nearest: sampling knows no better."""
    return int(seconds + 30) // 60
