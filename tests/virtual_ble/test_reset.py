"""What a reset costs: no encounter that goes on, where the chip has memory that outlives it."""

import asyncio

import pytest
from token_log import read_log

from host_tools.simulation import clock
from host_tools.simulation.world import World, scratch_file
from tracing import keys

pytestmark = pytest.mark.vm

MET_S, LEFT_S = 300, 580  # within the first quarter of an hour


def records_of_the_first_slot(make_scenario, rom, tmp_path, incident):
    """An and Bình sit together; `incident(world)` comes after MET_S. What An has then logged of Bình's first id."""
    scenario = make_scenario({"An": "token", "Bình": "token"}, 60)

    async def main():
        world = World(scenario, 7, tmp_path / "run", rom)
        try:
            await world.start()
            await asyncio.sleep(MET_S)
            await incident(world)
            await asyncio.sleep(LEFT_S + 300)
            world.check()
            ident = list(keys.day_ids(world.base_id("Bình")))[keys.slot_of(scenario.start_s)]
            return [
                (start_s - scenario.start_s, duration_s, windows)
                for _, _, start_s, duration_s, windows, *_, found in read_log(world, "An")
                if found == ident
            ]
        finally:
            await world.close()

    return clock.run(main())


async def reset(world):
    world.boards["An"].on_reset("watchdog")


async def reset_three_times(world):
    for _ in range(3):
        await reset(world)
        await asyncio.sleep(10)


@pytest.mark.parametrize("incident", [reset, reset_three_times])
def test_an_encounter_goes_on_through_a_reset_as_one_record(make_scenario, rom, tmp_path, incident):
    ((start_s, duration_s, windows),) = records_of_the_first_slot(make_scenario, rom, tmp_path, incident)
    assert start_s < 120
    assert start_s + duration_s > 800
    assert windows > 10


def test_a_radio_that_gives_up_costs_no_encounter(make_scenario, rom, tmp_path):
    async def incident(world):
        world.boards["An"].faults["no_advertise_room"] = 10  # nine failures in a row, and the token asks for a reset
        while not world.resets:
            await asyncio.sleep(1)

    ((start_s, duration_s, _),) = records_of_the_first_slot(make_scenario, rom, tmp_path, incident)
    assert start_s < 120
    assert start_s + duration_s > 800


async def power_cut(world):
    world.processes.kill(world.boards["An"])
    await world.restart_token("An")


async def reset_with_damage(world):
    board = world.boards["An"]
    path = scratch_file(world.folder / f"token-{board.controller.number}.flash")
    data = bytearray(path.read_bytes())
    assert len(data) > 24
    data[5] ^= 1
    path.write_bytes(data)
    await reset(world)


@pytest.mark.parametrize("incident", [power_cut, reset_with_damage])
def test_what_is_lost_or_damaged_is_not_taken_up(make_scenario, rom, tmp_path, incident):
    ((start_s, duration_s, _),) = records_of_the_first_slot(make_scenario, rom, tmp_path, incident)
    assert start_s >= MET_S - 1
    assert start_s + duration_s > 800
