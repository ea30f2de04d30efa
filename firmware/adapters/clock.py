"""Unix time from a counter of milliseconds: boards disagree about epochs, and their counters wrap after days."""

try:
    from time import ticks_diff, ticks_ms
except ImportError:
    from adapters.supervisor_ticks import ticks_diff, ticks_ms  # pyright: ignore[reportAttributeAccessIssue]


class Clock:
    """A clock of offset and counter.

    Until it is set it goes on from the time given as `set_about`: wrong by the time the token was off, so that
    `is_set` stays false and what is logged is marked.
    """

    def __init__(self):
        self._ticks = ticks_ms()
        self._up_ms = 0
        self._up_s = 0
        self._offset_s = 0
        self._offset_ms = 0
        self.is_set = False

    def _advance(self):
        # Called far more often than once in 6.2 days, half the counter's range, by the loop's own use of it.
        ticks = ticks_ms()
        self._up_ms += ticks_diff(ticks, self._ticks)
        self._ticks = ticks
        if self._up_ms >= 1000:
            self._up_s += self._up_ms // 1000
            self._up_ms %= 1000

    def uptime_s(self):
        """Seconds since this clock was made."""
        self._advance()
        return self._up_s

    def uptime_ms(self):
        """Milliseconds since this clock was made; never wraps."""
        self._advance()
        return self._up_s * 1000 + self._up_ms

    def now(self):
        """Unix seconds, UTC."""
        self._advance()
        return self._offset_s + self._up_s + (self._offset_ms + self._up_ms) // 1000

    def ms_in_second(self):
        """Milliseconds since the second of `now` began, 0..999. Call it right after `now`."""
        return (self._offset_ms + self._up_ms) % 1000

    def set_about(self, unix_s):
        """Start from a time that is only known to be past; does nothing when the clock has been set."""
        if not self.is_set:
            self._advance()
            self._offset_s = unix_s - self._up_s

    def set(self, unix_s, ms=0):
        """Set the time. Returns the correction in seconds (0 at the first setting: there was nothing to correct)."""
        before_s = self.now()
        self._offset_s = unix_s - self._up_s
        self._offset_ms = ms - self._up_ms
        correction_s = unix_s - before_s if self.is_set else 0
        self.is_set = True
        return correction_s
