"""MicroPython's `bluetooth` for the VM: the calls go to the host's virtual radio, its events come back.

Only what the firmware uses. Errors and oddities are those of NimBLE, made by host_tools/simulation/board.py.
"""

import struct

import lockstep
from micropython import const

_EVENT = const(2)  # kind of frame
_SCAN_RESULT = const(5)
_ENOTCONN = const(107)


class UUID:
    """A 16-bit or 128-bit UUID."""

    def __init__(self, value):
        if isinstance(value, int):
            self.raw = struct.pack("<H", value)
        else:
            digits = value.replace("-", "")
            self.raw = bytes([int(digits[i : i + 2], 16) for i in range(30, -2, -2)])


class BLE:
    """The radio; one for the whole program."""

    def active(self, on=None):
        if on is None:
            return bool(lockstep.call(10, b"\xff")[0])
        lockstep.call(10, bytes([on]))
        return on

    def config(self, name=None, **settings):
        if name == "mac":
            answer = bytes(lockstep.call(11))
            return answer[0], answer[1:]
        for name in settings:
            if name != "addr_mode":
                raise ValueError(name)
            lockstep.call(12, bytes([settings[name]]))
        return None

    def irq(self, handler):
        self._handler = handler
        lockstep.on(_EVENT, self._event)

    def _event(self, payload):
        event = payload[0]
        data = payload[1:]
        if event == _SCAN_RESULT:  # address type, address, advertisement type, RSSI, payload
            rssi_dbm = data[8] - 256 if data[8] > 127 else data[8]
            args = (data[0], data[1:7], data[7], rssi_dbm, data[9:])
        elif event == 15:  # read result: connection, value handle, bytes
            args = struct.unpack_from("<HH", data, 0) + (data[4:],)
        elif event in (1, 2, 7, 8):  # (dis)connection: handle, address type, address
            args = struct.unpack_from("<HB", data, 0) + (data[3:9],)
        else:
            args = struct.unpack("<" + "H" * (len(data) // 2), data)
        self._handler(event, args)

    def gap_advertise(self, interval_us, adv_data=None, *, resp_data=None, connectable=True):
        if interval_us is None:
            lockstep.call(14)
            return
        adv = bytes(adv_data or b"")
        lockstep.call(13, struct.pack("<IBB", interval_us, connectable, len(adv)) + adv + bytes(resp_data or b""))

    def gap_scan(self, duration_ms, interval_us=1280000, window_us=11250, active=False):
        if duration_ms is None:
            lockstep.call(16)
        else:
            lockstep.call(15, struct.pack("<IIIB", duration_ms, interval_us, window_us, active))

    def gap_connect(self, address_type, address=None, scan_duration_ms=2000):
        if address_type is None:
            lockstep.call(18)
        else:
            lockstep.call(17, struct.pack("<BI", address_type, scan_duration_ms) + (address or b""))

    def gap_disconnect(self, connection):
        try:
            lockstep.call(19, struct.pack("<H", connection))
        except OSError as error:
            if error.errno != _ENOTCONN:
                raise
            return False
        return True

    def gattc_discover_characteristics(self, connection, first, last, uuid):
        lockstep.call(20, struct.pack("<HHH", connection, first, last) + uuid.raw)

    def gattc_read(self, connection, handle):
        lockstep.call(21, struct.pack("<HH", connection, handle))

    def gatts_register_services(self, services):
        payload = b""
        for uuid, characteristics in services:
            payload += bytes([len(characteristics)]) + uuid.raw
            for characteristic, flags in characteristics:
                payload += bytes([flags]) + characteristic.raw
        handles = lockstep.call(22, payload)
        result = []
        at = 0
        for _, characteristics in services:
            result.append(struct.unpack_from("<" + "H" * len(characteristics), handles, at))
            at += 2 * len(characteristics)
        return tuple(result)

    def gatts_set_buffer(self, handle, length, append=False):
        lockstep.call(23, struct.pack("<HH", handle, length))

    def gatts_read(self, handle):
        return bytes(lockstep.call(24, struct.pack("<H", handle)))

    def gatts_write(self, handle, value):
        lockstep.call(25, struct.pack("<H", handle) + value)

    def gatts_notify(self, connection, handle, value):
        lockstep.call(26, struct.pack("<HH", connection, handle) + value)
