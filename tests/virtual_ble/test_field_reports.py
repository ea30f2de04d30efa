"""What others have reported from the field, each shown by the virtual board or prevented by a rule that is tested here.

The numbers are those of the trackers: MicroPython's unless another project is named. Two reports end in the machine
itself, where no virtual board can follow: a panic of the radio's own code when it is switched on late (#14293, #18948),
and a stack that overflows in C (#13680, #12349). For them the firmware's rule is tested: the radio comes first, and
the irq calls no deeper than a handful of small functions. A third, `lightsleep` that kills the radio (#6396, #5778), is
prevented by never calling it.
"""

import asyncio
import contextlib
import itertools
import runpy
import sys
import types
from pathlib import Path

import pytest
from bleak.exc import BleakError
from bumble import hci
from bumble.core import UUID, BaseBumbleError
from bumble.device import Peer
from token_log import read_log

from host_tools.link import bluetooth
from host_tools.link.adapter import virtual
from host_tools.link.errors import LinkLost
from host_tools.link.session import KioskSession
from host_tools.link.synchronise import synchronise
from host_tools.simulation import board as virtual_board
from host_tools.simulation import clock
from host_tools.simulation.board import GATTS_WRITE, VirtualBoard, make_device
from host_tools.simulation.controller import VirtualController
from host_tools.simulation.propagation import stream
from host_tools.simulation.rom import rom_image
from host_tools.simulation.world import World
from host_tools.storage.store import Store
from tracing import keys, phone_wire, wire
from tracing.sightings import SightingRing

pytestmark = pytest.mark.vm

ROOT = Path(__file__).parents[2]
PERIOD_S = 38
SLOT_S = 900
ACTIVE, ADVERTISE, SCAN = 10, 13, 15  # operations of a board
FOR_EVER = 1_000_000


@pytest.fixture
def live(make_scenario, rom, tmp_path):
    """Runs `job(world)` among two tokens a metre apart; returns what it returns."""

    def run(job, devices=None, faults=None, seed=3, image=rom):
        scenario = make_scenario(devices or {"An": "token", "Bình": "token"}, 60)

        async def main():
            world = World(scenario, seed, tmp_path / "run", image)
            try:
                await world.start()
                world.boards["An"].faults.update(faults or {})
                result = await job(world)
                world.check()
                return result
            finally:
                await world.close()

        return clock.run(main())

    return run


@pytest.fixture
def operations(monkeypatch):
    """What the boards ask of their radios: (name, operation, whether it advertised, whether it scanned)."""
    seen = []

    def watched(operation, function):
        def call(self, payload):
            controller = self.controller
            seen.append(
                (self.name, operation, payload, controller.le_legacy_advertiser.enabled, controller.le_scan_enable)
            )
            return function(self, payload)

        return call

    table = {number: watched(number, function) for number, function in VirtualBoard._OPERATIONS.items()}
    monkeypatch.setattr(VirtualBoard, "_OPERATIONS", table)
    return seen


def logged(world, name):
    """The records in a token's flash: id → [(start in s of the scenario, duration in s)]."""
    found: dict[bytes, list[tuple[int, int]]] = {}
    for record in read_log(world, name):
        found.setdefault(record[-1], []).append((record[2] - world.scenario.start_s, record[3]))
    return found


def slots_heard(world, name, other):
    """In which quarters of an hour `name` has heard `other`, counted from the scenario's start."""
    ids = list(keys.day_ids(world.base_id(other)))
    first = keys.slot_of(world.scenario.start_s)
    return {ids.index(ident) - first for ident in logged(world, name) if ident in ids}


def radio_of(world, name, number):
    """The bare radio of somebody else next to the tokens."""
    world._called[name] = (0.5, 0.5, "room")
    return VirtualController(name, world.air, number)


async def stranger(world, name, number):
    """A device of somebody else next to the tokens."""
    device = make_device(name, radio_of(world, name, number))
    await device.power_on()
    return device


