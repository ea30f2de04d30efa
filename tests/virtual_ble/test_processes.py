"""Where a world may lie on disk."""

import pytest

from host_tools.simulation import clock
from host_tools.simulation.world import World


@pytest.mark.parametrize("folder", ["d" * 200 + "/" + "e" * 200, "phòng họp, tầng 2"])
def test_a_world_lives_in_a_folder_of_any_depth_and_name(make_scenario, rom, tmp_path, monkeypatch, folder):
    monkeypatch.setenv("TMPDIR", str(tmp_path / folder))

    async def main():
        world = World(make_scenario({"An": "token"}, 1), 1, tmp_path / folder, rom)
        try:
            await world.start()
            world.check()
        finally:
            await world.close()

    clock.run(main())
    assert (tmp_path / folder / "An.out").exists()
