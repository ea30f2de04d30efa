"""Sync over the real GATT path: the VM's `bluetooth`, Bumble, bleak, the kiosk's session, the database."""

import asyncio
import contextlib

import pytest
from bumble.core import UUID
from bumble.device import Peer

from host_tools.link import bluetooth
from host_tools.link.adapter import virtual
from host_tools.link.errors import LinkLost, SessionRefused
from host_tools.link.session import KioskSession
from host_tools.link.synchronise import synchronise
from host_tools.simulation import clock
from host_tools.simulation.board import make_device
from host_tools.simulation.controller import VirtualController
from host_tools.simulation.world import World
from host_tools.storage.store import Store
from tracing import kiosk_messages, patterns, wire

pytestmark = pytest.mark.vm

PEOPLE = {"An": "token", "Bình": "token", "Khoa": "android", "Lan": "iphone"}


@contextlib.asynccontextmanager
async def small_world(scenario, rom, folder, live_s):
    world = World(scenario, 5, folder, rom)
    try:
        await world.start()
        await asyncio.sleep(live_s)
        world.check()
        yield world
        world.check()
    finally:
        await world.close()


async def find(adapter, code, limit_s=30.0):
    async with asyncio.timeout(limit_s), bluetooth.tokens_in_sync_mode(adapter) as found:
        while True:
            token = await found.get()
            if token.short_code == code:
                return token


def code_of(world, name):
    return wire.short_code(world.provisioned[name].serial)


def session_with(world, transport, name="An"):
    return KioskSession(transport, world.roots.kiosk, code_of(world, name))


async def another_adapter(world, name="second kiosk", number=90):
    place = world.scenario.kiosk
    world._called[name] = (place.x_m, place.y_m + 1.0, place.room)
    device = make_device(name, VirtualController(name, world.air, number))
    await device.power_on()
    return virtual(device)


def run_at_kiosk(make_scenario, rom, tmp_path, job, live_s=900):
    """Let three devices meet An for `live_s`, bring An to the kiosk, press, and do `job(world, store, adapter)`."""
    scenario = make_scenario(PEOPLE, 60)

    async def main():
        async with small_world(scenario, rom, tmp_path / "run", live_s) as world:
            with Store(tmp_path / "kiosk.sqlite") as store:
                world.call_to_kiosk("An", 0)
                world.boards["An"].press()
                return await job(world, store, virtual(world.kiosk))

    return clock.run(main())


def test_a_token_out_of_sync_mode_is_not_found_and_refuses(make_scenario, rom, tmp_path):
    async def job(world, _store, adapter):
        token = await find(adapter, code_of(world, "An"))
        await asyncio.sleep(70.0)  # consent has run out
        with pytest.raises(TimeoutError):
            await find(adapter, code_of(world, "An"), 20.0)
        async with bluetooth.connected(adapter, token) as transport:
            with pytest.raises(SessionRefused) as refused:
                await session_with(world, transport).hello()
        return refused.value.code

    assert run_at_kiosk(make_scenario, rom, tmp_path, job, 100) == kiosk_messages.ERROR_NOT_IN_SYNC_MODE


def test_a_sync_brings_everything_once_and_shows_the_verdict(make_scenario, rom, tmp_path):
    async def job(world, store, adapter):
        brought = []
        for _ in range(2):
            token = await find(adapter, code_of(world, "An"))
            async with bluetooth.connected(adapter, token) as transport:
                session = session_with(world, transport)
                brought.append(await synchronise(session, store, world.now_s))
                await session.show_verdict(kiosk_messages.VERDICT_SAFE)
                await session.bye()
            await asyncio.sleep(5.0)
            world.boards["An"].press()
        return brought, store.encounters(world.provisioned["An"].serial), world.boards["An"].light

    (first, second), encounters, light = run_at_kiosk(make_scenario, rom, tmp_path, job)
    assert first.new_records == first.info.next_seq >= 3
    assert first.info.clock_set
    assert first.info.provisioned
    assert second.new_records < first.new_records  # only what was heard since
    assert len(encounters) == first.new_records + second.new_records
    assert {encounter.connected for encounter in encounters} == {True, False}
    shown = [pattern for _, pattern in light]
    assert shown.index(patterns.SYNC_MODE) < shown.index(patterns.SYNCING) < shown.index(patterns.SAFE)