async def connect(world, who):
    """Connect to An's token; None when that is impossible."""
    try:
        return await who.connect(world.boards["An"].controller.random_address, timeout=5.0)
    except (TimeoutError, BaseBumbleError):
        return None


async def sync(world, tmp_path, press=True):
    """Bring An to the kiosk and read the log; returns what `synchronise` does."""
    world.call_to_kiosk("An", 0)
    if press:
        world.boards["An"].press()
    code = wire.short_code(world.provisioned["An"].serial)
    adapter = virtual(world.kiosk)
    with Store(tmp_path / "kiosk.sqlite") as store:
        async with asyncio.timeout(60), bluetooth.tokens_in_sync_mode(adapter) as found:
            while (token := await found.get()).short_code != code:
                pass
        async with bluetooth.connected(adapter, token) as transport:
            return await synchronise(KioskSession(transport, world.roots.kiosk, code), store, world.now_s)


# --- The reports -------------------------------------------------------------------------------------------------


def test_14293_18948_the_radio_is_switched_on_before_anything_else(live, operations):
    async def job(_world):
        return [operation for name, operation, *_ in operations if name == "An"]

    first, *others = live(job)
    assert first == ACTIVE
    assert ACTIVE not in others


def test_15538_the_radio_is_quiet_when_it_is_switched_off(live, operations):
    async def job(world):
        await asyncio.sleep(20 * PERIOD_S)
        return world.boards["An"].radio_starts

    starts = live(job, faults={"lose_scan_done": 4, "no_advertise_room": 3})
    offs = [
        (advertising, scanning)
        for _, op, payload, advertising, scanning in operations
        if (op, payload) == (ACTIVE, b"\0")
    ]
    assert starts == 1 + len(offs) >= 3
    assert set(offs) == {(False, False)}


def test_micropython_lib_982_865_an_exception_in_the_handler_does_not_end_scanning(live):
    async def job(world):
        board = world.boards["An"]
        for _ in range(5):
            board._event(GATTS_WRITE, b"\1\0")  # half of its fields are missing: the handler fails
            board._event(99)
        await asyncio.sleep(SLOT_S + 300)
        return slots_heard(world, "An", "Bình")

    assert {0, 1} & live(job) == {0}


def test_13680_12349_the_irq_calls_no_deeper_than_three_functions():
    own = wire.advertisement(bytes(range(12)))
    payloads = [own, phone_wire.phone_advertisement(True), phone_wire.phone_advertisement(False), bytes(31)]
    ring = SightingRing(4)
    depth = deepest = 0

    def profile(_frame, event, _argument):
        nonlocal depth, deepest
        depth += {"call": 1, "return": -1}.get(event, 0)
        deepest = max(deepest, depth)

    sys.setprofile(profile)
    try:
        for _ in range(3):
            for payload in payloads:
                ring.offer(1, b"\xc0\1\2\3\4\5", -60, payload)
    finally:
        sys.setprofile(None)
    assert 2 <= deepest <= 3
    assert ring.dropped > 0  # the way of an overflow is among them


def test_esp_idf_4196_a_scan_that_has_fallen_silent_is_cured_by_a_restart(live):
    async def job(world):
        await asyncio.sleep(3600 - 120)
        before = world.boards["An"].radio_starts
        await asyncio.sleep(3 * SLOT_S)
        return before, world.boards["An"].radio_starts, slots_heard(world, "An", "Bình")

    before, after, slots = live(job, faults={"mute_scan": 1})
    assert (before, after) == (1, 2)
    assert slots - {0} == {4, 5}  # in slot 0 a window may pass before the fault is set


def test_a_token_in_a_drawer_restarts_its_radio_less_and_less_often(live):
    async def job(world):
        starts = []
        for hour in (1.1, 2.0, 4.0):
            await asyncio.sleep(hour * 3600)
            starts.append(world.boards["An"].radio_starts)
        return starts, world.resets

    assert live(job, {"An": "token"}) == ([2, 3, 4], [])


