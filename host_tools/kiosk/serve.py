"""The kiosk on this PC's own Bluetooth adapter, for a while, on a terminal."""

import asyncio
import contextlib
import time
from pathlib import Path

from rich.console import Console

from host_tools.fleet.office import Office
from host_tools.link.adapter import real
from host_tools.matching.national_list import load
from host_tools.matching.verdict import load_rules
from tracing.wire import short_code

from .screens import TerminalScreen, verdict_words
from .service import Kiosk, WearerResult


def result_json(result: WearerResult) -> dict[str, object]:
    """A wearer's result for machines."""
    verdict = result.verdict
    return {
        "serial": result.info.serial.hex(),
        "short_code": short_code(result.info.serial),
        "verdict": verdict.kind,
        "days": [
            {"day": str(day.day), "minutes": day.minutes, "near": day.near, "minutes_near": day.minutes_near}
            for day in (*verdict.days, *verdict.met)
        ],
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
        self.console.print(f"{code}: {verdict_words(result.verdict)}. Pin {result.info.battery_mv / 1000:.2f} V")


def serve_here(cases: Path, database: Path, seconds: float, quiet: bool) -> list[dict[str, object]]:
    """Serve tokens for `seconds`; returns the results for machines.

    Raises:
        UserError: the list, the database or the adapter cannot be used.
    """
    national = load(cases)
    with Office(database) as office, _Collecting(Console(quiet=quiet)) as screen:
        office.privacy.purge()
        kiosk = Kiosk(real(), office.store, national, load_rules(), time.time, screen, office.desk)

        async def serve() -> None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await kiosk.run()

        asyncio.run(serve())
        return [result_json(result) for result in screen.results]
