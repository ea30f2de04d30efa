"""Sightings of one id become one encounter, in a table of fixed size that a flood of forged ids cannot take over.

An id is admitted when it has been heard in two scan windows. Until then it is a newcomer, a few bytes in a waiting
room: an attacker who sends a new id with every packet gets no further. A few ids are admitted in their first window
all the same, sixteen an hour: enough for a quiet place, where nothing is lost then, and too few for a flood to fill the
flash with. The price in a crowd: an id heard in one window only, mostly an encounter shorter than one scan period, is
not logged.
"""

from struct import pack_into, unpack_from

from .const import const
from .records import crc32

# id, first (Unix s), last - first (s), sightings, windows, RSSI maximum, kind and flags, sum of RSSI
_ENTRY = const("<12sIHBBbBh")
_BYTES = const(24)
_MOST_SIGHTINGS = const(255)  # so that the sum of RSSI fits 16 bits; a record's own field has no more
_MOST_SPAN_S = const(0xFFFF)
# What follows the entries where they are kept through a reset: mark (another one when the entry changes), when that was
# (Unix s), CRC-32 of all before.
_TRAILER = const("<HII")
_TRAILER_BYTES = const(10)
_MARK = const(0xB201)
_LONG_AGO_S = const(-0x10000)
_BEHIND_S = const(2)  # a clock that was kept through a reset may have lost so much

# The waiting room: bytes 1 and 2 of the id, window (Unix s, low 16 bits), RSSI of the first sighting (0: free). Byte 0
# of the id chooses one of the sets.
_CELL = const("<HHb")
_CELL_BYTES = const(5)
_WAYS = const(4)

_SPARE_MOST = const(6)  # first-window admissions saved up,
_SPARE_WINDOWS = const(6)  # and after how many windows there is one more
_STALE_S = const(80)  # not heard for two windows: gives way when the table is full,
_ESTABLISHED = const(4)  # … for three, if so many windows have heard it
_GRACE_S = const(35)
_STRONGER_DB = const(6)  # so much stronger must a newcomer be to push out somebody who is still there,
_NEAR_DBM = const(-75)  # and not even then somebody who is near: a strong transmitter shall not empty the table


