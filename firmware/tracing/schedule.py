"""When the radio advertises and listens, following crowds and the battery. Integers only; reasons in DESIGN.md."""

from .const import const

_JITTER_MS = const(500)  # breaks the lock with other periodic radios, above all Bluezone's own 30 s burst cycle
_AIRTIME_US = const(376)  # of one advertisement on one channel
_HEARD_PERCENT = const(72)  # of the neighbours, in a window without collisions: 20 % of packets, 10 % of windows lost
_CROWD = const(150)  # neighbours from which on the radio may spend twice as much
_MOST = const(1000)  # neighbours; more make no difference any more
_MOST_ADV_MS = const(1000)
_MOST_CROWD_PERIOD_MS = const(25_000)  # up to 37.5 s lie the periods that alias with the bursts of phones
_RECOVERY_MV = const(150)  # a battery rests while it is spared, and seems fuller than it is

# Levels of the battery.
LOW = const(1)  # the schedule is stretched
STOP = const(2)  # close the log and stop, before a brown-out does it


class Schedule:
    """Times of the advertisements and scan windows.

    Args:
        adv_interval_us: mean time between advertisements.
        window_ms: how long one scan window listens; covers one advertising interval, so that one window hears all.
        period_ms: mean time from window to window. Not 30 or 60 s: those alias with Bluezone's bursts.
        low_mv, stop_mv: battery voltages below which the level is LOW and STOP; 0: never.

    Attributes:
        window_ms: length of the next scan window.
        neighbours: estimate of how many devices advertise in range, 0..1000.
        level: of the battery: 0 (enough), LOW or STOP.
    """

    def __init__(self, adv_interval_us, window_ms, period_ms, low_mv=0, stop_mv=0):
        self._base_us = self._adv_us = adv_interval_us
        self._margin_ms = window_ms - adv_interval_us // 1000
        self._base_period_ms = self._period_ms = period_ms
        self._low_mv = low_mv
        self._stop_mv = stop_mv
        self._before_mv = 0
        self.window_ms = window_ms
        self.neighbours = 0
        self.level = 0

    def until_next_window_ms(self, random_byte):
        """Milliseconds from one window's start to the next: the period, shifted by up to half a second either way."""
        return (self._period_ms << (self.level > 0)) + (random_byte - 128) * _JITTER_MS // 128

    def adv_interval_us(self, random_byte):
        """An advertising interval within 5 % of the mean, so that two tokens never stay in step."""
        mean_us = self._adv_us << (self.level > 0)
        return mean_us + mean_us // 20 * (random_byte - 128) // 128

    def scan_interval_us(self):
        """Interval and window to give to the radio: three per scan window, for it visits one channel in each."""
        return self.window_ms * 1000 // 3

    def note_window(self, heard):
        """Follow the crowd: call it after each scan window that was completed.

        In a crowd packets collide (pure ALOHA: of N devices with interval T, a packet gets through with probability
        e^-g, g = 2·airtime·N/T). All tokens then advertise at half the load that ALOHA carries best, g = 1/2: from
        there on the number of ids heard says less and less about the number of devices, and falls in the end.

        Args:
            heard: how many different ids were heard in it.
        """
        heard = min(heard, _MOST) * 100 // _HEARD_PERCENT
        found = min(heard, _MOST)
        for _ in range(8):  # found = heard·e^g, where g follows from found; a load beyond 1 leads far up
            growth = 2048 + found * (_AIRTIME_US * 512) // self._adv_us
            for _ in range(3):  # (1 + g/8)^8, in units of 1/2048
                growth = growth * growth >> 11
            found = min(heard * growth >> 11, _MOST)
        # Upwards at once, downwards in steps: too long an interval costs little, too short a one makes all deaf.
        found = max(found, (self.neighbours * 3 + found) >> 2)
        self.neighbours = found
        base_ms = self._base_us // 1000
        adv_ms = max(base_ms, min(found * _AIRTIME_US // 250, _MOST_ADV_MS))
        self._adv_us = self._base_us if adv_ms == base_ms else adv_ms * 1000
        self.window_ms = adv_ms + self._margin_ms
        self._period_ms = period_ms = self._base_period_ms
        if found > _CROWD:
            # Half of the charge goes into each side. With k times the interval, advertising takes 1/k of its half;
            # what is left of twice the charge buys windows k times as long every k²/(4k - 1) periods.
            period_ms = period_ms * adv_ms // base_ms * adv_ms // (4 * adv_ms - base_ms)
            self._period_ms = min(period_ms, _MOST_CROWD_PERIOD_MS)

    def note_battery(self, battery_mv):
        """Follow the battery: call it with every measurement, a minute or more apart, the radio being silent.

        A level sinks when two measurements in a row are below its limit, and rises when one is 150 mV above it.

        Returns:
            The level: 0, LOW or STOP.
        """
        steady_mv = max(battery_mv, self._before_mv)
        self._before_mv = battery_mv
        if steady_mv < self._stop_mv + (_RECOVERY_MV if self.level == STOP else 0):
            self.level = STOP
        elif steady_mv < self._low_mv + (_RECOVERY_MV if self.level else 0):
            self.level = LOW
        else:
            self.level = 0
        return self.level
