"""A token on an ESP32 whose radio is off between advertisements, over stand-ins of the port's modules."""

import importlib
import sys
import types
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from esp32_stand_in import RESTART_MS, Chip, Event

from tracing import wire
from tracing.keys import SLOT_S
from tracing.patterns import ALIVE, SYNC_MODE

FIRMWARE = str(Path(__file__).parents[2] / "firmware")
NOW_S = 1_800_000_000 // SLOT_S * SLOT_S + 10
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
INTERVAL_MS = 1000
NEIGHBOUR = b"twelve bytes"


def settings(sleep: str) -> Any:
    return types.SimpleNamespace(
        POWER_SLEEP=sleep, RADIO_ADV_INTERVAL_US=INTERVAL_MS * 1000, RADIO_SCAN_WINDOW_MS=1050,
        RADIO_SCAN_PERIOD_MS=37_500, LOG_PARTITION="log", LOG_BLOCKS=8, LOG_DAYS=14, BATTERY_LOW_MV=3500,
        BATTERY_STOP_MV=3300, BATTERY_DIVIDER_RATIO_X100=200, PINS_BUTTON=0, PINS_RED=4, PINS_GREEN=5, PINS_BLUE=6,
        PINS_BATTERY_ADC=2,
    )  # fmt: skip


class Wearer:
    """A token that runs on a chip."""

    def __init__(self, chip: Chip, app: Any, board: Any) -> None:
        self.chip = chip
        self.shown: list[tuple[int, int]] = []
        show = board.indicator.show

        def watched(pattern: int) -> None:
            self.shown.append((chip.true_ms, pattern))
            show(pattern)

        board.indicator.show = watched
        self.token = app.Token(board)
        self.token.start()
        self.set_ms = chip.true_ms  # when the clock was set
        self.token.set_time(NOW_S, 0)

    def live(self, ms: int) -> None:
        """Let the token work."""
        until_ms = self.chip.true_ms + ms
        while self.chip.true_ms < until_ms:
            self.token.step()

    @property
    def air(self) -> list[Event]:
        return self.chip.radio.air

    def shows(self, pattern: int, since_ms: int) -> int:
        """How often it has shown a pattern since then."""
        return sum(at >= since_ms and shown == pattern for at, shown in self.shown)


