"""A token among a dozen iPhones: each must be connected to before its id is known."""

import asyncio

import pytest
from token_log import read_log

from host_tools.simulation import clock
from host_tools.simulation.world import World
from tracing import keys, records

pytestmark = pytest.mark.vm

IPHONES = 12


def test_a_dozen_iphones_are_all_in_the_log_of_one_quarter_of_an_hour(make_scenario, rom, tmp_path):
    people = {"An": "token"} | {f"iphone {number}": "iphone" for number in range(IPHONES)}
    scenario = make_scenario(people, 60)

    async def main():
        world = World(scenario, 8, tmp_path / "run", rom)
        try:
            await world.start()
            await asyncio.sleep(900 + 200)
            world.check()
            slot = keys.slot_of(scenario.start_s)
            ids = {list(keys.day_ids(world.base_id(name)))[slot] for name in people if name != "An"}
            return ids, read_log(world, "An"), await world.boards["An"].heap()
        finally:
            await world.close()

    ids, found, (_, peak) = clock.run(main())
    spans = dict.fromkeys(ids, 0)
    for kind_flags, _, _, duration_s, *_, ident in found:
        if ident in ids:
            assert kind_flags & records.FLAG_CONNECTED
            spans[ident] += duration_s
    assert min(spans.values()) >= 300
    assert peak < 62 * 1024
