"""The contact log: a ring of erase blocks on NOR flash, sealed.

A block is a header and as many records as fit; a record's sequence number is its block's first one plus its place.
Every block takes the same number of sequence numbers, torn or damaged records included, so that a number says where
its record lies and is never used twice. The numbers of a block are a segment: its records are sealed with keys that
those of the next segment do not lead back to (segment.py), so that the token itself can open none of the older ones.
SPEC.md, "Flash", has the bytes; DESIGN.md, "The log", the reasons.
"""

from . import records
from .const import const
from .errors import StoreError
from .keys import DAY_S
from .ring import Ring
from .segment import next_segment_key, segment_seal

_RECORD_BYTES = const(28)
_PLAIN_BYTES = const(24)  # of a record, before its tag
_ATTEMPTS = const(3)  # places tried for one record before the flash is given up
_ERASES = const(16)  # for their age, in one call: the radio waits meanwhile


class Log(Ring):
    """The log in `blocks` blocks of a store, from `first_block` on. Call `mount` before anything else.

    Args:
        store: the port of ring.py.
        blocks: 3 or more. After an erase cut short up to two are not yet, or no longer, of use.
        keys: a state.State: `log_key` of segment `log_segment`, `last_time_s`, `expire_from_s`, and `keep()`, which
            saves them.

    Attributes:
        oldest_seq, next_seq: the log holds oldest_seq <= sequence number < next_seq.
        capacity_records: how many records fit; segment_records: how many in a segment.
        damaged: records and headers that the flash did not keep, as far as they have been met since mount.
    """

    def __init__(self, store, first_block, blocks, keys):
        self._keys = keys
        self._seal = None  # of the newest segment
        self._seen_s = 0  # when `expire` was called
        super().__init__(store, first_block, blocks)

    def mount(self):
        """Find the log again: reads one header a block, and no more than one block of records.

        Raises:
            StoreError: the store cannot be read, or a key not be saved.
        """
        self._seen_s = self._keys.last_time_s
        # A key moves on before the first record of its segment: the key of a later one means that headers were lost.
        self._find(self._keys.log_segment or -1)
        if self._begin_seq >= 0:
            self._turn_key()

    def _turn_key(self):
        # Before the first record of a segment. The old key is gone when this returns.
        keys = self._keys
        while keys.log_segment < self._begin_seq // self.segment_records:
            keys.log_key = next_segment_key(keys.log_key)
            keys.log_segment += 1
        keys.keep()
        self._seal = segment_seal(keys.log_key)

    def _begin_segment(self):
        self._note_followed()
        self._turn_key()

    def append(self, kind_flags, boot, start_s, duration_s, windows, sightings, rssi_max_dbm, rssi_mean_dbm, ident):
        """Seal and write a record; drops the oldest block when there is no room. Fields as in records.pack_record.

        Returns:
            Its sequence number. Once this has returned, no loss of power takes the record away.

        Raises:
            StoreError: the flash does not keep what is written. The next record gets another place.
        """
        now_s = start_s + duration_s if kind_flags & records.FLAG_CLOCK_SET else 0
        for _ in range(_ATTEMPTS):
            if self._slot == self.segment_records and not self._open_block(now_s):
                continue
            if self._slot == 0:
                self._begin_segment()
            records.pack_record(
                self._buf, kind_flags, boot, start_s, duration_s, windows, sightings, rssi_max_dbm, rssi_mean_dbm, ident
            )
            seq = self.next_seq
            self._seal.close(seq, self._buf, _PLAIN_BYTES)  # pyright: ignore[reportOptionalMemberAccess]  mounted
            self._slot += 1  # whatever comes now, this place is used up
            if records.keeps(self._store, self._offset(seq), self._record):
                return seq
            self.damaged += 1
        raise StoreError("the flash does not keep what is written")

    def read(self, seq, buf, at):
        """Copy the 28 bytes of record `seq` into `buf` at `at`, sealed as they lie in flash.

        Returns:
            False when there is no such record; `buf` is then undefined there. Only who can open it sees whether it is
            damaged.
        """
        if not self.oldest_seq <= seq < self.next_seq or not self._is_valid(self._block_of(seq)):
            return False
        place = memoryview(buf)[at : at + _RECORD_BYTES]
        self._store.read(self._offset(seq), place)
        return min(place) < 0xFF

    # --- Age -------------------------------------------------------------------------------------------------

    def expire(self, now_s, days):
        """Erase the blocks of which every record is older than `days` days, so known to a day.

        To be called about once an hour while the clock is set, and whenever it has been set. A clock that jumps ahead
        by more than a day may be wrong, and erases nothing for a day.

        Raises:
            StoreError: the flash refused; what was not erased will be the next time.
        """
        keys = self._keys
        if now_s - self._seen_s > DAY_S or keys.expire_from_s - now_s > DAY_S:
            keys.expire_from_s = now_s + DAY_S
            keys.keep()
        self._seen_s = now_s
        if now_s < keys.expire_from_s:
            return
        # A block that has been open for a day is closed: the next one's beginning tells how old its records are.
        if self._slot and self._is_valid(self._block) and not 0 <= now_s - self._created_s(self._block) < DAY_S:
            if self._open_block(now_s):
                self._begin_segment()
        self._erase_before(self._age_of_expired(now_s, now_s - days * DAY_S))

    def _age_of_expired(self, now_s, limit_s):
        # How far from the newest block is the youngest one that was begun before the limit: older ones have expired.
        found = self._blocks
        latest_s = 1
        for age in range(self._blocks - 1, -1, -1):
            block = (self._block - age) % self._blocks
            created_s = self._created_s(block) if self._is_valid(block) else 0
            if limit_s <= created_s <= now_s:
                break
            if latest_s <= created_s < limit_s:  # else the clock was wrong, or not set
                found = age
                latest_s = created_s
        return found

    def _erase_before(self, age):
        # The oldest first: wherever the power goes, what lies behind an erased block is erased as well.
        oldest = age
        while oldest + 1 < self._blocks and not self._is_blank_block((self._block - oldest - 1) % self._blocks):
            oldest += 1
        for older in range(oldest, max(age, oldest - _ERASES), -1):
            self._drop((self._block - older) % self._blocks)
        self._find_oldest()
