"""`make bench-kiosk`: how long wearers wait, and how long each page takes with 10,000 tokens.

Radio, people and batteries are simulated; firmware, session, database and pages are the real ones.
"""

import asyncio
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import httpx
import uvicorn

from host_tools.fleet.office import Office
from host_tools.kiosk.release_desk import ReleaseDesk
from host_tools.link.adapter import virtual
from host_tools.matching.list_source import ListStatus
from host_tools.matching.national_list import NationalList
from host_tools.matching.rules import load_rules
from host_tools.simulation import clock
from host_tools.simulation.bench import crowd, machine
from host_tools.simulation.rom import rom_image
from host_tools.simulation.world import World
from host_tools.storage.database import token_table
from tracing.wire import short_code

from .app import build_app
from .around import Around
from .cases import CaseList
from .line import server_config
from .pages import Pages
from .running import KioskProcess, listen
from .screen import FINAL, LiveScreen
from .site import STAFF, Site

_LIVE_S = 1800  # before they come: what is on their tokens
_LIMIT_S = 120.0
_CROWD, _CROWD_S = 50, 600
_FLEET, _UNITS = 10_000, 100
_TRIES = 15
_PASSWORD = "bench bench bench"
_NO_LIST = ListStatus("F0", "", None, None, 0, 0, False, None)


class _NoCases:
    def load(self, now_s: float) -> tuple[NationalList, ListStatus]:
        return NationalList([], []), _NO_LIST


class _Queue:
    """Wearers at a kiosk, and when each saw a verdict."""

    def __init__(self, world: World, process: KioskProcess) -> None:
        self._world = world
        self._screen = process.screen
        self._codes = {short_code(given.serial): name for name, given in world.provisioned.items()}
        self._pressed_s: dict[str, float] = {}
        self.waits_s: dict[str, float] = {}

    def press(self, name: str, place: int) -> None:
        self._world.call_to_kiosk(name, place)
        self._world.boards[name].press()
        self._pressed_s[name] = asyncio.get_running_loop().time()

    async def watch(self) -> None:
        """What a browser sees of it."""
        async for picture in self._screen.pictures():
            for code, state, *_ in json.loads(picture or '{"cards": []}')["cards"]:
                name = self._codes[code]
                if state in FINAL and name in self._pressed_s:
                    self.waits_s[name] = asyncio.get_running_loop().time() - self._pressed_s.pop(name)

    async def served(self) -> None:
        """Until nobody waits, or somebody has for too long."""
        began_s = asyncio.get_running_loop().time()
        while self._pressed_s and asyncio.get_running_loop().time() < began_s + _LIMIT_S:
            await asyncio.sleep(0.5)
            self._world.check()


async def _with_queue(tokens: int, job) -> None:
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as folder:
        scenario = crowd(tokens, 24 * 3600, False)
        world = World(scenario, 1, Path(folder), rom_image())
        with Office(Path(folder) / "kiosk.sqlite", now=lambda: int(scenario.start_s + loop.time())) as office:
            try:
                await world.start()
                await asyncio.sleep(_LIVE_S)
                process = KioskProcess(
                    office, virtual(world.kiosk), _NoCases(), world.roots.kiosk, load_rules(), world.now_s, True
                )
                queue = _Queue(world, process)
                tasks = [asyncio.create_task(process.read_tokens()), asyncio.create_task(queue.watch())]
                await asyncio.sleep(2)
                await job(world, queue)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            finally:
                await world.close()


def _told(what: str, waits_s: Iterable[float], wanted: int) -> None:
    ordered = sorted(waits_s)
    middle, last = statistics.median(ordered), ordered[-1]
    print(f"{what}: {len(ordered)} of {wanted} served, median {middle:.1f} s, longest {last:.1f} s", flush=True)


