"""A verdict in words, Vietnamese and English: what was heard, by which rule, against which list.

The words name minutes, band, day, rule and list. They never name the case, an id, or a time finer than the day: who
hears them must not be able to work out whom he or she met.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from host_tools.matching.day_result import DayResult, by_day
from host_tools.matching.risk import DayExposure
from host_tools.matching.rules import Rule, Rules
from host_tools.matching.verdict import Verdict, vietnam_day

if TYPE_CHECKING:
    from host_tools.matching.list_source import ListStatus

_DIGEST_SHOWN = 12
_HOUR_S, _DAY_S = 3600, 86400


@dataclass(frozen=True, slots=True)
class ListVersion:
    """Which national list was used.

    Attributes:
        digest: SHA-256 of its content, hex digits.
        published_s: Unix s; None when the list does not say.
        age_s: since it was published, or else since it was received; None when unknown.
    """

    digest: str
    published_s: int | None = None
    age_s: int | None = None

    @classmethod
    def of(cls, status: "ListStatus") -> "ListVersion":
        """The version of a list as it was loaded."""
        old = status.published_s is not None or status.problem  # a file that was read just now may be of any age
        return cls(status.digest, status.published_s, status.age_s if old else None)

    def at(self, now_s: float) -> "ListVersion":
        """The same list, as old as it is at that Unix time; as before when it does not say when it was published."""
        return self if self.published_s is None else replace(self, age_s=int(now_s) - self.published_s)


@dataclass(frozen=True, slots=True)
class Explanation:
    """A verdict in words.

    Attributes:
        vi, en: sentences, the verdict first.
        days: one line for each day with a case, in both languages, those that make the verdict first.
        rules: the rules that were applied, in both languages.
        lists: the lists that were used, in both languages; empty when that is unknown.
    """

    vi: tuple[str, ...]
    en: tuple[str, ...]
    days: tuple[tuple[str, str], ...]
    rules: tuple[tuple[str, str], ...]
    lists: tuple[tuple[str, str], ...]


def explain(verdict: Verdict, version: ListVersion | None) -> Explanation:
    """The reasons of a verdict.

    Args:
        version: of the list; None when it is not known.
    """
    rules = [each.rule for each in (*verdict.days, *verdict.met)] or [verdict.rule]
    return _in_words(by_day(verdict, version), map(rule_words, rules), [_list_words(version)] if version else ())


def explain_kept(days: Iterable[DayResult], rules: Rules, now_s: float) -> Explanation:
    """The same of results that have been kept, which may outlive the encounters behind them.

    Args:
        rules: for the titles of those that were in force.
        now_s: Unix time, for the age of the lists.
    """
    told = sorted(days, key=lambda found: (not found.exposed, found.day))
    known = {rule.id: rule for rule in rules.rules}
    lists = (ListVersion(found.list_digest, found.published_s) for found in told if found.list_digest)
    return _in_words(
        told,
        (_kept_rule_words(found, known.get(found.rule)) for found in told),
        (_list_words(version.at(now_s)) for version in lists),
    )


def _in_words(
    days: Sequence[DayResult], rules: Iterable[tuple[str, str]], lists: Iterable[tuple[str, str]]
) -> Explanation:
    told = tuple(_day_words(found) for found in days)
    rules, lists = tuple(dict.fromkeys(rules)), tuple(dict.fromkeys(lists))
    said = (_verdict_words(days), *told, *rules, *lists)
    return Explanation(tuple(vi for vi, _ in said), tuple(en for _, en in said), told, rules, lists)


def explanation_json(verdict: Verdict, version: ListVersion | None) -> dict[str, Any]:
    """Verdict and reasons for machines; see SPEC.md, "Answers of the command line"."""
    words = explain(verdict, version)
    rule = verdict.rule
    return {
        "verdict": verdict.kind,
        "days": [_day_json(day) for day in (*verdict.days, *verdict.met)],
        "rule": {"id": rule.id, "version": rule.version, "from": str(rule.since)},
        "list_digest": version.digest if version else None,
        "explanation": {"vi": list(words.vi), "en": list(words.en)},
    }


def _day_json(day: DayExposure) -> dict[str, Any]:
    return {
        "day": str(day.day),
        "minutes": day.minutes,
        "near": day.near,
        "minutes_near": day.minutes_near,
        "minutes_middle": day.minutes_middle,
        "minutes_far": day.minutes_far,
        "weighted": day.weighted,
        "probability": None if day.probability is None else round(day.probability, 2),
        "rule": day.rule.id,
    }


def _verdict_words(days: Sequence[DayResult]) -> tuple[str, str]:
    if any(found.exposed for found in days):
        return "F1: bạn đã tiếp xúc gần với người nhiễm.", "F1: you were in close contact with an infected person."
    if days:
        return "An toàn: có tiếp xúc, nhưng dưới mức của F1.", "Safe: there was contact, but less than makes an F1."
    return "Chưa phát hiện F0 nào tiếp xúc với bạn.", "Safe: no contact with an infected person was found."


def _day_words(day: DayResult) -> tuple[str, str]:
    vi, en = bands_words(day)
    if day.percent is not None:
        vi += f"; khả năng trong vòng 2 m khoảng {day.percent} %"
        en += f"; within 2 m with a probability of about {day.percent} %"
    if day.cases is not None and day.cases > 1:
        vi += f"; trong ngày có {day.cases} người nhiễm"
        en += f"; {day.cases} infected people that day"
    return f"Ngày {day.day:%d/%m/%Y}: {vi}.", f"On {day.day:%d/%m/%Y}: {en}."


class Minutes(Protocol):
    """Of one day, by band."""

    @property
    def minutes_near(self) -> int: ...
    @property
    def minutes_middle(self) -> int: ...
    @property
    def minutes_far(self) -> int: ...


def bands_words(day: Minutes) -> tuple[str, str]:
    """The minutes of a day by band, such as "gần 88 + xa 38 phút", "near 88 + far 38 min"."""
    by_band = (
        ("gần", "near", day.minutes_near), ("vừa", "middle", day.minutes_middle), ("xa", "far", day.minutes_far),
    )  # fmt: skip
    told = [band for band in by_band if band[2]] or [by_band[-1]]
    vi = " + ".join(f"{word} {minutes}" for word, _, minutes in told)
    en = " + ".join(f"{word} {minutes}" for _, word, minutes in told)
    return f"{vi} phút", f"{en} min"


def rule_words(rule: Rule) -> tuple[str, str]:
    """The rule in Vietnamese and English."""
    return (
        f"Quy định: {rule.title_vi} ({rule.id}, bản {rule.version}, từ {rule.since:%d/%m/%Y}).",
        f"Rule: {rule.title_en} ({rule.id}, version {rule.version}, from {rule.since:%d/%m/%Y}).",
    )


def _kept_rule_words(found: DayResult, rule: Rule | None) -> tuple[str, str]:
    if rule is not None and found.rule_version in (rule.version, None):
        return rule_words(rule)
    version_vi, version_en = (
        ("", "") if found.rule_version is None else (f", bản {found.rule_version}", f", version {found.rule_version}")
    )
    return f"Quy định: {found.rule}{version_vi}.", f"Rule: {found.rule}{version_en}."


def _list_words(version: ListVersion) -> tuple[str, str]:
    digest = version.digest[:_DIGEST_SHOWN]
    vi, en = f"Danh sách F0: {digest}", f"National list: {digest}"
    if version.published_s is not None:
        published = vietnam_day(version.published_s)
        vi += f", công bố ngày {published:%d/%m/%Y}"
        en += f", published on {published:%d/%m/%Y}"
    if version.age_s is not None:
        age_vi, age_en = _age_words(version.age_s)
        vi += f", {age_vi}"
        en += f", {age_en}"
    return f"{vi}.", f"{en}."


def _age_words(age_s: int) -> tuple[str, str]:
    if age_s < _HOUR_S:
        return "chưa đầy một giờ trước", "less than an hour old"
    days, hours = age_s // _DAY_S, age_s // _HOUR_S
    if days:
        return f"{days} ngày trước", f"{days} day{'s' * (days != 1)} old"
    return f"{hours} giờ trước", f"{hours} hour{'s' * (hours != 1)} old"
