"""The whole firmware on CircuitPython's ports, beside a token on the MicroPython VM, an iPhone and the kiosk."""

import asyncio
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from circuit_token import LOG_BLOCKS, CircuitToken

from host_tools.link import bluetooth
from host_tools.link.adapter import virtual
from host_tools.link.session import KioskSession
from host_tools.link.synchronise import SyncResult, synchronise
from host_tools.provisioning.token_keys import Roots, token_keys
from host_tools.simulation import clock, scenario
from host_tools.simulation.rom import rom_image
from host_tools.simulation.world import World
from host_tools.storage.store import Store
from tracing import keys, kiosk_messages, wire
from tracing.state import StateStore

pytestmark = pytest.mark.vm

SERIAL = b"\x07CIRCUIT"
BASE_ID = bytes(range(32))
MINUTES = 36
SCENARIO = """
title = "test"
start = 2020-08-10T08:10:30+07:00
minutes = 60
kiosk = "kiosk"
[radio]
[places]
kiosk = { at = [50.0, 50.0], room = "hall" }
seat_0 = { at = [0.0, 0.0], room = "room" }
seat_1 = { at = [2.0, 0.0], room = "room" }
[[people]]
name = "An"
device = "token"
stays = [["00:00", "seat_0"]]
[[people]]
name = "Lan"
device = "iphone"
stays = [["00:00", "seat_1"]]
"""


@dataclass
class Morning:
    """What came of it: An has a token on the VM, Chi one on CircuitPython, Lan an iPhone."""

    start_s: int = 0
    frames: list[tuple[float, str, str, bytes]] = field(default_factory=list)
    given: dict[str, bytes] = field(default_factory=dict)  # base ids
    heard: dict[str, set[bytes]] = field(default_factory=dict)
    syncs: list[SyncResult] = field(default_factory=list)  # Chi's: before the power cut, and after it
    connected: int = 0
    lan_heard: set[bytes] = field(default_factory=set)
    faults: list[int] = field(default_factory=list)
    fed: int = 0


async def sync(world: World, store: Store, press: Any, code: str) -> SyncResult:
    """The wearer presses, the kiosk reads."""
    press(2.0)
    adapter = virtual(world.kiosk)
    async with asyncio.timeout(60):
        async with bluetooth.tokens_in_sync_mode(adapter) as found:
            token = await found.get()
            while token.short_code != code:
                token = await found.get()
        async with bluetooth.connected(adapter, token) as transport:
            session = KioskSession(transport, world.roots.kiosk, code)
            result = await synchronise(session, store, world.now_s)
            await session.show_verdict(kiosk_messages.VERDICT_SAFE)
            await session.bye()
    await asyncio.sleep(2)
    return result


def provision(file_store: Any, path: Path, roots: Roots, now_s: int) -> None:
    """As a technician's tool does."""
    given = token_keys(roots, SERIAL, BASE_ID, keys.day_of(now_s), bytes(16))
    with path.open("r+b", buffering=0) as file:
        StateStore(file_store.FileStore(file, int, LOG_BLOCKS + 2), 0, 1).save(given.state(now_s))


