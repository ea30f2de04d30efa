"""What `bluezone demo` shows: progress while it lives, the truth beside the verdicts, the report."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from host_tools.simulation import demo
from host_tools.simulation.demo import DemoResult

from .screens import SilentScreen, TerminalScreen, verdict_words
from .serve import result_json

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
    """The HTML report."""


def _show(console: Console, result: DemoResult, report: Path) -> None:
    table = Table(title=f"{result.scenario.title}: ground truth beside the verdict (seed {result.seed})")
    for column in ("wearer", "code", "true min ≤ 2 m", "truth", "verdict", "records", "battery", ""):
        table.add_column(column)
    for name, code in result.codes.items():
        found = result.results.get(name)
        table.add_row(
            name,
            code,
            f"{result.near_minutes[name]:.0f}",
            "F1" if truly_exposed(result, name) else "safe",
            verdict_words(found.verdict) if found else result.failures.get(name, "not seen at the kiosk"),
            str(found.info.next_seq) if found else "",
            f"{found.info.battery_mv / 1000:.2f} V" if found else "",
            "✓" if agrees(result, name) else "✗",
        )
    console.print(table)
    missed = [pair for pair in result.pairs if not pair.found]
    console.print(
        f"Pairs within 2 m for {demo.outcome.CLOSE_MINUTES} minutes or more, each direction: "
        f"{len(result.pairs) - len(missed)} of {len(result.pairs)} found; false encounters: {result.false}."
    )
    for pair in missed:
        console.print(f"  missed: {pair.hearer} did not log {pair.heard} ({pair.minutes:.0f} min)")
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
