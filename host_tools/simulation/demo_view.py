"""What `bluezone demo` shows: progress while it lives, the truth beside the verdicts, the report."""

from datetime import datetime
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from host_tools.kiosk.charts import TrueMeeting
from host_tools.kiosk.report import Simulation, TruthRow, WearerReport, contacts, history, write_report
from host_tools.kiosk.screens import SilentScreen, TerminalScreen
from host_tools.kiosk.serve import result_json
from host_tools.matching.rules import Rules, load_rules
from host_tools.matching.verdict import VIETNAM_TIME, Verdict

from . import demo, truth
from .demo import DemoResult
from .outcome import PairOutcome
from .scenario import Scenario

NOT_SEEN = "not seen at the kiosk"
NEAR_MINUTES = 15  # the truth's own yardstick: the 2020 rule, applied to true distances


def run_demo(scenario: Path | None, seed: int, out: Path, as_json: bool) -> dict[str, object]:
    """Run the demo and show it; returns it for machines.

    Raises:
        UserError: the scenario cannot be used.
    """
    path = scenario or demo.SCENARIOS / "office_morning.toml"
    console = Console(quiet=as_json)
    if as_json:
        result = demo.run(path, seed, out, SilentScreen())
    else:
        console.print(
            "Everything here is simulated: people, radio and time. The firmware and the kiosk are the real ones."
        )
        labels: dict[str, str] = {}
        with TerminalScreen(console, labels) as screen:
            result = demo.run(
                path, seed, out, screen, lambda done_s, total_s: screen.clock(done_s, total_s, "the morning"), labels
            )
    report = out / "report.html"
    write_demo_report(report, result)
    _show(console, result, report)
    return as_dict(result, report)


def truly_exposed(result: DemoResult, name: str) -> bool:
    """Whether the wearer was within two metres of somebody infected for as long as the rule says."""
    return result.near_minutes[name] >= NEAR_MINUTES


def agrees(result: DemoResult, name: str) -> bool:
    """Whether the verdict is what the truth says."""
    found = result.results.get(name)
    return found is not None and (found.verdict.kind == "exposed") == truly_exposed(result, name)


def write_demo_report(path: Path, result: DemoResult) -> None:
    """The HTML report.

    Raises:
        UserError: it cannot be written.
    """
    scenario = result.scenario
    rules = load_rules()
    meetings = truth.meetings(scenario)
    wearers = [_wearer_report(result, name, rules) for name in result.codes]
    simulation = Simulation(
        seed=result.seed,
        trace=result.trace,
        receptions=result.receptions,
        truth=[
            TruthRow(
                wearer=wearer,
                case=scenario.person(wearer.name).infected,
                near_minutes=result.near_minutes[wearer.name],
                exposed=truly_exposed(result, wearer.name),
                agrees=agrees(result, wearer.name),
                meetings=_true_meetings(scenario, meetings, wearer.name),
            )
            for wearer in wearers
        ],
        pairs=len(result.pairs),
        missed=[_missed_words(pair) for pair in result.pairs if not pair.found],
        false_encounters=result.false,
    )
    write_report(path, scenario.title, wearers, simulation)


def _wearer_report(result: DemoResult, name: str, rules: Rules) -> WearerReport:
    found = result.results.get(name)
    if found is None:
        return WearerReport(name, result.codes[name], None, failure=result.failures.get(name, NOT_SEEN))
    return WearerReport(
        name,
        result.codes[name],
        found.verdict,
        last_sync_s=found.finished_s,
        battery_mv=found.info.battery_mv,
        days=history(found.encounters, rules),
        contacts=contacts(found.encounters, rules),
        list_version=found.list_version,
    )


def _true_meetings(scenario: Scenario, meetings: list[truth.Meeting], name: str) -> list[TrueMeeting]:
    result = []
    for meeting in meetings:
        if name in (meeting.first, meeting.second):
            other = meeting.second if name == meeting.first else meeting.first
            start_s, end_s = scenario.start_s + meeting.from_s, scenario.start_s + meeting.to_s
            result.append(TrueMeeting(start_s, end_s, other, scenario.person(other).infected))
    return result


