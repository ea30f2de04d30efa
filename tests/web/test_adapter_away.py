"""The Bluetooth adapter is pulled out and put back, or its service dies: the screen says so, and the kiosk goes on."""

import asyncio
from contextlib import asynccontextmanager, nullcontext
from random import Random

import pytest
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError
from kiosk_kills import Hall
from web_kit import NoCases

from host_tools.fleet.office import Office
from host_tools.link import adapter, bluetooth
from host_tools.link.bluetooth import AdapterMissing, FoundToken, connected, tokens_in_sync_mode
from host_tools.link.errors import LinkLost
from host_tools.matching.rules import load_rules
from host_tools.simulation import clock
from host_tools.web import running
from host_tools.web.running import KioskProcess
from tracing.wire import short_code


@asynccontextmanager
async def reading(folder, tokens, records):
    """A kiosk in this process whose adapter hangs on a line of its own; time is virtual."""
    hall = Hall(folder, tokens, records, 1)
    await hall.open(paced=False)
    with Office(folder / "kiosk.sqlite", now=lambda: int(hall.world.now_s())) as office:
        way = adapter.hci(hall.adapter.name)
        process = KioskProcess(office, way, NoCases(), hall.world.roots.kiosk, load_rules(), hall.world.now_s, True)
        work = asyncio.create_task(process.read_tokens())
        try:
            yield hall, process
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await hall.close()


async def until(true, limit_s=90.0):
    async with asyncio.timeout(limit_s):
        while not true():
            await asyncio.sleep(0.1)


def state_of(process, code):
    card = process.screen.cards.get(code)
    return card and card.state


@pytest.mark.vm
def test_pulled_out_during_a_sync_and_put_back(tmp_path):
    async def main():
        async with reading(tmp_path, 1, 3000) as (hall, process):
            (name,) = hall.names
            code = short_code(hall.world.provisioned[name].serial)
            await asyncio.sleep(1)
            hall.world.boards[name].press()
            await until(lambda: state_of(process, code) == "reading" and process.screen.cards[code].done > 500)
            hall.adapter.pull_out()
            await until(lambda: process.screen.trouble == "radio", running.RETRY_S + 2)
            assert state_of(process, code) == "again"
            await asyncio.sleep(20)
            assert process.screen.trouble == "radio"
            await hall.adapter.plug_in()
            await until(lambda: process.screen.trouble is None, 3 * running.RETRY_S)
            await until(lambda: state_of(process, code) == "safe")
            assert hall.check() >= 3000
            await asyncio.sleep(10)  # nobody comes now, and nothing tells of the adapter
            hall.adapter.pull_out()
            await until(lambda: process.screen.trouble == "radio", running.RESTART_SCAN_S + running.RETRY_S)
            await hall.adapter.plug_in()
            await until(lambda: process.screen.trouble is None, 3 * running.RETRY_S)

    clock.run(main())


@pytest.mark.vm
def test_a_loose_plug_loses_nothing(tmp_path):
    """Out and in at any moment, again and again; as soon as it holds, everybody is read."""
    random = Random(7)

    async def main():
        async with reading(tmp_path, 2, 2500) as (hall, process):
            for _ in range(6):
                for name in hall.names:
                    hall.world.boards[name].press()
                await asyncio.sleep(random.uniform(0, 6))
                hall.adapter.pull_out()
                await asyncio.sleep(random.uniform(0, 8))
                await hall.adapter.plug_in()
            await asyncio.sleep(70)  # what is left of earlier presses has run out
            hall.check()
            for name in hall.names:
                hall.world.boards[name].press()
            await hall.finished(hall.names)
            assert hall.check() >= 2 * 2500
            assert process.screen.trouble is None

    clock.run(main())


# --- What bleak raises when BlueZ or its D-Bus goes away -----------------------------------------------------------

GONE = [
    BleakError("not ready"),
    EOFError(),
    OSError(107, "not connected"),
    AssertionError(),
    TimeoutError(),
    KeyError(),
]


class Broken:
    """A scanner or client of which one call fails, or (None) never comes back."""

    mtu_size = 100

    def __init__(self, which: str, error: Exception | None) -> None:
        self._which = which
        self._error = error
        self.services = self
        self.ended = 0

    def get_characteristic(self, uuid):
        return uuid

    async def _call(self, name):
        if name == self._which:
            if self._error is not None:
                raise self._error
            await asyncio.Event().wait()

    async def start(self):
        await self._call("start")

    async def stop(self):
        await self._call("stop")

    async def connect(self):
        await self._call("connect")

    async def start_notify(self, *_):
        await self._call("start_notify")

    async def write_gatt_char(self, *_args, **_options):
        await self._call("write")

    async def disconnect(self):
        self.ended += 1
        await self._call("disconnect")


@pytest.mark.parametrize("error", [*GONE, None], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("which", ["start", "stop"])
def test_a_scan_ends_in_a_sentence(monkeypatch, which, error):
    monkeypatch.setattr(adapter.Adapter, "scanner", lambda *_: Broken(which, error))

    async def main():
        with pytest.raises(AdapterMissing, match="plugged in") if which == "start" else nullcontext():
            async with tokens_in_sync_mode(adapter.real()):
                pass

    clock.run(main())


@pytest.mark.parametrize("error", [*GONE, None], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("which", ["connect", "start_notify", "disconnect"])
def test_a_connection_ends_in_a_sentence_and_in_time(monkeypatch, which, error):
    client = Broken(which, error)
    monkeypatch.setattr(adapter.Adapter, "client", lambda *_: client)

    async def main():
        async with asyncio.timeout(bluetooth.CONNECT_LIMIT_S + 20):
            token = FoundToken(BLEDevice("A", None, None), "7407NX", -50)
            with pytest.raises(LinkLost) if which != "disconnect" else nullcontext():
                async with connected(adapter.real(), token):
                    pass
        assert client.ended == 1

    clock.run(main())


@pytest.mark.parametrize("error", GONE, ids=lambda error: type(error).__name__)
def test_a_write_that_fails_is_a_lost_link(error):
    with pytest.raises(LinkLost):
        clock.run(bluetooth.BleakTransport(Broken("write", error)).write(b"x"))
