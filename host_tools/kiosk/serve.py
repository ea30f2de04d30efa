"""The kiosk on this PC's own Bluetooth adapter, for a while, on a terminal."""

import asyncio
import contextlib
import time
from pathlib import Path

from rich.console import Console

from host_tools.link.adapter import real
from host_tools.matching.explanation import ListVersion, explanation_json
from host_tools.matching.national_list import load
from host_tools.matching.rules import Rules
from host_tools.storage.store import Store
from tracing.wire import short_code

from .screens import TerminalScreen, verdict_lines
from .service import Kiosk, WearerResult


def result_json(result: WearerResult) -> dict[str, object]:
    """A wearer's result for machines."""
    return {
        "serial": result.info.serial.hex(),
        "short_code": short_code(result.info.serial),
        **explanation_json(result.verdict, result.list_version),
        "new_records": result.sync.new_records,
        "battery_mv": result.info.battery_mv,
        "last_sync_s": result.finished_s,
    }


class _Collecting(TerminalScreen):
    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.results: list[WearerResult] = []

    def finished(self, code: str, result: WearerResult) -> None:
        super().finished(code, result)
        self.results.append(result)
        words, *reasons = verdict_lines(result.verdict, result.list_version)
        self.console.print(f"{code}: {words}. Pin {result.info.battery_mv / 1000:.2f} V")
        for line in reasons:
            self.console.print(line, highlight=False)


def serve_here(cases: Path, database: Path, seconds: float, quiet: bool, rules: Rules) -> list[dict[str, object]]:
    """Serve tokens for `seconds` by these rules; returns the results for machines.

    Raises:
        UserError: the list, the database or the adapter cannot be used.
    """
    national = load(cases)
    with Store(database) as store, _Collecting(Console(quiet=quiet)) as screen:
        kiosk = Kiosk(real(), store, national, rules, time.time, screen, ListVersion.of_file(cases))

        async def serve() -> None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await kiosk.run()

        asyncio.run(serve())
        return [result_json(result) for result in screen.results]
