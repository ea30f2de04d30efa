"""The radio over MicroPython's `bluetooth`: ESP32, and the virtual board's module of the same name.

Written for NimBLE's habits (DESIGN.md, "Platform traps"): an exception in the irq removes the handler, a connection
ends advertising, the address changes only while nothing is advertised or scanned, notifications may find no room.
"""

# The stubs know neither None as an argument of gap_* nor that handles are integers.
# pyright: reportArgumentType=false, reportCallIssue=false

from time import ticks_add, ticks_diff, ticks_ms

import bluetooth
from micropython import const

from tracing import wire
from tracing.errors import RadioError

_CENTRAL_CONNECT = const(1)
_CENTRAL_DISCONNECT = const(2)
_GATTS_WRITE = const(3)
_SCAN_RESULT = const(5)
_SCAN_DONE = const(6)
_PERIPHERAL_CONNECT = const(7)
_PERIPHERAL_DISCONNECT = const(8)
_CHARACTERISTIC_RESULT = const(11)
_CHARACTERISTIC_DONE = const(12)
_READ_RESULT = const(15)
_READ_DONE = const(16)
_MTU_EXCHANGED = const(21)

_ADDRESS_RANDOM = const(1)
_NONE = const(-1)
_PEERS = const(4)
_REQUEST_BYTES = const(64)
_REQUESTS = const(4)
_ENOMEM = const(12)
_ATT_HEADER_BYTES = const(3)
_MTU_LEAST = const(23)

# How far reading a phone's id has come.
_IDLE = const(0)
_CONNECTING = const(1)
_FINDING = const(2)
_READING = const(3)
_OVER = const(4)


