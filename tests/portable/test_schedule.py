"""When the radio listens: bounds, means, crowds, battery, and that the boards' numbers keep the promise."""

import math
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from two_pythons import both_pythons

from tracing.schedule import LOW, STOP, Schedule

BOARDS = {
    path.parent.name: tomllib.loads(path.read_text())["radio"]
    for path in sorted((Path(__file__).parents[2] / "boards").glob("*/board.toml"))
}
BYTES = range(256)
AIRTIME_US = 376
ADV_DELAY_US = 10_000  # Bluetooth adds 0 to 10 ms of its own to every advertising interval


def check_extremes(rows):
    from tracing.schedule import Schedule

    for adv_interval_us, window_ms, period_ms, byte, expected in rows:
        schedule = Schedule(adv_interval_us, window_ms, period_ms)
        found = (
            schedule.until_next_window_ms(byte),
            schedule.adv_interval_us(byte),
            schedule.scan_interval_us(),
        )
        assert found == expected, found


@both_pythons
def test_extremes(run):
    rows = [
        (250_000, 270, 37_500, 0, (37_000, 237_500, 90_000)),
        (250_000, 270, 37_500, 128, (37_500, 250_000, 90_000)),
        (250_000, 270, 37_500, 255, (37_996, 262_402, 90_000)),
        (417_500, 438, 37_500, 1, (37_003, 396_788, 146_000)),
    ]
    run(check_extremes, rows)


@given(st.integers(20_000, 10_240_000), st.integers(30, 11_000), st.integers(1000, 600_000), st.sampled_from(BYTES))
def test_bounds(adv_interval_us, window_ms, period_ms, byte):
    schedule = Schedule(adv_interval_us, window_ms, period_ms)
    assert abs(schedule.until_next_window_ms(byte) - period_ms) <= 500
    assert abs(schedule.adv_interval_us(byte) - adv_interval_us) * 20 <= adv_interval_us
    assert 3 * schedule.scan_interval_us() <= window_ms * 1000 < 3 * (schedule.scan_interval_us() + 1)


