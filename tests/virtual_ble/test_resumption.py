"""A sync over the real GATT path (VM, Bumble, bleak), disturbed at every fragment, ends with every record, once."""

import asyncio
import contextlib
import sqlite3

import pytest

from host_tools.kiosk.screens import SilentScreen
from host_tools.kiosk.service import Kiosk
from host_tools.link import bluetooth, bumble_backend
from host_tools.link.adapter import virtual
from host_tools.link.errors import LinkLost, SessionError
from host_tools.link.session import KioskSession
from host_tools.link.synchronise import synchronise
from host_tools.matching.national_list import NationalList
from host_tools.matching.rules import load_rules
from host_tools.simulation import clock
from host_tools.simulation.board import make_device
from host_tools.simulation.controller import VirtualController
from host_tools.simulation.flash import fill_log, logged, open_flash, open_token
from host_tools.simulation.world import World
from host_tools.storage.store import Store
from tracing import records, wire

pytestmark = pytest.mark.vm

RECORDS = 150  # more than a segment
BATCH = 60
WAIT_S = 40.0


class BadTransport:
    """A transport on which something happens to fragment number `at`, counted over both directions.

    Args:
        fault: "cut", "drop", "repeat" or "flip"; count: how many fragments have gone so far.
    """

    def __init__(self, transport, board, fault, at):
        self._transport = transport
        self._board = board
        self._fault = fault
        self._at = at
        self._again = []
        self.receive = self
        self.count = 0

    @property
    def mtu_payload(self):
        return self._transport.mtu_payload

    async def _arriving(self, fragment):
        number, self.count = self.count, self.count + 1
        if number != self._at:
            return [fragment]
        if self._fault == "cut":
            for connection in list(self._board.device.connections.values()):
                await connection.disconnect()
            raise LinkLost
        if self._fault == "flip":
            return [fragment[:-1] + bytes([fragment[-1] ^ 0x10])]
        return [] if self._fault == "drop" else [fragment, fragment]

    async def write(self, fragment):
        for piece in await self._arriving(fragment):
            await self._transport.write(piece)

    async def get(self):
        while not self._again:
            fragment = await self._transport.receive.get()
            if fragment is None:
                return None
            self._again = await self._arriving(fragment)
        return self._again.pop(0)


class Site:
    """A token with a full log, and kiosks."""

    def __init__(self, world, folder):
        self.world = world
        self.folder = folder
        self.given = world.provisioned["An"]
        self.code = wire.short_code(self.given.serial)

    @property
    def board(self):
        return self.world.boards["An"]

    @property
    def flash(self):
        return self.world.folder / f"token-{self.board.controller.number}.flash"

    async def fill(self, count):
        """Put records into the flash while the token has no power."""
        self.world.processes.kill(self.board)
        fill_log(self.flash, count, self.world.scenario.start_s - 86_400)
        await self.world.restart_token("An")
        self.world.call_to_kiosk("An", 0)

    async def find(self, adapter):
        """The token, once it is in sync mode."""
        async with asyncio.timeout(WAIT_S), bluetooth.tokens_in_sync_mode(adapter) as found:
            while (token := await found.get()).short_code != self.code:
                pass
        return token

    async def sync(self, store, fault="", at=-1):
        """Press, connect, read; returns how many fragments went, and the result if there is one."""
        self.board.press()
        adapter = virtual(self.world.kiosk)
        result = None
        async with bluetooth.connected(adapter, await self.find(adapter)) as transport:
            bad = BadTransport(transport, self.board, fault, at)
            session = KioskSession(bad, self.world.roots.kiosk, self.code, answer_limit_s=5.0)
            with contextlib.suppress(SessionError):
                result = await synchronise(session, store, self.world.now_s, batch_records=BATCH)
                await session.bye()
        await asyncio.sleep(2.0)
        return bad.count, result

    def truth(self):
        """What the token's flash has."""
        return list(logged(self.flash.read_bytes(), self.given.log_root))

    def check(self, path, complete):
        """Nothing wrong and nothing twice in the database; with `complete`, everything."""
        connection = sqlite3.connect(path)
        rows = connection.execute("SELECT seq, raw FROM record ORDER BY seq").fetchall()
        connection.close()
        truth = self.truth()
        assert [records.unpack_record(raw) for _, raw in rows] == truth[: len(rows)]
        assert [seq for seq, _ in rows] == list(range(len(rows)))
        state, _ = open_token(open_flash(self.flash))
        assert state.watermark <= max(len(rows), self.acknowledged)
        if complete:
            assert len(rows) == len(truth)
            self.acknowledged = len(rows)

    acknowledged = 0  # by other kiosks before


