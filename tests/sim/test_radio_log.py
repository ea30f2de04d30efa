"""The radio simulator against what can be computed by hand, and the schedule's promises in it."""

import math

import numpy as np
import pytest

from host_tools.simulation.radio_bench import CONTACT_S, Gate, pair, tries, with_phones
from host_tools.simulation.radio_hall import hall
from host_tools.simulation.radio_log import (
    AIRTIME_US,
    CHANNEL_STEP_US,
    CHANNELS,
    NOBODY,
    TOKEN_TOKEN,
    Loss,
    RadioLog,
    adv_times_us,
    meet,
    phones,
    quantile_s,
    share_within,
    tokens,
)
from tracing.schedule import Schedule

LOSSLESS = Loss(0.0, 0.0)


def nrf() -> Schedule:
    return Schedule(312_500, 333, 37_500)


def row(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def generator() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="module")
def log() -> RadioLog:
    return tokens(nrf, 40, 2000, generator())


@pytest.mark.parametrize(
    ("event_us", "heard"),
    [
        (-1, False),  # begins before the window; when channel 38 is used, 37 is listened to
        (0, True),
        (90_000 - 376, True),
        (90_000 - 375, True),  # not wholly on 37 any more, and then on 38 in time
        (90_000 - 701, True),
        (90_000, True),  # on 38
        (180_000 - 700 - 375, True),  # not wholly on 38, but on 39
        (180_000 - 1400, True),
        (270_000 - 1400 - 376, True),
        (270_000 - 1400 - 375, False),  # the window ends during the packet on 39
    ],
)
def test_a_packet_is_heard_wholly_inside_its_channels_part_of_the_window(event_us, heard):
    listener = RadioLog(1, 2_000_000, row(), row(1_000_000), row(270_000), row(90_000))
    sender = RadioLog(1, 2_000_000, row(1_000_000 + event_us), row(), row(), row())
    met = meet(listener, row(0), sender, row(0), row(0), 2_000_000, LOSSLESS, generator())
    assert (met.offered, met.received) == (int(heard), int(heard))
    assert met.latency_us.tolist() == [1_000_000 + event_us if heard else NOBODY]
    assert met.again_us.tolist() == [NOBODY]


def test_a_contact_counts_from_its_start_to_its_end_and_twice_in_two_windows():
    listener = RadioLog(1, 4_000_000, row(), row(1_000_000, 2_000_000), row(270_000, 270_000), row(90_000, 90_000))
    sender = RadioLog(1, 4_000_000, row(1_010_000, 1_100_000, 2_050_000), row(), row(), row())
    start_us = row(0, 1_050_000, 1_200_000, 2_100_000)
    nobody = np.zeros(4, np.int64)
    met = meet(listener, nobody, sender, nobody, start_us, 1_000_000, LOSSLESS, generator())
    assert met.latency_us.tolist() == [NOBODY, 50_000, 850_000, NOBODY]
    assert met.again_us.tolist() == [NOBODY] * 4
    met = meet(listener, nobody, sender, nobody, start_us, 1_100_000, LOSSLESS, generator())
    assert met.latency_us.tolist() == [1_010_000, 50_000, 850_000, NOBODY]
    assert met.again_us.tolist() == [NOBODY, 1_000_000, NOBODY, NOBODY]


def test_events_keep_their_interval_and_their_random_delay():
    times_us = adv_times_us(5000, 60_000_000, 100_000, generator())
    gaps_us = np.diff(times_us)
    assert 5000 <= times_us[0] <= 15_000
    assert times_us[-1] + 2 * CHANNEL_STEP_US + AIRTIME_US <= 60_000_000 < times_us[-1] + 115_000
    assert gaps_us.min() >= 100_000
    assert gaps_us.max() <= 110_000
    assert abs(gaps_us.mean() - 105_000) < 500
    assert len(adv_times_us(5000, 5000, 100_000, generator())) == 0


def test_a_token_never_advertises_while_it_listens(log):
    before = np.searchsorted(log.windows_us, log.events_us, side="right") - 1
    inside = (before >= 0) & (log.events_us < (log.windows_us + log.lengths_us)[before])
    assert len(log.events_us) > 200_000
    assert not inside.any()
    # … nor does an event run into a window.
    after = np.append(log.windows_us, np.iinfo(np.int64).max)[before + 1]
    assert (log.events_us + (CHANNELS - 1) * CHANNEL_STEP_US + AIRTIME_US <= after).all()


