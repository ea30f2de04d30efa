"""From exposures to what the wearer is told, with the reasons.

The times of one case's successive ids on one day are put together first: a talk of 40 minutes is heard
under three or four ids and counts 40 minutes once, whatever overlaps. Days are days in Viet Nam, since
people read them; an exposure belongs to the day in which it begins.
"""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from host_tools.errors import UserError
from host_tools.matching.exposures import Exposure

VIETNAM_TIME = timezone(timedelta(hours=7), "Vietnam time")


@dataclass(frozen=True, slots=True)
class Rule:
    """When a contact makes the wearer an F1. Minutes are per day and case; None: never by these alone."""

    name: str
    since: date
    near_minutes: int | None
    far_minutes: int | None


@dataclass(frozen=True)
class Rules:
    """The content of a rules.toml.

    Attributes:
        rules: at least one.
        near_dbm: by pair, such as "token-ios" (heard by, heard from).
        scan_period_s: from one scan window of a token to the next.
    """

    rules: tuple[Rule, ...]
    near_dbm: dict[str, int]
    scan_period_s: float

    @cached_property
    def _newest_first(self) -> list[Rule]:
        return sorted(self.rules, key=lambda rule: rule.since, reverse=True)

    def on(self, day: date) -> Rule:
        """The rule in force on a day; the oldest one for days before all rules."""
        return next((rule for rule in self._newest_first if rule.since <= day), self._newest_first[-1])

    def is_near(self, exposure: Exposure) -> bool:
        return exposure.rssi_mean_dbm >= self.near_dbm[exposure.pair]


@dataclass(frozen=True, slots=True)
class DayExposure:
    """All that was heard of one case on one day (Viet Nam time). Minutes are rounded to the nearest.

    `minutes` is the time near or far, `minutes_near` that within the rule's distance, `minutes_far` the rest.
    """

    day: date
    case: int
    minutes: int
    minutes_near: int
    minutes_far: int

    @property
    def near(self) -> bool:
        """Was any of it near?"""
        return self.minutes_near > 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the wearer is told.

    Attributes:
        kind: "exposed" (F1) when one day with one case reaches the rule, else "safe".
        days: the days that reach it, oldest first.
        met: the days with a case that stay below it: safe, but the screen can say what was heard.
        rule: the rule of the first of `days`, or the newest one.
    """

    kind: Literal["safe", "exposed"]
    days: tuple[DayExposure, ...]
    met: tuple[DayExposure, ...]
    rule: Rule


def judge(exposures: Iterable[Exposure], rules: Rules, scan_period_s: float | None = None) -> Verdict:
    """Apply the rules.

    Args:
        exposures: of one wearer, from one list.
        scan_period_s: what to add to the time between an encounter's first and last sighting; by default
            that of a token. An exposure never lasts longer than its slot.
    """
    period_s = rules.scan_period_s if scan_period_s is None else scan_period_s
    near: dict[tuple[date, int], list[tuple[float, float]]] = {}
    heard: dict[tuple[date, int], list[tuple[float, float]]] = {}
    for exposure in exposures:
        slot_s = exposure.slot_end_s - exposure.slot_start_s
        seconds = min(exposure.last_s - exposure.first_s + period_s, slot_s)
        span = (exposure.first_s, exposure.first_s + seconds)
        key = (vietnam_day(exposure.first_s), exposure.case)
        heard.setdefault(key, []).append(span)
        if rules.is_near(exposure):
            near.setdefault(key, []).append(span)
    days, met = [], []
    for day, case in sorted(heard):
        minutes = _minutes(heard[day, case])
        minutes_near = _minutes(near.get((day, case), []))
        found = DayExposure(day, case, minutes, minutes_near, minutes - minutes_near)
        (days if _reaches(found, rules.on(day)) else met).append(found)
    rule = rules.on(days[0].day) if days else rules.on(date.max)
    return Verdict("exposed" if days else "safe", tuple(days), tuple(met), rule)


def _reaches(found: DayExposure, rule: Rule) -> bool:
    near = rule.near_minutes is not None and found.minutes_near >= rule.near_minutes
    far = rule.far_minutes is not None and found.minutes_far >= rule.far_minutes
    return near or far


def _minutes(spans: list[tuple[float, float]]) -> int:
    """Minutes covered by at least one of the spans, to the nearest: sampling knows no better."""
    covered_s = 0.0
    until_s = float("-inf")
    for start_s, end_s in sorted(spans):
        covered_s += max(0.0, end_s - max(start_s, until_s))
        until_s = max(until_s, end_s)
    return int(covered_s + 30) // 60


def vietnam_day(unix_s: float) -> date:
    """The date in Viet Nam at a Unix time."""
    return datetime.fromtimestamp(unix_s, VIETNAM_TIME).date()


def load_rules(path: Path | None = None) -> Rules:
    """Read a rules.toml; by default the one that comes with the product.

    Raises:
        UserError: it cannot be read or lacks something; the message names it.
    """
    source = path or files("host_tools.matching").joinpath("rules.toml")
    try:
        content = tomllib.loads(source.read_text("utf-8"))
        rules = tuple(_rule(entry) for entry in content["rule"])
        near_dbm = {pair: int(entry["near_dbm"]) for pair, entry in content["pair"].items()}
        scan_period_s = float(content["token"]["scan_period_s"])
    except KeyError as error:
        raise UserError(f"The rules {source} lack {error}. No verdict was made; complete the file.") from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"The rules {source} cannot be used: {error}. No verdict was made; correct the file.") from None
    if not rules:
        raise UserError(f"The rules {source} hold no rule. No verdict was made; complete the file.")
    return Rules(rules, near_dbm, scan_period_s)


def _rule(entry: dict[str, Any]) -> Rule:
    since = entry["from"]
    if type(since) is not date:  # nor a datetime, which does not compare with dates
        raise ValueError(f"'from' of rule {entry['name']!r} is not a date")
    return Rule(str(entry["name"]), since, entry.get("near_minutes"), entry.get("far_minutes"))