class Encounters:
    """The encounters that are still going on.

    Args:
        capacity: how many ids at once.
        newcomers: sets of four that the waiting room has (20 bytes each); 0: every id is admitted at once.
        spare: whether a few ids are admitted in their first window.
        dwell_s: the two windows in which a newcomer is heard lie no further apart.

    Attributes:
        heard: different ids in the present scan window: the estimate of how crowded the place is.
        turned_away: sightings of ids that found the table full of nearer ones.
        full_s: Unix time of the last scan window that found the table full.
    """

    def __init__(self, capacity, newcomers=0, dwell_s=150, spare=False):
        self._buf = bytearray(capacity * _BYTES + _TRAILER_BYTES)
        self._cells = bytearray(newcomers * _WAYS * _CELL_BYTES)
        self._dwell_s = dwell_s
        self._used = 0
        self._window_s = 0
        self._spare = _SPARE_MOST * _SPARE_WINDOWS if spare else -1  # in windows; negative: none, ever
        self.heard = 0
        self.turned_away = 0
        self.full_s = _LONG_AGO_S

    def __len__(self):
        return self._used

    def note(self, ident, rssi_dbm, window_s, kind_flags):
        """Count one sighting.

        Args:
            ident: 12 bytes.
            rssi_dbm: -127..20.
            window_s: Unix time of the scan window, the same for all sightings in it: a new time is a new window.
            kind_flags: kind and flags of the record to be.

        Returns:
            None, or the encounter that had to make room, as `pop` returns it. A full table gives up who was heard in
            few windows and has been silent longest; when all are still there, the weakest of those far away, if the
            newcomer is clearly nearer.
        """
        if window_s != self._window_s:
            self._window_s = window_s
            self.heard = 0
            if 0 <= self._spare < _SPARE_MOST * _SPARE_WINDOWS:
                self._spare += 1
        buf = self._buf
        at = buf.find(ident)
        while at >= 0 and at % _BYTES:  # found, but across two entries
            at = buf.find(ident, at + 1)
        if at < 0 or at >= self._used * _BYTES:
            return self._note_newcomer(ident, rssi_dbm, window_s, kind_flags)
        _, first_s, span_s, sightings, windows, peak_dbm, kind_flags, total_dbm = unpack_from(_ENTRY, buf, at)
        if window_s - first_s != span_s:
            self.heard += 1
            windows = min(windows + 1, 0xFF)
            span_s = min(max(window_s - first_s, span_s), _MOST_SPAN_S)
        if sightings == _MOST_SIGHTINGS:  # the mean goes on, an average sighting goes
            total_dbm -= total_dbm // sightings
            sightings -= 1
        pack_into(
            _ENTRY, buf, at, ident, first_s, span_s, sightings + 1, windows, max(peak_dbm, rssi_dbm), kind_flags,
            total_dbm + rssi_dbm,
        )  # fmt: skip
        return None

    def _note_newcomer(self, ident, rssi_dbm, window_s, kind_flags):
        age_s = 0
        first_dbm = rssi_dbm
        cells = self._cells
        if cells:
            cell = self._cell(ident, window_s)
            _, stamp, first_dbm = unpack_from(_CELL, cells, cell)
            age_s = (window_s - stamp) & 0xFFFF
            if first_dbm == 0 or age_s:
                self.heard += 1
                pack_into(_CELL, cells, cell, ident[1] << 8 | ident[2], window_s & 0xFFFF, min(rssi_dbm, -1))
            if first_dbm == 0 and self._spare >= _SPARE_WINDOWS:
                self._spare -= _SPARE_WINDOWS
                first_dbm = rssi_dbm
                age_s = 0
            elif first_dbm == 0 or age_s == 0:
                return None  # waits for another window
        pushed_out = None
        if (self._used + 1) * _BYTES > len(self._buf):
            self.full_s = window_s
            pushed_out = self._make_room(window_s, rssi_dbm)
            if pushed_out is None:
                self.turned_away += 1
                return None
        twice = 1 if age_s else 0
        pack_into(
            _ENTRY, self._buf, self._used * _BYTES, ident, window_s - age_s, age_s, 1 + twice, 1 + twice,
            max(first_dbm, rssi_dbm), kind_flags, rssi_dbm + first_dbm * twice,
        )  # fmt: skip
        self._used += 1
        return pushed_out

    def _cell(self, ident, window_s):
        # Offset of the id's cell in the waiting room; if it has none, of one that has been freed for it.
        cells = self._cells
        at = ident[0] % (len(cells) // (_WAYS * _CELL_BYTES)) * (_WAYS * _CELL_BYTES)
        mark = ident[1] << 8 | ident[2]
        oldest_s = -1
        oldest_at = at
        for _ in range(_WAYS):
            known, stamp, first_dbm = unpack_from(_CELL, cells, at)
            age_s = (window_s - stamp) & 0xFFFF if first_dbm else 0x10000
            if known == mark and age_s <= self._dwell_s:
                return at
            if age_s > oldest_s:
                oldest_s = age_s
                oldest_at = at
            at += _CELL_BYTES
        cells[oldest_at + 4] = 0
        return oldest_at

    def _make_room(self, window_s, rssi_dbm):
        stalest = weakest = -1
        stalest_s = window_s - _STALE_S
        weakest_dbm = min(rssi_dbm - _STRONGER_DB, _NEAR_DBM)
        for i in range(self._used):
            first_s, span_s, sightings, windows, _, _, total_dbm = unpack_from("<IHBBbBh", self._buf, i * _BYTES + 12)
            last_s = first_s + span_s
            if windows >= _ESTABLISHED:
                last_s += _GRACE_S
            if last_s < stalest_s:
                stalest_s = last_s
                stalest = i
            if total_dbm // sightings < weakest_dbm:
                weakest_dbm = total_dbm // sightings
                weakest = i
        if stalest >= 0:
            return self._take(stalest)
        return self._take(weakest) if weakest >= 0 else None

    def pop(self, silent_since_s):
        """Take out the encounter that has been silent longest, if it was last heard at or before `silent_since_s`.

        Returns:
            (kind_flags, start_s, duration_s, windows, sightings, RSSI maximum, RSSI mean, id) ready for the log, or
            None when every encounter is fresher.
        """
        stalest = -1
        for i in range(self._used):
            first_s, span_s = unpack_from("<IH", self._buf, i * _BYTES + 12)
            if first_s + span_s <= silent_since_s:
                silent_since_s = first_s + span_s
                stalest = i
        return self._take(stalest) if stalest >= 0 else None

    def _take(self, i):
        at = i * _BYTES
        ident, first_s, span_s, sightings, windows, peak_dbm, kind_flags, total_dbm = unpack_from(_ENTRY, self._buf, at)
        self._used -= 1
        end = self._used * _BYTES
        self._buf[at : at + _BYTES] = self._buf[end : end + _BYTES]
        return kind_flags, first_s, span_s, windows, sightings, peak_dbm, total_dbm // sightings, ident

    def shift(self, seconds):
        """Move all times by `seconds`: the clock has been corrected while these encounters go on."""
        self.full_s += seconds
        for i in range(self._used):
            at = i * _BYTES + 12
            pack_into("<I", self._buf, at, max(0, unpack_from("<I", self._buf, at)[0] + seconds))

    def dump(self, now_s):
        """What `load` takes: borrowed until the table changes, at most 24 bytes for each place and 10 more."""
        size = self._used * _BYTES
        view = memoryview(self._buf)
        pack_into(_TRAILER, self._buf, size, _MARK, now_s, 0)
        crc = crc32(view[: size + _TRAILER_BYTES - 4])
        pack_into("<I", self._buf, size + _TRAILER_BYTES - 4, crc)
        return view[: size + _TRAILER_BYTES]

    def load(self, data, now_s):
        """Take up what `dump` gave before a reset; the waiting room begins empty.

        Args:
            data: bytes of any content.

        Returns:
            False, and nothing has changed, when it is damaged, of another firmware, too long, or from the future.
        """
        size = len(data) - _TRAILER_BYTES
        if size < 0 or size % _BYTES or len(data) > len(self._buf):
            return False
        mark, kept_s, crc = unpack_from(_TRAILER, data, size)
        if mark != _MARK or kept_s > now_s + _BEHIND_S or crc != crc32(memoryview(data)[:-4]):
            return False
        self._buf[: len(data)] = data
        self._used = size // _BYTES
        return True
