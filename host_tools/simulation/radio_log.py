"""When the radios of many devices advertise and listen, and who hears whom: the log that radio_bench.py judges.

Advertising events and scan windows of tokens come from instances of `tracing.schedule.Schedule`, the firmware's own
code, asked in the order in which firmware/app.py asks. Those of Android phones follow Bluezone's client: advertising
every 100 ms for 15 s of every 30 s, listening for 40 s of every 300 s. The radio beneath is Bluetooth's: a random delay
of 0 to 10 ms after every advertising interval, three packets per event on channels 37, 38, 39, one channel per scan
interval.

Two devices at a time meet here: packets are lost with a constant probability. Collisions are in radio_hall.py.
All times are integers in µs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tracing.schedule import Schedule

AIRTIME_US = 376  # of one packet
CHANNELS = 3
CHANNEL_STEP_US = 700  # from packet to packet of one event: airtime, time for a request to come in, change of channel
ADV_DELAY_US = 10_000
RESTART_US = 1000  # from the end of a scan window to the first event after it, at the least

_SPAN_US = 1 << 36  # 19 hours: device n's times lie after n spans in the one sorted array of all
_NEVER = np.iinfo(np.int64).max
NOBODY = _NEVER  # latency of what did not happen

PHONE_ADV_US = 100_000
PHONE_BURST_US = 15_000_000
PHONE_CYCLE_US = 30_000_000
PHONE_SCAN_US = 40_000_000
PHONE_SCAN_PERIOD_US = 300_000_000
PHONE_SCAN_INTERVAL_US = 4_096_000  # SCAN_MODE_LOW_LATENCY: window and interval, without pause


@dataclass(frozen=True)
class Loss:
    """Probability that a packet is lost, and that a whole window hears nothing of a sender (a body, an antenna)."""

    packet: float
    window: float


TOKEN_TOKEN = Loss(0.20, 0.10)
TOKEN_HEARS_PHONE = Loss(0.30, 0.15)
PHONE_HEARS_TOKEN = Loss(0.30, 0.0)


def adv_times_us(begin_us: int, end_us: int, interval_us: int, random: np.random.Generator) -> np.ndarray:
    """Starts of the advertising events between `begin_us` and `end_us`; the last one ends before `end_us`."""
    last_us = end_us - (CHANNELS - 1) * CHANNEL_STEP_US - AIRTIME_US
    count = max(0, (last_us - begin_us) // interval_us + 2)
    steps = interval_us + random.integers(0, ADV_DELAY_US + 1, count)
    first_us = begin_us + int(random.integers(0, ADV_DELAY_US + 1))
    times = first_us + np.concatenate(([0], np.cumsum(steps)))
    return times[: np.searchsorted(times, last_us, "right")]


@dataclass(frozen=True)
class Work:
    """What radios did, in sum; `device_us` is the number of devices times the time."""

    adv_events: int
    listened_us: int
    scans: int
    device_us: int


@dataclass(frozen=True)
class RadioLog:
    """What the radios of `devices` devices did for `duration_us`.

    Device n's times are moved by n spans of 2**36 µs, so that each array is sorted as a whole: `moved`.
    """

    devices: int
    duration_us: int
    events_us: np.ndarray  # starts of advertising events
    windows_us: np.ndarray  # starts of scan windows
    lengths_us: np.ndarray  # of each window
    intervals_us: np.ndarray  # scan interval in each window: one channel after the other, beginning with 37

    @property
    def work(self) -> Work:
        """The log in sum."""
        return Work(
            len(self.events_us), int(self.lengths_us.sum()), len(self.windows_us), self.devices * self.duration_us
        )

    @staticmethod
    def moved(device: np.ndarray, time_us: np.ndarray) -> np.ndarray:
        """Times of devices as they stand in the arrays."""
        return device * _SPAN_US + time_us


def share_within(latency_us: np.ndarray, limit_s: float) -> float:
    """Share of the latencies that do not exceed `limit_s`."""
    return float(np.mean(latency_us <= limit_s * 1e6))


def quantile_s(latency_us: np.ndarray, share: float) -> float:
    """Latency that `share` of them do not exceed; infinite if too much did not happen."""
    found_us = int(np.quantile(latency_us, share, method="inverted_cdf"))
    return np.inf if found_us == NOBODY else found_us / 1e6


def _assemble(duration_us: int, devices: list[tuple[list[np.ndarray], list[tuple[int, int, int]]]]) -> RadioLog:
    events, windows = [], []
    for number, (bursts, listened) in enumerate(devices):
        events.append(np.concatenate(bursts) + number * _SPAN_US)
        windows.append(np.add(listened, (number * _SPAN_US, 0, 0)))
    starts, lengths, intervals = np.concatenate(windows).T
    return RadioLog(len(devices), duration_us, np.concatenate(events), starts, lengths, intervals)


def tokens(
    make_schedule: Callable[[], Schedule],
    count: int,
    duration_s: int,
    random: np.random.Generator,
    heard: int = 1,
) -> RadioLog:
    """The log of `count` tokens that began at independent moments; each hears `heard` ids in every window."""
    duration_us = duration_s * 1_000_000
    devices = []
    for _ in range(count):
        schedule = make_schedule()
        bursts, listened = [], []
        free_us = 0
        window_us = int(random.integers(0, 1000 * schedule.until_next_window_ms(128)))
        while True:
            interval_us = schedule.adv_interval_us(int(random.integers(256)))
            bursts.append(adv_times_us(free_us, min(window_us, duration_us), interval_us, random))
            if window_us >= duration_us:
                break
            next_us = window_us + 1000 * schedule.until_next_window_ms(int(random.integers(256)))
            listened.append((window_us, 1000 * schedule.window_ms, schedule.scan_interval_us()))
            free_us = window_us + 1000 * schedule.window_ms + RESTART_US
            schedule.note_window(heard)
            window_us = next_us
        devices.append((bursts, listened))
    return _assemble(duration_us, devices)


def phones(count: int, duration_s: int, random: np.random.Generator) -> tuple[RadioLog, np.ndarray]:
    """The log of `count` Android phones, and for each the moment in 0..30 s at which its bursts begin (µs)."""
    duration_us = duration_s * 1_000_000
    phases_us = random.integers(0, PHONE_CYCLE_US, count)
    devices = []
    for phase_us in phases_us:
        begins = range(int(phase_us) - PHONE_CYCLE_US, duration_us, PHONE_CYCLE_US)
        bursts = [adv_times_us(begin, begin + PHONE_BURST_US, PHONE_ADV_US, random) for begin in begins]
        first_us = int(random.integers(0, PHONE_SCAN_PERIOD_US)) - PHONE_SCAN_PERIOD_US
        scans = range(first_us, duration_us, PHONE_SCAN_PERIOD_US)
        listened = [(start, PHONE_SCAN_US, PHONE_SCAN_INTERVAL_US) for start in scans]
        devices.append((bursts, listened))
    return _assemble(duration_us, devices), phases_us


@dataclass(frozen=True)
class Meetings:
    """What came of contacts, one direction of each.

    `latency_us`: from the start of the contact to the first reception, NOBODY if there was none; `again_us`: to the
    first one in a second scan window; `first_window_us`: when the first window opened (time of the log); `offered`,
    `received`: events with a packet wholly inside a window on its channel, and those of them that came through.
    """

    latency_us: np.ndarray
    again_us: np.ndarray
    first_window_us: np.ndarray
    offered: int
    received: int


def meet(
    listeners: RadioLog,
    listener: np.ndarray,
    senders: RadioLog,
    sender: np.ndarray,
    start_us: np.ndarray,
    limit_us: int,
    loss: Loss,
    random: np.random.Generator,
) -> Meetings:
    """Contacts of `limit_us`: device `listener` of one log is within range of device `sender` of another.

    Args:
        listener, sender, start_us: arrays of the same length, one contact each.
    """
    contacts = len(start_us)
    latency_us = np.full(contacts, NOBODY, np.int64)
    again_us = np.full(contacts, NOBODY, np.int64)
    offered = received = 0
    end_us = start_us + limit_us
    window = np.searchsorted(
        listeners.windows_us + listeners.lengths_us, RadioLog.moved(listener, start_us), side="right"
    )
    window_starts = np.append(listeners.windows_us, _NEVER)
    events = np.append(senders.events_us, _NEVER)
    base = RadioLog.moved(listener, np.zeros_like(start_us))
    first_window_us = window_starts[window] - base
    alive = np.arange(contacts)  # contacts that still have a window ahead
    while True:
        open_us = window_starts[window[alive]] - base[alive]
        keep = open_us < end_us[alive]
        alive, open_us = alive[keep], open_us[keep]
        if not len(alive):
            break
        number = window[alive]
        close_us = np.minimum(open_us + listeners.lengths_us[number], end_us[alive])
        deaf = random.random(len(alive)) < loss.window
        event = np.searchsorted(
            events, RadioLog.moved(sender[alive], np.maximum(open_us, start_us[alive])), side="left"
        )
        after_us = np.full(len(alive), NOBODY, np.int64)  # the first reception in this window
        rows = np.arange(len(alive))
        while len(rows):  # the events in this window, one after the other for all contacts at once
            time_us = events[event[rows]] - RadioLog.moved(sender[alive[rows]], np.zeros_like(rows))
            keep = time_us < close_us[rows]
            rows, time_us = rows[keep], time_us[keep]
            inside = _on_channel(
                time_us - open_us[rows], close_us[rows] - open_us[rows], listeners.intervals_us[number[rows]]
            )
            came = inside & ~deaf[rows] & (random.random(len(rows)) >= loss.packet)
            offered += int(inside.sum())
            received += int(came.sum())
            after_us[rows[came]] = np.minimum(after_us[rows[came]], time_us[came] - start_us[alive[rows[came]]])
            event[rows] += 1
        again_us[alive] = np.minimum(again_us[alive], np.where(latency_us[alive] < NOBODY, after_us, NOBODY))
        latency_us[alive] = np.minimum(latency_us[alive], after_us)
        window[alive] += 1
    return Meetings(latency_us, again_us, first_window_us, offered, received)


def _on_channel(after_us: np.ndarray, length_us: np.ndarray, interval_us: np.ndarray) -> np.ndarray:
    """Whether one of an event's packets lies wholly inside the window while its channel is listened to.

    Args:
        after_us: from the window's start to the event's.
    """
    inside = np.zeros(len(after_us), bool)
    for channel in range(CHANNELS):
        packet_us = after_us + channel * CHANNEL_STEP_US
        inside |= (
            (packet_us // interval_us % CHANNELS == channel)
            & (packet_us % interval_us + AIRTIME_US <= interval_us)
            & (packet_us + AIRTIME_US <= length_us)
        )
    return inside
