"""The radio over `_bleio`: what the stack refuses, who may connect, what is on the air meanwhile."""

import asyncio
import importlib
import types
from collections.abc import Callable
from typing import Any

import pytest
from bleio_stand_in import BluetoothError, Chip
from bumble.core import UUID, BaseBumbleError
from bumble.device import Device, Peer
from circuit_room import Room
from circuit_token import ROOT, importing, module
from fiber import Fiber

from host_tools.simulation.board import make_device
from host_tools.simulation.controller import VirtualController
from host_tools.simulation.phones import AndroidPhone, IPhone
from tracing import wire
from tracing.errors import RadioError
from tracing.sightings import SightingRing

START_S = 1597021200
ID_A, ID_B = bytes(range(12)), bytes(range(12, 24))
SCAN_US = 90_000


class Bench:
    """A BleioRadio by itself.

    Attributes:
        radio, ring, chip: it, what it fills, and what is below it.
        air: payloads and addresses that it had on the air, with repetitions.
        connectable: the report types of its advertisements as others hear them.
    """

    def __init__(self, room: Room) -> None:
        self.room = room
        self.chip = Chip("token", room.air, 0)
        self.ring = SightingRing(40)
        self.blocked = 0
        loop = asyncio.get_running_loop()
        modules = {
            "_bleio": self.chip.module(),
            "micropython": module("micropython", const=lambda value: value),
            "os": module("os", urandom=self.chip.controller.random.randbytes),
            "supervisor": module("supervisor", ticks_ms=lambda: loop.now_ms & 0x1FFFFFFF),  # type: ignore[attr-defined]
        }
        with importing(modules, (ROOT / "firmware",)):
            made = importlib.import_module("adapters.bleio_radio")
        self.radio: Any = made.BleioRadio(self.ring, self.wait, self._block)

    def _block(self) -> None:
        self.blocked += 1

    def wait(self, ms: int, woken: Callable[[], bool]) -> None:
        """The power port's."""
        loop: Any = asyncio.get_running_loop()
        end_ms = loop.now_ms + ms
        while loop.now_ms < end_ms and not woken():
            self.chip.fiber.sleep(0.01)

    async def run(self, program: Callable[[], Any]) -> Any:
        """Run a blocking program on the board, to its end; returns its result."""
        self.chip.fiber = Fiber(program)
        return await self.chip.fiber.start().done

    async def begin(self) -> None:
        """Switch the radio on and advertise id A."""

        def program() -> None:
            self.radio.start()
            self.radio.change_identity(ID_A)
            self.radio.advertise(wire.advertisement(ID_A), 250_000)

        await self.chip.device.power_on()
        await self.run(program)

    async def wait_ms(self, ms: int) -> None:
        """The app's wait, again and again, advertising when it has ended."""

        def program() -> None:
            loop: Any = asyncio.get_running_loop()
            end_ms = loop.now_ms + ms
            while loop.now_ms < end_ms:
                if not self.radio.advertising:
                    self.radio.advertise(wire.advertisement(ID_A), 250_000)
                self.radio.wait(end_ms - loop.now_ms)

        await self.run(program)

    @property
    def on_air(self) -> bool:
        return self.chip.controller.le_legacy_advertiser.enabled

    @property
    def is_connectable(self) -> bool:
        return self.on_air and self.chip.controller.le_legacy_advertiser.advertising_type == 0

    async def central(self, name: str, number: int) -> Device:
        """Somebody with a phone or a kiosk."""
        device = make_device(name, VirtualController(name, self.room.air, number))
        await device.power_on()
        return device


def at_bench(live: Any, story: Callable[[Bench], Any]) -> Any:
    """Run a coroutine function of a Bench whose radio advertises."""

    async def main(room: Room) -> Any:
        bench = Bench(room)
        await bench.begin()
        return await story(bench)

    return live(main)


async def characteristic(peer: Peer, uuid: str) -> Any:
    await peer.discover_services()
    for service in peer.services:
        await service.discover_characteristics()
    return peer.get_characteristics_by_uuid(UUID(uuid))[0]