@pytest.mark.parametrize(("lost", "starts", "resets"), [(2, 1, 0), (4, 2, 0), (9, 1, 1)])
def test_esp_idf_4818_5621_scans_that_never_complete(live, lost, starts, resets):
    async def job(world):
        await asyncio.sleep(SLOT_S + 300)
        await asyncio.sleep(SLOT_S)
        return world.boards["An"].radio_starts, len(world.resets), slots_heard(world, "An", "Bình")

    assert live(job, faults={"lose_scan_done": lost}) == (starts, resets, {0, 1})


def test_6396_5778_lightsleep_is_called_in_one_place():
    # There the radio is off, as tests/device/test_light_sleep.py shows; the virtual board has no such sleep.
    sources = [path for folder in ("firmware", "boards") for path in (ROOT / folder).rglob("*.py")]
    assert len(sources) > 20
    calls = {path.name: path.read_text(encoding="utf-8").count("machine.lightsleep(") for path in sources}
    assert {name: count for name, count in calls.items() if count} == {"esp32.py": 1}


def test_esp_idf_9097_notifications_wait_for_room(live, tmp_path):
    async def job(world):
        await asyncio.sleep(SLOT_S + 300)
        world.boards["An"].faults["no_notify_room"] = 200
        result = await sync(world, tmp_path)
        return result.new_records, world.boards["An"].faults

    brought, faults = live(job)
    assert brought > 0
    assert faults == {"no_notify_room": 0}


def test_a_peer_that_takes_nothing_does_not_hold_the_token_up(live, tmp_path):
    async def job(world):
        await asyncio.sleep(60)
        world.boards["An"].faults["no_notify_room"] = FOR_EVER
        with pytest.raises((LinkLost, TimeoutError)):
            await sync(world, tmp_path)
        board = world.boards["An"]
        assert not board.controller.le_connections
        board.faults.clear()
        return await sync(world, tmp_path)

    assert live(job).info.serial


def test_6947_8258_requests_of_more_than_twenty_bytes_arrive_whole(live):
    async def job(world):
        lengths = []
        for _ in range(2):
            phone = await stranger(world, f"phone {len(lengths)}", 80 + len(lengths))
            connection = await connect(world, phone)
            assert connection is not None
            async with Peer(connection) as peer:
                await peer.request_mtu(247)
                control = peer.get_characteristics_by_uuid(UUID(wire.SYNC_CONTROL_UUID))[0]
                await control.write_value(bytes(60), with_response=True)
                board = world.boards["An"]
                lengths += [len(board._values[control.handle])]
            await asyncio.sleep(4 * PERIOD_S)  # in which the radio is started once more
            board.faults["lose_scan_done"] = 3
            await asyncio.sleep(4 * PERIOD_S)
        return lengths, world.boards["An"].radio_starts

    lengths, starts = live(job)
    assert lengths == [60, 60]
    assert starts == 3


def test_5307_disconnections_reported_with_handle_65535(live, tmp_path):
    async def job(world):
        board = world.boards["An"]
        phone = await stranger(world, "phone", 80)
        for _ in range(8):  # twice as many as the table of peers holds
            connection = await connect(world, phone)
            assert connection is not None
            await connection.disconnect()
            await asyncio.sleep(12.0)
        assert board.faults["disconnect_65535"] == 0
        await asyncio.sleep(40.0)
        result = await sync(world, tmp_path)
        return result.info.serial == world.provisioned["An"].serial, len(world.resets), board.radio_starts

    assert live(job, faults={"disconnect_65535": 8}) == (True, 0, 1)


def test_5307_a_kiosk_whose_end_is_not_reported_does_not_stay(live, tmp_path):
    async def job(world):
        board = world.boards["An"]
        board.faults["lose_disconnect"] = 1
        await sync(world, tmp_path)
        assert board.faults["lose_disconnect"] == 0
        await asyncio.sleep(60.0)
        world.boards["An"].press()
        return (await sync(world, tmp_path, press=False)).info.serial

    assert live(job)


