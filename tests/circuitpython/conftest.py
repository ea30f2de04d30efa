"""CircuitPython tokens in virtual time."""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from circuit_token import LOG_BLOCKS, ROOT, CircuitToken, importing

from host_tools.simulation import clock
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


@pytest.fixture
def live() -> Callable[[Callable[[Room], Any]], Any]:
    """Runs a coroutine function of a Room in virtual time; returns its result."""

    def run(story: Callable[[Room], Any]) -> Any:
        async def main() -> Any:
            return await story(Room())

        return clock.run(main())

    return run


@pytest.fixture(scope="session")
def file_store() -> Iterator[Any]:
    """The module firmware/adapters/file_store.py."""
    with importing({}, (ROOT / "firmware",)):
        yield importlib.import_module("adapters.file_store")


@pytest.fixture
def log_file(tmp_path: Path, file_store: Any) -> Path:
    """A fresh file for a token's log."""
    path = tmp_path / "contacts.log"
    file_store.make_file(path, LOG_BLOCKS + 2)
    return path
