"""Connections over MicroPython's `bluetooth`: who connects to the token, and the iPhone that the token connects to."""

# The stubs know neither None as an argument of gap_* nor that handles are integers.
# pyright: reportArgumentType=false, reportCallIssue=false

from time import ticks_add, ticks_diff, ticks_ms

import bluetooth
from micropython import const

from adapters.cures import Cures
from tracing import wire

_CENTRAL_CONNECT = const(1)
_CENTRAL_DISCONNECT = const(2)
_GATTS_WRITE = const(3)
_PERIPHERAL_CONNECT = const(7)
_PERIPHERAL_DISCONNECT = const(8)
_CHARACTERISTIC_RESULT = const(11)
_CHARACTERISTIC_DONE = const(12)
_READ_RESULT = const(15)
_READ_DONE = const(16)
_MTU_EXCHANGED = const(21)

_NONE = const(-1)
_PEERS = const(4)
_REQUEST_BYTES = const(64)
_REQUESTS = const(4)
_ENOMEM = const(12)
_ATT_HEADER_BYTES = const(3)
_MTU_LEAST = const(23)
_GUEST_MS = const(30_000)  # a phone that reads the id is gone in seconds; who stays longer holds a place
_TIDY_MS = const(5000)
_LEAVE_MS = const(500)  # for the end of a connection to be told

# How far reading a phone's id has come.
_IDLE = const(0)
_CONNECTING = const(1)
_FINDING = const(2)
_READING = const(3)
_LEAVING = const(4)
_OVER = const(5)


class Connections(Cures):
    """Phones that read the token's id, the kiosk, and the phone whose id the token reads: half of a Radio.

    Args:
        ring: sightings.SightingRing that the irq fills.
        wait: `wait(ms, woken)` of the power port: sleeps up to `ms`, less when `woken()` turns true.

    Attributes:
        kiosk: connection handle of the kiosk in session, or -1.
        intruder: handle of another central that asked for a session meanwhile, or -1.
        faults: exceptions that the irq had to swallow, and calls that the radio refused.
    """

    def __init__(self, ring, wait):
        super().__init__(ring, wait)
        self._ble = bluetooth.BLE()
        self._woken = False
        self._called = False  # by the wearer, since the last look
        self._inbox = bytearray(_REQUESTS * (_REQUEST_BYTES + 1))
        self._in_write = 0
        self._mtus = [_MTU_LEAST] * _PEERS
        self._since = [0] * _PEERS  # ticks at which they connected
        self._peers = [_NONE] * _PEERS
        self._phone = _IDLE
        self._phone_handle = self._phone_value = _NONE
        self._phone_id = b""
        self._forget_all()

    def _forget_all(self):
        for i in range(_PEERS):
            self._peers[i] = _NONE
        self._surplus = _NONE  # a peer for whom there was no place
        self.kiosk = self.intruder = _NONE
        self._in_read = self._in_write

    def _register(self):
        read, write, write_without_response, notify = 0x02, 0x08, 0x04, 0x10
        uuid = bluetooth.UUID
        (self._id_value,), (self._control, self._data) = self._ble.gatts_register_services(
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
        self._ble.gatts_set_buffer(self._control, _REQUEST_BYTES)

    # --- The main loop ---------------------------------------------------------------------------------------

    def wait(self, ms):
        """Sleep up to `ms`, less when the radio has something to tell or the button was pressed."""
        if self._tidy():
            ms = min(ms, _TIDY_MS)
        if not self._woken:
            self._wait(ms, self._is_woken)
        self._woken = False

    def wake(self):
        """End a `wait` early, and the reading of a phone's id: the button has been pressed; called in the irq."""
        self._woken = self._called = True

    def _is_woken(self):
        return self._woken

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
        """End a connection. One that the radio does not know is forgotten: its end may have gone by unnoticed."""
        try:
            if self._ble.gap_disconnect(handle):
                return
        except OSError:
            self.faults += 1
        self._forget(handle)

    def _tidy(self):
        # Sends guests (all but the kiosk) away that stay too long, and keeps one place free. True while there are any.
        if self._surplus != _NONE:
            self.disconnect(self._surplus)
            self._surplus = _NONE
        now = ticks_ms()
        oldest_ms = oldest = _NONE
        for i in range(_PEERS):
            handle = self._peers[i]
            if handle != _NONE and handle != self.kiosk:
                age_ms = ticks_diff(now, self._since[i])
                if age_ms > oldest_ms:
                    oldest_ms = age_ms
                    oldest = handle
        if oldest == _NONE:
            return False
        if oldest_ms >= _GUEST_MS or _NONE not in self._peers:
            self.disconnect(oldest)
        return True

    def read_phone_id(self, address_type, address, limit_ms):
        """Connect to an iPhone, read its BluezoneID, disconnect.

        Returns:
            12 bytes, or b"" when that did not work out within `limit_ms`, or until `wake` was called.
        """
        self._called = False
        self._phone_id = b""
        self._phone_handle = self._phone_value = _NONE
        self._phone = state = _CONNECTING
        deadline = ticks_add(ticks_ms(), limit_ms)
        try:
            self._ble.gap_connect(address_type, address, limit_ms)
            while self._phone != _OVER and not self._called:
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
            if self._phone == _CONNECTING:
                self._ble.gap_connect(None)
        except OSError:
            self.faults += 1
            if self._phone == _CONNECTING:
                self._phone = _OVER
        self._leave_phone()
        self._phone = _IDLE
        return self._phone_id if len(self._phone_id) == 12 else b""

    def _leave_phone(self):
        # Until the end is told: told during the next reading, it would be taken for the end of that one.
        if self._phone == _OVER and self._phone_handle != _NONE:
            self._phone = _READING
        deadline = ticks_add(ticks_ms(), _LEAVE_MS)
        left_ms = _LEAVE_MS
        while self._phone != _OVER and left_ms > 0:
            if self._phone_handle != _NONE and self._phone != _LEAVING:
                self._phone = _LEAVING
                self.disconnect(self._phone_handle)
            self.wait(left_ms)
            left_ms = ticks_diff(deadline, ticks_ms())

    # --- In the irq ------------------------------------------------------------------------------------------

    def _connection_event(self, event, data):
        handle = data[0]
        if event == _CENTRAL_CONNECT:
            self._surplus = handle
            for i in range(_PEERS):
                if self._peers[i] == _NONE:
                    self._peers[i] = handle
                    self._since[i] = ticks_ms()
                    self._mtus[i] = _MTU_LEAST
                    self._surplus = _NONE
                    return
        elif event == _CENTRAL_DISCONNECT:
            self._forget(handle)
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

    def _forget(self, handle):
        for i in range(_PEERS):
            if self._peers[i] == handle:
                self._peers[i] = _NONE
        if handle == self.kiosk:
            self.kiosk = _NONE
            self._in_read = self._in_write

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
