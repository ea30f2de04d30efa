"""Screens in a terminal: progress bars for every wearer while the kiosk works, then words."""

from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from host_tools.errors import UserError
from host_tools.matching.explanation import ListVersion, explain
from host_tools.matching.verdict import Verdict

from .contracts import WearerResult

SAFE_WORDS = "✓ An toàn (safe)"
EXPOSED_WORDS = "⚠ F1: tiếp xúc gần (close contact)"


def verdict_lines(verdict: Verdict, version: ListVersion | None) -> list[str]:
    """The verdict for the clerk: in few words, then the reasons, first in Vietnamese; never whom."""
    words = EXPOSED_WORDS if verdict.kind == "exposed" else SAFE_WORDS
    below = verdict.kind == "safe" and verdict.met
    reasons = explain(verdict, version)
    return [
        words + (" — dưới mức quy định (below the rule)" if below else ""),
        *(f"  {line}" for line in (*reasons.vi, *reasons.en)),
    ]


class TerminalScreen:
    """Shows a kiosk's work on a terminal; see contracts.Screen.

    Args:
        console: where to.
        labels: what to call a token instead of its short code alone, by short code.
    """

    def __init__(self, console: Console, labels: dict[str, str] | None = None) -> None:
        self.console = console
        self.labels = labels if labels is not None else {}
        self._bars = Progress(
            TextColumn("{task.description:<24}", markup=False),  # a label may have brackets in it
            BarColumn(bar_width=30),
            TextColumn("{task.fields[state]}", markup=False),
            TimeElapsedColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_error) -> None:
        self._bars.stop()

    def clock(self, done_s: float, total_s: float, what: str) -> None:
        """The bar of a scenario's time."""
        if "clock" not in self._tasks:
            self._tasks["clock"] = self._bars.add_task(what, total=total_s, state="")
        minutes = f"{done_s / 60:.0f} of {total_s / 60:.0f} virtual minutes"
        self._bars.update(self._tasks["clock"], completed=done_s, state=minutes)

    def _bar(self, code: str) -> TaskID:
        if code not in self._tasks:
            label = f"{code} {self.labels.get(code, '')}".strip()
            self._tasks[code] = self._bars.add_task(label, total=None, state="found")
        return self._tasks[code]

    def found(self, code: str) -> None:
        self._bars.update(self._bar(code), state="connecting")

    def progress(self, code: str, done: int, total: int) -> None:
        self._bars.update(self._bar(code), completed=done, total=max(total, 1), state=f"{done} of {total} records")

    def finished(self, code: str, result: WearerResult) -> None:
        records = result.sync.new_records
        damaged = f" ({result.sync.damaged} damaged)" if result.sync.damaged else ""
        state = f"{records} records{damaged}, " + ("F1" if result.verdict.kind == "exposed" else "safe")
        self._bars.update(self._bar(code), completed=max(records, 1), total=max(records, 1), state=state)

    def failed(self, code: str, error: UserError, again: bool) -> None:
        self._bars.update(self._bar(code), state="trying again" if again else "failed")
        self.console.print(f"{code}: {error}", markup=False)


class SilentScreen:
    """Shows nothing: for machines."""

    def found(self, code: str) -> None:
        """Nothing."""

    def progress(self, code: str, done: int, total: int) -> None:
        """Nothing."""

    def finished(self, code: str, result: WearerResult) -> None:
        """Nothing."""

    def failed(self, code: str, error: UserError, again: bool) -> None:
        """Nothing."""