def waits() -> None:
    """One wearer and ten at once, at the pace of the wall's clock; then fifty in ten minutes, in virtual time."""

    async def few(world: World, queue: _Queue) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, clock.VirtualLoop)
        loop.keep_pace()
        names = list(world.boards)
        for name in names[:3]:
            queue.press(name, 0)
            await queue.served()
            await asyncio.sleep(5)
        _told("one wearer, three times over (paced)", queue.waits_s.values(), 3)
        await asyncio.sleep(70)  # the last press has run out
        queue.waits_s.clear()
        for place, name in enumerate(names):
            queue.press(name, place)
        await queue.served()
        _told("ten at once (paced)", queue.waits_s.values(), len(names))

    async def many(world: World, queue: _Queue) -> None:
        for place, name in enumerate(world.boards):
            queue.press(name, place % 5)
            await asyncio.sleep(_CROWD_S / _CROWD)
        await queue.served()
        _told(f"{_CROWD} in {_CROWD_S // 60} minutes (virtual time)", queue.waits_s.values(), _CROWD)

    clock.run(_with_queue(10, few))
    clock.run(_with_queue(_CROWD, many))


def pages() -> None:
    """Each page of the staff over HTTP, with a fleet of 10,000."""
    with tempfile.TemporaryDirectory() as folder, Office(Path(folder) / "kiosk.sqlite") as office:
        serial = _fill(office)
        with listen("127.0.0.1", 0) as listener:
            screen = LiveScreen(rules := load_rules(), Around(time.monotonic))
            releases = ReleaseDesk(office, screen, time.time)
            site = Site(office, screen, CaseList(_NoCases(), time.time), Pages(), rules, releases, True)
            server = uvicorn.Server(server_config(build_app(site)))
            thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
            thread.start()
            address = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with httpx.Client(base_url=address, headers={"origin": address}) as client:
                _time_pages(client, office, serial)
            server.should_exit = True
            thread.join()


def _fill(office: Office) -> bytes:
    serials = [bytes.fromhex(f"{number * 0x9E3779B97F4A7C15 % (1 << 64):016x}") for number in range(_FLEET)]
    with office.database.writing() as connection:
        for serial in serials:
            office.ledger.register_in(connection, "bench", serial)
    lines = ["staff_number,name,agency,district,token"]
    lines += [
        f"NV{number:05},Nguyễn Văn {number},Cơ quan {number % _UNITS},Quận {number % 7},{serial.hex()}"
        for number, serial in enumerate(serials)
    ]
    office.staff_csv.bring_in("bench", "\n".join(lines).encode())
    with office.database.writing() as connection:
        connection.execute(token_table.update().values(last_sync_s=office.now() - 86400, battery_mv=2950))
    office.accounts.add("bench", "admin", "admin", _PASSWORD)
    office.accounts.add("bench", "officer", "officer", _PASSWORD)
    return serials[5000]


def _time_pages(client: httpx.Client, office: Office, serial: bytes) -> None:
    code = short_code(serial)
    print(f"{_FLEET} tokens, {_UNITS} units; the median and the longest of {_TRIES} requests, in ms:")
    for role, paths in {
        "admin": {
            "overview": "", "first page of tokens": "/tokens", "last page of tokens": f"/tokens?from={_FLEET - 50}",
            "search by label": f"/tokens?q={code}", "search by staff number": "/tokens?q=NV05000",
            "tokens of a unit": "/tokens?unit=7&state=assigned", "one token": f"/tokens/{serial.hex()}",
            "label": f"/tokens/{serial.hex()}/label.svg", "people": "/people", "one person": "/people/5001",
            "audit": "/audit", "accounts": "/accounts", "settings": "/settings",
        },
        "officer": {"alerts": "/alerts"},
    }.items():  # fmt: skip
        _, session = office.accounts.log_in(role, _PASSWORD, "bench")
        cookie = {"cookie": f"bluezone_session={session}"}
        for what, path in paths.items():
            took_ms = []
            for _ in range(_TRIES):
                began_s = time.perf_counter()
                client.get(f"{STAFF}{path}", headers=cookie).raise_for_status()
                took_ms.append((time.perf_counter() - began_s) * 1000)
            print(f"  {what}: {statistics.median(took_ms):.0f}, {max(took_ms):.0f}", flush=True)


if __name__ == "__main__":
    print(machine())
    pages()
    waits()
