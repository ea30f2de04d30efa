"""Provisioning that is cut off anywhere: at any answer of the board, at any statement to the ledger, beside a kiosk."""

import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
import sqlalchemy.event
from provision_kit import ACTOR, ROOTS, assert_ours, flash, plugged, run, state_of

from host_tools.errors import UserError
from host_tools.fleet.ledger import Ledger
from host_tools.fleet.office import Office
from host_tools.provisioning.provision import Provisioning
from host_tools.storage.database import StorageError

pytestmark = pytest.mark.vm


@pytest.fixture
def flashed(device: Path) -> Path:
    """A board with the firmware."""
    return flash(device)


def assert_one_token(flashed: Path, office: Office) -> None:
    """The board and the ledger know the same one token."""
    state = state_of(flashed)
    assert_ours(state)
    assert [row.serial for row in office.listing.page(ACTOR).rows] == [state.serial]
    assert [row.action for row in office.audit.rows(limit=50)].count("register") == 1


@pytest.mark.parametrize(("wipe", "step"), [(False, 2), (True, 3)])
def test_unplugged_at_any_answer_the_next_run_ends_in_one_token(
    flashed: Path, tmp_path: Path, wipe: bool, step: int
) -> None:
    cuts = 0
    for answers in range(0, 1000, step):
        device = tmp_path / f"cut{answers}"
        shutil.copytree(flashed, device)
        with Office(tmp_path / f"{answers}.sqlite") as office:
            if wipe:
                run(device, office)
            try:
                run(device, office, wipe, unplug_after_answers=answers)
                break
            except UserError:
                cuts += 1
            run(device, office, wipe)
            assert_one_token(device, office)
    assert cuts * step > 10


@contextmanager
def killed_at(statement: int) -> Iterator[None]:
    """This process ends, as by `kill -9`, when it is about to say its n-th statement (or commit) to a database."""
    left = statement

    def count(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    for event in ("before_cursor_execute", "commit"):
        sqlalchemy.event.listen(sqlalchemy.Engine, event, count)
    yield


def _provision_and_die(port: str, database: Path, wipe: bool, statement: int) -> None:
    with Office(database) as office, killed_at(statement):
        Provisioning(ROOTS, office, ACTOR, "CDC").run(port, lambda *_: None, wipe, patience_s=5, watch_s=0)


@pytest.mark.parametrize("wipe", [False, True])
def test_killed_at_any_statement_the_next_run_ends_in_one_token(flashed: Path, tmp_path: Path, wipe: bool) -> None:
    deaths = 0
    for statement in range(1000):
        device, database = tmp_path / f"killed{statement}", tmp_path / f"{statement}.sqlite"
        shutil.copytree(flashed, device)
        if wipe:
            with Office(database) as office:
                run(device, office)
        old = state_of(device) if wipe else None
        with plugged(device) as port:
            process = multiprocessing.get_context("fork").Process(
                target=_provision_and_die, args=(port, database, wipe, statement)
            )
            process.start()
            process.join()
        with Office(database) as office:
            done = run(device, office, wipe)
            assert_one_token(device, office)
            if old:
                new = state_of(device)
                assert (new.serial, done.how) == (old.serial, "renewed")
                assert new.log_segment > old.log_segment
                assert office.ledger.standing(new.serial).state == "wiped"
        if process.exitcode == 0:
            assert wipe or done.how == "kept"
            break
        assert process.exitcode == -signal.SIGKILL
        deaths += 1
    assert deaths > 5


def test_a_database_that_goes_away_when_the_token_has_its_keys(
    flashed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StorageError("The database does not answer.")

    with Office(tmp_path / "kiosk.sqlite") as office:
        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "register_in", away)
            with pytest.raises(UserError, match=r"does not answer\. Run the same command again"):
                run(flashed, office)
        assert_ours(state_of(flashed))
        assert run(flashed, office).how == "finished"
        assert_one_token(flashed, office)


def test_a_kiosk_at_work_on_the_same_database_and_provisioning_wait_for_each_other(
    flashed: Path, tmp_path: Path
) -> None:
    place = tmp_path / "kiosk.sqlite"
    over = threading.Event()
    entered: list[int] = []

    def kiosk() -> None:
        with Office(place) as office:
            while not over.is_set():
                office.ledger.register("kiosk", (1 + len(entered)).to_bytes(8, "big"))
                entered.append(1)

    with Office(place) as office:
        worker = threading.Thread(target=kiosk)
        worker.start()
        try:
            done = run(flashed, office)
        finally:
            over.set()
            worker.join()
        assert office.ledger.standing(bytes.fromhex(done.serial)).state == "new"
        assert office.listing.page(ACTOR).total == len(entered) + 1
    assert entered