def _missed_words(pair: PairOutcome) -> str:
    return f"missed: {pair.hearer} did not log {pair.heard} ({pair.minutes:.0f} min)"


def _truth_words(result: DemoResult, name: str) -> str:
    """F0 for a case, F1 for somebody close to one; a wearer can be both."""
    infected = result.scenario.person(name).infected
    words = ["F0"] * infected + ["F1"] * truly_exposed(result, name)
    return " ".join(words) or "safe"


def short_verdict(verdict: Verdict) -> str:
    """The verdict in so few words that it fits a column: of several days or cases the longest near one."""
    word = "F1" if verdict.kind == "exposed" else "An toàn"
    told = verdict.days or verdict.met
    if not told:
        return word
    day = max(told, key=lambda day: (day.minutes_near, day.minutes_far))
    parts = [f"gần {day.minutes_near}"] * (day.minutes_near > 0) + [f"xa {day.minutes_far}"] * (day.minutes_far > 0)
    more = f" (+{len(told) - 1})" if len(told) > 1 else ""
    return f"{word} · {' + '.join(parts) or 'xa 0'} phút · {day.day:%d/%m}{more}"


def _show(console: Console, result: DemoResult, report: Path) -> None:
    table = Table(
        title=f"{result.scenario.title}: ground truth beside the verdict (seed {result.seed})",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        collapse_padding=True,
    )
    table.add_column("wearer")
    table.add_column("code")
    table.add_column("≤ 2 m", justify="right")
    table.add_column("truth")
    table.add_column("verdict")
    table.add_column("sync", justify="right")
    table.add_column("volt", justify="right")
    table.add_column("")
    for name, code in result.codes.items():
        found = result.results.get(name)
        table.add_row(
            name,
            code,
            f"{result.near_minutes[name]:.0f}",
            _truth_words(result, name),
            short_verdict(found.verdict) if found else result.failures.get(name, NOT_SEEN),
            f"{datetime.fromtimestamp(found.finished_s, VIETNAM_TIME):%H:%M}" if found else "never",
            f"{found.info.battery_mv / 1000:.2f}" if found else "",
            "✓" if agrees(result, name) else "✗",
        )
    console.print(table)
    console.print("gần: near · xa: far · phút: minutes · An toàn: safe · F0: infected · F1: close contact")
    console.print("≤ 2 m: true minutes within two metres of an F0 · sync: Vietnam time · volt: battery\n")
    missed = [pair for pair in result.pairs if not pair.found]
    console.print(
        f"Pairs within 2 m for {demo.outcome.CLOSE_MINUTES} minutes or more, each direction: "
        f"{len(result.pairs) - len(missed)} of {len(result.pairs)} found; false encounters: {result.false}."
    )
    for pair in missed:
        console.print(f"  {_missed_words(pair)}")
    console.print(
        f"{result.receptions} receptions, radio trace {result.trace}; "
        f"{result.simulated_s / result.wall_s:.0f} token-seconds per second, {result.wall_s:.1f} s of wall time."
    )
    console.print(f"Report: {report}   Database, list, flash images, phones' logs: {report.parent}/")


def as_dict(result: DemoResult, report: Path) -> dict[str, object]:
    """A demo for machines."""
    return {
        "seed": result.seed,
        "trace": result.trace,
        "receptions": result.receptions,
        "wall_s": round(result.wall_s, 1),
        "report": str(report),
        "wearers": [
            {
                "name": name,
                "near_minutes_true": round(result.near_minutes[name], 1),
                "truth": "exposed" if truly_exposed(result, name) else "safe",
                "agrees": agrees(result, name),
                "failure": result.failures.get(name),
                **(result_json(result.results[name]) if name in result.results else {}),
            }
            for name in result.codes
        ],
        "pairs": [
            {"hearer": pair.hearer, "heard": pair.heard, "minutes": round(pair.minutes, 1), "found": pair.found}
            for pair in result.pairs
        ],
        "false_encounters": result.false,
        "heap_bytes": {name: {"used": used, "peak": peak} for name, (used, peak) in result.heaps.items()},
    }
