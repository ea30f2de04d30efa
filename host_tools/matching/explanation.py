"""A verdict in words, Vietnamese and English: what was heard, by which rule, against which list.

The words name minutes, band, day, rule and list. They never name the case, an id, or a time finer than the day: who
hears them must not be able to work out whom he or she met.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from host_tools.matching.risk import DayExposure
from host_tools.matching.rules import Rule
from host_tools.matching.verdict import VIETNAM_TIME, Verdict

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
        listed: the list that was used, in both languages; empty when that is unknown.
    """

    vi: tuple[str, ...]
    en: tuple[str, ...]
    days: tuple[tuple[str, str], ...]
    rules: tuple[tuple[str, str], ...]
    listed: tuple[str, str] | None


def explain(verdict: Verdict, version: ListVersion | None) -> Explanation:
    """The reasons of a verdict.

    Args:
        version: of the list; None when it is not known.
    """
    told = (*verdict.days, *verdict.met)
    days = tuple(_day_words(day) for day in told)
    rules = tuple(_rule_words(rule) for rule in _each_once(day.rule for day in told) or (verdict.rule,))
    listed = _list_words(version) if version else None
    said = (_verdict_words(verdict), *days, *rules, *([listed] if listed else []))
    return Explanation(tuple(vi for vi, _ in said), tuple(en for _, en in said), days, rules, listed)


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


def _verdict_words(verdict: Verdict) -> tuple[str, str]:
    if verdict.kind == "exposed":
        return "F1: bạn đã tiếp xúc gần với người nhiễm.", "F1: you were in close contact with an infected person."
    if verdict.met:
        return "An toàn: có tiếp xúc, nhưng dưới mức của F1.", "Safe: there was contact, but less than makes an F1."
    return "Chưa phát hiện F0 nào tiếp xúc với bạn.", "Safe: no contact with an infected person was found."


def _day_words(day: DayExposure) -> tuple[str, str]:
    vi, en = bands_words(day)
    if day.probability is not None:
        percent = round(day.probability * 20) * 5  # the curve does not know it any finer
        vi += f"; khả năng trong vòng 2 m khoảng {percent} %"
        en += f"; within 2 m with a probability of about {percent} %"
    return f"Ngày {day.day:%d/%m/%Y}: {vi}.", f"On {day.day:%d/%m/%Y}: {en}."


def bands_words(day: DayExposure) -> tuple[str, str]:
    """The minutes of a day by band, such as "gần 88 + xa 38 phút", "near 88 + far 38 min"."""
    by_band = (
        ("gần", "near", day.minutes_near), ("vừa", "middle", day.minutes_middle), ("xa", "far", day.minutes_far),
    )  # fmt: skip
    told = [band for band in by_band if band[2]] or [by_band[-1]]
    vi = " + ".join(f"{word} {minutes}" for word, _, minutes in told)
    en = " + ".join(f"{word} {minutes}" for _, word, minutes in told)
    return f"{vi} phút", f"{en} min"


def _rule_words(rule: Rule) -> tuple[str, str]:
    return (
        f"Quy định: {rule.title_vi} ({rule.id}, bản {rule.version}, từ {rule.since:%d/%m/%Y}).",
        f"Rule: {rule.title_en} ({rule.id}, version {rule.version}, from {rule.since:%d/%m/%Y}).",
    )


def _list_words(version: ListVersion) -> tuple[str, str]:
    digest = version.digest[:_DIGEST_SHOWN]
    vi, en = f"Danh sách F0: {digest}", f"National list: {digest}"
    if version.published_s is not None:
        published = _date(version.published_s)
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


def _date(unix_s: int) -> date:
    return datetime.fromtimestamp(unix_s, VIETNAM_TIME).date()


def _each_once(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    return tuple({rule.id: rule for rule in rules}.values())
