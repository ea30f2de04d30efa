"""What lies in the flash of a virtual token."""

from host_tools.simulation.flash import logged
from host_tools.simulation.world import World


def read_log(world: World, name: str) -> list[tuple]:
    """Every sound record of a token's log, as records.unpack_record gives it."""
    image = world.folder / f"token-{world.boards[name].controller.number}.flash"
    return list(logged(image.read_bytes(), world.provisioned[name].log_root))
