"""The rules by which contacts are judged: rules.toml, read and checked.

A rule sorts the time with a case into bands of attenuation, gives each band a weight, and asks for a number of weighted
minutes in a day. Rules of one set follow each other in time; which one holds depends on the day of the exposure.
"""

import itertools
import math
import tomllib
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from host_tools.errors import UserError
from host_tools.matching.calibration import Calibration, load_calibration
from host_tools.matching.exposures import TOLERANCE_S

BandName = Literal["near", "middle", "far"]


class Heard(Protocol):
    """Strengths of something heard, and by whom from whom; an exposure has them."""

    @property
    def rssi_max_dbm(self) -> int: ...
    @property
    def rssi_mean_dbm(self) -> float: ...
    @property
    def windows(self) -> int: ...
    @property
    def pair(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Band:
    """Attenuations up to `up_to_db`, included, and beyond the band before. `weight`: what a minute in it counts."""

    name: BandName
    up_to_db: float
    weight: float


@dataclass(frozen=True, slots=True)
class Rule:
    """When a contact makes the wearer an F1.

    Attributes:
        version: of the rule's figures.
        since: the first day, in Viet Nam, on which it holds.
        title_vi, title_en: the rule in a few words, for the explanation.
        source: where its figures come from.
        minutes: weighted minutes of a day that make an F1.
        bands: nearest first; the last one is "far" and takes all that is left.
        cases_add_up: whether the minutes with different cases on one day are added.
    """

    id: str
    version: int
    since: date
    title_vi: str
    title_en: str
    source: str
    minutes: int
    bands: tuple[Band, ...]
    cases_add_up: bool = False

    def band_of(self, attenuation_db: float) -> int:
        """Place in `bands` of an attenuation."""
        return next(place for place, band in enumerate(self.bands) if attenuation_db <= band.up_to_db)


@dataclass(frozen=True)
class Rules:
    """One set of rules, and what it takes to apply them.

    Attributes:
        set: its name.
        rules: at least one.
        near_dbm: by pair, such as "token-ios" (heard by, heard from): the mean RSSI from which on a contact is near.
        at_2m_dbm: by pair, the mean RSSI expected at two metres; pairs for which nobody has worked it out are missing.
        near_db: the attenuation that near_dbm stands for.
        scan_period_s: from one scan window of a token to the next; phone_scan_period_s: of a phone.
        calibration: from RSSI to the probability of having been within two metres.
        rssi_offset_db: what the receiving board's RSSI is too low by.
        tolerance_s: how far a token's clock may be off for its encounters to match.
    """

    set: str
    rules: tuple[Rule, ...]
    near_dbm: dict[str, int]
    at_2m_dbm: dict[str, int]
    near_db: float
    scan_period_s: float
    phone_scan_period_s: float
    calibration: Calibration
    rssi_offset_db: float = 0.0
    tolerance_s: int = TOLERANCE_S

    @cached_property
    def _newest_first(self) -> list[Rule]:
        return sorted(self.rules, key=lambda rule: rule.since, reverse=True)

    def on(self, day: date) -> Rule:
        """The rule in force on a day; the oldest one for days before all rules."""
        return next((rule for rule in self._newest_first if rule.since <= day), self._newest_first[-1])

    def is_near(self, heard: Heard) -> bool:
        """Near as the app counts it, whatever the rule of the day."""
        return self.attenuation_db(heard) <= self.near_db

    def attenuation_db(self, heard: Heard) -> float:
        """What was lost on the way, by the mean RSSI. Positive and larger the farther."""
        return self.near_db + self.near_dbm[heard.pair] - heard.rssi_mean_dbm - self.rssi_offset_db

    def probability_within_2m(self, heard: Heard) -> float | None:
        """By the calibration; None for a pair whose RSSI at two metres is not known."""
        at_2m_dbm = self.at_2m_dbm.get(heard.pair)
        if at_2m_dbm is None:
            return None
        shift_db = self.rssi_offset_db - at_2m_dbm
        return self.calibration.probability(
            heard.rssi_mean_dbm + shift_db, heard.rssi_max_dbm + shift_db, heard.windows
        )

    def for_board(self, rssi_offset_db: float) -> "Rules":
        """The same rules for what a board has heard whose RSSI is too low by `rssi_offset_db`."""
        return replace(self, rssi_offset_db=rssi_offset_db)


def load_rules(chosen: str | Path | None = None) -> Rules:
    """Read a set of rules.

    Args:
        chosen: the name of a set that comes with the product, or a file like its rules.toml, whose `default` is
            taken; by default the product's default.

    Raises:
        UserError: there is no such set, or the file cannot be read or lacks something; the message names it.
    """
    name = chosen if isinstance(chosen, str) and not chosen.endswith(".toml") else None
    path = Path(chosen) if chosen is not None and name is None else None
    source = path or files("host_tools.matching").joinpath("rules.toml")
    try:
        content = tomllib.loads(source.read_text("utf-8"))
        return _rules(content, name or content["default"])
    except KeyError as error:
        raise UserError(f"The rules {source} lack {error}. No verdict was made; complete the file.") from None
    except _NoSuchSet as error:
        raise UserError(f"{error} No verdict was made; choose one of those, or name a .toml file.") from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"The rules {source} cannot be used: {error}. No verdict was made; correct the file.") from None


