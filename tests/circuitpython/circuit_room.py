"""Where CircuitPython tokens of a test are."""

from pathlib import Path

from circuit_token import CircuitToken

from host_tools.simulation.air import Air
from host_tools.simulation.propagation import Propagation


class Room:
    """A table with devices a metre apart.

    Attributes:
        air: the medium.
        frames: (time in s, name, address, payload) of everything on the air.
    """

    def __init__(self) -> None:
        self._seats: dict[str, int] = {}
        self.air = Air(self._where, Propagation(), 7)
        self.frames: list[tuple[float, str, str, bytes]] = []
        self.air.frames.append(lambda *frame: self.frames.append(frame))

    def _where(self, name: str) -> tuple[float, float, str]:
        return float(self._seats.setdefault(name, len(self._seats))), 0.0, "room"

    async def token(self, name: str, file: Path, number: int = 0) -> CircuitToken:
        """A token that has just been switched on."""
        return await CircuitToken(name, self.air, number, file).power_on()
