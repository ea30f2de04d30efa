"""A clock that cannot be right is noticed: by the list, by the last sync, and by itself while the kiosk runs."""

import pytest
from fleet_kit import NOON_S
from hypothesis import given
from hypothesis import strategies as st

from host_tools.fleet import clock
from host_tools.fleet.clock import BELIEVED_AFTER_S, DIFFER_S, EARLIEST_S, ClockWatch, ClockWrong


@pytest.mark.parametrize(
    ("now_s", "words"),
    [(NOON_S - DIFFER_S - 1, "the list in use was published at 2020-08-08 12:00"), (0, "says 1970-01-01 00:00")],
)
def test_a_list_from_the_future_says_that_the_clock_is_wrong(now_s, words):
    clock.check(NOON_S - DIFFER_S, published_s=NOON_S)
    with pytest.raises(ClockWrong, match=words):
        clock.check(now_s, published_s=NOON_S)


@given(st.integers(0, 1 << 33), st.integers(0, 1 << 32), st.none() | st.integers(0, 1 << 32))
def test_what_has_happened_is_never_in_the_future(now_s, latest_s, published_s):
    try:
        clock.check(now_s, latest_s, published_s)
    except ClockWrong:
        assert now_s < max(latest_s - DIFFER_S, (published_s or 0) - DIFFER_S, EARLIEST_S)
    else:
        assert now_s >= max(latest_s - DIFFER_S, (published_s or 0) - DIFFER_S, EARLIEST_S)


class Times:
    def __init__(self) -> None:
        self.wall_s = float(NOON_S)
        self.steady_s = 5.0
        self.watch = ClockWatch(lambda: self.wall_s, lambda: self.steady_s)

    def go_on(self, seconds: float) -> None:
        self.wall_s += seconds
        self.steady_s += seconds


def test_an_hour_back_while_running_is_not_believed_at_once():
    times = Times()
    times.watch.check()
    times.go_on(7200)
    times.watch.check()
    times.wall_s -= 3600
    for _ in range(2):
        with pytest.raises(ClockWrong, match="set back by 60 minutes"):
            times.watch.check()
        times.go_on(BELIEVED_AFTER_S / 2 - 1)
    times.go_on(2)
    times.watch.check()  # nobody put it right: it was right
    times.go_on(60)
    times.watch.check()


def test_a_clock_that_is_put_right_is_believed_at_once():
    times = Times()
    times.watch.check()
    times.wall_s -= 3600
    with pytest.raises(ClockWrong):
        times.watch.check()
    times.wall_s += 3600
    times.watch.check()
    times.wall_s += 86_400  # a computer that had no time before the network came
    times.watch.check()
    times.wall_s -= DIFFER_S - 1
    times.watch.check()
