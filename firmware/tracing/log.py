"""The contact log: a ring of erase blocks on NOR flash.

A block is a header and as many records as fit; a record's sequence number is its block's first one plus its place.
Every block takes the same number of sequence numbers, torn or damaged records included, so that a number says where
its record lies and is never used twice. SPEC.md, "Flash", has the bytes; DESIGN.md, "The log", the reasons.

The store is a port with `block_bytes`, `blocks`, `read(offset, buf)`, `program(offset, data)`, which clears bits and
never crosses a block, and `erase(block)`; they raise StoreError.
"""

from . import records
from .const import const
from .errors import StoreError

_HEADER_BYTES = const(32)
_RECORD_BYTES = const(28)
_FOLLOWED_SUM = const(510)  # four bytes of FF make 1020
_ATTEMPTS = const(3)  # places tried for one record before the flash is given up
_BLANK = const(-1)
_DAMAGED = const(-2)


class Log:
    """The log in `blocks` blocks of a store, from `first_block` on. Call `mount` before anything else.

    Args:
        blocks: 3 or more. After an erase cut short up to two are not yet, or no longer, of use.

    Attributes:
        oldest_seq, next_seq: the log holds oldest_seq <= sequence number < next_seq.
        capacity_records: how many records fit.
        damaged: records and headers that cannot be believed, as far as they have been looked at since mount.
    """

    def __init__(self, store, first_block, blocks):
        self._store = store
        self._first_block = first_block
        self._blocks = blocks
        self._per_block = (store.block_bytes - _HEADER_BYTES) // _RECORD_BYTES
        self._valid = bytearray((blocks + 7) // 8)  # one bit a block: its header can be believed
        self._buf = bytearray(_HEADER_BYTES)
        self._record = memoryview(self._buf)[:_RECORD_BYTES]
        self._followed = memoryview(self._buf)[:4]
        self.capacity_records = blocks * self._per_block
        self._forget()

    def _forget(self):
        # An empty log is one whose last block, the one before the first, is full.
        self._block = -1  # being written, counted from first_block
        self._begin_seq = -self._per_block  # of that block
        self._slot = self._per_block  # the next one in it
        self.oldest_seq = 0
        self.damaged = 0

    @property
    def next_seq(self):
        """The sequence number that the next record gets."""
        return self._begin_seq + self._slot

    def mount(self):
        """Find the log again: reads one header a block, and no more than one block of records.

        Raises:
            StoreError: the store cannot be read.
        """
        self._forget()
        begin_seqs = [self._header(block) for block in range(self._blocks)]
        newest = max(begin_seqs)
        if newest >= 0:
            self._block = begin_seqs.index(newest)
            self._begin_seq = newest
        # A header counts only where the ring would have put it: anything else is the leftover of a fault.
        for block in range(self._blocks):
            valid = 0 <= begin_seqs[block] == self._expected(block)
            self._mark(block, valid)
            self.damaged += not valid and begin_seqs[block] != _BLANK
        while self._block >= 0 and self._slot and self._is_blank(self._slot - 1):
            self._slot -= 1
        self._pass_headless()
        self._find_oldest()

    def _pass_headless(self):
        # Blocks after the newest may be newer ones that have lost their headers: their numbers must not be given again.
        # The header before such a block says so; the bits are counted, for some of them may have flipped.
        for _ in range(self._blocks):
            self._store.read(self._header_at(self._block % self._blocks) + records.FOLLOWED_AT, self._followed)
            following = (self._block + 1) % self._blocks
            if sum(self._followed) > _FOLLOWED_SUM or self._is_valid(following):
                return
            self._block = following
            self._begin_seq += self._per_block
            self._slot = self._per_block

    def _note_followed(self):
        # After the header of the block, else a loss of power would cost a block without a record; before its first
        # record.
        before = (self._block - 1) % self._blocks
        self._store.program(self._header_at(before) + records.FOLLOWED_AT, b"\0\0\0\0")

    def append(self, kind_flags, boot, start_s, duration_s, windows, sightings, rssi_max_dbm, rssi_mean_dbm, ident):
        """Write a record; drops the oldest block when there is no room. Fields as in records.pack_record.

        Returns:
            Its sequence number. Once this has returned, no loss of power takes the record away.

        Raises:
            StoreError: the flash does not keep what is written. The next record gets another place.
        """
        for _ in range(_ATTEMPTS):
            if self._slot == self._per_block and not self._open_block(start_s):
                continue
            if self._slot == 0:
                self._note_followed()
            records.pack_record(
                self._buf, kind_flags, boot, start_s, duration_s, windows, sightings, rssi_max_dbm, rssi_mean_dbm, ident
            )
            seq = self.next_seq
            self._slot += 1  # whatever comes now, this place is used up
            if records.keeps(self._store, self._offset(seq), self._record):
                return seq
            self.damaged += 1
        raise StoreError("the flash does not keep what is written")

    def read(self, seq, buf, at):
        """Copy the 28 bytes of record `seq` into `buf` at `at`.

        Returns:
            False when there is no such record, or its checksum does not fit; `buf` is then undefined there.
        """
        if not self.oldest_seq <= seq < self.next_seq or not self._is_valid(self._block_of(seq)):
            return False
        self._store.read(self._offset(seq), memoryview(buf)[at : at + _RECORD_BYTES])
        if not records.is_sound(buf, at, _RECORD_BYTES):
            self.damaged += 1
            return False
        return True

    # --- Where things are --------------------------------------------------------------------------------------

    def _block_of(self, seq):
        return (self._block + seq // self._per_block - self._begin_seq // self._per_block) % self._blocks

    def _offset(self, seq):
        block = self._first_block + self._block_of(seq)
        return block * self._store.block_bytes + _HEADER_BYTES + seq % self._per_block * _RECORD_BYTES

    def _expected(self, block):
        # The first sequence number that a block must have, going back round the ring from the newest.
        return self._begin_seq - (self._block - block) % self._blocks * self._per_block

    def _is_valid(self, block):
        return self._valid[block >> 3] >> (block & 7) & 1

    def _mark(self, block, valid):
        bit = 1 << (block & 7)
        self._valid[block >> 3] = self._valid[block >> 3] & ~bit | (bit if valid else 0)

    def _header_at(self, block):
        return (self._first_block + block) * self._store.block_bytes

    def _header(self, block):
        # The first sequence number of a block; _BLANK; or _DAMAGED when its header cannot be believed.
        self._store.read(self._header_at(block), self._buf)
        header = records.unpack_block_header(self._buf)
        if header and header[0] % self._per_block == 0:
            return header[0]
        return _BLANK if min(self._buf) == 0xFF else _DAMAGED

    def _is_blank(self, slot):
        self._store.read(self._offset(self._begin_seq + slot), self._record)
        return min(self._record) == 0xFF

    def _find_oldest(self):
        # The ring's blocks in order from the one that will be erased next; the first sound one holds the oldest record.
        for age in range(self._blocks - 1, -1, -1):
            block = (self._block - age) % self._blocks
            if self._is_valid(block):
                self.oldest_seq = self._expected(block)
                return
        self.oldest_seq = self.next_seq

    def _open_block(self, now_s):
        # Goes on to the next block; False when it does not keep its header. It is erased even if it looks blank: an
        # erase that lost power may leave bits that will not last. A store that refuses, be it without a word, is asked
        # for the same block again: going on would walk round the ring and give up every block in it.
        block = (self._block + 1) % self._blocks
        begin_seq = self._begin_seq + self._per_block
        at = self._header_at(block)
        self._store.read(at, self._buf)
        before = bytes(self._buf)
        header = records.unpack_block_header(before)
        self._mark(block, False)
        self._store.erase(self._first_block + block)
        records.pack_block_header(self._buf, begin_seq, header[1] + 1 if header else 1, now_s)
        kept = records.keeps(self._store, at, self._buf)
        if not kept:
            self.damaged += 1
            if self._buf == before:
                return False
        self._block = block
        self._begin_seq = begin_seq  # the block counts as full when it does not keep its header
        if kept:
            self._slot = 0
            self._mark(block, True)
        else:
            self._note_followed()
        self._find_oldest()
        return kept