@pytest.fixture
def at_site(make_scenario, rom, tmp_path):
    """Runs `job(site)` with a token of RECORDS records at the kiosk."""

    def run(job, count=RECORDS):
        async def main():
            world = World(make_scenario({"An": "token"}, 60), 11, tmp_path / "run", rom)
            try:
                await world.start()
                site = Site(world, tmp_path)
                await site.fill(count)
                result = await job(site)
                world.check()
                return result
            finally:
                await world.close()

        return clock.run(main())

    return run


@pytest.mark.parametrize(("fault", "step"), [("cut", 1), ("drop", 1), ("repeat", 2), ("flip", 2)])
def test_a_fault_at_every_fragment(at_site, fault, step):
    async def job(site):
        at = 0
        while True:
            path = site.folder / f"{at}.sqlite"
            with Store(path) as store:
                count, result = await site.sync(store, fault, at)
                site.check(path, complete=result is not None and result.new_records > 0)
                if at >= count:
                    return at
                _, result = await site.sync(store)
                assert result is not None
                site.check(path, complete=True)
            at += step

    assert at_site(job) >= 40


@pytest.mark.parametrize("mtu", [23, 24, 64, 185, 247, 517])
def test_every_size_of_packet(at_site, monkeypatch, mtu):
    monkeypatch.setattr(bumble_backend, "_MTU", mtu)

    async def job(site):
        path = site.folder / "kiosk.sqlite"
        with Store(path) as store:
            for at in (11, 17, 40):  # cut three times on the way
                await site.sync(store, "cut", at)
                site.check(path, complete=False)
            await site.sync(store)
            site.check(path, complete=True)

    at_site(job)


def test_a_radio_without_room(at_site):
    async def job(site):
        path = site.folder / "kiosk.sqlite"
        with Store(path) as store:
            site.board.faults["no_notify_room"] = 300
            _, result = await site.sync(store)
            site.check(path, complete=True)
        return result, site.board.faults["no_notify_room"]

    result, left = at_site(job)
    assert result.new_records >= RECORDS
    assert left == 0


def test_the_power_fails_on_the_way(at_site):
    async def job(site):
        path = site.folder / "kiosk.sqlite"
        with Store(path) as store:
            for at in (8, 12, 20, 30):
                await site.sync(store, "cut", at)
                site.world.processes.kill(site.board)
                await site.world.restart_token("An")
                site.check(path, complete=False)
            await site.sync(store)
            site.check(path, complete=True)

    at_site(job)


def test_two_kiosks_in_a_race(at_site):
    async def job(site):
        world = site.world
        place = world.scenario.kiosk
        world._called["second kiosk"] = (place.x_m, place.y_m + 1.0, place.room)
        second = make_device("second kiosk", VirtualController("second kiosk", world.air, 90))
        await second.power_on()
        path = site.folder / "kiosk.sqlite"
        with Store(path) as one, Store(path) as other:
            kiosks = [
                asyncio.create_task(
                    Kiosk(
                        virtual(device), store, NationalList([], []), load_rules(), world.roots.kiosk, world.now_s,
                        SilentScreen(),
                    ).run()
                )
                for device, store in ((world.kiosk, one), (second, other))
            ]  # fmt: skip
            for _ in range(3):
                site.board.press()
                await asyncio.sleep(20.0)
            for kiosk in kiosks:
                kiosk.cancel()
            await asyncio.gather(*kiosks, return_exceptions=True)
            await site.sync(one)
        site.check(path, complete=True)

    at_site(job)
