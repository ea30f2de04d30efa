"""A token whose counter runs fast and whose chip's clock is wrong: what the kiosk teaches it, what a reset leaves."""

import asyncio

import pytest

from host_tools.link import bluetooth
from host_tools.link.adapter import virtual
from host_tools.link.session import KioskSession
from host_tools.link.synchronise import synchronise
from host_tools.simulation import clock
from host_tools.simulation.world import World
from host_tools.storage.store import Store
from tracing import wire
from tracing.keys import SLOT_S, KeyChain

pytestmark = pytest.mark.vm

FAST_PPM = 50_000
HOUR_S, DAY_S = 3600, 86_400
NEAR_EDGE_S = 5  # of a slot: an error of a few seconds may show there


async def sync(world, store):
    """An comes to the kiosk; returns the correction in seconds."""
    adapter = virtual(world.kiosk)
    world.call_to_kiosk("An", 0)
    world.boards["An"].press()
    async with asyncio.timeout(60), bluetooth.tokens_in_sync_mode(adapter) as found:
        token = await found.get()
    async with bluetooth.connected(adapter, token) as transport:
        result = await synchronise(KioskSession(transport, world.roots.kiosk, token.short_code), store, world.now_s)
    del world._called["An"]
    return result.correction_s


def wrong_ids(world, frames):
    """Moments at which An's id on the air was not that of the slot, the slots' edges apart."""
    given = world.provisioned["An"]
    chain = KeyChain(given.daily_key, given.first_day)
    found = []
    for at_s, payload in frames:
        unix_s = world.scenario.start_s + at_s
        if NEAR_EDGE_S <= unix_s % SLOT_S <= SLOT_S - NEAR_EDGE_S and chain.id_at(int(unix_s)) != payload[-12:]:
            found.append(at_s)
    return found


def live(make_scenario, rom, tmp_path, job, drift_ppm=0):
    scenario = make_scenario({"An": "token"}, 60)

    async def main():
        world = World(scenario, 9, tmp_path / "run", rom)
        world.drift_ppm["An"] = drift_ppm
        frames = []

        def heard(at_s, _name, _address, payload):
            if wire.classify(payload, len(payload), [0]) == wire.BLUEZONE_ID:
                frames.append((at_s, payload))

        world.air.frames.append(heard)
        try:
            await world.start()
            with Store(tmp_path / "kiosk.sqlite") as store:
                return await job(world, store, frames)
        finally:
            await world.close()

    return clock.run(main())


def test_a_counter_five_percent_fast_is_right_after_an_hour_and_two_syncs(make_scenario, rom, tmp_path):
    async def job(world, store, frames):
        corrections = [await sync(world, store)]
        await asyncio.sleep(HOUR_S + 300)
        corrections.append(await sync(world, store))
        frames.clear()
        await asyncio.sleep(6 * HOUR_S)
        world._reset(world.boards["An"], "test")  # the skew is not forgotten, nor is the time
        await asyncio.sleep(DAY_S - 6 * HOUR_S)
        world.check()
        wrong = wrong_ids(world, frames)
        corrections.append(await sync(world, store))
        return corrections, len(frames), wrong

    corrections, heard, wrong = live(make_scenario, rom, tmp_path, job, FAST_PPM)
    assert -5 <= corrections[0] <= 5
    assert -200 <= corrections[1] <= -190  # 5 % of 3,900 s: the ids of that hour left their slots by as much
    assert abs(corrections[2]) <= 4
    assert heard > 200_000
    assert wrong == []


def test_the_kiosks_time_outlives_a_reset(make_scenario, rom, tmp_path):
    async def job(world, store, frames):
        world.boards["An"].chip_ahead_s = -5000.0
        world.processes.kill(world.boards["An"])
        await world.restart_token("An")
        await asyncio.sleep(30)
        before = wrong_ids(world, frames)
        correction_s = await sync(world, store)
        world._reset(world.boards["An"], "test")
        await asyncio.sleep(5)
        frames.clear()
        await asyncio.sleep(60)
        world.check()
        return before, correction_s, len(frames), wrong_ids(world, frames)

    before, correction_s, heard, after = live(make_scenario, rom, tmp_path, job)
    assert before
    assert 4999 <= correction_s <= 5001
    assert heard > 100
    assert after == []
