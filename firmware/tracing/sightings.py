"""The ring between the radio's irq and the main loop: one slot per reception, copied without allocating.

The irq may run while the heap is locked; whatever does not fit is counted, nothing is raised.
"""

from . import wire
from .const import const

# kind (wire.BLUEZONE_ID or BLUEZONE_PHONE), RSSI + 128, address type, address (6), BluezoneID (12)
_SLOT = const(21)
_ADDRESS = const(3)
_ID = const(9)


class SightingRing:
    """A ring of fixed size; `offer` in the irq, `take` in the main loop.

    Args:
        slots: how many sightings fit; one slot stays free.

    Attributes:
        dropped: sightings that found the ring full, since the start.
        heard: advertisements offered since the start, of whatever kind; a radio that works hears some.
    """

    def __init__(self, slots):
        self._buf = bytearray(slots * _SLOT)
        self._slots = slots
        self._write = 0
        self._read = 0
        self._found = [0]
        self.dropped = 0
        self.heard = 0

    def offer(self, address_type, address, rssi_dbm, data):
        """Keep an advertisement if it is Bluezone's. Called in the irq: allocates nothing, raises nothing.

        Args:
            address: 6 bytes, borrowed; data: the payload, borrowed, of any content.
        """
        self.heard += 1
        kind = wire.classify(data, len(data), self._found)
        if kind == wire.OTHER or rssi_dbm > 20 or rssi_dbm < -127:
            return  # 127 stands for "not measured"
        after = (self._write + 1) % self._slots
        if after == self._read:
            self.dropped += 1
            return
        buf = self._buf
        at = self._write * _SLOT
        buf[at] = kind
        buf[at + 1] = rssi_dbm + 128
        buf[at + 2] = address_type
        i = 0
        while i < 6:
            buf[at + _ADDRESS + i] = address[i]
            i += 1
        if kind == wire.BLUEZONE_ID:
            id_at = self._found[0]
            i = 0
            while i < 12:
                buf[at + _ID + i] = data[id_at + i]
                i += 1
        self._write = after

    def take(self):
        """The oldest sighting as (kind, rssi_dbm, address type, address, id), or None. `id` is b"" for phones."""
        if self._read == self._write:
            return None
        buf = self._buf
        at = self._read * _SLOT
        kind = buf[at]
        ident = bytes(buf[at + _ID : at + _SLOT]) if kind == wire.BLUEZONE_ID else b""
        sighting = (kind, buf[at + 1] - 128, buf[at + 2], bytes(buf[at + _ADDRESS : at + _ID]), ident)
        self._read = (self._read + 1) % self._slots
        return sighting