class _NoSuchSet(Exception):
    """The rules have no set of that name; the message says which there are."""


def _rules(content: dict[str, Any], name: str) -> Rules:
    entries = content["rule"]
    if not entries:
        raise ValueError("they hold no rule")
    if not any(entry["set"] == name for entry in entries):
        known = ", ".join(sorted({entry["set"] for entry in entries}))
        raise _NoSuchSet(f"There is no set of rules {name!r}; known are {known}.")
    rules = tuple(_rule(entry) for entry in entries)  # those of other sets too: a damaged file is found at once
    _all_different("id", [rule.id for rule in rules])
    _all_different("set and date", [(entry["set"], entry["from"]) for entry in entries])
    pairs, periods = content["pair"], content["scan_period_s"]
    return Rules(
        set=name,
        rules=tuple(rule for rule, entry in zip(rules, entries, strict=True) if entry["set"] == name),
        near_dbm={pair: int(entry["near_dbm"]) for pair, entry in pairs.items()},
        at_2m_dbm={pair: int(entry["at_2m_dbm"]) for pair, entry in pairs.items() if "at_2m_dbm" in entry},
        near_db=float(content["attenuation"]["near_db"]),
        scan_period_s=float(periods["token"]),
        phone_scan_period_s=float(periods["phone"]),
        calibration=load_calibration(),
    )


def _all_different(what: str, keys: list[Any]) -> None:
    if len(set(keys)) < len(keys):
        raise ValueError(f"two rules have the same {what}")


def _rule(entry: dict[str, Any]) -> Rule:
    name = entry["id"]
    since = entry["from"]
    if type(since) is not date:  # nor a datetime, which does not compare with dates
        raise ValueError(f"'from' of rule {name!r} is not a date")
    for key in ("version", "minutes"):
        if type(entry[key]) is not int or entry[key] < 1:
            raise ValueError(f"{key!r} of rule {name!r} is not a whole number from 1 on")
    words = {key: entry[key] for key in ("id", "title_vi", "title_en", "source")}
    for key, value in words.items():
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"{key!r} of rule {name!r} is not text")
    return Rule(
        **words,
        version=entry["version"],
        since=since,
        minutes=entry["minutes"],
        bands=_bands(name, entry["bands"]),
        cases_add_up=bool(entry.get("cases_add_up", False)),
    )


def _bands(rule: str, entries: list[dict[str, Any]]) -> tuple[Band, ...]:
    bands = [Band(entry["name"], float(entry["up_to_db"]), float(entry["weight"])) for entry in entries]
    names = get_args(BandName)
    for band in bands:
        if band.name not in names:
            raise ValueError(f"a band of rule {rule!r} is called {band.name!r}, not one of {', '.join(names)}")
        if not 0 <= band.weight <= 10:
            raise ValueError(f"a weight of rule {rule!r} is not between 0 and 10")
    if not any(band.weight for band in bands):
        raise ValueError(f"no band of rule {rule!r} counts")
    everything = Band("far", math.inf, 0.0)
    for before, after in itertools.pairwise([*bands, everything]):
        if not before.up_to_db < after.up_to_db or names.index(before.name) > names.index(after.name):
            raise ValueError(f"the bands of rule {rule!r} are not in order, the nearest first")
    return (*bands, everything)
