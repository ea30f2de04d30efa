"""When the radio listens. Pure arithmetic on milliseconds; reasons and the theoretical bound in DESIGN.md, "Radio"."""

_JITTER_MS = 500  # breaks the lock with other periodic radios, above all Bluezone's own 30 s burst cycle


class Schedule:
    """Times of the scan windows.

    Args:
        adv_interval_us: mean time between advertisements.
        window_ms: how long one scan window listens; covers one advertising interval, so that one window hears all.
        period_ms: mean time from window to window. Not 30 or 60 s: those alias with Bluezone's bursts.
    """

    def __init__(self, adv_interval_us, window_ms, period_ms):
        self._adv_interval_us = adv_interval_us
        self.window_ms = window_ms
        self._period_ms = period_ms

    def until_next_window_ms(self, random_byte):
        """Milliseconds from one window's start to the next: the period, shifted by up to half a second either way."""
        return self._period_ms + (random_byte - 128) * _JITTER_MS // 128

    def adv_interval_us(self, random_byte):
        """An advertising interval within 5 % of the mean, so that two tokens never stay in step."""
        return self._adv_interval_us + self._adv_interval_us // 20 * (random_byte - 128) // 128

    def scan_interval_us(self):
        """Interval and window to give to the radio: three per scan window, for it visits one channel in each."""
        return self.window_ms * 1000 // 3
