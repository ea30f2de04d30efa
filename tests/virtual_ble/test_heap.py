"""The heap of a token with 64 KB does not grow, and a whole session fits."""

import asyncio

import pytest

from host_tools.simulation import clock
from host_tools.simulation.bench import HEAP_LIMIT_BYTES, sync_at_kiosk
from host_tools.simulation.world import World

pytestmark = pytest.mark.vm


def test_the_heap_does_not_grow(make_scenario, rom, tmp_path):
    scenario = make_scenario({"An": "token", "Bình": "token", "Khoa": "android", "Lan": "iphone"}, 180)

    async def main():
        world = World(scenario, 4, tmp_path / "run", rom)
        try:
            await world.start()
            used = []
            for hours in (1.5, 1.5):  # by the first look every table has filled
                await asyncio.sleep(hours * 3600)
                world.check()
                used.append([await board.heap() for board in world.boards.values()])
            result = await sync_at_kiosk(world, "An", tmp_path)
            assert result.new_records > 0
            used.append([await world.boards["An"].heap()])
            world.check()
            return used
        finally:
            await world.close()

    first, last, ((_, session_peak),) = clock.run(main())
    for (before, _), (after, peak) in zip(first, last, strict=True):
        assert after <= before + 256  # a table entry more or less, and nothing that adds up
        assert peak <= HEAP_LIMIT_BYTES
    assert session_peak <= HEAP_LIMIT_BYTES
