"""Unix time from a counter that wraps: firmware/adapters/clock.py over a counter of the tests."""

from hypothesis import given
from hypothesis import strategies as st
from ticking import LONGEST_MS, NOW_S, PERIOD, make_clock

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


# --- Skew ------------------------------------------------------------------------------------------------------

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
drifts = st.integers(-60_000, 60_000)  # millionths by which the counter is fast


class Drifting:
    """A clock over a counter that runs fast by `drift_ppm`, and the true time."""

    def __init__(self, drift_ppm: int, start_ms: int = 0, skew_ppm: int = 0) -> None:
        self.clock, self._ticks = make_clock(start_ms)
        self.clock.skew_ppm = skew_ppm
        self.drift_ppm = drift_ppm
        self.true_ms = NOW_S * 1000
        self._counted = 0

    def go_on(self, ms: int) -> None:
        """Let `ms` of true time pass, with a look at the clock now and then."""
        while ms > 0:
            step_ms = min(ms, HOUR_MS)
            ms -= step_ms
            self.true_ms += step_ms
            self._counted += step_ms * (1_000_000 + self.drift_ppm)
            self._ticks.passed_ms = self._counted // 1_000_000
            self.clock.now()

    def set(self) -> int:
        return self.clock.set(self.true_ms // 1000, self.true_ms % 1000)

    @property
    def error_s(self) -> float:
        """How fast the clock is now."""
        return (self.clock.now() * 1000 + 1000 - self.clock.ms_to(1) - self.true_ms) / 1000


@given(drift_ppm=drifts, start_ms=starts, first_ms=st.integers(HOUR_MS + 300_000, 3 * DAY_MS))
def test_after_an_hour_and_a_second_setting_a_day_costs_a_second_or_so(
    drift_ppm: int, start_ms: int, first_ms: int
) -> None:
    token = Drifting(drift_ppm, start_ms)
    token.set()
    token.go_on(first_ms)
    assert abs(token.error_s - first_ms / 1000 * drift_ppm / 1_000_000) <= 0.002
    token.set()
    token.go_on(DAY_MS)
    # It divides by whole seconds: of the first time up to one is missing, which spoils the drift by that share.
    rounding_s = DAY_MS / first_ms * abs(drift_ppm) / 1_000_000 + 0.15
    assert rounding_s < 1.6
    assert abs(token.error_s) <= rounding_s
    assert abs(token.set()) <= 2
    token.go_on(14 * DAY_MS)  # past the wrap of the counter
    assert abs(token.error_s) <= 14 * rounding_s


@given(start_ms=starts, steady_ppm=drifts, wander_ppm=st.lists(st.integers(-500, 500), min_size=3, max_size=12))
def test_a_drift_that_wanders_is_followed(start_ms: int, steady_ppm: int, wander_ppm: list[int]) -> None:
    token = Drifting(steady_ppm, start_ms)
    token.set()
    for number, ppm in enumerate(wander_ppm):
        token.drift_ppm = steady_ppm + ppm
        token.go_on(DAY_MS)
        if number:  # what was learned lies among the drifts seen so far, all within 1,000 ppm
            assert abs(token.error_s) <= 86_400 * 1_100 / 1_000_000
        token.set()


def test_one_setting_that_was_off_is_forgotten_by_half_with_each_later_one() -> None:
    token = Drifting(0, skew_ppm=8192)  # learned from a kiosk whose clock was wrong, in an earlier boot
    token.set()
    for left_ppm in (4096, 2048, 1024, 512):
        token.go_on(DAY_MS)
        token.set()
        assert abs(token.clock.skew_ppm - left_ppm) <= 2


@given(passed_ms=st.integers(0, HOUR_MS * 9 // 10), error_s=st.integers(-300, 300))
def test_less_than_an_hour_teaches_nothing(passed_ms: int, error_s: int) -> None:
    token = Drifting(60_000)
    token.set()
    token.go_on(passed_ms)
    token.clock.set(NOW_S + passed_ms // 1000 + error_s)
    assert token.clock.skew_ppm == 0


@given(hours=st.integers(2, 100), share_ppm=st.one_of(st.integers(-900_000, -101_000), st.integers(101_000, 1 << 30)))
def test_a_jump_teaches_nothing(hours: int, share_ppm: int) -> None:
    token = Drifting(0, skew_ppm=0)
    token.set()
    token.go_on(hours * HOUR_MS)
    token.clock.set(token.true_ms // 1000 + hours * 3600 * share_ppm // 1_000_000)
    assert token.clock.skew_ppm == 0


def test_a_time_that_the_chip_has_kept_teaches_nothing() -> None:
    token = Drifting(50_000)
    token.clock.set_about(NOW_S - 500)  # it has drifted, too
    token.clock.is_set = True
    token.go_on(DAY_MS)
    assert token.set() < -3000
    assert token.clock.skew_ppm == 0
    token.go_on(DAY_MS)
    token.set()
    assert abs(token.clock.skew_ppm + 50_000 * 1_000_000 // 1_050_000) <= 2


@given(drift_ppm=drifts, start_ms=starts)
def test_a_skew_learned_in_an_earlier_boot_serves_from_the_first_setting_on(drift_ppm: int, start_ms: int) -> None:
    token = Drifting(drift_ppm, start_ms, skew_ppm=-drift_ppm * 1_000_000 // (1_000_000 + drift_ppm))
    token.set()
    token.go_on(DAY_MS)
    assert abs(token.error_s) <= 1.0


def test_timers_do_not_follow_the_skew() -> None:
    clock, ticks = make_clock()
    clock.skew_ppm = 50_000
    ticks.passed_ms = DAY_MS
    assert clock.uptime_ms() == DAY_MS
    assert clock.now() == 86_400 * 105 // 100
