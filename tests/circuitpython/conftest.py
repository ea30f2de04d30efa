"""CircuitPython tokens in virtual time."""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from circuit_room import Room
from circuit_token import LOG_BLOCKS, ROOT, importing

from host_tools.simulation import clock


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