def test_a_scan_begins_when_advertising_has_stopped_and_the_name_tells_nothing(live: Any) -> None:
    async def story(bench: Bench) -> None:
        with pytest.raises(BluetoothError):
            bench.chip.adapter.start_scan()
        assert await bench.run(lambda: bench.radio.scan(270, SCAN_US, lambda: None))
        assert bench.radio.faults == 0
        assert not bench.radio.advertising
        assert bench.chip.adapter.name == "Bluezone"

    at_bench(live, story)


def test_a_window_hears_neighbours_however_weak_and_asks_nobody(live: Any) -> None:
    async def story(bench: Bench) -> list[tuple]:
        phone = AndroidPhone(
            "Khoa", bench.room.air, 1, bytes(32), START_S, lambda: START_S + asyncio.get_running_loop().time()
        )
        phone.controller.tx_gain_db = -25.0
        await phone.start()
        await asyncio.sleep(16)
        heard = []

        def program() -> None:
            for _ in range(40):
                bench.radio.scan(270, SCAN_US, lambda: None)
                assert bench.chip.controller.le_scan_type == 0  # an answer would cost the phone's battery
                bench.wait(1000, bool)

        await bench.run(program)
        while True:
            sighting = bench.ring.take()
            if sighting is None:
                return heard
            heard.append(sighting)

    heard = at_bench(live, story)
    assert {kind for kind, *_ in heard} == {wire.BLUEZONE_ID}
    assert min(rssi_dbm for _, rssi_dbm, *_ in heard) < -80  # CircuitPython's own limit


def test_a_crowd_is_drained_in_between(live: Any) -> None:
    async def story(bench: Bench) -> tuple[int, int, int]:
        room = bench.room
        for number in range(1, 31):
            chip = VirtualController(f"neighbour {number}", room.air, number)
            chip.le_legacy_advertiser.advertising_interval_min = 160
            chip.le_legacy_advertiser.own_address_type = 1
            chip.le_legacy_advertiser.advertising_data = wire.advertisement(bytes([number]) * 12)
            chip.le_legacy_advertiser.start()
        await asyncio.sleep(1)
        taken = []

        def drain() -> None:
            while True:
                sighting = bench.ring.take()
                if sighting is None:
                    return
                taken.append(sighting)

        await bench.run(lambda: bench.radio.scan(270, SCAN_US, drain))
        drain()
        return len(taken), bench.ring.dropped, bench.ring.heard

    taken, dropped, heard = at_bench(live, story)
    assert dropped == 0
    assert taken == heard > 40  # more than the ring holds


def test_id_and_address_change_together_while_nothing_is_on_the_air(live: Any) -> None:
    async def story(bench: Bench) -> list[tuple[str, bytes]]:
        def program() -> None:
            bench.wait(2000, bool)
            bench.radio.change_identity(ID_B)
            assert not bench.on_air
            bench.radio.advertise(wire.advertisement(ID_B), 250_000)
            bench.wait(2000, bool)

        await bench.run(program)
        return [(address, payload) for _, _, address, payload in bench.room.frames]

    frames = at_bench(live, story)
    pairs = set(frames)
    assert {payload for _, payload in pairs} == {wire.advertisement(ID_A), wire.advertisement(ID_B)}
    assert len(pairs) == len({address for address, _ in pairs}) == 2
    assert all(int(address[:2], 16) >> 6 == 3 for address, _ in pairs)  # static random


def test_a_radio_that_keeps_its_address_is_restarted_and_then_given_up(live: Any) -> None:
    async def story(bench: Bench) -> None:
        bench.chip.refuses_addresses = True
        with pytest.raises(RadioError, match="address"):
            await bench.run(lambda: bench.radio.change_identity(ID_B))
        assert not bench.on_air
        assert bench.radio.restarts == 4
        frames = len(bench.room.frames)
        await asyncio.sleep(10)
        assert len(bench.room.frames) == frames
        # One that comes to its senses after a restart goes on, with its services.
        asyncio.get_running_loop().call_later(0.5, setattr, bench.chip, "refuses_addresses", False)
        await bench.run(lambda: bench.radio.change_identity(ID_B))
        await bench.run(lambda: bench.radio.advertise(wire.advertisement(ID_B), 250_000))
        phone = await bench.central("phone", 1)
        connection = await phone.connect(bench.chip.controller.random_address, timeout=5)
        async with Peer(connection) as peer:
            assert await (await characteristic(peer, wire.ID_CHARACTERISTIC_UUID)).read_value() == ID_B

    at_bench(live, story)


