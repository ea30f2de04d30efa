"""The radio over MicroPython's `bluetooth`: ESP32, and the virtual board's module of the same name.

Written for NimBLE's habits (DESIGN.md, "Platform traps"): an exception in the irq removes the handler, a connection
ends advertising, the address changes only while nothing is advertised or scanned, notifications may find no room.
"""

# The stubs know neither None as an argument of gap_* nor that handles are integers.
# pyright: reportArgumentType=false, reportCallIssue=false

from time import ticks_add, ticks_diff, ticks_ms

from micropython import const

from adapters.connections import Connections

_CENTRAL_CONNECT = const(1)
_SCAN_RESULT = const(5)
_SCAN_DONE = const(6)

_ADDRESS_RANDOM = const(1)

_LATE_MS = const(300)  # for scan-complete


class Radio(Connections):
    """Advertises and scans; connections.Connections has the rest of the port.

    Args:
        ring: sightings.SightingRing that the irq fills.
        wait: `wait(ms, woken)` of the power port: sleeps up to `ms`, less when `woken()` turns true.

    Attributes:
        advertising: false after a connection or a fault has ended it: advertise again.

    Whatever the radio refuses is tried again, then the radio is restarted, with a new address under the same id, and
    in the end RadioError asks for a reset of the board (cures.Cures).
    """

    def __init__(self, ring, wait):
        super().__init__(ring, wait)
        self._scan_done = True
        self.advertising = False
        self._address = b""
        self._scan_failures = self._advertise_failures = 0

    def start(self):
        """Switch the radio on and register the services. Early, before the heap grows."""
        self._ble.active(True)
        self._ble.irq(self._irq)
        self._register()

    # --- The air ---------------------------------------------------------------------------------------------

    def change_identity(self, bluezone_id):
        """Put a fresh random address and the id that belongs to it in place, while nothing is on the air.

        Phones that are connected know the old pair and are sent away; the kiosk may stay.

        Raises:
            RadioError: the radio keeps its old address, restarts or not; nothing may be advertised.
        """
        self.stop()
        for handle in self._peers:
            if handle >= 0 and handle != self.kiosk:
                self.disconnect(handle)
        self._identity = bluezone_id
        self._renew_address()
        self._ble.gatts_write(self._id_value, bluezone_id)

    def _take_address(self):
        # A refusal is silent: only the address itself tells. After a start the radio has one that never changes.
        before = bytes(self._ble.config("mac")[1])
        self._ble.config(addr_mode=_ADDRESS_RANDOM)
        address = bytes(self._ble.config("mac")[1])
        if address == before or address == self._address:
            return False
        self._address = address
        return True

    def advertise(self, payload, interval_us, scan_response=b""):
        """Advertise `payload` (connectable) every `interval_us` until `stop` or until somebody connects.

        `advertising` is still false when the radio has refused: try again in a second.

        Raises:
            RadioError: it refuses for good.
        """
        try:
            self._ble.gap_advertise(interval_us, payload, resp_data=scan_response)
        except OSError:
            self._advertise_failures = self._failed(self._advertise_failures)
            return
        self._advertise_failures = 0
        self.advertising = True

    def pause(self):
        """Stop advertising."""
        self._ble.gap_advertise(None)
        self.advertising = False

    def stop(self):
        """Neither advertise nor scan."""
        self.pause()
        if not self._scan_done:
            self._scan_done = True
            try:
                self._ble.gap_scan(None)
            except OSError:
                self.faults += 1

    def scan(self, duration_ms, interval_us, drain):
        """Listen without pause for `duration_ms`, one channel per `interval_us`; sightings go to the ring.

        Args:
            drain: called whenever the ring may hold something, so that a crowd does not fill it.

        Returns:
            False when the scan did not begin, or the radio never said that it was complete.

        Raises:
            RadioError: scans have failed again and again, restarts or not.
        """
        self._scan_done = False
        try:
            self._ble.gap_scan(duration_ms, interval_us, interval_us, False)
            left_ms = duration_ms + _LATE_MS
        except OSError:
            left_ms = 0
        deadline = ticks_add(ticks_ms(), left_ms)
        while left_ms > 0 and not self._scan_done:
            self.wait(left_ms)
            drain()
            left_ms = ticks_diff(deadline, ticks_ms())
        if not self._scan_done:
            self.stop()
            self._scan_failures = self._failed(self._scan_failures)
            return False
        self._scan_failures = 0
        self._judge_silence()
        return True

    def _power_cycle(self):
        self.stop()  # switching off under traffic has corrupted heaps
        self._ble.active(False)
        self._forget_all()
        self.start()

    # --- Events ----------------------------------------------------------------------------------------------

    def _irq(self, event, data):
        # An exception that leaves this function would make the port forget it: deaf, without a word.
        try:
            if event == _SCAN_RESULT:
                address_type, address, kind, rssi_dbm, payload = data
                if kind != 0 and kind != 2 and kind != 3:
                    return
                if not self._ring.offer(address_type, address, rssi_dbm, payload):
                    return  # the loop need not come yet
            elif event == _SCAN_DONE:
                self._scan_done = True
            else:
                if event == _CENTRAL_CONNECT:
                    self.advertising = False
                self._connection_event(event, data)
            self._woken = True
        except Exception:
            self.faults += 1
