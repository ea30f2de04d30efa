"""A radio that is off between its advertisements, so that the chip can sleep: MicroPython's does not live through it.

Each advertisement is sent by a radio that has just been started, under a new address, for nothing gives a radio its old
one back. So an address lasts no longer than one advertisement, under the id of its quarter of an hour: addresses change
more often than ids, never the reverse. Who wants to connect finds nobody, but in sync mode. DESIGN.md has the reasons.
"""

from time import ticks_diff, ticks_ms

from micropython import const

from adapters.radio import Radio

_EVENT_MS = const(20)  # the radio's random delay of up to 10 ms, three packets, and what comes back
_LEAST_MS = const(150)  # a shorter sleep does not pay for the start
_RESTART_MS = const(100)  # until the first one has been measured
_RESTART_MOST_MS = const(200)  # one that took longer was cured of something


class SleepingRadio(Radio):
    """A Radio that lets the chip sleep when all that it waits for is its next advertisement.

    Args:
        ring, wait: as for Radio.
        nap: has `possible`, and `sleep(ms)`: up to `ms`, less when the button changes; esp32.LightSleep.
    """

    def __init__(self, ring, wait, nap):
        super().__init__(ring, wait)
        self._nap = nap
        self._interval_ms = 0
        self._restart_ms = _RESTART_MS

    def advertise(self, payload, interval_us, scan_response=b""):
        """As Radio's; an interval that is too short to sleep in keeps the radio on."""
        self._interval_ms = interval_us // 1000
        super().advertise(payload, interval_us, scan_response)

    def wait(self, ms):
        """As Radio's, but not beyond the next advertisement, which is due when `advertising` is false afterwards."""
        if not self._is_alone():
            super().wait(ms)
            return
        ms = min(ms, self._interval_ms)
        nap_ms = ms - _EVENT_MS - self._restart_ms
        if nap_ms < _LEAST_MS or not self._nap.possible:
            super().wait(ms)
            return
        super().wait(_EVENT_MS)
        if self._is_alone() and self._nap.possible:
            self._sleep(nap_ms)

    def _is_alone(self):
        return self.advertising and not self._phone and self._surplus < 0 and max(self._peers) < 0

    def _sleep(self, ms):
        begun = ticks_ms()
        self.stop()  # switching off under traffic has corrupted heaps
        self._ble.active(False)
        self._forget_all()
        off_ms = ticks_diff(ticks_ms(), begun)
        self._nap.sleep(ms)
        begun = ticks_ms()
        self.start()
        self.change_identity(self._identity)
        self._restart_ms = min(off_ms + ticks_diff(ticks_ms(), begun), _RESTART_MOST_MS)
