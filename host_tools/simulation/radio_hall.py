"""A hall full of tokens that all hear each other: packets collide, and the schedules follow the crowd.

Collisions are pure ALOHA: two packets that overlap on a channel are both lost to everybody, however near one sender is
(no capture effect, which would help the nearer one). Further losses are those of two tokens. Times are integers in µs.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tracing.schedule import Schedule

from .radio_log import AIRTIME_US, CHANNEL_STEP_US, CHANNELS, RESTART_US, TOKEN_TOKEN, Work, adv_times_us


@dataclass(frozen=True)
class HallResult:
    """`windows[a, b]`: in how many scan windows a heard b; the other arrays have one number per token, at the end."""

    windows: np.ndarray
    neighbours: np.ndarray  # estimated by the schedule
    adv_interval_ms: np.ndarray
    work: Work

    def share(self, windows: int) -> float:
        """Share of the ordered pairs that heard each other in at least so many windows."""
        tokens = len(self.windows)
        return float((self.windows >= windows).sum() / (tokens * (tokens - 1)))


def hall(
    make_schedule: Callable[[], Schedule],
    tokens: int,
    duration_s: int,
    random: np.random.Generator,
    adapts: bool = True,
) -> HallResult:
    """`tokens` tokens enter a hall at once, knowing nothing of each other, and stay for `duration_s`.

    Args:
        adapts: false leaves the schedules as they are for somebody alone, to compare.
    """
    duration_us = duration_s * 1_000_000
    schedules = [make_schedule() for _ in range(tokens)]
    # A grid so fine that a token has at most one event in a cell: (time cell, token) → start of the event, or -1.
    cell_us = schedules[0].adv_interval_us(0)
    grid = np.full((duration_us // cell_us + 2, tokens), -1, np.int64)
    windows = np.zeros((tokens, tokens), np.int64)
    listened_us = scans = 0
    due: list[tuple[int, int, int, int]] = []  # end of a window, token, its start, start of the next one

    def advertise(token: int, begin_us: int, window_us: int) -> None:
        schedule = schedules[token]
        interval_us = schedule.adv_interval_us(int(random.integers(256)))
        times_us = adv_times_us(begin_us, min(window_us, duration_us), interval_us, random)
        grid[times_us // cell_us, token] = times_us
        next_us = window_us + 1000 * schedule.until_next_window_ms(int(random.integers(256)))
        heapq.heappush(due, (window_us + 1000 * schedule.window_ms, token, window_us, next_us))

    for token, schedule in enumerate(schedules):
        advertise(token, 0, int(random.integers(0, 1000 * schedule.until_next_window_ms(128))))
    # In the order of their ends: when a window is judged, every event that may lie in it is on the grid.
    while due[0][0] < duration_us:
        end_us, token, start_us, next_us = heapq.heappop(due)
        schedule = schedules[token]
        heard = _heard(grid, cell_us, start_us, end_us, schedule.scan_interval_us(), random)
        windows[token, heard] += 1
        listened_us += end_us - start_us
        scans += 1
        if adapts:
            schedule.note_window(len(heard))
        advertise(token, end_us + RESTART_US, next_us)
    return HallResult(
        windows,
        np.array([schedule.neighbours for schedule in schedules]),
        np.array([schedule.adv_interval_us(128) / 1000 for schedule in schedules]),
        Work(int((grid >= 0).sum()), listened_us, scans, tokens * duration_us),
    )


def _heard(
    grid: np.ndarray, cell_us: int, start_us: int, end_us: int, interval_us: int, random: np.random.Generator
) -> np.ndarray:
    """Numbers of the tokens of which a scan window hears at least one packet."""
    first = max(0, start_us - CHANNELS * CHANNEL_STEP_US) // cell_us
    cells = grid[first : end_us // cell_us + 1]
    there = cells >= 0
    time_us = cells[there]
    order = np.argsort(time_us)
    time_us = time_us[order]
    sender = np.nonzero(there)[1][order]
    # The three packets of all events keep the same distances: who collides on one channel collides on each.
    apart = time_us[1:] - time_us[:-1] >= AIRTIME_US
    alone = np.ones(len(time_us), bool)
    alone[1:] &= apart
    alone[:-1] &= apart
    heard = np.zeros(grid.shape[1], bool)
    for channel in range(CHANNELS):
        open_us = start_us + channel * (interval_us - CHANNEL_STEP_US)
        begin, end = np.searchsorted(time_us, (open_us, open_us + interval_us - AIRTIME_US + 1))
        came = alone[begin:end] & (random.random(end - begin) >= TOKEN_TOKEN.packet)
        heard[sender[begin:end][came]] = True
    return np.flatnonzero(heard & (random.random(len(heard)) >= TOKEN_TOKEN.window))
