"""What a press of the button means. Edges in, gestures out; contact bounce is ignored.

Short press: show the state. Long press, until the light answers: sync. Very long press: ask to switch off; a short
press that begins while the light asks confirms, anything else keeps the token on.
"""

from .const import const

NOTHING = 0
SHORT = 1
LONG = 2  # told while the button is still down: the wearer sees the light and lets go
ASK_OFF = 3  # likewise; told again on release, when the time to confirm begins
OFF = 4

_DEBOUNCE_MS = const(30)
_LONG_MS = const(1500)
_VERY_LONG_MS = const(8000)
_CONFIRM_MS = const(5000)  # as long as the light asks (patterns.ASK_OFF)
_EDGES = const(8)  # three presses fit while the loop looks away; later ones run together
# Differences of times are taken modulo the period of the shortest counter (CircuitPython's), so that a counter that
# wraps serves as well as one that does not. Half of it and more is the future.
_TICKS = const(0x1FFFFFFF)
_FUTURE = const(0x10000000)


class Button:
    """The gestures of one button.

    The irq writes edges into a ring and the loop takes out those that have settled: neither touches what the other
    does, so that neither can undo the other's work, wherever the one interrupts the other.
    """

    def __init__(self):
        self._edges = [0] * _EDGES  # ms << 1 | contact: a small int on every board
        self._read = self._write = 0
        self._down = False
        self._since_ms = 0  # of the last settled edge
        self._told = NOTHING  # of this press; after its release ASK_OFF while the light asks, else NOTHING
        self._confirms = False  # this press began while the light asked

    @property
    def restless(self):
        """True while there may be something to tell without another edge: call `update` every few hundred ms.

        False for a button that stays down after everything has been told, as in a bag: it must not cost the battery.
        """
        return self._read != self._write or (self._down and self._told != ASK_OFF)

    def edge(self, contact, now_ms):
        """The contact has changed (True: pressed). Allocates nothing and may interrupt `update` anywhere."""
        write = self._write
        newest = (write - 1) % _EDGES
        following = (write + 1) % _EDGES
        bounces = (now_ms - (self._edges[newest] >> 1)) & _TICKS < _DEBOUNCE_MS
        if write != self._read and (bounces or following == self._read):
            write = newest
            following = self._write
        self._edges[write] = (now_ms & _TICKS) << 1 | (1 if contact else 0)
        self._write = following

    def update(self, now_ms):
        """What the wearer wants: NOTHING, SHORT, LONG, ASK_OFF or OFF, one at a time and in order.

        Presses that came and went between two looks are told too, each by how long it lasted.
        """
        while self._read != self._write:
            edge = self._edges[self._read]
            if not _DEBOUNCE_MS <= (now_ms - (edge >> 1)) & _TICKS < _FUTURE:
                return NOTHING  # it may bounce still
            self._read = (self._read + 1) % _EDGES
            gesture = self._turned(edge & 1 == 1, edge >> 1)
            if gesture != NOTHING:
                return gesture
        lasted_ms = (now_ms - self._since_ms) & _TICKS
        if self._down:
            gesture = _by_length(lasted_ms)
            if gesture > max(self._told, SHORT):
                self._told = gesture
                return gesture
        elif lasted_ms >= _CONFIRM_MS:
            self._told = NOTHING
        return NOTHING

    def _turned(self, contact, at_ms):
        if contact == self._down:
            return NOTHING  # it bounced back
        lasted_ms = (at_ms - self._since_ms) & _TICKS
        self._since_ms = at_ms
        self._down = contact
        told = self._told
        self._told = NOTHING
        if contact:
            self._confirms = told == ASK_OFF and lasted_ms < _CONFIRM_MS
            return NOTHING
        gesture = max(told, _by_length(lasted_ms))
        if gesture == ASK_OFF:
            self._told = ASK_OFF
        elif gesture == told:
            return NOTHING
        elif gesture == SHORT and self._confirms:
            return OFF
        return gesture


def _by_length(lasted_ms):
    if lasted_ms >= _VERY_LONG_MS:
        return ASK_OFF
    return LONG if lasted_ms >= _LONG_MS else SHORT