def test_a_radio_that_refuses_to_scan_is_restarted_and_then_given_up(live: Any) -> None:
    async def story(bench: Bench) -> None:
        def scan() -> bool:
            return bench.radio.scan(270, SCAN_US, lambda: None)

        bench.chip.refuses_scans = True
        assert [await bench.run(scan) for _ in range(3)] == [False] * 3
        assert bench.radio.restarts == 1
        bench.chip.refuses_scans = False
        assert await bench.run(scan)
        bench.chip.refuses_scans = True
        for _ in range(8):
            assert not await bench.run(scan)
        with pytest.raises(RadioError):
            await bench.run(scan)

    at_bench(live, story)


def test_a_radio_that_hears_nothing_for_an_hour_is_restarted_more_and_more_seldom(live: Any) -> None:
    async def story(bench: Bench) -> list[int]:
        bench.radio.pause()
        restarts = []

        def program() -> None:
            for window in range(300):
                bench.radio.scan(270, SCAN_US, lambda: None)
                if len(restarts) < bench.radio.restarts:
                    restarts.append(window)

        await bench.run(program)
        return restarts

    assert at_bench(live, story) == [95, 95 + 192]


def test_a_guest_reads_the_id_while_others_still_see_it_but_cannot_connect(live: Any) -> None:
    async def story(bench: Bench) -> None:
        phone, other = await bench.central("phone", 1), await bench.central("other", 2)
        address = bench.chip.controller.random_address
        waiting = asyncio.create_task(bench.wait_ms(60_000))
        connection = await phone.connect(address, timeout=5)
        await asyncio.sleep(1)
        assert bench.on_air
        assert not bench.is_connectable
        with pytest.raises(BaseBumbleError):
            await other.connect(address, timeout=3)
        async with Peer(connection) as peer:
            assert await (await characteristic(peer, wire.ID_CHARACTERISTIC_UUID)).read_value() == ID_A
        await connection.disconnect()
        await asyncio.sleep(1)
        assert bench.is_connectable
        second = await other.connect(address, timeout=5)
        gone = asyncio.get_running_loop().create_future()
        second.on("disconnection", gone.set_result)
        began_s = asyncio.get_running_loop().time()
        await gone  # it stays: the token ends that
        assert 9 <= asyncio.get_running_loop().time() - began_s <= 12
        await asyncio.sleep(1)
        assert bench.is_connectable
        assert bench.radio.kiosk == -1
        await waiting

    at_bench(live, story)


def test_a_guest_is_gone_before_the_id_changes(live: Any) -> None:
    async def story(bench: Bench) -> None:
        phone = await bench.central("phone", 1)
        connecting = asyncio.create_task(phone.connect(bench.chip.controller.random_address, timeout=5))
        await bench.wait_ms(3000)
        connection = await connecting
        gone = []
        connection.on("disconnection", gone.append)

        def program() -> None:
            bench.radio.change_identity(ID_B)
            assert gone
            assert not bench.radio.is_connected()

        await bench.run(program)

    at_bench(live, story)


