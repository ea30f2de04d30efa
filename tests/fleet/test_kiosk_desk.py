"""The kiosk at work does what its desk says, before and after a session."""

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any

import pytest
from fleet_kit import CASE_KEY, CLERK, NOON_S, list_of, meeting, serial, store, synced, wearer

from host_tools.fleet.desk import DeskInThreads
from host_tools.kiosk import service
from host_tools.kiosk.contracts import WearerResult
from host_tools.kiosk.service import Kiosk
from host_tools.matching.rules import load_rules
from host_tools.provisioning.token_keys import KioskRoot
from tracing.kiosk_messages import VERDICT_CLERK, VERDICT_EXPOSED
from tracing.wire import short_code


class Session:
    """A session of which only the end counts."""

    shown: list[int]

    def __init__(self, *_args: object) -> None:
        Session.shown = []

    async def show_verdict(self, code: int) -> None:
        self.shown.append(code)

    async def bye(self) -> None:
        self.shown.append(-1)


class Screen:
    """What was shown of one token."""

    def __init__(self) -> None:
        self.results: list[WearerResult] = []
        self.sentences: list[str] = []

    def found(self, code):
        pass

    def progress(self, code, done, total):
        pass

    def finished(self, code, result):
        self.results.append(result)

    def failed(self, code, error, again):
        self.sentences.append(str(error))


@pytest.fixture
def serve(office, monkeypatch):
    """Serve one token without a radio."""

    @contextlib.asynccontextmanager
    async def connected(_adapter, _token):
        yield None

    async def synchronise(*_args):
        return SimpleNamespace(info=SimpleNamespace(serial=serial(1)), new_records=0)

    monkeypatch.setattr(service, "connected", connected)
    monkeypatch.setattr(service, "KioskSession", Session)
    monkeypatch.setattr(service, "synchronise", synchronise)

    def run():
        screen = Screen()
        unused: Any = SimpleNamespace()
        root, cases = KioskRoot(bytes(32)), list_of(CASE_KEY)
        kiosk = Kiosk(
            unused, office.store, cases, load_rules(), root, office.now, screen, desk=DeskInThreads(office.desk)
        )  # fmt: skip
        token = SimpleNamespace(short_code=short_code(serial(1)), address="1")
        Session.shown = []
        kiosk._serving["1"] = None  # pyright: ignore[reportArgumentType]
        asyncio.run(kiosk._attempt(token))  # pyright: ignore[reportArgumentType]
        return screen

    return run


@pytest.fixture
def met(office):
    token, _ = wearer(office, 1)
    store(office, token, meeting(NOON_S, 40))
    return token


def test_a_wearer_is_told_and_it_is_kept(office, met, serve):
    (result,) = serve().results
    assert result.verdict.kind == "exposed"
    assert Session.shown == [VERDICT_EXPOSED, -1]
    assert office.alerts.open_ones() == []
    assert office.results.rematch(list_of(CASE_KEY), load_rules()).alerts == 0


@pytest.mark.parametrize("deed", ["lose", "revoke"])
def test_a_lost_token_shows_see_the_clerk_and_no_verdict(office, met, serve, deed):
    getattr(office.ledger, deed)(CLERK, met)
    screen = serve()
    assert Session.shown == [VERDICT_CLERK, -1]
    assert screen.results == []
    assert ["Bring it to the clerk" in sentence for sentence in screen.sentences] == [True]


def test_a_kiosk_whose_clock_went_backwards_does_not_begin(office, met, serve, hands):
    synced(office, met)
    hands.at_s -= 3600
    screen = serve()
    assert Session.shown == []
    assert ["Set the kiosk's clock" in sentence for sentence in screen.sentences] == [True]
