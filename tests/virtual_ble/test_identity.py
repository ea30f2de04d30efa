"""Id and address on the air: changed together, at the slot's end, and as the key chain says."""

import asyncio
import itertools

import pytest

from host_tools.simulation import clock
from host_tools.simulation.world import World
from tracing import keys, wire

pytestmark = pytest.mark.vm


def live(scenario, rom, folder, frames, seed=1):
    """Let a scenario pass; every advertising event goes to `frames` as (Unix time, name, address, payload)."""

    async def main():
        world = World(scenario, seed, folder, rom)
        world.air.frames.append(
            lambda at_s, name, address, payload: frames.append((scenario.start_s + at_s, name, address, payload))
        )
        try:
            await world.start()
            await asyncio.sleep(scenario.duration_s)
            world.check()
            return world
        finally:
            await world.close()

    return clock.run(main())


def test_id_and_address_change_together_at_the_quarter_hour(make_scenario, rom, tmp_path):
    scenario = make_scenario({"An": "token", "Bình": "token"}, 35, start="2020-08-10T08:10:30+07:00")
    frames = []
    world = live(scenario, rom, tmp_path / "run", frames)

    for name, given in world.provisioned.items():
        ids = list(keys.day_ids(given.daily_key))
        own = [(at_s, address, payload) for at_s, who, address, payload in frames if who == name]
        assert len(own) > 35 * 60 * 3
        pairs = {(address, payload) for _, address, payload in own}
        assert len(pairs) == len({address for address, _ in pairs}) == len({payload for _, payload in pairs}) == 4
        for at_s, _, payload in own:
            slot = keys.slot_of(int(at_s))
            assert payload == wire.advertisement(ids[slot]), f"{at_s - scenario.start_s:.3f} s after the start"
        # The new pair is on the air within a moment of the quarter hour.
        changes = [b[0] for a, b in itertools.pairwise(own) if a[2] != b[2]]
        assert all(at_s % keys.SLOT_S < 0.5 for at_s in changes)
        assert len(changes) == 3


def test_the_same_seed_gives_the_same_radio_trace(make_scenario, rom, tmp_path):
    scenario = make_scenario({"An": "token", "Bình": "token", "Khoa": "android", "Lan": "iphone"}, 12)
    worlds = [live(scenario, rom, tmp_path / str(run), [], seed) for run, seed in enumerate((7, 7, 8))]
    assert worlds[0].air.receptions > 50
    assert worlds[0].air.trace_digest == worlds[1].air.trace_digest
    assert worlds[0].air.trace_digest != worlds[2].air.trace_digest


def test_an_iphone_is_read_over_a_connection_and_logged_under_its_id(make_scenario, rom, tmp_path):
    for device in ("iphone", "iphone-background"):
        scenario = make_scenario({"An": "token", "Lan": device}, 20)
        connected = []

        async def main(scenario=scenario, device=device, connected=connected):
            world = World(scenario, 3, tmp_path / device, rom)
            try:
                await world.start()
                world.phones["Lan"].device.on("connection", lambda c: connected.append(c.peer_address))
                await asyncio.sleep(scenario.duration_s)
                world.check()
                return world
            finally:
                await world.close()

        world = clock.run(main())
        assert connected, device
        # Once in every slot, and again when the phone has changed its address; not at every sighting.
        assert len(connected) <= 6, device
        phone_heard = {row.peer_id for row in world.phones["Lan"].log}
        assert phone_heard <= set(keys.day_ids(world.provisioned["An"].daily_key))
        assert phone_heard
