"""What every radio does when it refuses, falls silent or keeps its address: try again, restart, ask for a reset."""

# The methods that the radio gives are not declared here: each declaration would cost RAM.
# pyright: reportAttributeAccessIssue=false

from micropython import const

from tracing.errors import RadioError

_TRIES = const(3)  # failures of a kind before the radio is restarted
_GIVE_UP = const(9)  # … before the board must be reset
_SILENT_WINDOWS = const(96)  # an hour: windows without any advertisement before the radio is restarted
_SILENT_WINDOWS_MOST = const(1536)  # each restart in vain doubles them: the token may lie in a drawer
_PAUSE_MS = const(100)  # after a refused address; ten times as long after each further one
_PAUSE_MOST_MS = const(100_000)


def never():  # type: () -> bool
    """For waits that nothing shall end early."""
    return False


class Cures:
    """The part of a radio that keeps it alive.

    The radio gives `change_identity(bluezone_id)`, which calls `_renew_address`; `_take_address()`, which tries a fresh
    address and returns whether the radio has it; and `_power_cycle()`, off and on: nothing is connected or on the air.

    Args:
        ring: sightings.SightingRing; its `heard` tells whether the radio hears anything.
        wait: `wait(ms, woken)` of the power port: sleeps up to `ms`, less when `woken()` turns true.

    Attributes:
        faults: calls that the radio refused.
        restarts: how often the radio was switched off and on again to cure it.
    """

    def __init__(self, ring, wait):
        self._ring = ring
        self._wait = wait
        self._identity = b""
        self._heard = self._silent = 0
        self._silent_most = _SILENT_WINDOWS
        self.faults = 0
        self.restarts = 0

    def restart(self):
        """Switch the radio off and on: connections end, the id stays under a new address, nothing is on the air.

        Raises:
            RadioError: the address does not change any more.
        """
        self.restarts += 1
        self._power_cycle()
        self.change_identity(self._identity)

    def _failed(self, failures):
        # One more failure of a kind after `failures` in a row; returns how many there are now.
        self.faults += 1
        failures += 1
        if failures >= _GIVE_UP:
            raise RadioError("the radio does not come back")
        if failures % _TRIES == 0:
            self.restart()
        return failures

    def _judge_silence(self):
        # Nothing at all heard, of whatever make: nobody is there, or the radio has gone deaf without a word.
        if self._ring.heard != self._heard:
            self._heard = self._ring.heard
            self._silent = 0
            self._silent_most = _SILENT_WINDOWS
            return
        self._silent += 1
        if self._silent >= self._silent_most:
            self._silent = 0
            self._silent_most = min(self._silent_most * 2, _SILENT_WINDOWS_MOST)
            self.restart()

    def _renew_address(self):
        # An old address with a new id must never be on the air: better no token than a traceable one.
        pause_ms = _PAUSE_MS
        while not self._take_address():
            self.faults += 1
            if pause_ms > _PAUSE_MOST_MS:
                raise RadioError("the address did not change")
            self.restarts += 1
            self._power_cycle()
            self._wait(pause_ms, never)
            pause_ms *= 10
