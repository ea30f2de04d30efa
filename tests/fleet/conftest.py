"""Offices on both kinds of database, with a clock that stands until it is moved."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from fleet_kit import NOON_S, Hands
from postgres_server import Server, programs, running_server

from host_tools.fleet.accounts import Accounts
from host_tools.fleet.office import Office


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    if programs() is None:
        assert not os.environ.get("CI"), "PostgreSQL is missing (Debian: postgresql)"
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    with running_server() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql"))])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty database may be made."""
    if request.param == "sqlite":
        return str(tmp_path / "kiosk.sqlite")
    return request.getfixturevalue("postgres").new_database()


@pytest.fixture
def hands() -> Hands:
    return Hands(NOON_S)


@pytest.fixture
def new_office(tmp_path: Path, hands: Hands) -> Iterator[Callable[[str], Office]]:
    opened: list[Office] = []

    def make(where: str) -> Office:
        office = Office(where, tmp_path / "names.key", hands.now)
        office.accounts = Accounts(office.database, hands.now, PasswordHasher(1, 8, 1))  # quick, for tests only
        opened.append(office)
        return office

    yield make
    for office in opened:
        office.close()


@pytest.fixture
def office(new_office: Callable[[str], Office], place: str) -> Office:
    return new_office(place)