def test_one_window_hears_everybody_if_nothing_is_lost(log):
    random = generator()
    one = random.integers(0, 40, 4000)
    other = (one + random.integers(1, 40, 4000)) % 40
    start_us = random.integers(0, 1_500_000_000, 4000)
    met = meet(log, one, log, other, start_us, 400_000_000, LOSSLESS, random)
    # By the end of the first whole window: a period, its jitter and the window itself. 1 % of the windows are shared:
    # then neither advertises.
    assert share_within(met.latency_us, 37.5 + 0.5 + 0.333) > 0.97
    assert share_within(met.latency_us, 5 * 38.5) == 1
    assert abs(quantile_s(met.latency_us, 0.5) - 37.5 / 2) < 1
    assert met.offered == met.received


def test_the_measured_success_is_that_of_the_losses(log):
    there, back = pair(log, 4000, generator())
    for met in (there, back):
        assert met.received / met.offered == pytest.approx(
            (1 - TOKEN_TOKEN.packet) * (1 - TOKEN_TOKEN.window), abs=0.01
        )
        assert share_within(met.latency_us, CONTACT_S) > 0.999
        assert (met.again_us > met.latency_us)[met.latency_us < NOBODY].all()


def test_a_period_of_30_s_never_hears_half_of_the_phones_and_ours_hears_all():
    locked = tokens(lambda: Schedule(312_500, 333, 30_000), 20, 1600, generator())
    assert with_phones(locked, 4000, generator()).heard.min() < 0.1
    ours = tokens(nrf, 20, 1600, generator())
    found = with_phones(ours, 4000, generator())
    assert found.heard.mean() > 0.99
    assert share_within(found.hearing.latency_us, CONTACT_S) > 0.999


def test_phones_rest_every_other_15_s_and_listen_40_of_300_s():
    log, phases_us = phones(3, 900, generator())
    for phone, phase_us in enumerate(phases_us):
        begin, end = (np.searchsorted(log.events_us, RadioLog.moved(row(phone), row(us))) for us in (0, 900_000_000))
        in_cycle_us = (log.events_us[begin[0] : end[0]] - RadioLog.moved(row(phone), row(0)) - phase_us) % 30_000_000
        assert in_cycle_us.max() < 15_000_000
        assert len(in_cycle_us) == pytest.approx(900 / 2 / 0.105, rel=0.02)
    assert log.work.listened_us / log.work.device_us == pytest.approx(40 / 300, rel=0.35)


def test_collisions_are_those_of_pure_aloha():
    for count in (60, 150):
        result = hall(nrf, count, 200, generator(), adapts=False)
        heard = result.windows.sum() / (result.work.scans * (count - 1))
        # The interval's mean has 5 ms of random delay in it; a token that listens does not send.
        load = 2 * AIRTIME_US * (count - 1) / 317_500
        assert heard == pytest.approx(0.72 * math.exp(-load), rel=0.03)
        assert not result.windows.diagonal().any()


def test_a_crowd_is_counted_and_found():
    result = hall(nrf, 180, 300, generator())
    assert result.neighbours.mean() == pytest.approx(180, rel=0.15)
    assert result.share(1) > 0.999
    assert result.share(2) <= result.share(1)


def test_the_bound():
    assert tries(1e-3, 0.72) == pytest.approx(5.58, abs=0.01)
    assert tries(0.01, 0.9) == pytest.approx(2.0)
    assert tries(0.5, 0.5) == pytest.approx(1.0)


def test_gates():
    assert Gate("x", 1.1, 1.1, at_most=True).passed
    assert not Gate("x", 1.11, 1.1, at_most=True).passed
    assert Gate("x", 0.999, 0.999).passed
    assert str(Gate("x", 0.98, 0.99)) == "FAIL  x: 0.98 (≥ 0.99; missed share, ratio to the limit 2.00)"
    assert str(Gate("x", 1.0, 1.1, at_most=True)) == "PASS  x: 1 (≤ 1.1; ratio to the limit 0.91)"
