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

    When the loop is late and the ring full, every sighting that came in between has the same chance to be kept, so
    that somebody who sends without pause cannot crowd out those who send now and then.

    Args:
        slots: how many sightings fit, 4 or more; one slot stays free.

    Attributes:
        dropped: sightings for which there was no room, since the start.
        heard: advertisements offered since the start, of whatever kind; a radio that works hears some.
    """

    def __init__(self, slots):
        self._buf = bytearray(slots * _SLOT)
        self._slots = slots
        self._write = 0
        self._read = 0
        self._found = [0]
        self._late = 0  # sightings that found the ring full since the last `take`
        self._random = 1
        self.dropped = 0
        self.heard = 0

    def offer(self, address_type, address, rssi_dbm, data):
        """Keep an advertisement if it is Bluezone's. Called in the irq: allocates nothing, raises nothing.

        Args:
            address: 6 bytes, borrowed; data: the payload, borrowed, of any content.

        Returns:
            True when the ring is more than half full: the loop should come soon.
        """
        self.heard += 1
        kind = wire.classify(data, len(data), self._found)
        if kind == wire.OTHER or rssi_dbm > 20 or rssi_dbm < -127:
            return False  # 127 stands for "not measured"
        slot = self._write
        after = (slot + 1) % self._slots
        if after == self._read:
            slot = self._chosen_slot()
            if slot < 0:
                return True
            after = self._write
        buf = self._buf
        at = slot * _SLOT
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
        return (after - self._read) % self._slots > self._slots >> 1

    def _chosen_slot(self):
        # Reservoir sampling; the oldest sighting is left alone, for `take` may be reading it. -1: the new one goes.
        self.dropped += 1
        self._late += 1
        self._random = (self._random * 137 + 187) % 7919  # a small integer on every board
        places = self._slots - 2
        place = self._random % (places + self._late)
        return (self._read + 1 + place) % self._slots if place < places else -1

    def take(self):
        """The oldest sighting as (kind, rssi_dbm, address type, address, id), or None. `id` is b"" for phones."""
        if self._read == self._write:
            return None
        self._late = 0
        buf = self._buf
        at = self._read * _SLOT
        kind = buf[at]
        ident = bytes(buf[at + _ID : at + _SLOT]) if kind == wire.BLUEZONE_ID else b""
        sighting = (kind, buf[at + 1] - 128, buf[at + 2], bytes(buf[at + _ADDRESS : at + _ID]), ident)
        self._read = (self._read + 1) % self._slots
        return sighting
