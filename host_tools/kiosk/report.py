"""The report: one HTML file that needs nothing else, for a screen, a phone or paper.

Vietnamese first, English beside it. A wearer's part never says who the case was, nor which of the contacts it was.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from host_tools.errors import UserError
from host_tools.matching.explanation import Explanation, ListVersion, bands_words, explain
from host_tools.matching.exposures import pair_of
from host_tools.matching.risk import DayExposure
from host_tools.matching.rules import Rules
from host_tools.matching.verdict import VIETNAM_TIME, Verdict, vietnam_day
from host_tools.storage.store import Encounter

from .charts import Contact, DayHistory, TimelineRow, TrueMeeting, history_chart, timeline

LOW_BATTERY_MV = 2700  # a CR2032 stays near 2.9 V for most of its life; from here on the end is near


@dataclass(frozen=True)
class WearerReport:
    """What the report tells of one wearer.

    Attributes:
        verdict: None when the token could not be read; `failure` says why then.
        last_sync_s: Unix s; None: never.
        contacts: every encounter in the token's log.
        list_version: the list that the verdict rests on, if it is known.
    """

    name: str
    short_code: str
    verdict: Verdict | None
    last_sync_s: int | None = None
    battery_mv: int | None = None
    days: Sequence[DayHistory] = ()
    contacts: Sequence[Contact] = ()
    failure: str = ""
    list_version: ListVersion | None = None

    @property
    def state(self) -> Literal["exposed", "safe", "unread"]:
        return self.verdict.kind if self.verdict else "unread"

    @property
    def exposures(self) -> tuple[DayExposure, ...]:
        """Time spent with cases, the days that made the verdict first."""
        return (*self.verdict.days, *self.verdict.met) if self.verdict else ()

    @property
    def explanation(self) -> Explanation | None:
        """The verdict's reasons in words."""
        return explain(self.verdict, self.list_version) if self.verdict else None

    @property
    def battery_low(self) -> bool:
        return self.battery_mv is not None and self.battery_mv < LOW_BATTERY_MV


@dataclass(frozen=True)
class TruthRow:
    """The ground truth of one wearer beside the verdict.

    Attributes:
        case: the wearer is infected.
        near_minutes: true minutes within two metres of somebody infected.
        exposed: whether that reaches the rule.
        agrees: whether the verdict says the same.
        meetings: with whom and when, for the timeline.
    """

    wearer: WearerReport
    case: bool
    near_minutes: float
    exposed: bool
    agrees: bool
    meetings: Sequence[TrueMeeting] = ()


@dataclass(frozen=True)
class Simulation:
    """What only a simulation can tell.

    Attributes:
        trace: fingerprint of every reception; the same seed gives the same.
        pairs: how many directions of pairs were long close by; missed: a sentence for each that no log shows.
        false_encounters: logged, but never took place.
    """

    seed: int
    trace: str
    receptions: int
    truth: Sequence[TruthRow]
    pairs: int
    missed: Sequence[str]
    false_encounters: int


def history(encounters: Iterable[Encounter], rules: Rules) -> list[DayHistory]:
    """Contacts per day in Viet Nam, oldest first: ids heard, and those of them that were near at least once."""
    seen: dict[date, set[bytes]] = defaultdict(set)
    near: dict[date, set[bytes]] = defaultdict(set)
    for encounter in encounters:
        day = vietnam_day(encounter.start_s)
        seen[day].add(encounter.bluezone_id)
        if _is_near(encounter, rules):
            near[day].add(encounter.bluezone_id)
    return [DayHistory(day, len(ids), len(near[day])) for day, ids in sorted(seen.items())]


def contacts(encounters: Iterable[Encounter], rules: Rules) -> list[Contact]:
    """The encounters as stretches of time, each until the next scan window would have come."""
    return [Contact(e.start_s, e.start_s + e.duration_s + rules.scan_period_s, _is_near(e, rules)) for e in encounters]


def _is_near(encounter: Encounter, rules: Rules) -> bool:
    return encounter.rssi_mean_dbm + rules.rssi_offset_db >= rules.near_dbm[pair_of(encounter)]


def write_report(path: Path, title: str, wearers: Sequence[WearerReport], simulation: Simulation | None = None) -> None:
    """Write the report; an earlier one is replaced.

    Args:
        title: the headline.
        simulation: given when all of it was simulated; the page says so then, and shows the truth.

    Raises:
        UserError: the file cannot be written.
    """
    text = render(title, wearers, simulation)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"The report {path} cannot be written: {error}. The results are kept.") from error


def render(title: str, wearers: Sequence[WearerReport], simulation: Simulation | None = None) -> str:
    """The report as HTML; see write_report."""
    environment = Environment(
        loader=PackageLoader("host_tools.kiosk"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["moment"] = _moment
    environment.filters["bands"] = bands_words
    truth = {row.wearer.short_code: row.meetings for row in simulation.truth} if simulation else {}
    rows = [TimelineRow(w.name, w.contacts, truth.get(w.short_code, ())) for w in wearers]
    charts = {w.short_code: Markup(history_chart(w.days, f"h{n}")) for n, w in enumerate(wearers) if w.days}
    return environment.get_template("report.html").render(
        title=title,
        wearers=wearers,
        simulation=simulation,
        timeline=Markup(timeline(rows)) if any(row.contacts for row in rows) else None,
        charts=charts,
        exposed=sum(wearer.state == "exposed" for wearer in wearers),
        contact_days=sorted({day.day for wearer in wearers for day in wearer.days}),
    )


def _moment(unix_s: int) -> str:
    return f"{datetime.fromtimestamp(unix_s, VIETNAM_TIME):%H:%M · %d/%m/%Y}"
