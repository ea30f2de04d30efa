"""Benchmarks of the virtual tokens; `make bench-heap`, `make bench-throughput`. Figures are kept in BENCHMARKS.md."""

import asyncio
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from host_tools.link import bluetooth
from host_tools.link.adapter import virtual
from host_tools.link.session import KioskSession
from host_tools.link.synchronise import SyncResult, synchronise
from host_tools.storage.store import Store
from tracing.kiosk_messages import VERDICT_SAFE
from tracing.wire import short_code

from . import clock
from .flash import fill_log
from .rom import rom_image
from .scenario import Person, Place, Scenario
from .world import World

HEAP_HOURS = 8
HEAP_LIMIT_BYTES = 48 * 1024
HEAP_RECORDS = 1000  # in the log of the token that is read at last
HEAP_BYTES = 64 * 1024
THROUGHPUT_TOKENS = 20
THROUGHPUT_S = 1800
REFERENCE_TOKEN_S_PER_S = 770  # 20 VMs with 10 % duty over a socket of JSON lines: the first prototype of this radio


def crowd(tokens: int, seconds: int, phones: bool) -> Scenario:
    """Tokens a metre and a half apart on a grid, and with `phones` an Android and an iPhone among them."""
    people = []
    devices = ["token"] * tokens + (["android", "iphone"] if phones else [])
    for number, device in enumerate(devices):
        place = Place(1.5 * (number % 5), 1.5 * (number // 5), "hall")
        people.append(Person(f"{device}-{number}", device, ((0.0, place),)))
    return Scenario("bench", 1_597_021_200, seconds, Place(0.0, 0.0, "hall"), tuple(people))


def machine() -> str:
    """What this was measured on."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return f"{os.cpu_count()} × {model}, Python {platform.python_version()}"


async def sync_at_kiosk(world: World, name: str, folder: Path) -> SyncResult:
    """Bring a wearer to the kiosk and read the token, as the kiosk does; the database is made in `folder`."""
    world.call_to_kiosk(name, 0)
    world.boards[name].press()
    adapter = virtual(world.kiosk)
    code = short_code(world.provisioned[name].serial)
    async with asyncio.timeout(60), bluetooth.tokens_in_sync_mode(adapter) as found:
        while (token := await found.get()).short_code != code:
            pass
    with Store(folder / "kiosk.sqlite") as store:
        async with bluetooth.connected(adapter, token) as transport:
            session = KioskSession(transport, world.roots.kiosk, code)
            result = await synchronise(session, store, world.now_s)
            await session.challenge()
            await session.show_verdict(VERDICT_SAFE)
            await session.bye()
    await asyncio.sleep(5.0)
    return result


def heap() -> int:
    """Heap of a token among seven others and two phones, over 8 virtual hours and a session; 1 beyond the limit."""

    async def main() -> list[tuple[int, int]]:
        with tempfile.TemporaryDirectory() as folder:
            world = World(crowd(8, HEAP_HOURS * 3600, True), 1, Path(folder), rom_image())
            try:
                await world.start()
                name = next(iter(world.boards))
                world.processes.kill(world.boards[name])
                fill_log(Path(folder) / "token-0.flash", HEAP_RECORDS, world.scenario.start_s - 60 * HEAP_RECORDS)
                await world.restart_token(name)
                board = world.boards[name]
                hours = []
                for hour in range(HEAP_HOURS + 1):
                    await asyncio.sleep(3600 if hour else 120)
                    world.check()
                    hours.append(await board.heap())
                    used, peak = hours[-1]
                    print(f"hour {hour}: {used} bytes in use, {peak} at the most so far (garbage included)", flush=True)
                result = await sync_at_kiosk(world, name, Path(folder))
                world.check()
                hours.append(await board.heap())
                used, peak = hours[-1]
                print(f"after a session of {result.new_records} records: {used} bytes in use, {peak} at the most")
                return hours
            finally:
                await world.close()

    hours = clock.run(main())
    peak = hours[-1][1]
    grown = hours[HEAP_HOURS][0] - hours[2][0]
    print(f"machine: {machine()}")
    print(f"peak {peak} of {HEAP_BYTES} bytes; ratio to the limit of {HEAP_LIMIT_BYTES}: {peak / HEAP_LIMIT_BYTES:.2f}")
    print(f"growth between hour 2 and hour {HEAP_HOURS}: {grown} bytes")
    return int(peak > HEAP_LIMIT_BYTES)


def soak_vms(tokens: int = 20, hours: int = 24) -> int:
    """A day of VMs with 64 KB each, an Android and an iPhone among them; 1 when a heap grows or a token stops."""

    async def main() -> list[list[int]]:
        with tempfile.TemporaryDirectory() as folder:
            world = World(crowd(tokens, hours * 3600, True), 2, Path(folder), rom_image())
            try:
                await world.start()
                used = []
                for hour in range(hours):
                    await asyncio.sleep(3600)
                    world.check()
                    heaps = [await board.heap() for board in world.boards.values()]
                    used.append([in_use for in_use, _ in heaps])
                    print(
                        f"hour {hour + 1}: {max(used[-1])} bytes in use at the most, peak {max(p for _, p in heaps)}",
                        flush=True,
                    )
                return used
            finally:
                await world.close()

    used = clock.run(main())
    grown = max(after - before for before, after in zip(used[1], used[-1], strict=True))
    good = grown <= 512
    print(
        f"{'PASS' if good else 'FAIL'}  growth of a VM's heap between hour 2 and hour {hours}: {grown} bytes, limit 512"
    )
    return int(not good)


def throughput() -> None:
    """Token-seconds per second of 20 VMs in one room."""

    async def main() -> tuple[float, int]:
        with tempfile.TemporaryDirectory() as folder:
            world = World(crowd(THROUGHPUT_TOKENS, THROUGHPUT_S, False), 1, Path(folder), rom_image())
            try:
                await world.start()
                began_s = time.monotonic()
                await asyncio.sleep(THROUGHPUT_S)
                world.check()
                return time.monotonic() - began_s, world.air.receptions
            finally:
                await world.close()

    wall_s, receptions = clock.run(main())
    rate = THROUGHPUT_TOKENS * THROUGHPUT_S / wall_s
    print(f"machine: {machine()}")
    print(
        f"{THROUGHPUT_TOKENS} tokens, {THROUGHPUT_S} virtual s in {wall_s:.1f} s: {rate:.0f} token-seconds per second, "
        f"{receptions / wall_s:.0f} receptions per second; ratio to {REFERENCE_TOKEN_S_PER_S}: "
        f"{rate / REFERENCE_TOKEN_S_PER_S:.1f}"
    )


if __name__ == "__main__":
    sys.exit({"heap": heap, "throughput": throughput, "soak": soak_vms}[sys.argv[1]]())
