"""While somebody else has the database, the kiosk waits for it in threads: screen, pages and other wearers go on."""

import asyncio
import contextlib
import json
import sqlite3
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from web_kit import CODES, NOON_S, ReleasingToken, any_time, serial, site_over

from host_tools.fleet.desk import DeskInThreads
from host_tools.fleet.office import Office
from host_tools.kiosk import service
from host_tools.kiosk.service import Kiosk
from host_tools.matching.national_list import NationalList
from host_tools.matching.rules import load_rules
from host_tools.provisioning.token_keys import KioskRoot
from host_tools.storage.database import StorageError
from host_tools.web.app import build_app
from host_tools.web.screen import ShowingDesk

WEARERS = 3


class SyncingToken(ReleasingToken):
    """Comes for a sync; looks into the database whether what is acknowledged is there."""

    def __init__(self, number: int, office: Office) -> None:
        super().__init__(number)
        self.timed = asyncio.Event()
        self.acknowledged: list[int] = []
        self._office = office

    async def set_time(self, unix_s: float) -> int:
        self.timed.set()
        return await super().set_time(unix_s)

    async def acknowledge(self, seq: int) -> int:
        assert self._office.store.next_seq(self.serial) >= seq
        self.acknowledged.append(seq)
        return seq

    async def show_verdict(self, _code: int) -> None:
        self.served.append("verdict")


@pytest.fixture
def office(tmp_path):
    with Office(tmp_path / "kiosk.sqlite", now=lambda: NOON_S) as office:
        yield office


@contextlib.contextmanager
def taken(office):
    """Another program has the database, and lets go of it at the end."""
    with contextlib.closing(sqlite3.connect(office.database.sqlite_file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextlib.asynccontextmanager
async def connected(_adapter, token):
    yield token.session


def test_a_locked_database_stops_neither_screen_nor_pages(office, monkeypatch):
    monkeypatch.setattr(service, "connected", connected)
    monkeypatch.setattr(service, "KioskSession", lambda session, *_: session)

    async def main():
        site = site_over(office)
        screen = site.screen
        adapter: Any = SimpleNamespace()
        kiosk = Kiosk(
            adapter, office.store, NationalList([], []), load_rules(), KioskRoot(bytes(32)), lambda: NOON_S, screen,
            desk=ShowingDesk(DeskInThreads(office.desk), screen, any_time), releases=site.releases,
        )  # fmt: skip
        tokens = [SyncingToken(number, office) for number in range(WEARERS)]
        with taken(office):
            for code, token in zip(CODES, tokens, strict=False):
                found: Any = SimpleNamespace(short_code=code, address=code, session=token)
                kiosk._serve(found)
            visits = list(kiosk._serving.values())
            for token in tokens:
                await token.timed.wait()
            screen.found(CODES[WEARERS])  # one more comes
            picture = json.loads(await anext(screen.pictures()))  # as /events tells it
            assert [code for code, *_ in picture["cards"]] == CODES[: WEARERS + 1]
            transport = httpx.ASGITransport(build_app(site))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as browser:
                answer = await browser.get("/healthz")
            assert answer.json() == {"ok": True, "problems": []}
            assert not any(visit.done() for visit in visits)
            assert [token.acknowledged for token in tokens] == [[]] * WEARERS
        await asyncio.gather(*visits)
        for number, token in enumerate(tokens):
            assert screen.cards[CODES[number]].state == "safe"
            assert token.served == ["hello", "verdict", "bye"]
            assert token.acknowledged == [token.next_seq]
            assert len(office.store.encounters(serial(number))) == token.next_seq

    asyncio.run(main())


def test_a_release_waits_in_threads_too(office):
    """The officer's deed takes its place at once and begins when the audit has it."""

    async def main():
        site = site_over(office)
        with taken(office):
            begun = asyncio.create_task(site.releases.begin("mai", serial(1)))
            await asyncio.sleep(0)
            assert site.releases.holds(CODES[1])
            assert not site.releases.ready(CODES[1])
            assert not begun.done()
        number = (await begun).number
        assert site.releases.ready(CODES[1])
        await site.releases.cancel("mai", number)

    asyncio.run(main())
    assert [row.action for row in office.audit.rows(serial(1))] == ["cancel release", "begin release"]


def test_who_gets_no_connection_since_all_wait_is_told_what_to_do(office):
    pool: Any = office.database._engine.pool
    pool._timeout = 0
    with contextlib.ExitStack() as stack:
        for _ in range(pool.size() + pool._max_overflow):
            stack.enter_context(office.database.reading())
        with pytest.raises(StorageError, match="wait until it has finished, then try again"):
            stack.enter_context(office.database.reading())
    with office.database.reading():
        pass