def test_esp_idf_2732_connections_that_break_without_goodbye(live, tmp_path):
    async def job(world):
        phone = await stranger(world, "phone", 80)
        for _ in range(6):
            connection = await connect(world, phone)
            assert connection is not None
            await asyncio.sleep(1.0)
            assert connection.handle not in phone.connections
            await asyncio.sleep(4.0)
            assert world.boards["An"].controller.le_legacy_advertiser.enabled
        return (await sync(world, tmp_path)).info.serial

    assert live(job, faults={"drop_connection": 6})


def test_circuitpython_6012_a_token_never_scans_while_it_advertises(live, operations):
    async def job(world):
        await asyncio.sleep(SLOT_S)
        world.boards["An"].press()
        await asyncio.sleep(120)

    live(job, {"An": "token", "Bình": "token", "Lan": "iphone"})
    scans = [advertising for _, operation, _, advertising, _ in operations if operation == SCAN]
    starts = [scanning for _, operation, _, _, scanning in operations if operation == ADVERTISE]
    assert len(scans) > 40
    assert len(starts) > 40
    assert not any(scans)
    assert not any(starts)


def test_circuitpython_8995_malformed_advertisements(live):
    async def job(world):
        random = stream(1, "malformed")
        sender = radio_of(world, "attacker", 80)
        sane = [
            wire.advertisement(bytes(12)),
            phone_wire.phone_advertisement(True),
            phone_wire.phone_advertisement(False),
        ]

        def payload():
            kind = random.randrange(4)
            if kind == 0:
                return random.randbytes(random.randrange(32))
            data = bytearray(sane[kind - 1])
            for _ in range(random.randrange(3)):
                data[random.randrange(len(data))] = random.randrange(256)
            return bytes(data[: random.randrange(len(data) + 1)])

        heard = 0
        for event in range(40 * 1000):
            if world.air.listeners:
                sender.tx_gain_db = random.choice((-30.0, 0.0, 60.0))  # strengths that cannot be, too
                sender.new_random_address()
                world.air.advertise(sender, event, bool(event % 2), payload())
                heard += 1
                if event % 7 == 0:
                    for board in world.boards.values():
                        board._report(hci.Address(random.randbytes(6)), 0, 127, payload())
            await asyncio.sleep(0.025)
        await asyncio.sleep(200)
        return heard, slots_heard(world, "An", "Bình"), logged(world, "An"), list(keys.day_ids(world.base_id("Bình")))

    heard, slots, found, ids = live(job)
    assert heard > 300
    assert slots == {0}
    # An id with a byte or two changed is a sane one still: it is somebody's.
    assert all(sum(map(bool, ident)) <= 2 for ident in set(found) - set(ids))


def test_5337_nothing_written_is_lost_when_the_power_is_cut(live):
    async def job(world):
        await asyncio.sleep(SLOT_S + 300)
        before = logged(world, "An")
        for cut in range(6):
            await asyncio.sleep(7.3 * cut + 1)
            world.processes.kill(world.boards["An"])
            await world.restart_token("An")
        await asyncio.sleep(SLOT_S)
        return before, logged(world, "An")

    before, after = live(job)
    assert before
    for ident, spans in before.items():
        assert after[ident][: len(spans)] == spans
    assert len(after) > len(before)


