"""Unix time from a counter that wraps: firmware/adapters/clock.py over a counter of the tests."""

import importlib.util
import sys
import types
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


starts = st.integers(0, PERIOD - 1)
steps = st.lists(st.integers(0, LONGEST_MS), max_size=40)


@given(start_ms=starts, steps=steps)
def test_uptime_never_wraps(start_ms: int, steps: list[int]) -> None:
    clock, ticks = make_clock(start_ms)
    for step in [0, *steps]:
        ticks.passed_ms += step
        assert clock.uptime_ms() == ticks.passed_ms
        assert clock.uptime_s() == ticks.passed_ms // 1000


def test_a_year_of_looks() -> None:
    clock, ticks = make_clock(PERIOD - 1)
    clock.set(NOW_S)
    for _ in range(365 * 86_400_000 // LONGEST_MS + 1):
        ticks.passed_ms += LONGEST_MS
        assert clock.now() == NOW_S + ticks.passed_ms // 1000
    assert ticks.passed_ms > 365 * 86_400_000 > 20 * PERIOD


@given(start_ms=starts, before=steps, ms=st.integers(0, 999), after=steps)
def test_it_goes_on_from_the_time_it_is_set_to(start_ms: int, before: list[int], ms: int, after: list[int]) -> None:
    clock, ticks = make_clock(start_ms)
    for step in before:
        ticks.passed_ms += step
        clock.now()
    assert not clock.is_set
    clock.set(NOW_S, ms)
    assert clock.is_set
    set_at_ms = ticks.passed_ms
    for step in [0, *after]:
        ticks.passed_ms += step
        true_ms = NOW_S * 1000 + ms + ticks.passed_ms - set_at_ms
        assert clock.now() == true_ms // 1000
        assert clock.ms_to(1) == 1000 - true_ms % 1000
        assert clock.uptime_ms() == ticks.passed_ms  # setting the time does not touch it


@given(error_s=st.integers(-NOW_S, 1 << 31), passed_ms=st.integers(0, LONGEST_MS), ms=st.integers(0, 999))
def test_a_correction_is_what_the_clock_was_wrong_by(error_s: int, passed_ms: int, ms: int) -> None:
    clock, ticks = make_clock()
    assert clock.set(NOW_S + error_s, ms) == 0  # nothing to correct
    ticks.passed_ms += passed_ms
    wrong_s = clock.now()
    assert clock.set(NOW_S) == NOW_S - wrong_s
    assert clock.now() == NOW_S
    assert clock.set(NOW_S, 999) == 0


@given(start_ms=starts, before_ms=st.integers(0, LONGEST_MS), after_ms=st.integers(0, LONGEST_MS))
def test_a_time_known_about_counts_but_is_not_the_time(start_ms: int, before_ms: int, after_ms: int) -> None:
    clock, ticks = make_clock(start_ms)
    ticks.passed_ms += before_ms
    clock.set_about(NOW_S)
    assert clock.now() == NOW_S
    ticks.passed_ms += after_ms
    assert NOW_S + after_ms // 1000 <= clock.now() <= NOW_S + after_ms // 1000 + 1
    assert not clock.is_set
    assert clock.set(NOW_S + 86_400) == 0
    assert clock.is_set


def test_a_time_known_about_does_not_overrule_a_clock_that_is_set() -> None:
    clock, ticks = make_clock()
    clock.set(NOW_S, 500)
    ticks.passed_ms += 700
    clock.set_about(NOW_S - 3600)
    assert clock.now() == NOW_S + 1
    assert clock.ms_to(1) == 800


def test_an_unset_clock_counts_from_the_epoch() -> None:
    clock, ticks = make_clock(PERIOD - 5)
    ticks.passed_ms += 12_345
    assert clock.now() == 12
    assert clock.ms_to(1) == 655
    assert clock.ms_to(900) == 900_000 - 12_345
