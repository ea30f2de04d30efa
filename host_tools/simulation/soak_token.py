"""The tokens of the soak: the unmodified firmware in CPython, each in a greenlet, on a board of a few stand-ins.

A wait hands over to the hub, which moves time to the next token that is due.
"""

import heapq
import importlib.util
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Protocol

import greenlet

from host_tools.provisioning.token_keys import Roots, TokenKeys, token_keys
from tracing import keys
from tracing.sightings import SightingRing
from tracing.state import StateStore

from .flash import MemoryFlash, logged

ROOT = Path(__file__).parents[2]
LOG_BLOCKS = 254
SETTINGS = types.SimpleNamespace(
    RADIO_ADV_INTERVAL_US=250_000, RADIO_SCAN_WINDOW_MS=270, RADIO_SCAN_PERIOD_MS=37_500, LOG_BLOCKS=LOG_BLOCKS,
    LOG_DAYS=14, BATTERY_LOW_MV=2500, BATTERY_STOP_MV=2200,
)  # fmt: skip


class Surroundings(Protocol):
    """What a token needs of the place where it is.

    Attributes:
        hub: its time; start_s: Unix s of the hub's zero; firmware: what runs; roots: of the fleet.
    """

    hub: "Hub"
    start_s: int
    roots: Roots
    firmware: "Firmware"

    def heard(self, listener: "SoakToken", duration_ms: int) -> Iterator[tuple[int, "Radio"]]:
        """(RSSI in dBm, radio) of every packet that a scan window of `listener` receives."""
        ...


class Hub:
    """Virtual time for greenlets, in milliseconds."""

    def __init__(self) -> None:
        self.now_ms = 0
        self._due: list[tuple[int, int, greenlet.greenlet]] = []
        self._order = 0
        self._main = greenlet.getcurrent()

    def start(self, function) -> None:
        """Run `function` from now on, in turn with the others."""
        self._push(self.now_ms, greenlet.greenlet(function, self._main))

    def _push(self, at_ms: int, who: greenlet.greenlet) -> None:
        self._order += 1
        heapq.heappush(self._due, (at_ms, self._order, who))

    def sleep(self, ms: int) -> None:
        """Called by a token: go on in `ms`."""
        self._push(self.now_ms + max(int(ms), 1), greenlet.getcurrent())
        self._main.switch()

    def run(self, until_ms: int) -> None:
        """Let time go on until `until_ms`."""
        while self._due and self._due[0][0] <= until_ms:
            self.now_ms, _, who = heapq.heappop(self._due)
            who.switch()
        self.now_ms = until_ms


class Radio:
    """The radio port, computed window by window."""

    def __init__(self, place: Surroundings, token: "SoakToken", ring: SightingRing) -> None:
        self._place = place
        self._token = token
        self._ring = ring
        self.kiosk = self.intruder = -1
        self.advertising = False
        self.faults = 0
        self.payload = b""
        self.address = b""
        self.interval_us = 1
        self.pairs: list[tuple[bytes, bytes]] = []  # every (address, id) that was on the air, in order

    def start(self) -> None:
        """Nothing to switch on."""

    def change_identity(self, bluezone_id: bytes) -> None:
        """A fresh address with the id."""
        assert not self.advertising
        self.address = self._token.random.randbytes(6)
        self._id = bluezone_id

    def advertise(self, payload: bytes, interval_us: int, scan_response: bytes = b"") -> None:
        """On the air from now on."""
        self.payload = bytes(bytearray(payload))  # a copy: what the truth keeps is not the firmware's memory
        self.interval_us = interval_us
        self.advertising = True
        if not self.pairs or self.pairs[-1] != (self.address, payload):
            self.pairs.append((self.address, self.payload))

    def pause(self) -> None:
        """Off the air."""
        self.advertising = False

    stop = pause

    def scan(self, duration_ms: int, interval_us: int, drain) -> bool:
        """A window: what the neighbours send meanwhile, thinned by the loss model, goes into the ring."""
        self._place.hub.sleep(duration_ms)
        for rssi_dbm, radio in self._place.heard(self._token, duration_ms):
            self._ring.offer(1, radio.address, rssi_dbm, radio.payload)
        drain()
        return True

    def wait(self, ms: int) -> None:
        """Sleep."""
        self._place.hub.sleep(ms)

    def wake(self) -> None:
        """Nothing interrupts here."""


class _Port:
    """Ports of which a soak needs little."""

    restless = False

    def __init__(self, random: Random) -> None:
        self._random = random

    def fill(self, buf) -> None:
        buf[:] = self._random.randbytes(len(buf))

    def battery_mv(self) -> int:
        return 3000

    def show(self, _pattern: int) -> None:
        pass

    def take(self) -> int:
        return 0

    def feed(self) -> None:
        pass


@dataclass
class SoakToken:
    """A token and its board."""

    place: Surroundings
    number: int
    random: Random
    flash: MemoryFlash
    given: TokenKeys = field(init=False)
    radio: Radio = field(init=False)
    app: Any = field(init=False)

    def power_on(self) -> None:
        """Provision, then run the firmware."""
        random, start_s = self.random, self.place.start_s
        serial, daily_key = random.randbytes(8), random.randbytes(32)
        self.given = token_keys(self.place.roots, serial, daily_key, keys.day_of(start_s), random.randbytes(16))
        StateStore(self.flash, 0, 1).save(self.given.state(start_s))
        port = _Port(self.random)
        board = types.SimpleNamespace(
            settings=SETTINGS, store=self.flash, clock=self.place.firmware.clock(), entropy=port, power=port,
            indicator=port, button=port, watchdog=port, heap_bytes=lambda: 0, scratch=None, make_radio=self._make_radio,
        )  # fmt: skip
        board.clock.set(self.place.start_s)
        self.app = self.place.firmware.app.Token(board)
        self.place.hub.start(self.app.run)

    def _make_radio(self, ring: SightingRing) -> Radio:
        self.radio = Radio(self.place, self, ring)
        return self.radio

    def encounters(self) -> Iterator[tuple]:
        """The log's records, unpacked."""
        return logged(bytes(self.flash.image), self.given.log_root)


class Firmware:
    """firmware/app.py and its clock, with MicroPython's `time` on the hub's time.

    Attributes:
        app: the module; clock: the class.
    """

    def __init__(self, hub: Hub) -> None:
        clock_time = types.ModuleType("time")
        clock_time.ticks_ms = lambda: hub.now_ms & 0x3FFFFFFF  # type: ignore[attr-defined]
        clock_time.ticks_diff = lambda a, b: ((a - b + 0x20000000) & 0x3FFFFFFF) - 0x20000000  # type: ignore[attr-defined]
        real = sys.modules["time"]
        sys.modules["time"] = clock_time
        try:
            self.clock = _load("soak_clock", ROOT / "firmware/adapters/clock.py").Clock
        finally:
            sys.modules["time"] = real
        self.app = _load("soak_app", ROOT / "firmware/app.py")
        vars(self.app)["gc"] = types.SimpleNamespace(collect=lambda: None)  # CPython's would take most of the time


def _load(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
