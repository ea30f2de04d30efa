"""Unix time from a counter of milliseconds: boards disagree about epochs, and their counters wrap and drift."""

try:
    from time import ticks_diff, ticks_ms
except ImportError:
    from adapters.supervisor_ticks import ticks_diff, ticks_ms  # pyright: ignore[reportAttributeAccessIssue]

from tracing.const import const

_MILLION = const(1_000_000)
_LEARN_AFTER_S = const(3600)  # between two settings: over less, the precision of a setting counts for too much
_SKEW_MOST_PPM = const(100_000)  # more is a jump, not a drift
_NEVER = const(-1)


class Clock:
    """A clock that goes on from the time it is given and learns how fast its counter runs.

    Until it is set it goes on from the time given as `set_about`: wrong by the time the token was off, so that
    `is_set` stays false and what is logged is marked.

    Attributes:
        is_set: the time is known. A board whose chip has kept it through a reset says so itself, after `set_about`:
            such a time teaches no skew.
        skew_ppm: by how many millionths the counter is too slow, learned whenever `set` comes an hour or more after
            the one before; negative: it is fast.
    """

    def __init__(self):
        self._ticks = ticks_ms()
        self._up_ms = self._up_s = 0
        self._now_ms = self._now_s = 0
        self._rest = 0  # of the correction for skew, in millionths of a ms
        self._since = _NEVER  # uptime of the last `set`
        self.skew_ppm = 0
        self.is_set = False

    def _advance(self):
        # Called far more often than once in 3.1 days, half the counter's range, by the loop's own use of it.
        ticks = ticks_ms()
        passed_ms = ticks_diff(ticks, self._ticks)
        if passed_ms == 0:
            return
        self._ticks = ticks
        self._up_ms += passed_ms
        if self._up_ms >= 1000:
            self._up_s += self._up_ms // 1000
            self._up_ms %= 1000
        self._rest += passed_ms * self.skew_ppm  # a small integer on every board, but after the longest of waits
        self._now_ms += passed_ms + self._rest // _MILLION
        self._rest %= _MILLION
        if self._now_ms >= 1000:
            self._now_s += self._now_ms // 1000
            self._now_ms %= 1000

    def uptime_s(self):
        """Seconds since this clock was made, as the counter counts them."""
        self._advance()
        return self._up_s

    def uptime_ms(self):
        """Milliseconds since this clock was made, as the counter counts them; never wraps."""
        self._advance()
        return self._up_s * 1000 + self._up_ms

    def now(self):
        """Unix seconds, UTC."""
        self._advance()
        return self._now_s

    def ms_to(self, seconds):
        """Milliseconds until Unix time is next a multiple of `seconds`."""
        self._advance()
        return (seconds - self._now_s % seconds) * 1000 - self._now_ms

    def set_about(self, unix_s):
        """Start from a time that is only known to be past; does nothing when the clock has been set."""
        if not self.is_set:
            self._advance()
            self._now_s = unix_s
            self._now_ms = 0

    def set(self, unix_s, ms=0):
        """Set the time. Returns the correction in seconds (0 at the first setting: there was nothing to correct)."""
        self._advance()
        slow_s = unix_s - self._now_s
        passed_s = self._up_s - self._since
        if self._since != _NEVER and passed_s >= _LEARN_AFTER_S:
            change_ppm = (slow_s * 1000 + ms - self._now_ms) * 1000 // passed_s
            if -_SKEW_MOST_PPM <= self.skew_ppm + change_ppm <= _SKEW_MOST_PPM:
                # The first time the whole of it; later half, so that one setting that was off is soon forgotten.
                self.skew_ppm += change_ppm // 2 if self.skew_ppm else change_ppm
        correction_s = slow_s if self.is_set else 0
        self._now_s = unix_s
        self._now_ms = ms
        self._rest = 0
        self._since = self._up_s
        self.is_set = True
        return correction_s

    def save(self):
        """The time is worth saving: a board whose chip has a clock that outlives a reset writes it there."""