def test_a_kiosk_writes_and_is_answered_fragment_by_fragment(live: Any) -> None:
    async def story(bench: Bench) -> None:
        kiosk = await bench.central("kiosk", 1)
        waiting = asyncio.create_task(bench.wait_ms(4000))
        connection = await kiosk.connect(bench.chip.controller.random_address, timeout=5)
        async with Peer(connection) as peer:
            await peer.request_mtu(247)
            control = await characteristic(peer, wire.SYNC_CONTROL_UUID)
            data = peer.get_characteristics_by_uuid(UUID(wire.SYNC_DATA_UUID))[0]
            notified: list[bytes] = []
            await peer.subscribe(data, notified.append)
            await control.write_value(b"one", with_response=True)
            await control.write_value(b"two", with_response=True)
            await waiting
            radio = bench.radio
            handle = radio.kiosk
            assert handle >= 0
            fragments = [bytes([number]) * size for number, size in enumerate((3, 3, 244, 20, 244, 244, 244, 244, 1))]

            def program() -> list[bytes | None]:
                assert radio.fragment_bytes() == 244
                for fragment in fragments:
                    assert radio.notify(handle, memoryview(fragment))
                taken = [radio.take_fragment() for _ in range(3)]
                bench.wait(500, bool)
                return taken

            assert await bench.run(program) == [b"one", b"two", None]
            assert notified == fragments
            # The kiosk may stay across the end of a slot; nothing of its session can be read by the next one.
            await bench.run(lambda: radio.change_identity(ID_B))
            assert radio.kiosk == handle

            def hang_up() -> None:
                radio.disconnect(handle)
                bench.wait(500, bool)
                radio.wait(1)

            await bench.run(hang_up)
            assert radio.kiosk == -1
        with pytest.raises(OSError, match="5"):
            await bench.run(lambda: radio.notify(handle, b"more"))
        assert radio._data.value == b""

    at_bench(live, story)


def test_two_visits_in_a_row_have_two_handles_and_share_no_request(live: Any) -> None:
    async def story(bench: Bench) -> None:
        kiosk = await bench.central("kiosk", 1)
        handles = []
        for _ in range(2):
            waiting = asyncio.create_task(bench.wait_ms(3000))
            connection = await kiosk.connect(bench.chip.controller.random_address, timeout=5)
            async with Peer(connection) as peer:
                control = await characteristic(peer, wire.SYNC_CONTROL_UUID)
                for request in (b"one", b"left", b"over"):
                    await control.write_value(request, with_response=True)
                await waiting
                handles.append(bench.radio.kiosk)
                assert bench.radio.take_fragment() == b"one"
            await connection.disconnect()
            await bench.wait_ms(1000)
            assert bench.radio.take_fragment() is None
        assert handles[0] != handles[1]

    at_bench(live, story)


async def iphone(bench: Bench, phone_class: type[IPhone] = IPhone) -> Any:
    phone = phone_class(
        "Lan", bench.room.air, 1, bytes(32), START_S, lambda: START_S + asyncio.get_running_loop().time()
    )
    await phone.start()
    await asyncio.sleep(1)  # it takes a fresh address first
    return phone


def read_phone(bench: Bench, phone: IPhone) -> Callable[[], bytes]:
    address = phone.controller.random_address
    return lambda: bench.radio.read_phone_id(int(address.is_random), bytes(address), 5000)


def test_an_iphone_is_read_while_the_token_stays_on_the_air(live: Any) -> None:
    async def story(bench: Bench) -> None:
        phone = await iphone(bench)
        program = read_phone(bench, phone)
        assert await bench.run(program) == phone.own_id
        assert bench.blocked == 1
        assert not bench.radio.advertising  # the app puts it on again, connectable
        assert not bench.chip.connections
        phone.stop()
        frames = len(bench.room.frames)
        assert await bench.run(program) == b""  # it has gone
        on_air = [name for _, name, *_ in bench.room.frames[frames:]]
        assert on_air.count("token") > 10
        assert bench.radio.faults == 0

    at_bench(live, story)


def test_nobody_can_connect_while_the_token_waits_for_a_phone(live: Any) -> None:
    async def story(bench: Bench) -> None:
        phone = await iphone(bench)
        phone.stop()
        kiosk = await bench.central("kiosk", 2)
        reading = asyncio.create_task(bench.run(read_phone(bench, phone)))
        await asyncio.sleep(0.5)
        with pytest.raises(BaseBumbleError):
            await kiosk.connect(bench.chip.controller.random_address, timeout=3)
        assert await reading == b""
        waiting = asyncio.create_task(bench.wait_ms(5000))
        await kiosk.connect(bench.chip.controller.random_address, timeout=3)
        await waiting

    at_bench(live, story)