def test_16142_a_technician_can_interrupt_before_the_radio_starts(monkeypatch):
    steps = []

    def sleep_ms(ms):
        steps.append(("sleep_ms", ms))

    class Token:
        def __init__(self, _board):
            steps.append(("token", 0))

        def run(self):
            raise KeyboardInterrupt

    stand_ins = {
        "machine": {"reset": lambda: steps.append(("reset", 0))},
        "time": {"sleep_ms": sleep_ms},
        "gc": {"threshold": lambda _bytes: None},
        "app": {"Token": Token},
        "board": {"Board": object},
    }
    for name, names in stand_ins.items():
        module = types.ModuleType(name)
        module.__dict__.update(names)
        monkeypatch.setitem(sys.modules, name, module)
    with pytest.raises(KeyboardInterrupt):
        runpy.run_path(str(ROOT / "firmware/main.py"))
    assert steps[0][0] == "sleep_ms"
    assert steps[0][1] >= 2000
    assert steps[1:] == [("token", 0)]


# --- What else a radio does ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("times", "starts", "resets"), [(2, 1, 0), (5, 2, 0), (12, 2, 1)])
def test_a_scan_that_is_refused_as_already_running(live, times, starts, resets):
    async def job(world):
        await asyncio.sleep(2 * SLOT_S + 300)
        return world.boards["An"].radio_starts, len(world.resets), slots_heard(world, "An", "Bình")

    found_starts, found_resets, slots = live(job, faults={"busy_scan": times})
    assert (found_starts, found_resets) == (starts, resets)
    assert 1 in slots


@pytest.mark.parametrize(("times", "starts", "resets"), [(2, 1, 0), (4, 2, 0), (10, 1, 1)])
def test_an_advertisement_for_which_there_is_no_room(live, times, starts, resets):
    async def job(world):
        await asyncio.sleep(PERIOD_S)
        board = world.boards["An"]
        board.faults["no_advertise_room"] = times
        await asyncio.sleep(3 * PERIOD_S)
        board = world.boards["An"]
        return board.radio_starts, len(world.resets), board.controller.le_legacy_advertiser.enabled

    assert live(job) == (starts, resets, True)


@pytest.mark.parametrize(("times", "starts", "resets"), [(1, 2, 0), (3, 4, 0), (6, 2, 1)])
def test_an_address_that_is_refused_never_meets_a_new_id(live, times, starts, resets):
    frames = []

    async def job(world):
        world.air.frames.append(lambda at_s, name, address, payload: frames.append((name, address, payload)))
        world.boards["An"].faults["refuse_address"] = times
        await asyncio.sleep(2 * SLOT_S)
        return world.boards["An"].radio_starts, len(world.resets)

    assert live(job) == (starts, resets)
    own = {(address, payload) for name, address, payload in frames if name == "An"}
    assert len({address for address, _ in own}) == len(own)  # no address under two ids
    assert len({payload for _, payload in own}) == 2
    assert not any(address.startswith("C0:00") for address, _ in own)  # the radio's own, the same after every start


def test_a_watchdog_that_starves_resets_the_board_and_nothing_is_forgotten(live, monkeypatch):
    async def job(world):
        await asyncio.sleep(2 * SLOT_S)
        fed = list(world.resets)
        before = logged(world, "An")
        monkeypatch.setattr(virtual_board, "WATCHDOG_S", 20.0)  # less than any token needs to make progress
        await asyncio.sleep(3 * PERIOD_S)
        monkeypatch.undo()
        starved = {name for _, name, reason in world.resets if reason == "watchdog"}
        await asyncio.sleep(2 * SLOT_S)
        return fed, starved, before, logged(world, "An")

    fed, starved, before, after = live(job)
    assert fed == []
    assert starved == {"An", "Bình"}
    assert before
    assert before.items() <= after.items()
    assert len(after) > len(before)


def test_whoever_connects_and_says_nothing_is_sent_away(live):
    async def job(world):
        phone = await stranger(world, "phone", 80)
        connection = await connect(world, phone)
        assert connection is not None
        lasted_s = 0
        while connection.handle in phone.connections:
            await asyncio.sleep(1.0)
            lasted_s += 1
        return lasted_s

    assert 30 <= live(job) <= 36


