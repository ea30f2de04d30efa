"""Anybody may be on the air as a token in sync mode: what the kiosk then does, shows and remembers has its limits."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from bleak.exc import BleakError
from hypothesis import given, settings
from hypothesis import strategies as st

from host_tools.kiosk import service
from host_tools.kiosk.service import Kiosk
from host_tools.link.bluetooth import tokens_in_sync_mode
from host_tools.matching.national_list import NationalList
from host_tools.matching.rules import load_rules
from host_tools.provisioning.token_keys import KioskRoot
from host_tools.simulation.clock import run
from host_tools.storage.store import Store
from tracing.wire import SHORT_CODE_LETTERS

CONNECT_LIMIT_S = 10.0


class FloodedAdapter:
    """An adapter that hears these names, and whose connections all fail in the end.

    Attributes:
        addresses: of whoever advertises next.
        connecting: addresses that were asked for.
    """

    def __init__(self, *names: str | None) -> None:
        self.names = names
        self.addresses = [str(i) for i in range(len(names))]
        self.connecting: list[str] = []
        self._detected: Any = None

    def scanner(self, detected: Any, _services: list[str]) -> "FloodedAdapter":
        self._detected = detected
        return self

    async def start(self) -> None:
        self.advertise()

    async def stop(self) -> None:
        """Hears no more."""

    def advertise(self) -> None:
        for address, name in zip(self.addresses, self.names, strict=True):
            self._detected(SimpleNamespace(address=address), SimpleNamespace(local_name=name, rssi=-40))

    def client(self, device: Any, _gone: Any) -> Any:
        async def connect() -> None:
            self.connecting.append(device.address)
            await asyncio.sleep(CONNECT_LIMIT_S)
            raise BleakError("nobody answers")

        return SimpleNamespace(connect=connect)


class Counting:
    """A screen that shows nothing."""

    def __init__(self) -> None:
        self.failures = 0

    def found(self, code: str) -> None:
        """Nothing."""

    def failed(self, _code: str, _error: Exception, _again: bool) -> None:
        self.failures += 1


@pytest.fixture
def besieged(tmp_path):
    """Runs a kiosk in virtual time, and meanwhile `attack(kiosk)`; returns how many failures it has shown."""

    def during(adapter: Any, attack: Callable[[Kiosk], Awaitable[None]]) -> int:
        screen: Any = Counting()

        async def main(kiosk: Kiosk) -> None:
            serving = asyncio.create_task(kiosk.run())
            await attack(kiosk)
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

        with Store(tmp_path / "kiosk.sqlite") as store:
            run(
                main(Kiosk(adapter, store, NationalList([], []), load_rules(), KioskRoot(bytes(32)), lambda: 0, screen))
            )
        return screen.failures

    return during


@given(
    name=st.none()
    | st.text(max_size=8)
    | st.text(SHORT_CODE_LETTERS, min_size=5, max_size=7)
    | st.sampled_from(["[/b]AA", "\x1b[2J\x07A", "abcdef", "ABCDE0"])
)
@settings(max_examples=60, deadline=None)
def test_only_short_codes_are_taken_for_short_codes(name: str | None) -> None:
    adapter: Any = FloodedAdapter(name)

    async def heard() -> str:
        async with tokens_in_sync_mode(adapter) as found:
            return (await found.get()).short_code

    assert run(heard()) == (name if name and re.fullmatch(f"[{SHORT_CODE_LETTERS}]{{6}}", name) else "")


def test_a_flood_of_false_tokens_takes_a_fixed_share_of_the_kiosk(besieged) -> None:
    adapter = FloodedAdapter(*["EXKAVQ"] * 3 * service.AT_ONCE)
    rounds = 50

    async def attack(kiosk: Kiosk) -> None:
        for number in range(rounds):
            adapter.addresses = [f"{number} {i}" for i in range(len(adapter.names))]
            await asyncio.sleep(CONNECT_LIMIT_S)
            adapter.advertise()
            assert 0 < len(kiosk._serving) <= service.AT_ONCE
            assert len(kiosk._tried) <= service.AT_ONCE

    assert besieged(adapter, attack) >= rounds - 1
    assert len(adapter.connecting) >= rounds - 1


def test_an_address_that_fails_is_left_alone_and_gets_its_attempts_again(besieged) -> None:
    adapter = FloodedAdapter("EXKAVQ")

    async def attack(_kiosk: Kiosk) -> None:
        for _ in range(150):
            await asyncio.sleep(1)
            adapter.advertise()

    # Three attempts of ten seconds with three between them, a rest of sixty, three more, and a rest.
    assert besieged(adapter, attack) == 2 * service.ATTEMPTS
