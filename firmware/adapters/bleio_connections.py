"""Connections over CircuitPython's `_bleio`: who connects to the token, and the iPhone that the token connects to.

`_bleio` does not say which connection wrote. So there is one central at a time: while it is connected the token goes on
advertising, but not connectable. Phones still see the id, and whoever writes is known. Never seen on hardware yet.
"""

import _bleio
from micropython import const

from adapters.cures import Cures, never
from adapters.supervisor_ticks import ticks_diff, ticks_ms
from tracing import wire
from tracing.keys import ID_BYTES

_NONE = const(-1)
_REQUEST_BYTES = const(64)
_REQUESTS = const(4)
_FRAGMENT_BYTES = const(244)
_FRAGMENT_LEAST = const(20)
_GUEST_MS = const(10_000)  # a phone that reads the id is gone in seconds; meanwhile no kiosk can connect
_GUEST_LOOK_MS = const(1000)
_GONE_MS = const(500)  # for a disconnection to become true
_GONE_LOOK_MS = const(20)
_EIO = const(5)

US_PER_S = 1_000_000

# What the calls of `_bleio` raise; ConnectionError and TimeoutError are OSErrors.
REFUSALS = (OSError, RuntimeError, ValueError, MemoryError, _bleio.BluetoothError)


class BleioConnections(Cures):
    """Phones that read the token's id, the kiosk, and the phone whose id the token reads: half of a BleioRadio.

    Args:
        ring: sightings.SightingRing for what is heard.
        wait: `wait(ms, woken)` of the power port: sleeps up to `ms`, less when `woken()` turns true.
        before_block: called before the radio keeps the processor for seconds.

    Attributes:
        kiosk: number of the kiosk's connection in session, or -1; never the same one for two connections in a row.
        intruder: always -1: a second central finds nothing to connect to.
        advertising: false after a connection or a fault has ended it: advertise again.
    """

    intruder = _NONE

    def __init__(self, ring, wait, before_block):
        super().__init__(ring, wait)
        self._adapter = _bleio.adapter
        self._before_block = before_block
        self._packet = bytearray(_REQUEST_BYTES)
        self._payload = self._response = b""
        self._interval_us = 0
        self._number = 0
        self._woken = False
        self._forget_all()

    def _forget_all(self):
        self.advertising = False
        self._central = None
        self._since = 0  # ticks at which it connected
        self._phone = None  # the connection that this token made, while it lasts
        self._fragment = None  # the oldest one that has not been taken
        self.kiosk = _NONE

    def _register(self):
        # After the radio was off, the stack knows nothing any more: everything is made anew, UUIDs included.
        add = _bleio.Characteristic.add_to_service
        kinds = _bleio.Characteristic
        open_to_all, closed = _bleio.Attribute.OPEN, _bleio.Attribute.NO_ACCESS
        self._phone_service = _bleio.UUID(wire.PHONE_SERVICE_UUID)
        self._id_uuid = _bleio.UUID(wire.ID_CHARACTERISTIC_UUID)
        self._id_value = add(
            _bleio.Service(self._phone_service), self._id_uuid, properties=kinds.READ, read_perm=open_to_all,
            write_perm=closed, max_length=ID_BYTES, fixed_length=True, initial_value=bytes(ID_BYTES),
        )  # fmt: skip
        sync = _bleio.Service(_bleio.UUID(wire.SYNC_SERVICE_UUID))
        control = add(
            sync, _bleio.UUID(wire.SYNC_CONTROL_UUID), properties=kinds.WRITE | kinds.WRITE_NO_RESPONSE,
            read_perm=closed, write_perm=open_to_all, max_length=_REQUEST_BYTES,
        )  # fmt: skip
        # Whoever may not read cannot subscribe either: CircuitPython gives one permission to both.
        self._data = add(
            sync, _bleio.UUID(wire.SYNC_DATA_UUID), properties=kinds.NOTIFY, read_perm=open_to_all,
            write_perm=closed, max_length=_FRAGMENT_BYTES,
        )  # fmt: skip
        self._requests = _bleio.PacketBuffer(control, buffer_size=_REQUESTS, max_packet_size=_REQUEST_BYTES)

    def pause(self):
        """Stop advertising."""
        self.advertising = False
        try:
            self._adapter.stop_advertising()
        except REFUSALS:
            self.faults += 1

    def _go_on_air(self, connectable):
        self._adapter.stop_advertising()
        self._adapter.start_advertising(
            self._payload, scan_response=self._response or None, connectable=connectable,
            interval=self._interval_us / US_PER_S,
        )  # fmt: skip

    # --- Waiting ---------------------------------------------------------------------------------------------

    def wait(self, ms):
        """Sleep up to `ms`, less when the radio has something to tell or the button was pressed."""
        self._look()
        if self._central is not None and self.kiosk == _NONE:
            ms = min(ms, _GUEST_LOOK_MS)
            if ticks_diff(ticks_ms(), self._since) >= _GUEST_MS:
                self._hang_up(self._central)
        if not self._woken:
            self._wait(ms, self._is_woken)
        self._woken = False

    def wake(self):
        """End a `wait` early: the button was pressed."""
        self._woken = True

    def _is_woken(self):
        self._look()
        return self._woken

    def is_connected(self):
        """True while a central is connected: look at the radio often."""
        return self._central is not None

    def _look(self):
        # What has happened since the last look: somebody went, came, or wrote.
        if self._central is not None and not self._central.connected:
            self._forget()
        if self._central is None and self._adapter.connected:
            for connection in self._adapter.connections:
                if connection is not self._phone:
                    self._greet(connection)
                    break
        if self._central is not None and self._fragment is None:
            self._fetch()

    def _greet(self, connection):
        self._central = connection
        self._since = ticks_ms()
        self._number = (self._number + 1) & 0x7FFF
        self.advertising = False
        self._woken = True

    def _forget(self):
        self._central = None
        self._fragment = None
        self._discard_requests()
        if self.kiosk != _NONE:
            self.kiosk = _NONE
            try:
                self._data.value = bytearray()  # the last fragment could be read from it
            except REFUSALS:
                self.faults += 1
        self.pause()  # the app puts it on again, connectable
        self._woken = True

    def _hang_up(self, connection):
        try:
            connection.disconnect()
        except REFUSALS:
            self.faults += 1

    def _send_away(self, connection):
        # Hangs up and waits until that is true.
        self._hang_up(connection)
        left_ms = _GONE_MS
        while connection.connected and left_ms > 0:
            self._wait(_GONE_LOOK_MS, never)
            left_ms -= _GONE_LOOK_MS

    def _send_guest_away(self):
        self._look()
        if self._central is not None and self.kiosk == _NONE:
            self._send_away(self._central)
            self._look()

    # --- The kiosk -------------------------------------------------------------------------------------------

    def _fetch(self):
        size = self._requests.readinto(self._packet)
        if size:
            self._fragment = bytes(self._packet[:size])
            self.kiosk = self._number
            self._woken = True

    def _discard_requests(self):
        while self._requests.readinto(self._packet):
            pass

    def take_fragment(self):
        """The oldest fragment that the kiosk wrote, as bytes, or None."""
        self._look()
        fragment = self._fragment
        self._fragment = None
        return fragment

    def fragment_bytes(self):
        """How much fits into one notification to the kiosk."""
        try:
            if self._central is not None:
                return min(self._central.max_packet_length, _FRAGMENT_BYTES)
        except REFUSALS:
            self.faults += 1  # it has gone
        return _FRAGMENT_LEAST

    def notify(self, handle, fragment):
        """Send one fragment; waits until the stack has room for it. Always True.

        Raises:
            OSError: the connection is gone.
        """
        if handle != self.kiosk or self._central is None or not self._central.connected:
            raise OSError(_EIO)
        try:
            self._data.value = fragment
        except REFUSALS:
            raise OSError(_EIO)
        return True

    def disconnect(self, handle):
        """End a connection; one that has ended is forgotten."""
        if self._central is not None and handle == self._number:
            self._hang_up(self._central)
        self._look()

    # --- iPhones ---------------------------------------------------------------------------------------------

    def read_phone_id(self, address_type, address, limit_ms):
        """Connect to an iPhone, read its BluezoneID, disconnect. Not while anybody is connected.

        Returns:
            12 bytes, or b"" when that did not work out. `limit_ms` is for connecting: a phone that falls silent
            afterwards is given up by the stack, after 30 s at most.
        """
        self._look()
        if self._phone is not None and not self._phone.connected:
            self._phone = None
        if self._central is not None or self._phone is not None:
            return b""
        self._before_block()
        ident = b""
        try:
            self._go_on_air(False)  # until the phone answers; connectable, a kiosk could be mistaken for the phone
            self._phone = self._adapter.connect(_bleio.Address(address, address_type), timeout=limit_ms / 1000)
            ident = self._read_id(self._phone)
        except REFUSALS:
            ident = b""  # it has gone, or does not answer
        if self._phone is not None:
            self._send_away(self._phone)
            if not self._phone.connected:
                self._phone = None
            self._discard_requests()  # it may have written, too
        self.pause()  # the app puts it on again, connectable
        return ident

    def _read_id(self, connection):
        for service in connection.discover_remote_services((self._phone_service,)):
            for characteristic in service.characteristics:
                if characteristic.uuid == self._id_uuid:
                    ident = bytes(characteristic.value)
                    return ident if len(ident) == ID_BYTES else b""
        return b""
