"""A token with CircuitPython's ports on the virtual air: the unmodified firmware in CPython, in virtual time."""

import asyncio
import builtins
import importlib
import os
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from bleio_stand_in import Chip
from fiber import Fiber

from host_tools.provisioning.firmware_files import settings_source
from host_tools.simulation.air import Air
from host_tools.simulation.clock import VirtualLoop
from host_tools.simulation.propagation import stream

ROOT = Path(__file__).parents[2]
BOARD = ROOT / "boards" / "nrf52840_circuitpython"
LOG_BLOCKS = 6
TICKS_BEFORE_WRAP_MS = 65_000  # CircuitPython's counter wraps soon after power-on, to show what wrapping does
FIRMWARE = ("adapters", "app", "token_board", "settings")


def settings_of(board: Path) -> dict[str, Any]:
    """The settings made from a board.toml."""
    made: dict[str, Any] = {}
    exec(settings_source(board / "board.toml"), made)
    return {name: value for name, value in made.items() if name.isupper()}


def module(name: str, **contents: Any) -> types.ModuleType:
    """A module made of its contents."""
    made = types.ModuleType(name)
    made.__dict__.update(contents)
    return made


@contextmanager
def importing(modules: dict[str, types.ModuleType], folders: tuple[Path, ...]) -> Iterator[None]:
    """While it lasts, imports find `modules`, and the firmware in `folders`, loaded afresh; nothing stays."""

    def ours(name: str) -> bool:
        return name in modules or name.partition(".")[0] in FIRMWARE

    saved = {name: found for name, found in sys.modules.items() if ours(name)}
    path = sys.path[:]
    for name in saved:
        del sys.modules[name]
    sys.modules.update(modules)
    sys.path[:0] = map(str, folders)
    try:
        yield
    finally:
        sys.path[:] = path
        for name in [name for name in sys.modules if ours(name)]:
            del sys.modules[name]
        sys.modules.update(saved)


class Pin:
    """A digital pin; the light's pins tell when they are lit."""

    def __init__(self, _name: str) -> None:
        self.value = True

    def switch_to_output(self, value: bool) -> None:
        self.value = value


class SwitchedOff(Exception):
    """The program has gone into deep sleep."""


class CircuitToken:
    """One token, from power-on.

    Args:
        name, air, number: as for a virtual board.
        file: the log's file.
        seed: of its entropy.

    Attributes:
        chip: its radio.
        fed: how often the watchdog was fed.
        app: the app.Token, once it has been made.
        done: see Fiber.
    """

    def __init__(self, name: str, air: Air, number: int, file: Path, seed: int = 1) -> None:
        self.chip = Chip(name, air, number)
        self.file = file
        self.fed = 0
        self.app: Any = None
        self.pins: dict[str, Pin] = {}
        self.sleep_memory = bytearray(8)
        self.reset_reason = "POWER_ON"
        self._random = stream(seed, f"circuit token/{name}")
        self._events: list[types.SimpleNamespace] = []
        self._fiber = self.chip.fiber = Fiber(self._run)

    async def power_on(self) -> "CircuitToken":
        """Start the firmware."""
        await self.chip.device.power_on()
        self._fiber.start()
        return self

    def power_off(self) -> None:
        """Take the battery out."""
        self._fiber.cut()
        self.chip.off()

    @property
    def done(self) -> asyncio.Future:
        return self._fiber.done

    def check(self) -> None:
        """Raise what the firmware has died of, if it has."""
        if self.done.done():
            self.done.result()
            raise AssertionError("the firmware has ended")

    def press(self, seconds: float) -> None:
        """Press the button for so long."""
        self._edge(True)
        asyncio.get_running_loop().call_later(seconds, self._edge, False)

    def _edge(self, pressed: bool) -> None:
        self._events.append(types.SimpleNamespace(pressed=pressed, timestamp=self.ticks_ms()))

    def ticks_ms(self) -> int:
        """supervisor.ticks_ms"""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        return (loop.now_ms - TICKS_BEFORE_WRAP_MS) & ((1 << 29) - 1)

    def _run(self) -> None:
        with importing(self.modules(), (ROOT / "firmware", BOARD)):
            app = importlib.import_module("app")
            ports = importlib.import_module("adapters.circuitpython")
            board_class = importlib.import_module("token_board").Board
        # Of the built-ins, files must not buffer, as on the board, and a heap can be asked for its size.
        ports.__dict__["open"] = partial(builtins.open, buffering=0)
        ports.__dict__["gc"] = app.__dict__["gc"] = types.SimpleNamespace(collect=int, mem_alloc=int)
        self.app = app.Token(board_class())
        self.app.run()

    def modules(self) -> dict[str, types.ModuleType]:
        """What CircuitPython has built in, for this board."""
        settings = settings_of(BOARD) | {"LOG_FILE": str(self.file), "LOG_BLOCKS": LOG_BLOCKS}
        pins = {value for name, value in settings.items() if name.startswith("PINS_") and isinstance(value, str)}
        reasons = types.SimpleNamespace(POWER_ON="POWER_ON", WATCHDOG="WATCHDOG", DEEP_SLEEP_ALARM="DEEP_SLEEP_ALARM")
        return {
            "_bleio": self.chip.module(),
            "alarm": module(
                "alarm",
                sleep_memory=self.sleep_memory,
                pin=types.SimpleNamespace(PinAlarm=lambda pin, value, pull: pin),
                exit_and_deep_sleep_until_alarms=self._deep_sleep,
            ),
            "analogio": module(
                "analogio", AnalogIn=lambda _pin: types.SimpleNamespace(value=20_129, reference_voltage=3.3)
            ),
            "board": module("board", **{name: name for name in pins}),
            "digitalio": module("digitalio", DigitalInOut=self._pin),
            "keypad": module("keypad", Keys=lambda *_args, **_options: self._keys()),
            "microcontroller": module(
                "microcontroller",
                watchdog=types.SimpleNamespace(feed=self._feed, timeout=0, mode=None),
                cpu=types.SimpleNamespace(reset_reason=self.reset_reason),
                ResetReason=reasons,
            ),
            "micropython": module("micropython", const=lambda value: value),
            "os": module("os", urandom=self._random.randbytes, sync=int, stat=os.stat, rename=os.rename),
            "settings": module("settings", **settings),
            "supervisor": module("supervisor", ticks_ms=self.ticks_ms),
            "time": module("time", sleep=self._fiber.sleep),
            "watchdog": module("watchdog", WatchDogMode=types.SimpleNamespace(RESET="RESET")),
        }

    def _pin(self, name: str) -> Pin:
        return self.pins.setdefault(name, Pin(name))

    def _keys(self) -> types.SimpleNamespace:
        queue = types.SimpleNamespace(get=lambda: self._events.pop(0) if self._events else None)
        return types.SimpleNamespace(events=queue, deinit=int)

    def _feed(self) -> None:
        self.fed += 1

    def _deep_sleep(self, *alarms: str) -> None:
        assert alarms == ("D1",)
        raise SwitchedOff
