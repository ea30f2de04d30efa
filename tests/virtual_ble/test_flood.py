"""A flood of forged ids over the air: real radio code, a 64 KB heap, a flash that must not wear out."""

import asyncio

import pytest
from token_log import read_log

from host_tools.simulation import clock
from host_tools.simulation.controller import VirtualController
from host_tools.simulation.propagation import stream
from host_tools.simulation.world import World
from tracing import keys, wire

pytestmark = pytest.mark.vm

FORGED_PER_S = 200
ATTACK_S = 900
SETTLED_S = 200  # encounters are written 150 s after the last sighting
PEOPLE = dict.fromkeys(("An", "Bình", "Chi", "Dũng", "Giang", "Hà"), "token")


async def forge(world, seconds):
    """Send a new id under a new address 200 times a second, as strong as can be; while anybody listens."""
    random = stream(world.air.seed, "forger")
    world._called["forger"] = (0.5, 0.5, "room")
    forger = VirtualController("forger", world.air, 90)
    for event in range(seconds * FORGED_PER_S):
        ident = random.randbytes(12)
        if world.air.listeners:
            forger.new_random_address()
            world.air.advertise(forger, event, True, wire.advertisement(ident))
        await asyncio.sleep(1 / FORGED_PER_S)


def live(scenario, rom, folder, attacked):
    """A quarter of an hour; returns (records of An, ids of the others, bytes of heap in use and at most)."""

    async def main():
        world = World(scenario, 6, folder, rom)
        try:
            await world.start()
            await asyncio.sleep(120)
            before = world.air.receptions
            if attacked:
                await forge(world, ATTACK_S - 120)
            else:
                await asyncio.sleep(ATTACK_S - 120)
            receptions = world.air.receptions - before
            await asyncio.sleep(SETTLED_S)
            world.check()
            slot = keys.slot_of(scenario.start_s)
            ids = {list(keys.day_ids(world.base_id(name)))[slot] for name in PEOPLE if name != "An"}
            return read_log(world, "An"), ids, receptions, await world.boards["An"].heap()
        finally:
            await world.close()

    return clock.run(main())


def test_a_flood_leaves_the_neighbours_in_the_log_and_next_to_nothing_else(make_scenario, rom, tmp_path):
    scenario = make_scenario(PEOPLE, 60)
    normal, ids, few, (normal_used, _) = live(scenario, rom, tmp_path / "normal", False)
    found, same_ids, many, (used, peak) = live(scenario, rom, tmp_path / "flood", True)
    assert ids == same_ids
    assert many > 5 * few > 0
    assert {record[-1] for record in normal} == ids
    assert {record[-1] for record in found} >= ids
    forged = [record for record in found if record[-1] not in ids]
    assert len(forged) <= 10  # six that had been saved up, and one more every six windows
    assert len(found) - len(forged) <= 1.2 * len(normal)
    for ident in ids:
        assert sum(record[3] for record in found if record[-1] == ident) > 750
    assert used <= normal_used + 256
    assert peak < 62 * 1024