@pytest.mark.parametrize("stays", [False, True])
def test_a_phone_that_is_read_is_never_taken_for_a_kiosk(live: Any, stays: bool) -> None:
    """Whatever it writes meanwhile, and even when it does not let go of the connection."""

    class Intruder(IPhone):
        wrote = False

        def _connected(self, connection) -> None:
            super()._connected(connection)
            self._spawn(self._write(connection))

        async def _write(self, connection) -> None:
            server = bench_of[0].chip.device.gatt_server
            control = next(found for found in server.attributes if found.type == UUID(wire.SYNC_CONTROL_UUID))
            await connection.gatt_client.write_value(control.handle, b"hello", with_response=True)
            self.wrote = True

    bench_of: list[Bench] = []

    async def story(bench: Bench) -> None:
        bench_of.append(bench)
        phone = await iphone(bench, Intruder)
        bench.chip.keeps_connections = stays
        assert await bench.run(read_phone(bench, phone)) == phone.own_id
        assert phone.wrote
        await bench.wait_ms(2000)
        assert bool(bench.chip.connections) == stays
        assert not bench.radio.is_connected()
        assert bench.radio.kiosk == -1
        assert bench.radio.take_fragment() is None
        assert bench.is_connectable
        guest = await bench.central("guest", 2)
        connecting = asyncio.create_task(guest.connect(bench.chip.controller.random_address, timeout=5))
        await bench.wait_ms(2000)
        await connecting
        assert bench.radio.is_connected()
        assert bench.radio.kiosk == -1
        bench.chip.keeps_connections = False
        await bench.run(lambda: bench.radio.change_identity(ID_B))  # sends the guest away
        bench.chip.keeps_connections = stays
        if stays:
            assert await bench.run(read_phone(bench, phone)) == b""  # one at a time
            bench.chip.keeps_connections = False
            bench.chip.drop_links()
            await asyncio.sleep(1)
        assert await bench.run(read_phone(bench, phone)) == phone.own_id

    at_bench(live, story)


def test_no_phone_is_read_while_a_guest_is_there(live: Any) -> None:
    async def story(bench: Bench) -> None:
        phone = await iphone(bench)
        guest = await bench.central("guest", 2)
        connecting = asyncio.create_task(guest.connect(bench.chip.controller.random_address, timeout=5))
        await bench.wait_ms(2000)
        await connecting
        assert await bench.run(read_phone(bench, phone)) == b""
        assert bench.blocked == 0

    at_bench(live, story)


def test_a_press_ends_a_wait(live: Any) -> None:
    async def story(bench: Bench) -> float:
        loop = asyncio.get_running_loop()
        loop.call_later(3.0, bench.radio.wake)
        began_s = loop.time()
        await bench.run(lambda: bench.radio.wait(60_000))
        return loop.time() - began_s

    assert at_bench(live, story) == pytest.approx(3.0, abs=0.05)


def test_the_counter_wraps_in_between(live: Any) -> None:
    """The clock that all of this runs by, over CircuitPython's counter of 2^29 ms."""
    now = types.SimpleNamespace(ms=(1 << 29) - 1500)
    modules = {"supervisor": module("supervisor", ticks_ms=lambda: now.ms % (1 << 29))}
    with importing(modules, (ROOT / "firmware",)):
        ticks = importlib.import_module("adapters.supervisor_ticks")
        clock = importlib.import_module("adapters.clock").Clock()
    clock.set(START_S)
    begin = ticks.ticks_ms()
    for _ in range(40):
        now.ms += 100_000_000
        clock.now()
    assert clock.now() == START_S + 4_000_000
    assert clock.uptime_ms() == 4_000_000_000
    assert ticks.ticks_diff(ticks.ticks_add(begin, 5000), begin) == 5000
    assert ticks.ticks_diff(begin, ticks.ticks_add(begin, 5000)) == -5000
