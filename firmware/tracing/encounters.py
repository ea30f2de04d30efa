"""Sightings of one id become one encounter, in a table of fixed size."""

from struct import pack_into, unpack_from

from .const import const

# id, first and last (Unix s), sightings, windows, RSSI maximum, kind and flags, sum of RSSI
_ENTRY = "<12sIIHBbBi"
_BYTES = const(32)


class Encounters:
    """The encounters that are still going on.

    Args:
        capacity: how many ids at once.
    """

    def __init__(self, capacity):
        self._buf = bytearray(capacity * _BYTES)
        self._capacity = capacity
        self._used = 0

    def __len__(self):
        return self._used

    @property
    def full(self):
        """True when no new id fits: `pop` the stalest one first."""
        return self._used == self._capacity

    def note(self, ident, rssi_dbm, window_s, kind_flags):
        """Count one sighting.

        Args:
            ident: 12 bytes.
            window_s: Unix time of the scan window, the same for all sightings in it: a new time is a new window.
            kind_flags: kind and flags of the record to be.

        Returns:
            False when the id is new and the table is full; nothing was counted.
        """
        buf = self._buf
        at = buf.find(ident)
        while at % _BYTES:  # found, but across two entries; -1 % 32 is 31, so "not found" ends below
            if at < 0:
                break
            at = buf.find(ident, at + 1)
        if at < 0 or at >= self._used * _BYTES:
            if self._used == self._capacity:
                return False
            at = self._used * _BYTES
            self._used += 1
            pack_into(_ENTRY, buf, at, ident, window_s, window_s, 1, 1, rssi_dbm, kind_flags, rssi_dbm)
            return True
        _, first_s, last_s, sightings, windows, peak_dbm, kind_flags, total_dbm = unpack_from(_ENTRY, buf, at)
        if sightings == 0xFFFF:  # halve both: the mean stays, old sightings weigh less
            sightings >>= 1
            total_dbm //= 2
        if window_s != last_s and windows < 0xFF:
            windows += 1
        pack_into(
            _ENTRY, buf, at, ident, first_s, max(window_s, last_s), sightings + 1, windows, max(peak_dbm, rssi_dbm),
            kind_flags, total_dbm + rssi_dbm,
        )  # fmt: skip
        return True

    def pop(self, silent_since_s):
        """Take out the encounter that has been silent longest, if it was last heard at or before `silent_since_s`.

        Returns:
            (kind_flags, start_s, duration_s, windows, sightings, RSSI maximum, RSSI mean, id) ready for the log, or
            None when every encounter is fresher.
        """
        stalest = -1
        for i in range(self._used):
            last_s = unpack_from("<I", self._buf, i * _BYTES + 16)[0]
            if last_s <= silent_since_s:
                silent_since_s = last_s
                stalest = i
        if stalest < 0:
            return None
        at = stalest * _BYTES
        ident, first_s, last_s, sightings, windows, peak_dbm, kind_flags, total_dbm = unpack_from(_ENTRY, self._buf, at)
        self._used -= 1
        end = self._used * _BYTES
        self._buf[at : at + _BYTES] = self._buf[end : end + _BYTES]
        return kind_flags, first_s, last_s - first_s, windows, sightings, peak_dbm, total_dbm // sightings, ident

    def shift(self, seconds):
        """Move all times by `seconds`: the clock has been corrected while these encounters go on."""
        for i in range(self._used):
            at = i * _BYTES + 12
            first_s, last_s = unpack_from("<II", self._buf, at)
            pack_into("<II", self._buf, at, max(0, first_s + seconds), max(0, last_s + seconds))
