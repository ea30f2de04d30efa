"""firmware/adapters/clock.py over a counter that a test moves."""

import importlib.util
import sys
import types
from pathlib import Path

import pytest

CLOCK = Path(__file__).parents[2] / "firmware" / "adapters" / "clock.py"
PERIOD = 1 << 30  # MicroPython's ticks
LONGEST_MS = (1 << 29) - 1  # between two looks at the clock: 6.2 days
NOW_S = 1_596_844_800


class Ticks(types.ModuleType):
    """A `time` whose counter stands still until it is moved."""

    def __init__(self, start_ms: int) -> None:
        super().__init__("time")
        self.passed_ms = 0
        self.start_ms = start_ms

    def ticks_ms(self) -> int:
        return (self.start_ms + self.passed_ms) % PERIOD

    def ticks_diff(self, end: int, start: int) -> int:
        return (end - start + PERIOD // 2) % PERIOD - PERIOD // 2


def make_clock(start_ms: int = 0):
    """A clock, and the counter under it."""
    ticks = Ticks(start_ms)
    spec = importlib.util.spec_from_file_location("clock_under_test", CLOCK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "time", ticks)
        spec.loader.exec_module(module)
    return module.Clock(), ticks
