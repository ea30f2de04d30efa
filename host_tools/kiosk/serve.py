"""The kiosk on this PC's own Bluetooth adapter, for a while, on a terminal."""

import asyncio
import contextlib
import time
from collections.abc import Callable

from rich.console import Console

from host_tools.errors import UserError
from host_tools.fleet.calls import Call, to_call
from host_tools.fleet.desk import DeskInThreads
from host_tools.fleet.new_lists import NewLists
from host_tools.fleet.office import Office
from host_tools.link.adapter import real
from host_tools.matching.explanation import ListVersion, explanation_json
from host_tools.matching.list_source import ListSource, ListStatus
from host_tools.matching.rules import Rules
from host_tools.provisioning.token_keys import KioskRoot
from tracing.wire import short_code

from .contracts import WearerResult
from .screens import EXPOSED_WORDS, TerminalScreen, verdict_lines
from .service import Kiosk

LIST_EVERY_S = 900.0  # so often the kiosk asks for a newer list


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
        self.calls: dict[bytes, Call] = {}  # by serial

    def finished(self, code: str, result: WearerResult) -> None:
        super().finished(code, result)
        self.results.append(result)
        words, *reasons = verdict_lines(result.verdict, result.list_version)
        self.console.print(f"{code}: {words}. Pin {result.info.battery_mv / 1000:.2f} V")
        for line in reasons:
            self.console.print(line, highlight=False)

    def away(self, call: Call) -> None:
        """A wearer whose stored log makes an F1, and who does not know it yet; told again when that has changed."""
        before = self.calls.get(call.serial)
        self.calls[call.serial] = call
        if before is not None and before.days == call.days:
            return
        self.console.print(f"{call.short_code}, stored log: {EXPOSED_WORDS}. Hãy gọi người đeo (call the wearer).")
        for line in (*call.reasons.vi, *call.reasons.en):
            self.console.print(f"  {line}", markup=False, highlight=False)


async def keep_fresh(
    kiosk: Kiosk,
    source: ListSource,
    now: Callable[[], float],
    told: Callable[[ListStatus | str], None],
    match_stored: Callable[[], list[Call]],
    away: Callable[[Call], None],
) -> None:
    """Hold stored logs against the list, and give the kiosk every newer one and do so again, until cancelled.

    Tokens are served meanwhile; a bad list changes nothing.

    Args:
        now: Unix seconds.
        told: receives how the list stands, or why there is no telling.
        match_stored: holds stored logs against the kiosk's list, and says who has to be called; runs in a thread.
        away: receives each of them.
    """
    while True:
        try:
            for call in await asyncio.to_thread(match_stored):
                away(call)
        except UserError as error:
            told(f"{error} Stored logs are compared with the list again in {LIST_EVERY_S / 60:.0f} minutes.")
        await asyncio.sleep(LIST_EVERY_S)
        try:
            cases, status = await asyncio.to_thread(source.load, now())
        except UserError as error:
            told(f"{error} The list of before stays in use.")
        else:
            await asyncio.to_thread(kiosk.use_list, cases, ListVersion.of(status))
            told(status)


def serve_here(
    source: ListSource, office: Office, root: KioskRoot, seconds: float, quiet: bool, rules: Rules
) -> dict[str, object]:
    """Serve tokens for `seconds` by these rules; returns what machines are told: the list at the end and the results.

    Raises:
        UserError: the list, the database or the adapter cannot be used.
    """
    console = Console(quiet=quiet)
    cases, status = source.load(time.time())
    heard = [status]

    def told(news: ListStatus | str) -> None:
        if isinstance(news, ListStatus):
            heard[:] = [news]
            news = news.problem or f"{news.words()}."
        console.print(news, markup=False, highlight=False)

    told(status)
    with _Collecting(console) as screen:
        office.privacy.purge()
        kiosk = Kiosk(
            real(), office.store, cases, rules, root, time.time, screen, ListVersion.of(status), office.index,
            DeskInThreads(office.desk),
        )  # fmt: skip

        new_lists = NewLists(office.results, rules)

        def match_stored() -> list[Call]:
            new_lists.hold(kiosk.listed)
            office.alerts.deliver()
            return to_call(office, rules)

        async def serve() -> None:
            fresh = asyncio.create_task(keep_fresh(kiosk, source, time.time, told, match_stored, screen.away))
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await kiosk.run()
            finally:
                fresh.cancel()

        asyncio.run(serve())
        return {
            "list": heard[0].as_dict(),
            "tokens": [result_json(result) for result in screen.results],
            "stored": [call.as_json() for call in screen.calls.values()],
        }
