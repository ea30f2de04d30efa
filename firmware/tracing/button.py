"""What a press of the button means. Levels and times in, gestures out; contact bounce is ignored.

Short press: show the state. Long press, until the light answers: sync. Very long press: ask to switch off; a short
press while the light asks confirms, anything else keeps the token on.
"""

from .const import const

NOTHING = 0
SHORT = 1
LONG = 2  # told while the button is still down: the wearer sees the light and lets go
ASK_OFF = 3  # likewise
OFF = 4

_DEBOUNCE_MS = const(30)
_LONG_MS = const(1500)
_VERY_LONG_MS = const(8000)
_CONFIRM_MS = const(5000)
# Differences of times are taken modulo the period of the shortest counter (CircuitPython's), so that a counter that
# wraps serves as well as one that does not.
_TICKS = const(0x1FFFFFFF)


class Button:
    """The gestures of one button.

    Attributes:
        restless: true while the contact is down or has not settled: call `update` every few hundred ms.
    """

    def __init__(self):
        self._contact = False  # as last seen; a level counts once it has lasted
        self._contact_ms = 0
        self._down = False
        self._down_ms = 0
        self._told = NOTHING  # of this press
        self._ask_ms = None  # since when the light asks whether to switch off

    @property
    def restless(self):
        return self._contact or self._down

    def update(self, contact, now_ms):
        """Tell the contact's level (True: pressed): at every edge, and while `restless`.

        Returns:
            NOTHING, SHORT, LONG, ASK_OFF or OFF; each once a press. A press whose edges both came between two looks
            of the main loop is still told, as long as the edges were passed on with their times.
        """
        gesture = NOTHING
        if self._contact != self._down and (now_ms - self._contact_ms) & _TICKS >= _DEBOUNCE_MS:
            self._down = self._contact
            if self._down:
                self._down_ms = self._contact_ms
                self._told = NOTHING
            else:
                gesture = self._released(self._contact_ms)
        if contact != self._contact:
            self._contact = contact
            self._contact_ms = now_ms
        if self._down and contact:
            gesture = self._held(now_ms)
        return gesture

    def _held(self, now_ms):
        held_ms = (now_ms - self._down_ms) & _TICKS
        if held_ms >= _VERY_LONG_MS and self._told != ASK_OFF:
            self._ask_ms = now_ms
            self._told = ASK_OFF
            return ASK_OFF
        if held_ms >= _LONG_MS and self._told == NOTHING:
            self._told = LONG
            return LONG
        return NOTHING

    def _released(self, now_ms):
        if self._told != NOTHING:
            if self._told == ASK_OFF:
                self._ask_ms = now_ms  # the time to confirm begins when the hand is free
            return NOTHING
        gesture = self._held(now_ms)
        if gesture == NOTHING:
            asked = self._ask_ms is not None and (now_ms - self._ask_ms) & _TICKS < _CONFIRM_MS
            gesture = OFF if asked else SHORT
            self._ask_ms = None
        return gesture