@pytest.fixture(scope="module")
def morning(tmp_path_factory: pytest.TempPathFactory, file_store: Any) -> Morning:
    """36 minutes side by side; then both at the kiosk; then Chi's battery comes out, and once more to the kiosk."""
    folder = tmp_path_factory.mktemp("morning")
    (folder / "scenario.toml").write_text(SCENARIO, encoding="utf-8")
    log_file = folder / "contacts.log"
    file_store.make_file(log_file, LOG_BLOCKS + 2)
    told = Morning()

    async def main() -> None:
        world = World(scenario.load(folder / "scenario.toml"), 5, folder / "run", rom_image())
        told.start_s = world.scenario.start_s
        world.air.frames.append(
            lambda at_s, name, address, payload: told.frames.append((at_s + told.start_s, name, address, payload))
        )
        provision(file_store, log_file, world.roots, told.start_s)
        try:
            await world.start()
            world._called["Chi"] = (0.0, 1.0, "room")
            chi = await CircuitToken("Chi", world.air, 50, log_file).power_on()
            await asyncio.sleep(1)
            chi.app.clock.set(int(world.now_s()))  # as after an earlier sync
            world.phones["Lan"].device.on("connection", lambda _link: setattr(told, "connected", told.connected + 1))
            await asyncio.sleep(MINUTES * 60)
            world.check()
            chi.check()
            told.given = {"An": world.base_id("An"), "Chi": BASE_ID, "Lan": world.base_id("Lan")}
            with Store(folder / "kiosk.sqlite") as store:
                world.call_to_kiosk("An", 0)
                an_serial = world.provisioned["An"].serial
                await sync(world, store, world.boards["An"].press, wire.short_code(an_serial))
                world.call_to_kiosk("Chi", 1)
                told.syncs.append(await sync(world, store, chi.press, wire.short_code(SERIAL)))
                told.faults.append(chi.app.radio.faults)
                told.fed = chi.fed
                chi.power_off()
                again = await CircuitToken("Chi", world.air, 51, log_file).power_on()
                await asyncio.sleep(60)
                again.check()
                told.syncs.append(await sync(world, store, again.press, wire.short_code(SERIAL)))
                again.check()
                again.power_off()
                for name, serial in (("An", an_serial), ("Chi", SERIAL)):
                    told.heard[name] = {encounter.bluezone_id for encounter in store.encounters(serial)}
            told.lan_heard = {row.peer_id for row in world.phones["Lan"].log}
            world.check()
        finally:
            await world.close()

    clock.run(main())
    return told


def ids_of(morning: Morning, name: str) -> list[bytes]:
    return list(keys.day_ids(morning.given[name]))


@pytest.mark.parametrize(("hearer", "heard"), [("An", "Chi"), ("Chi", "An")])
def test_two_kinds_of_token_hear_each_other(morning: Morning, hearer: str, heard: str) -> None:
    slot = keys.slot_of(morning.start_s)
    expected = ids_of(morning, heard)[slot : slot + 3]
    assert set(expected) <= morning.heard[hearer]


def test_what_is_logged_was_on_the_air(morning: Morning) -> None:
    everything = {ident for name in morning.given for ident in keys.day_ids(morning.given[name])}
    assert morning.heard["Chi"] <= everything


def test_the_iphone_is_read_and_reads(morning: Morning) -> None:
    assert morning.heard["Chi"] & set(ids_of(morning, "Lan"))
    assert morning.lan_heard & set(ids_of(morning, "Chi"))
    assert morning.connected <= 2 * 4 + 4  # two tokens, once in a slot, and when the phone changes its address


def test_id_and_address_change_together_at_the_quarter_hour(morning: Morning) -> None:
    own = [frame for frame in morning.frames if frame[1] == "Chi" and frame[0] < morning.start_s + MINUTES * 60]
    own = own[10:]  # until its clock is set
    assert len(own) > MINUTES * 60 * 2
    pairs = {(address, payload) for _, _, address, payload in own}
    assert len(pairs) == len({address for address, _ in pairs}) == len({payload for _, payload in pairs}) == 4
    ids = ids_of(morning, "Chi")
    assert all(payload == wire.advertisement(ids[keys.slot_of(int(at_s))]) for at_s, _, _, payload in own)
    changes = [after[0] for before, after in itertools.pairwise(own) if before[3] != after[3]]
    assert len(changes) == 3
    assert all(at_s % keys.SLOT_S < 1.0 for at_s in changes)


def test_the_kiosk_reads_it(morning: Morning) -> None:
    first = morning.syncs[0]
    assert first.info.serial == SERIAL
    assert first.info.provisioned
    assert first.info.clock_set
    assert first.new_records == first.info.next_seq >= 6
    assert first.info.battery_mv == 20_129 * 3300 // 65535 * 296 // 100
    assert morning.faults == [0]


def test_a_power_cut_keeps_log_keys_and_watermark(morning: Morning) -> None:
    first, second = morning.syncs
    assert second.info.serial == SERIAL
    assert second.info.boot == first.info.boot + 1
    assert second.info.watermark == first.next_seq
    assert second.info.next_seq >= first.info.next_seq
    assert second.info.provisioned
    assert not second.info.clock_set  # no clock outlives a loss of power; the kiosk has set it again


def test_the_watchdog_is_fed_in_every_window(morning: Morning) -> None:
    windows = MINUTES * 60 / 37.5
    assert 0.9 * windows <= morning.fed <= 1.3 * windows