class Radio:
    """Advertises, scans, serves the kiosk, and reads the ids of iPhones.

    Args:
        ring: sightings.SightingRing that the irq fills.
        wait: `wait(ms, woken)` of the power port: sleeps up to `ms`, less when `woken()` turns true.

    Attributes:
        kiosk: connection handle of the kiosk in session, or -1.
        intruder: handle of another central that asked for a session meanwhile, or -1.
        advertising: false after a connection has ended it: advertise again.
        faults: exceptions that the irq had to swallow.
    """

    def __init__(self, ring, wait):
        self._ring = ring
        self._wait = wait
        self._ble = bluetooth.BLE()
        self._peers = [_NONE] * _PEERS
        self._inbox = bytearray(_REQUESTS * (_REQUEST_BYTES + 1))
        self._in_write = self._in_read = 0
        self._mtus = [_MTU_LEAST] * _PEERS
        self._scan_done = True
        self._phone = _IDLE
        self._phone_handle = self._phone_value = _NONE
        self._phone_id = b""
        self._woken = False
        self.kiosk = self.intruder = _NONE
        self.advertising = False
        self.faults = 0

    def start(self):
        """Switch the radio on and register the services. Early, before the heap grows."""
        ble = self._ble
        ble.active(True)
        ble.irq(self._irq)
        read, write, write_without_response, notify = 0x02, 0x08, 0x04, 0x10
        uuid = bluetooth.UUID
        (self._id_value,), (self._control, self._data) = ble.gatts_register_services(
            (
                (uuid(wire.PHONE_SERVICE_UUID), ((uuid(wire.ID_CHARACTERISTIC_UUID), read),)),
                (
                    uuid(wire.SYNC_SERVICE_UUID),
                    (
                        (uuid(wire.SYNC_CONTROL_UUID), write | write_without_response),
                        (uuid(wire.SYNC_DATA_UUID), notify),
                    ),
                ),
            )
        )
        ble.gatts_set_buffer(self._control, _REQUEST_BYTES)

    # --- The air ---------------------------------------------------------------------------------------------

    def change_identity(self, bluezone_id):
        """Put a fresh random address and the id that belongs to it in place, while nothing is on the air.

        Phones that are connected know the old pair and are sent away; the kiosk may stay.

        Raises:
            RadioError: the radio kept its old address; nothing may be advertised.
        """
        self.stop()
        for handle in self._peers:
            if handle != _NONE and handle != self.kiosk:
                self._ble.gap_disconnect(handle)
        before = bytes(self._ble.config("mac")[1])
        self._ble.config(addr_mode=_ADDRESS_RANDOM)
        if bytes(self._ble.config("mac")[1]) == before:
            raise RadioError("the address did not change")
        self._ble.gatts_write(self._id_value, bluezone_id)

    def advertise(self, payload, interval_us, scan_response=b""):
        """Advertise `payload` (connectable) every `interval_us` until `stop` or until somebody connects."""
        self._ble.gap_advertise(interval_us, payload, resp_data=scan_response)
        self.advertising = True

    def pause(self):
        """Stop advertising."""
        self._ble.gap_advertise(None)
        self.advertising = False

    def stop(self):
        """Neither advertise nor scan."""
        self.pause()
        if not self._scan_done:
            self._ble.gap_scan(None)
            self._scan_done = True

    def scan(self, duration_ms, interval_us, drain):
        """Listen without pause for `duration_ms`, one channel per `interval_us`; sightings go to the ring.

        Args:
            drain: called whenever the ring may hold something, so that a crowd does not fill it.

        Returns:
            False when the radio never said that the scan was complete; it has been stopped all the same.
        """
        self._scan_done = False
        self._ble.gap_scan(duration_ms, interval_us, interval_us, False)
        deadline = ticks_add(ticks_ms(), duration_ms + 300)
        while not self._scan_done:
            left_ms = ticks_diff(deadline, ticks_ms())
            if left_ms <= 0:
                self._ble.gap_scan(None)
                self._scan_done = True
                drain()
                return False
            self.wait(left_ms)
            drain()
        return True

    def wait(self, ms):
        """Sleep up to `ms`, less when the radio has something to tell or the button was pressed."""
        if not self._woken:
            self._wait(ms, self._is_woken)
        self._woken = False

    def wake(self):
        """End a `wait` early, from an irq of any kind."""
        self._woken = True

    def _is_woken(self):
        return self._woken

    # --- iPhones ---------------------------------------------------------------------------------------------

    def read_phone_id(self, address_type, address, limit_ms):
        """Connect to an iPhone, read its BluezoneID, disconnect.

        Returns:
            12 bytes, or b"" when that did not work out within `limit_ms`.
        """
        self._phone_id = b""
        self._phone_handle = self._phone_value = _NONE
        self._phone = _CONNECTING
        deadline = ticks_add(ticks_ms(), limit_ms)
        try:
            self._ble.gap_connect(address_type, address, limit_ms)
            state = _CONNECTING
            while self._phone != _OVER:
                left_ms = ticks_diff(deadline, ticks_ms())
                if left_ms <= 0:
                    break
                self.wait(left_ms)
                if self._phone == state:
                    continue
                state = self._phone
                if state == _FINDING:
                    uuid = bluetooth.UUID(wire.ID_CHARACTERISTIC_UUID)
                    self._ble.gattc_discover_characteristics(self._phone_handle, 1, 0xFFFF, uuid)
                elif state == _READING:
                    if self._phone_value == _NONE:
                        break
                    self._ble.gattc_read(self._phone_handle, self._phone_value)
        except OSError:
            self.faults += 1
        if self._phone_handle != _NONE:
            self._ble.gap_disconnect(self._phone_handle)
        elif self._phone == _CONNECTING:
            self._ble.gap_connect(None)
        self._phone = _IDLE
        return self._phone_id if len(self._phone_id) == 12 else b""

    # --- The kiosk -------------------------------------------------------------------------------------------

    def take_fragment(self):
        """The oldest fragment that the kiosk wrote, as bytes, or None."""
        if self._in_read == self._in_write:
            return None
        at = self._in_read * (_REQUEST_BYTES + 1)
        self._in_read = (self._in_read + 1) % _REQUESTS
        return bytes(memoryview(self._inbox)[at + 1 : at + 1 + self._inbox[at]])

    def fragment_bytes(self):
        """How much fits into one notification to the kiosk."""
        if self.kiosk in self._peers:
            return self._mtus[self._peers.index(self.kiosk)] - _ATT_HEADER_BYTES
        return _MTU_LEAST - _ATT_HEADER_BYTES

    def notify(self, handle, fragment):
        """Send one fragment. False when the radio has no room for it now: try the same again later.

        Raises:
            OSError: the connection is gone.
        """
        try:
            self._ble.gatts_notify(handle, self._data, fragment)
        except OSError as error:
            if error.errno == _ENOMEM:
                return False
            raise
        return True

    def disconnect(self, handle):
        """End a connection; nothing happens when it is gone already."""
        try:
            self._ble.gap_disconnect(handle)
        except OSError:
            pass

    # --- Events ----------------------------------------------------------------------------------------------

    def _irq(self, event, data):
        # An exception that leaves this function would make the port forget it: deaf, without a word.
        try:
            if event == _SCAN_RESULT:
                address_type, address, kind, rssi_dbm, payload = data
                if kind == 0 or kind == 2 or kind == 3:
                    self._ring.offer(address_type, address, rssi_dbm, payload)
                return
            self._other(event, data)
            self._woken = True
        except Exception:
            self.faults += 1

    def _other(self, event, data):
        handle = data[0] if data else _NONE
        if event == _SCAN_DONE:
            self._scan_done = True
        elif event == _CENTRAL_CONNECT:
            self.advertising = False
            for i in range(_PEERS):
                if self._peers[i] == _NONE:
                    self._peers[i] = handle
                    self._mtus[i] = _MTU_LEAST
                    break
        elif event == _CENTRAL_DISCONNECT:
            for i in range(_PEERS):
                if self._peers[i] == handle:
                    self._peers[i] = _NONE
            if handle == self.kiosk:
                self.kiosk = _NONE
                self._in_read = self._in_write
        elif event == _GATTS_WRITE:
            self._written(handle, data[1])
        elif event == _MTU_EXCHANGED:
            for i in range(_PEERS):
                if self._peers[i] == handle:
                    self._mtus[i] = data[1]
        elif event == _PERIPHERAL_CONNECT:
            self._phone_handle = handle
            self._phone = _FINDING
        elif event == _PERIPHERAL_DISCONNECT:
            if self._phone != _IDLE:
                self._phone = _OVER
            self._phone_handle = _NONE
        elif event == _CHARACTERISTIC_RESULT:
            self._phone_value = data[2]
        elif event == _CHARACTERISTIC_DONE:
            self._phone = _READING
        elif event == _READ_RESULT:
            self._phone_id = bytes(data[2])
        elif event == _READ_DONE:
            self._phone = _OVER

    def _written(self, handle, attribute):
        if attribute != self._control:
            return
        fragment = self._ble.gatts_read(attribute)
        if self.kiosk == _NONE:
            self.kiosk = handle
        elif handle != self.kiosk:
            self.intruder = handle
            return
        after = (self._in_write + 1) % _REQUESTS
        if after == self._in_read:
            return  # lost: the fragment counter shows it, and the session ends
        at = self._in_write * (_REQUEST_BYTES + 1)
        self._inbox[at] = len(fragment)
        self._inbox[at + 1 : at + 1 + len(fragment)] = fragment
        self._in_write = after