def test_means_and_variety():
    schedule = Schedule(250_000, 270, 37_500)
    periods_ms = [schedule.until_next_window_ms(byte) for byte in BYTES]
    intervals_us = [schedule.adv_interval_us(byte) for byte in BYTES]
    assert abs(sum(periods_ms) / 256 - 37_500) < 4
    assert abs(sum(intervals_us) / 256 - 250_000) < 100
    assert len(set(periods_ms)) == len(set(intervals_us)) == 256


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_hears_everybody_in_one_window(name):
    radio = BOARDS[name]
    assert radio["scan_window_ms"] * 1000 >= radio["adv_interval_us"] + ADV_DELAY_US


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_does_not_lock_onto_the_phones_rest(name):
    # Android advertises in the first half of every 30 s; the windows of 5 minutes must find it wherever they begin.
    period_ms = BOARDS[name]["scan_period_ms"]
    for begin_ms in range(0, 30_000, 100):
        windows = [(begin_ms + number * period_ms) % 30_000 < 15_000 for number in range(300_000 // period_ms)]
        assert windows.count(True) >= len(windows) // 4
        assert windows.count(True) <= len(windows) * 3 // 4


def token(**limits):
    return Schedule(312_500, 333, 37_500, **limits)


def heard_of(neighbours, schedule):
    """How many ids a window hears on average, when all devices advertise as `schedule` does (pure ALOHA)."""
    load = 2 * AIRTIME_US * neighbours / schedule.adv_interval_us(128)
    return round(0.72 * neighbours * math.exp(-load))


def check_crowd(rows):
    from tracing.schedule import Schedule

    schedule = Schedule(312_500, 333, 37_500)
    for heard, expected in rows:
        schedule.note_window(heard)
        found = (
            schedule.neighbours, schedule.adv_interval_us(128), schedule.window_ms, schedule.until_next_window_ms(128)
        )  # fmt: skip
        assert found == expected, found


@both_pythons
def test_a_crowd_comes_and_goes(run):
    rows = [
        (3, (4, 312_500, 333, 37_500)),
        (80, (161, 312_500, 333, 12_500)),
        (130, (647, 973_000, 994, 25_000)),  # more than ALOHA carries at the interval of before: far up at once
        (180, (564, 848_000, 869, 25_000)),
        (0, (423, 636_000, 657, 21_781)),
    ]
    run(check_crowd, rows)


@given(st.lists(st.integers(0, 1_000_000), min_size=1, max_size=30), st.integers(20, 1000))
def test_whatever_is_heard_the_schedule_stays_in_bounds(windows, base_ms):
    schedule = Schedule(base_ms * 1000, base_ms + 20, 37_500)
    for heard in windows:
        schedule.note_window(heard)
        interval_us = schedule.adv_interval_us(128)
        assert base_ms * 1000 <= interval_us <= 1_000_000
        assert schedule.window_ms * 1000 == interval_us + 20_000
        assert 37_500 // 3 <= schedule.until_next_window_ms(128) <= 37_500
        assert not 25_000 < schedule.until_next_window_ms(128) < 37_500  # aliases with the bursts of phones
        assert 0 <= schedule.neighbours <= 1000


@given(st.integers(0, 550))
def test_the_crowd_is_estimated_right_when_all_follow_it(neighbours):
    # Up to 550 even if all begin at once and know nothing; a crowd that grows is followed further.
    schedule = token()
    for _ in range(24):
        schedule.note_window(heard_of(neighbours, schedule))
    assert abs(schedule.neighbours - neighbours) <= 3 + neighbours * 0.1


def test_a_growing_crowd_is_followed_to_the_limit():
    schedule = token()
    for neighbours in range(0, 950, 10):
        schedule.note_window(heard_of(neighbours, schedule))
        assert abs(schedule.neighbours - neighbours) <= 3 + neighbours * 0.1
    assert schedule.adv_interval_us(128) == 1_000_000


def test_a_burst_of_forged_ids_is_forgotten():
    schedule = token()
    schedule.note_window(1_000_000)
    assert schedule.adv_interval_us(128) == 1_000_000
    for _ in range(7):
        schedule.note_window(5)
    assert schedule.neighbours < 150
    assert schedule.window_ms == 333
    assert schedule.until_next_window_ms(128) == 37_500


def test_levels_of_the_battery():
    schedule = token(low_mv=2500, stop_mv=2200)
    levels = [
        schedule.note_battery(mv) for mv in (3000, 2499, 2600, 2499, 2499, 2640, 2650, 2100, 2100, 2340, 2350, 2650)
    ]
    #   enough; one dip counts for nothing; two do; 150 mV more than the limit to rise again; the same for STOP
    assert levels == [0, 0, 0, 0, LOW, LOW, 0, 0, STOP, STOP, LOW, 0]
    assert schedule.level == 0


def test_an_empty_battery_is_seen_at_the_first_measurement():
    assert token(low_mv=2500, stop_mv=2200).note_battery(2000) == STOP
    assert token().note_battery(0) == 0  # no limits, no level


@given(st.lists(st.integers(0, 5000), min_size=1))
def test_a_level_never_flutters_within_its_margin(measured_mv):
    schedule = token(low_mv=3500, stop_mv=3300)
    before = 0
    for mv in measured_mv:
        level = schedule.note_battery(mv)
        if level < before:
            assert mv >= 3300 + 150 or level == before  # only a clearly fuller battery lifts a level
        before = level


@given(st.integers(0, 1000), st.sampled_from(BYTES))
def test_a_low_battery_halves_the_work(heard, byte):
    normal, low = token(low_mv=2500), token(low_mv=2500)
    for schedule in (normal, low):
        schedule.note_window(heard)
    assert low.note_battery(2400) == LOW
    assert low.adv_interval_us(128) == 2 * normal.adv_interval_us(128)
    assert low.until_next_window_ms(128) == 2 * normal.until_next_window_ms(128)
    assert low.window_ms == normal.window_ms  # as long as the others' interval
    assert abs(low.until_next_window_ms(byte) - low.until_next_window_ms(128)) <= 500
