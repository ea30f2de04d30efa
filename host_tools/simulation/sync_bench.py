"""How fast a sync is: `make bench-sync`. A paced link, the VM's token, the kiosk as it works; time is virtual.

What the token and the kiosk compute costs no virtual time: the figures are those of the protocol on a link of 40 kB/s.
"""

import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from host_tools.kiosk.contracts import WearerResult
from host_tools.kiosk.screens import SilentScreen
from host_tools.kiosk.service import Kiosk
from host_tools.link import bluetooth
from host_tools.link.adapter import virtual
from host_tools.matching.national_list import NationalList
from host_tools.matching.rules import load_rules
from host_tools.storage.store import Store
from tracing import patterns
from tracing.records import RECORD_BYTES

from . import clock
from .bench import crowd, machine
from .flash import fill_log
from .rom import rom_image
from .world import World

LOG_BLOCKS = 254  # a store of 1 MiB
LINK_BYTES_PER_S = 40_000
DAY_RECORDS = 1000
MANY_RECORDS = 20_000
TOKENS_AT_ONCE = 4
FRAGMENT_BYTES = 244
RAW_FRAGMENTS = 2000
PATIENCE_S = 120.0

# The firmware's radio, sending as fast as it takes.
RAW = f"""
import lockstep
from board import Board
from tracing import wire
from tracing.sightings import SightingRing

def run():
    lockstep.connect()
    board = Board()
    radio = board.make_radio(SightingRing(4))
    radio.start()
    radio.change_identity(bytes(12))
    radio.advertise(wire.advertisement(bytes(12)), 100000, wire.sync_scan_response("RAWRAW"))
    fragment = bytearray({FRAGMENT_BYTES})
    while radio.take_fragment() is None:
        radio.wait(1000)
    left = {RAW_FRAGMENTS}
    while left:
        if radio.notify(radio.kiosk, fragment):
            left -= 1
        else:
            radio.wait(5)
    while True:
        radio.wait(1000)
"""


@dataclass(frozen=True)
class SyncFigures:
    """What a sync of one token has cost.

    Attributes:
        seconds: from the light that answers the button to the verdict in light.
        pull_s: of these, from the first to the last record.
        air_bytes: all data of the connection, both directions, with its headers.
        wall_s: of this machine.
    """

    records: int
    seconds: float
    pull_s: float
    air_bytes: int
    wall_s: float

    @property
    def overhead(self) -> float:
        """What came on top of the records, as a share of them."""
        return self.air_bytes / (self.records * RECORD_BYTES) - 1

    @property
    def bytes_per_s(self) -> float:
        """Bytes of records per second while they were pulled."""
        return self.records * RECORD_BYTES / self.pull_s


class _Watch(SilentScreen):
    def __init__(self) -> None:
        self.results: dict[str, WearerResult] = {}
        self.began_s: dict[str, float] = {}
        self.ended_s: dict[str, float] = {}

    def progress(self, code: str, done: int, total: int) -> None:
        now_s = asyncio.get_running_loop().time()
        self.began_s.setdefault(code, now_s)
        self.ended_s[code] = now_s

    def finished(self, code: str, result: WearerResult) -> None:
        self.results[code] = result


def _shown(world: World, name: str, pattern: int) -> float:
    return next(at_s for at_s, shown in world.boards[name].light if shown == pattern)


def measure(tokens: int, records: int) -> list[SyncFigures]:
    """Let the kiosk serve tokens with so many records each, all of which have pressed at once."""

    async def main() -> list[SyncFigures]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            world = World(crowd(tokens, 3600, False), 1, folder, rom_image(log_blocks=LOG_BLOCKS), LOG_BLOCKS)
            try:
                await world.start()
                for number, token in enumerate(list(world.boards)):
                    world.processes.kill(world.boards[token])
                    fill_log(folder / f"token-{number}.flash", records, world.scenario.start_s - 60 * records)
                    await world.restart_token(token)
                    world.call_to_kiosk(token, number)
                return await _serve(world, folder)
            finally:
                await world.close()

    return clock.run(main())


