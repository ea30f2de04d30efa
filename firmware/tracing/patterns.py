"""What the light says: the wearer's vocabulary, in one table, and who plays it.

A pattern is a colour, how long the light is on and off, and how often. docs/wearer.md has the pictures, made from this
table by `make pictures`.
"""

from .const import const

OFF = 0
ALIVE = 1  # about once a minute: the token works
LOW_BATTERY = 2
LOG_NEARLY_FULL = 3  # a sync is due, or the oldest days go
CLOCK_UNSET = 4
SYNC_MODE = 5  # the button was pressed: looking for the kiosk
SYNCING = 6
DONE = 7
SAFE = 8
EXPOSED = 9  # F1
CLERK = 10  # see the clerk
ERROR = 11
ASK_OFF = 12  # press once more to switch off
GOODBYE = 13

RED = 1
GREEN = 2
BLUE = 4

_STEP_MS = const(50)
_TICKS = const(0x1FFFFFFF)  # differences of times modulo the shortest counter's period, as in `button`
_ENTRY = const(5)

# Colour (bits), on and off in units of 50 ms, how often, rank: a pattern gives way only to one of its rank or above.
_TABLE = (
    b"\x00\x00\x00\x00\x00"  # off
    b"\x02\x01\x00\x01\x00"  # alive: one short green blink
    b"\x03\x02\x04\x02\x00"  # low battery: two yellow blinks
    b"\x05\x02\x04\x02\x00"  # log nearly full: two violet blinks
    b"\x04\x02\x04\x03\x00"  # clock unset: three blue blinks
    b"\x04\x04\x06\x78\x01"  # sync mode: slow blue, for the minute of consent
    b"\x04\x01\x01\xff\x01"  # syncing: fast blue, until something else is shown
    b"\x02\x06\x04\x02\x02"  # done: two green blinks
    b"\x02\x3c\x04\x03\x02"  # safe: long green, three times 3 s
    b"\x01\x06\x06\x14\x02"  # exposed: red blinking, 12 s
    b"\x03\x0c\x06\x0a\x02"  # see the clerk: slow yellow, 9 s
    b"\x01\x01\x01\x0a\x02"  # error: red flicker, 1 s
    b"\x07\x02\x02\x19\x02"  # off?: white, 5 s
    b"\x07\x14\x00\x01\x03"  # goodbye: white, 1 s
)


def entry(pattern):
    """(colour, on ms, off ms, how often, rank) of a pattern."""
    at = pattern * _ENTRY
    colour, on, off, times, rank = _TABLE[at : at + _ENTRY]
    return colour, on * _STEP_MS, off * _STEP_MS, times, rank


class Player:
    """Decides what the light does now; an indicator asks it and switches pins."""

    def __init__(self):
        self._pattern = OFF
        self._began_ms = 0

    def show(self, pattern, now_ms):
        """Begin a pattern, unless one of higher rank is being shown. Returns whether it began."""
        if (
            pattern != OFF
            and self._total_ms() > (now_ms - self._began_ms) & _TICKS
            and entry(self._pattern)[4] > entry(pattern)[4]
        ):
            return False
        self._pattern = pattern
        self._began_ms = now_ms
        return True

    def now(self, now_ms):
        """(colour, ms until it may change; 0 when the pattern is over and the light stays dark)."""
        since_ms = (now_ms - self._began_ms) & _TICKS
        if since_ms >= self._total_ms():
            self._pattern = OFF
            return 0, 0
        colour, on_ms, off_ms, _, _ = entry(self._pattern)
        within_ms = since_ms % (on_ms + off_ms)
        if within_ms < on_ms:
            return colour, on_ms - within_ms
        return 0, on_ms + off_ms - within_ms

    def _total_ms(self):
        _, on_ms, off_ms, times, _ = entry(self._pattern)
        return (on_ms + off_ms) * times
