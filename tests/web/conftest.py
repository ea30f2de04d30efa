"""The kiosk's pages in a browser: the real application on a port of its own, with a screen that tests fill by hand."""

import asyncio
import inspect
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Queue
from threading import Thread

import pytest
import structlog
import uvicorn
from argon2 import PasswordHasher
from playwright.sync_api import Browser, sync_playwright
from web_kit import AUTHORITY, NOON_S, NoCases, populate

from host_tools.authority.release import code_for
from host_tools.fleet.accounts import Accounts
from host_tools.fleet.office import Office
from host_tools.kiosk.release_desk import ReleaseDesk
from host_tools.matching.rules import load_rules
from host_tools.web.app import build_app
from host_tools.web.around import Around
from host_tools.web.cases import CaseList
from host_tools.web.line import server_config
from host_tools.web.pages import Pages
from host_tools.web.running import listen
from host_tools.web.screen import LiveScreen
from host_tools.web.site import Site

# What a headless browser needs here; it talks to nobody but the kiosk.
CHROMIUM_FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(autouse=True)
def fresh_log() -> Iterator[None]:
    """The kiosk sets the process's log up; the next test has another stderr."""
    yield
    structlog.reset_defaults()


@dataclass
class Running:
    """A kiosk's pages at `address`; `call` does something in their event loop and waits for it."""

    address: str
    site: Site
    loop: asyncio.AbstractEventLoop

    def call(self, deed: Callable[[], object]) -> None:
        async def do() -> None:
            waiting = deed()
            if inspect.isawaitable(waiting):
                await waiting

        asyncio.run_coroutine_threadsafe(do(), self.loop).result(30)


@pytest.fixture(scope="session")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """Some units, wearers and tokens, an account of each role, and an alert."""
    folder = tmp_path_factory.mktemp("office")
    with Office(folder / "kiosk.sqlite", now=lambda: NOON_S) as office:
        office.accounts = Accounts(office.database, office.now, PasswordHasher(1, 8, 1))  # quick, for tests only
        populate(office)
        yield office


@pytest.fixture(scope="session")
def kiosk(office: Office) -> Iterator[Running]:
    with served(office) as running:
        yield running


@contextmanager
def served(office: Office) -> Iterator[Running]:
    """Pages over an office, for as long as the context lasts."""
    ready: Queue[tuple[Running, uvicorn.Server]] = Queue()

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        rules = load_rules()
        screen = LiveScreen(rules, Around(loop.time))
        releases = ReleaseDesk(office, screen, lambda: NOON_S)
        site = Site(
            office, screen, CaseList(NoCases(), lambda: NOON_S), Pages(), rules, releases, True,
            partial(code_for, AUTHORITY),
        )  # fmt: skip
        server = uvicorn.Server(server_config(build_app(site)))
        with listen("127.0.0.1", 0) as listener:
            ready.put((Running(f"http://127.0.0.1:{listener.getsockname()[1]}", site, loop), server))
            await server.serve([listener])

    thread = Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    running, server = ready.get(timeout=30)
    try:
        yield running
    finally:
        server.should_exit = True
        thread.join(30)


@pytest.fixture(scope="module")  # playwright keeps an event loop running: no test of another module could run its own
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        assert not os.environ.get("CI"), "Chromium is missing (Debian: chromium)"
        pytest.skip("Chromium is not installed (Debian: chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def pictures() -> Path | None:
    """Where screenshots go: only when they are asked for, since they belong to the documents."""
    place = os.environ.get("BLUEZONE_SCREENSHOTS")
    return Path(place) if place else None