@pytest.fixture
def start() -> Iterator[Callable[..., Wearer]]:
    """`start(sleep="light", drift_ppm=0)`: a token, switched on."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:

        def make(sleep: str = "light", drift_ppm: int = 0) -> Wearer:
            chip = Chip(drift_ppm)
            patch.syspath_prepend(FIRMWARE)
            for name in [name for name in sys.modules if name.partition(".")[0] in ("adapters", "app")]:
                patch.delitem(sys.modules, name)
            with pytest.MonkeyPatch.context() as modules:
                for name, stand_in in chip.modules(settings(sleep)).items():
                    modules.setitem(sys.modules, name, stand_in)
                ports = importlib.import_module("adapters.esp32")
                importlib.import_module("adapters.light_sleep")
                app = importlib.import_module("app")
            patch.setattr(
                app, "gc", types.SimpleNamespace(collect=lambda: None)
            )  # CPython's would take most of the time
            patch.setattr(ports, "os", types.SimpleNamespace(urandom=chip.random.randbytes))
            return Wearer(chip, app, ports.Esp32Board())

        yield make
        for name in [name for name in sys.modules if name.partition(".")[0] in ("adapters", "app")]:
            if name not in before:
                del sys.modules[name]


def test_an_address_never_outlives_its_id_and_the_fixed_one_is_never_on_the_air(start: Callable[..., Wearer]) -> None:
    wearer = start()
    wearer.live(HOUR_MS)
    payloads = defaultdict(set)
    ids = wearer.token.keys
    for event in wearer.air:
        assert event.payload == wire.advertisement(ids.id_at(NOW_S + (event.at_ms - wearer.set_ms) // 1000))
        payloads[event.address].add(event.payload)
        assert event.address != wearer.chip.radio.FIXED
    assert all(len(of) == 1 for of in payloads.values())
    assert len({event.payload for event in wearer.air}) == 5  # an hour of quarters, the first begun
    assert len(payloads) > 3000  # and each advertisement has its own address


def test_it_sleeps_and_yet_advertises_and_listens_as_its_schedule_says(start: Callable[..., Wearer]) -> None:
    wearer = start()
    wearer.chip.radio.neighbours = [wire.advertisement(NEIGHBOUR)]
    wearer.live(HOUR_MS)
    assert wearer.chip.slept_ms > 0.8 * HOUR_MS
    times = [event.at_ms for event in wearer.air]
    gaps = [after - before for before, after in pairwise(times)]
    # A window's length and the rest before it may lie between two; else an interval, its 5 %, and a start more or less.
    assert max(gaps) < 1050 + 2 * INTERVAL_MS
    assert sum(gap <= 1.05 * INTERVAL_MS + RESTART_MS for gap in gaps) > 0.96 * len(gaps)
    windows = [at for at, pattern in wearer.shown if pattern == ALIVE]
    assert 90 <= len(windows) <= 102
    fed = wearer.chip.fed_ms
    assert max(after - before for before, after in pairwise(fed)) < 45_000


def test_what_it_hears_across_its_sleep_is_one_encounter_and_outlives_a_reset(start: Callable[..., Wearer]) -> None:
    wearer = start()
    radio = wearer.chip.radio
    radio.neighbours = [wire.advertisement(NEIGHBOUR)]
    wearer.live(10 * MINUTE_MS)
    assert NEIGHBOUR in wearer.chip.ram
    assert len(wearer.token.journal.encounters) == 1
    assert wearer.token.log.next_seq == 0
    radio.neighbours = []
    wearer.live(4 * MINUTE_MS)
    assert wearer.token.log.next_seq == 1
    assert len(wearer.token.journal.encounters) == 0


@pytest.mark.parametrize("begin_ms", range(0, 1100, 90))
def test_no_press_is_lost_wherever_it_begins(start: Callable[..., Wearer], begin_ms: int) -> None:
    wearer = start()
    wearer.live(5000)
    at_ms = wearer.chip.true_ms + begin_ms
    wearer.chip.press(at_ms, 80)
    wearer.live(2500)
    assert wearer.shows(ALIVE, at_ms) == 1
    assert next(at for at, _ in wearer.shown if at >= at_ms) <= at_ms + 600


def test_sync_mode_keeps_the_radio_on(start: Callable[..., Wearer]) -> None:
    wearer = start()
    wearer.live(5000)
    at_ms = wearer.chip.true_ms + 300
    wearer.chip.press(at_ms, 1700)
    wearer.live(4000)
    assert wearer.shows(SYNC_MODE, at_ms) == 1
    naps, starts = wearer.chip.naps, wearer.chip.radio.starts
    wearer.live(20_000)
    assert (wearer.chip.naps, wearer.chip.radio.starts) == (naps, starts)
    wearer.token.radio.pause()
    assert sum(event.response != b"" for event in wearer.air if event.at_ms > at_ms + 4000) > 150
    wearer.live(60_000)  # the wearer's consent is over
    assert wearer.chip.naps > naps


def test_a_button_held_down_in_a_bag_does_not_keep_it_awake_and_works_again(start: Callable[..., Wearer]) -> None:
    wearer = start()
    wearer.live(5000)
    wearer.chip.press(wearer.chip.true_ms + 10, 10 * MINUTE_MS)
    wearer.live(5 * MINUTE_MS)
    slept_ms = wearer.chip.slept_ms
    wearer.live(4 * MINUTE_MS)
    assert wearer.chip.slept_ms - slept_ms > 0.8 * 4 * MINUTE_MS
    wearer.live(2 * MINUTE_MS)
    at_ms = wearer.chip.true_ms + 500
    wearer.chip.press(at_ms, 80)
    wearer.live(2000)
    assert wearer.shows(ALIVE, at_ms) == 1


def test_a_connection_keeps_it_awake(start: Callable[..., Wearer]) -> None:
    wearer = start()
    radio = wearer.chip.radio
    wearer.live(4900)
    for ms in range(0, 1200, 7):  # only beside an advertisement is there anything to connect to
        wearer.chip.at(wearer.chip.true_ms + ms, lambda: radio.connect(20_000))
    wearer.live(1500)
    naps = wearer.chip.naps
    wearer.live(3000)
    assert radio.connected
    assert wearer.chip.naps == naps
    wearer.live(20_000)
    assert wearer.chip.naps > naps


@pytest.mark.parametrize("drift_ppm", [-50_000, 6000, 50_000])
def test_the_clock_learns_what_the_oscillator_loses_asleep(start: Callable[..., Wearer], drift_ppm: int) -> None:
    wearer = start(drift_ppm=drift_ppm)
    for _ in range(2):
        wearer.live(2 * HOUR_MS)
        wearer.token.set_time(NOW_S + wearer.chip.true_ms // 1000, wearer.chip.true_ms % 1000)
    wearer.live(2 * HOUR_MS)
    assert abs(wearer.token.clock.now() - NOW_S - wearer.chip.true_ms // 1000) <= 2


def test_without_being_told_so_it_never_switches_the_radio_off(start: Callable[..., Wearer]) -> None:
    wearer = start("modem")
    wearer.live(20 * MINUTE_MS)
    assert (wearer.chip.naps, wearer.chip.radio.starts) == (0, 1)
    assert len({event.address for event in wearer.air}) == len({event.payload for event in wearer.air})