async def _serve(world: World, folder: Path) -> list[SyncFigures]:
    watch = _Watch()
    await asyncio.sleep(1.0)
    before = {board.controller: board.controller.data_bytes for board in world.boards.values()}
    kiosk_controller = next(c for c in world.air.ordered if c not in before)
    kiosk_bytes = kiosk_controller.data_bytes
    with Store(folder / "kiosk.sqlite") as store:
        cases = NationalList([], [])
        kiosk = Kiosk(virtual(world.kiosk), store, cases, load_rules(), world.roots.kiosk, world.now_s, watch)
        serving = asyncio.create_task(kiosk.run())
        began_s = time.monotonic()
        for board in world.boards.values():
            board.press()
        async with asyncio.timeout(PATIENCE_S):
            while len(watch.results) < len(world.boards):
                await asyncio.sleep(0.1)
                world.check()
        await asyncio.sleep(1.0)
        wall_s = time.monotonic() - began_s
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
    sent = sum(c.data_bytes - old for c, old in before.items()) + kiosk_controller.data_bytes - kiosk_bytes
    by_serial = {given.serial: name for name, given in world.provisioned.items()}
    return [
        SyncFigures(
            records=result.sync.new_records,
            seconds=_shown(world, name, patterns.SAFE) - _shown(world, name, patterns.SYNC_MODE),
            pull_s=watch.ended_s[code] - watch.began_s[code],
            air_bytes=sent // len(world.boards),
            wall_s=wall_s,
        )
        for code, result in watch.results.items()
        if (name := by_serial[result.info.serial])
    ]


def raw_bytes_per_s() -> float:
    """Bytes of notifications per second over the same link, without any protocol."""

    async def main() -> float:
        with tempfile.TemporaryDirectory() as folder:
            world = World(crowd(1, 3600, False), 1, Path(folder), rom_image(start=RAW))
            try:
                await world.start()
                world.call_to_kiosk(next(iter(world.boards)), 0)
                adapter = virtual(world.kiosk)
                async with bluetooth.tokens_in_sync_mode(adapter) as found:
                    token = await found.get()
                async with bluetooth.connected(adapter, token) as transport:
                    await transport.write(b"\0")
                    await transport.receive.get()
                    first_s = asyncio.get_running_loop().time()
                    for _ in range(RAW_FRAGMENTS - 1):
                        await transport.receive.get()
                    took_s = asyncio.get_running_loop().time() - first_s
                return (RAW_FRAGMENTS - 1) * FRAGMENT_BYTES / took_s
            finally:
                await world.close()

    return clock.run(main())


def main() -> int:
    """Print the figures beside their gates; 1 when one is missed."""
    raw = raw_bytes_per_s()
    (day,) = measure(1, DAY_RECORDS)
    (many,) = measure(1, MANY_RECORDS)
    together = measure(TOKENS_AT_ONCE, DAY_RECORDS)
    limit_s = MANY_RECORDS * RECORD_BYTES / LINK_BYTES_PER_S
    day_limit_s = DAY_RECORDS * RECORD_BYTES / LINK_BYTES_PER_S
    checks = [
        (f"{DAY_RECORDS} records, button to verdict, s (the link alone: {day_limit_s:.1f})", day.seconds, "≤", 3.0),
        (f"{MANY_RECORDS} records, button to verdict, s (the link alone: {limit_s:.1f})", many.seconds, "≤", 20.0),
        (
            f"bytes of records per s ({many.bytes_per_s:.0f}) to raw notifications ({raw:.0f})",
            many.bytes_per_s / raw,
            "≥",
            0.85,
        ),
        (f"on the air over the bytes of {DAY_RECORDS} records, discovery included, %", day.overhead * 100, "≤", 15.0),
        (f"on the air over the bytes of {MANY_RECORDS} records, %", many.overhead * 100, "≤", 15.0),
    ]
    failed = False
    for what, value, relation, gate in checks:
        good = value <= gate if relation == "≤" else value >= gate
        failed |= not good
        print(f"{'PASS' if good else 'FAIL'}  {what}: {value:.2f} (gate {relation} {gate:g})")
    last_s = max(figures.seconds for figures in together)
    print(f"{TOKENS_AT_ONCE} tokens of {DAY_RECORDS} records at once: the last verdict after {last_s:.1f} s")
    print(f"wall time of the {MANY_RECORDS} records: {many.wall_s:.1f} s on {machine()}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