def test_a_corridor_full_of_holders_leaves_the_kiosk_a_place(live, tmp_path):
    async def job(world):
        holding = []

        async def hold(number):
            device = await stranger(world, f"holder {number}", 80 + number)
            while True:
                connection = await connect(world, device)
                if connection is None:
                    continue
                holding.append(number)
                while connection.handle in device.connections:
                    await asyncio.sleep(0.5)

        holders = [asyncio.create_task(hold(number)) for number in range(6)]
        await asyncio.sleep(60.0)
        assert len(set(holding)) == 6
        result = None
        for _ in range(5):
            with contextlib.suppress(LinkLost, TimeoutError):
                result = await sync(world, tmp_path)
                break
        for holder in holders:
            holder.cancel()
        await asyncio.sleep(SLOT_S + 300)
        return result, slots_heard(world, "An", "Bình"), len(world.resets)

    result, slots, resets = live(job)
    assert result is not None
    assert slots >= {0}
    assert resets == 0


def test_an_attacker_who_writes_without_consent_does_not_make_the_token_deaf(live, operations):
    async def job(world):
        device = await stranger(world, "attacker", 80)
        board = world.boards["An"]
        control = min(board._limits)
        visits = 0

        async def pester():
            nonlocal visits
            while True:
                connection = await connect(world, device)
                if connection is None:
                    continue
                with contextlib.suppress(BaseBumbleError, TimeoutError):
                    await connection.gatt_client.write_value(control, bytes(20), with_response=True)
                    visits += 1
                while connection.handle in device.connections:
                    await asyncio.sleep(0.1)

        task = asyncio.create_task(pester())
        await asyncio.sleep(6 * PERIOD_S)
        task.cancel()
        return visits

    visits = live(job)
    assert visits > 60
    assert 6 <= sum(name == "An" and operation == SCAN for name, operation, *_ in operations) <= 8


def test_a_held_session_ends_when_the_wearer_presses_again(live, tmp_path):
    async def job(world):
        code = wire.short_code(world.provisioned["An"].serial)
        world._called["attacker"] = (0.5, 0.5, "room")
        attacker = make_device("attacker", VirtualController("attacker", world.air, 80))
        await attacker.power_on()
        adapter = virtual(attacker)
        world.boards["An"].press()
        async with asyncio.timeout(30), bluetooth.tokens_in_sync_mode(adapter) as found:
            while (token := await found.get()).short_code != code:
                pass
        async with bluetooth.connected(adapter, token) as transport:
            session = KioskSession(transport, world.roots.kiosk, code)
            await session.hello()

            async def hold():
                while True:
                    await session.info()
                    await asyncio.sleep(5.0)

            holding = asyncio.create_task(hold())
            await asyncio.sleep(90.0)
            assert not holding.done()
            world.boards["An"].press()
            await asyncio.sleep(3.0)
            result = await sync(world, tmp_path, press=False)
            with pytest.raises((LinkLost, BleakError)):
                await holding
        return result.info.serial

    assert live(job)


def test_a_thousand_restarts_of_the_radio_leave_the_heap_flat(live):
    source = (ROOT / "boards/virtual/start.py").read_text(encoding="utf-8")
    assert "Token(Board()).run()" in source
    restarts = (
        "import gc\n        token = Token(Board())\n        token.start()\n        for i in range(1001):\n"
        "            token.radio.restart()\n            token._advertise()\n            if i % 500 == 0:\n"
        "                gc.collect()\n                print('heap', gc.mem_alloc())\n        token.run()"
    )
    image = rom_image(source.replace("Token(Board()).run()", restarts))

    async def job(world):
        await asyncio.sleep(SLOT_S + 300)
        return world.boards["An"].radio_starts, world.processes.output("An"), slots_heard(world, "An", "Bình")

    starts, output, slots = live(job, image=image)
    heaps = [int(line.split()[1]) for line in output.splitlines() if line.startswith("heap")]
    assert starts == 1002
    assert len(heaps) == 3
    assert all(later - earlier <= 64 for earlier, later in itertools.pairwise(heaps))
    assert slots == {0}
