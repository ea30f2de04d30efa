"""What a verdict says of one day, as it is told and kept: how long, by which rule and list; never with whom or when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from host_tools.matching.risk import DayExposure
from host_tools.matching.verdict import Verdict

if TYPE_CHECKING:
    from host_tools.matching.explanation import ListVersion

_PERCENT_STEP = 5  # the curve does not know it any finer


@dataclass(frozen=True, slots=True)
class DayResult:
    """A day (Viet Nam time) with a case. What is None is not known.

    Attributes:
        minutes, minutes_near, minutes_far: for how long the case near for longest was heard, or all cases together
            where the rule adds them up.
        exposed: whether the day makes an F1.
        rule, rule_version: which rule was in force.
        percent: how probable it is that it was within two metres, over the time near; a multiple of 5.
        cases: how many were met.
        list_digest, published_s: the list that said so; see explanation.ListVersion.
    """

    day: date
    minutes: int
    minutes_near: int
    minutes_far: int
    exposed: bool
    rule: str
    rule_version: int | None = None
    percent: int | None = None
    cases: int | None = None
    list_digest: str | None = None
    published_s: int | None = None

    @property
    def minutes_middle(self) -> int:
        return self.minutes - self.minutes_near - self.minutes_far

    def as_json(self) -> dict[str, Any]:
        """For machines; see SPEC.md, "Fleet"."""
        return {
            "day": str(self.day),
            "minutes": self.minutes,
            "minutes_near": self.minutes_near,
            "minutes_middle": self.minutes_middle,
            "minutes_far": self.minutes_far,
            "exposed": self.exposed,
            "probability": None if self.percent is None else self.percent / 100,
            "cases": self.cases,
            "rule": self.rule,
            "rule_version": self.rule_version,
            "list_digest": self.list_digest,
            "published_s": self.published_s,
        }


def by_day(verdict: Verdict, version: "ListVersion | None") -> list[DayResult]:
    """A verdict, one result a day; the days that make it first, each part oldest first."""
    of_day: dict[date, list[DayExposure]] = {}
    for found in (*verdict.days, *verdict.met):
        of_day.setdefault(found.day, []).append(found)
    exposed = {found.day for found in verdict.days}
    return [_result(cases, day in exposed, version) for day, cases in of_day.items()]


def _result(cases: Sequence[DayExposure], exposed: bool, version: "ListVersion | None") -> DayResult:
    longest = max(cases, key=lambda found: (found.minutes_near, found.minutes))
    counted = cases if longest.rule.cases_add_up else [longest]
    return DayResult(
        day=longest.day,
        minutes=sum(found.minutes for found in counted),
        minutes_near=sum(found.minutes_near for found in counted),
        minutes_far=sum(found.minutes_far for found in counted),
        exposed=exposed,
        rule=longest.rule.id,
        rule_version=longest.rule.version,
        percent=None
        if longest.probability is None
        else round(longest.probability * 100 / _PERCENT_STEP) * _PERCENT_STEP,
        cases=len(cases),
        list_digest=version.digest if version else None,
        published_s=version.published_s if version else None,
    )
