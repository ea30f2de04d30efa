"""What the light says: the wearer's vocabulary, in one table, and who plays it.

The rhythm alone tells one pattern from another, for eyes that do not tell colours apart and boards with a light of one
colour. How the token is, it tells by a number of short blinks, once; what goes on, and what the kiosk found, by a
rhythm that goes on. Nothing flashes more than three times in a second, which could harm (WCAG 2.3.1). docs/wearer.md
has the pictures, made from this table by `make pictures`.
"""

from .const import const

OFF = 0
ALIVE = 1  # about once a minute: the token works
LOW_BATTERY = 2
CLOCK_UNSET = 3
LOG_NEARLY_FULL = 4  # a sync is due, or the oldest days go
ERROR = 5  # something failed; the token starts anew
SYNC_MODE = 6  # the button was pressed: looking for the kiosk
SYNCING = 7
DONE = 8
SAFE = 9
EXPOSED = 10  # F1
CLERK = 11  # see the clerk
ASK_OFF = 12  # press once more to switch off
GOODBYE = 13

RED = 1
GREEN = 2
BLUE = 4

_STEP_MS = const(50)
_TICKS = const(0x1FFFFFFF)  # differences of times modulo the shortest counter's period, as in `button`
_ENTRY = const(8)

# Colour (bits); on and off in units of 50 ms; blinks in a group; pause after it, in the same unit; groups; claim, hold:
# a pattern begins when its claim is as high as the hold of the one that is being shown.
_TABLE = (
    b"\x00\x00\x00\x00\x00\x00\x01\x00"  # off: ends what goes on, but not a verdict
    b"\x02\x01\x00\x01\x00\x01\x00\x00"  # alive: a green blink
    b"\x03\x02\x05\x02\x05\x01\x00\x00"  # low battery: 2 yellow blinks
    b"\x04\x02\x05\x03\x05\x01\x00\x00"  # clock unset: 3 blue blinks
    b"\x05\x02\x05\x04\x05\x01\x00\x00"  # log nearly full: 4 violet blinks
    b"\x01\x02\x05\x05\x05\x01\x01\x01"  # error: 5 red blinks
    b"\x04\x02\x00\x01\x12\x3c\x02\x01"  # sync mode: a blue blink each second, for the minute of consent
    b"\x04\x02\x02\x02\x0e\xff\x01\x01"  # syncing: 2 blue blinks each second, until something else is shown
    b"\x02\x0a\x0a\x02\x0a\x01\x01\x02"  # done: 2 slow green blinks
    b"\x02\x3c\x00\x01\x0a\x03\x02\x02"  # safe: long green, three times 3 s
    b"\x01\x04\x00\x01\x03\x22\x02\x02"  # exposed: fast red, 12 s
    b"\x03\x14\x00\x01\x14\x06\x02\x02"  # see the clerk: slow yellow, 12 s
    b"\x07\x02\x05\x03\x11\x03\x02\x02"  # off?: 3 white blinks, again and again, 5 s
    b"\x07\x14\x00\x01\x00\x01\x03\x03"  # goodbye: white, 1 s
)


def entry(pattern):
    """(colour, on ms, off ms, blinks in a group, pause ms after it, groups, claim, hold) of a pattern."""
    at = pattern * _ENTRY
    colour, on, off, blinks, pause, groups, claim, hold = _TABLE[at : at + _ENTRY]
    return colour, on * _STEP_MS, off * _STEP_MS, blinks, pause * _STEP_MS, groups, claim, hold


class Player:
    """Decides what the light does now; an indicator asks it and switches pins."""

    def __init__(self):
        self._pattern = OFF
        self._began_ms = 0

    def show(self, pattern, now_ms):
        """Begin a pattern, unless the one that is being shown holds against it. Returns whether it began."""
        if self.now(now_ms)[1] and entry(self._pattern)[7] > entry(pattern)[6]:
            return False
        self._pattern = pattern
        self._began_ms = now_ms
        return True

    def now(self, now_ms):
        """(colour, ms until it may change; 0 when the pattern is over and the light stays dark)."""
        colour, on_ms, off_ms, blinks, pause_ms, groups, _, _ = entry(self._pattern)
        blink_ms = on_ms + off_ms
        group_ms = blinks * blink_ms - off_ms + pause_ms
        since_ms = (now_ms - self._began_ms) & _TICKS
        if since_ms >= group_ms * groups:
            self._pattern = OFF
            return 0, 0
        within_ms = since_ms % group_ms
        blink = within_ms // blink_ms
        lit_until_ms = blink * blink_ms + on_ms
        if blink < blinks and within_ms < lit_until_ms:
            return colour, lit_until_ms - within_ms
        return 0, (blink * blink_ms + blink_ms if blink + 1 < blinks else group_ms) - within_ms