def test_a_pull_that_breaks_resumes_where_it_broke(make_scenario, rom, tmp_path):
    async def job(world, store, adapter):
        serial = world.provisioned["An"].serial
        for stop_after in range(1, 4):
            token = await find(adapter, code_of(world, "An"))
            async with bluetooth.connected(adapter, token) as transport:
                session = session_with(world, transport)
                await session.hello()
                await session.info()
                async for batch in session.pull(store.next_seq(serial), batch_records=1):
                    store.store_records(serial, batch, int(world.now_s()))
                    if store.next_seq(serial) >= stop_after:
                        break  # the connection ends here, in the middle of the log, without a receipt
            await asyncio.sleep(2.0)
        assert store.next_seq(serial) == 3
        token = await find(adapter, code_of(world, "An"))
        async with bluetooth.connected(adapter, token) as transport:
            result = await synchronise(session_with(world, transport), store, world.now_s)
        return result, store.next_seq(serial), len(store.encounters(serial))

    result, next_seq, stored = run_at_kiosk(make_scenario, rom, tmp_path, job, 2000)
    assert next_seq == stored == result.next_seq
    assert result.new_records == stored - 3 > 0


def test_the_link_may_be_cut_at_any_moment_of_a_sync(make_scenario, rom, tmp_path):
    async def job(world, store, adapter):
        for cut_after_s in (0.01, 0.03, 0.06, 0.1, 0.15):
            token = await find(adapter, code_of(world, "An"))

            async def cut(after_s=cut_after_s):
                await asyncio.sleep(after_s)
                for connection in list(world.boards["An"].device.connections.values()):
                    await connection.disconnect()

            with contextlib.suppress(LinkLost):
                async with bluetooth.connected(adapter, token) as transport:
                    cutting = asyncio.create_task(cut())
                    await synchronise(session_with(world, transport), store, world.now_s)
                    await cutting
            await asyncio.sleep(1.0)
        token = await find(adapter, code_of(world, "An"))
        async with bluetooth.connected(adapter, token) as transport:
            result = await synchronise(session_with(world, transport), store, world.now_s)
        return result, len(store.encounters(world.provisioned["An"].serial))

    result, stored = run_at_kiosk(make_scenario, rom, tmp_path, job)
    assert stored == result.next_seq


def test_one_kiosk_at_a_time(make_scenario, rom, tmp_path):
    async def job(world, store, adapter):
        other = await another_adapter(world)
        token = await find(adapter, code_of(world, "An"))
        async with bluetooth.connected(adapter, token) as transport:
            session = session_with(world, transport)
            await session.hello()
            rival = await find(other, code_of(world, "An"))
            async with bluetooth.connected(other, rival) as second:
                with pytest.raises(SessionRefused) as refused:
                    await session_with(world, second).hello()
            assert (await session.info()).serial == world.provisioned["An"].serial
            await session.bye()
        return refused.value.code

    assert run_at_kiosk(make_scenario, rom, tmp_path, job, 60) == kiosk_messages.ERROR_BUSY


def test_log_keys_and_sequence_numbers_survive_a_power_cut(make_scenario, rom, tmp_path):
    async def job(world, store, adapter):
        token = await find(adapter, code_of(world, "An"))
        async with bluetooth.connected(adapter, token) as transport:
            before = await synchronise(session_with(world, transport), store, world.now_s)
        old = world.boards["An"]
        world.processes.kill(old)
        await world.restart_token("An")
        await asyncio.sleep(5.0)
        world.boards["An"].press()
        token = await find(adapter, code_of(world, "An"))
        async with bluetooth.connected(adapter, token) as transport:
            after = await synchronise(session_with(world, transport), store, world.now_s)
        return before, after

    before, after = run_at_kiosk(make_scenario, rom, tmp_path, job)
    assert after.info.serial == before.info.serial
    assert after.info.boot == before.info.boot + 1
    assert after.info.watermark == before.next_seq
    assert after.info.next_seq >= before.next_seq


def test_a_phone_that_connects_reads_the_id_of_the_moment(make_scenario, rom, tmp_path):
    async def job(world, _store, _adapter):
        board = world.boards["An"]
        connection = await world.kiosk.connect(board.controller.random_address, timeout=10.0)
        async with Peer(connection) as peer:
            found = peer.get_characteristics_by_uuid(UUID(wire.ID_CHARACTERISTIC_UUID))
            ident = bytes(await peer.gatt_client.read_value(found[0]))
        payload = board.controller.le_legacy_advertiser.advertising_data
        await asyncio.sleep(2.0)
        assert board.controller.le_legacy_advertiser.enabled  # a connection has not silenced the token
        # At the end of the slot the phone is sent away: it must not link the old id with the new one.
        await asyncio.sleep(900)
        assert not board.controller.le_connections
        return ident, payload

    ident, payload = run_at_kiosk(make_scenario, rom, tmp_path, job, 60)
    assert payload == wire.advertisement(ident)
