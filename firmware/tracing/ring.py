"""The ring of erase blocks under the log: which one is being written, and which can be believed.

The store is a port with `block_bytes`, `blocks`, `read(offset, buf)`, `program(offset, data)`, which clears bits and
never crosses a block, and `erase(block)`; they raise StoreError.
"""

from struct import pack_into, unpack_from

from . import records
from .const import const

_HEADER_BYTES = const(32)
_RECORD_BYTES = const(28)
_FOLLOWED_SUM = const(510)  # four bytes of FF make 1020
_BLANK = const(-1)
_DAMAGED = const(-2)


class Ring:
    """`blocks` blocks of a store, from `first_block` on; the base of Log, which has the records in them.

    Attributes:
        oldest_seq: the oldest sequence number of a sound block.
        capacity_records: how many records fit; segment_records: how many in a block.
        damaged: headers and records that the flash did not keep, as far as they have been met since mount.
    """

    def __init__(self, store, first_block, blocks):
        self._store = store
        self._first_block = first_block
        self._blocks = blocks
        self.segment_records = (store.block_bytes - _HEADER_BYTES) // _RECORD_BYTES
        self.capacity_records = blocks * self.segment_records
        self._valid = bytearray((blocks + 7) // 8)  # one bit a block: its header can be believed
        self._buf = bytearray(_HEADER_BYTES)
        self._record = memoryview(self._buf)[:_RECORD_BYTES]
        self._followed = memoryview(self._buf)[:4]
        self._forget()

    def _forget(self):
        # An empty log is one whose last block, the one before the first, is full.
        self._block = -1  # being written, counted from first_block
        self._begin_seq = -self.segment_records  # of that block
        self._slot = self.segment_records  # the next one in it
        self.oldest_seq = 0
        self.damaged = 0

    @property
    def next_seq(self):
        """The sequence number that the next record gets."""
        return self._begin_seq + self._slot

    # --- Finding it again --------------------------------------------------------------------------------------

    def _find(self, newest_segment):
        # Reads one header a block, and no more than one block of records. `newest_segment`: known from elsewhere.
        self._forget()
        segments = bytearray(4 * self._blocks)  # a list would take twice the room
        newest = -1
        for block in range(self._blocks):
            segment = self._segment_at(block)
            pack_into("<i", segments, 4 * block, segment)
            if segment > newest:
                newest = segment
                self._block = block
        self._begin_seq = newest * self.segment_records
        # A header counts only where the ring would have put it: anything else is the leftover of a fault.
        for block in range(self._blocks):
            segment = unpack_from("<i", segments, 4 * block)[0]
            valid = 0 <= segment == self._expected(block) // self.segment_records
            self._mark(block, valid)
            self.damaged += not valid and segment != _BLANK
        while self._block >= 0 and self._slot and self._is_blank(self._slot - 1):
            self._slot -= 1
        self._pass_headless(newest_segment)
        self._find_oldest()

    def _pass_headless(self, newest_segment):
        # Blocks after the newest may be newer ones that have lost their headers: their numbers must not be given again.
        # The header before such a block says so; the bits are counted, for some of them may have flipped.
        for _ in range(self._blocks):
            self._store.read(self._header_at(self._block % self._blocks) + records.FOLLOWED_AT, self._followed)
            if sum(self._followed) > _FOLLOWED_SUM or self._is_valid((self._block + 1) % self._blocks):
                break
            self._pass_block()
        while self._begin_seq // self.segment_records < newest_segment:
            self._pass_block()

    def _pass_block(self):
        self._block = (self._block + 1) % self._blocks
        self._mark(self._block, False)
        self._begin_seq += self.segment_records
        self._slot = self.segment_records

    def _find_oldest(self):
        # The ring's blocks in order from the one that will be erased next; the first sound one holds the oldest record.
        for age in range(self._blocks - 1, -1, -1):
            block = (self._block - age) % self._blocks
            if self._is_valid(block):
                self.oldest_seq = self._expected(block)
                return
        self.oldest_seq = self.next_seq

    # --- Going on ----------------------------------------------------------------------------------------------

    def _open_block(self, now_s):
        # Goes on to the next block; False when it does not keep its header. It is erased even if it looks blank, unless
        # it has been for its age: an erase that lost power may leave bits that will not last. A store that refuses, be
        # it without a word, is asked for the same block again: going on would walk round the ring and give up every
        # block in it.
        block = (self._block + 1) % self._blocks
        begin_seq = self._begin_seq + self.segment_records
        at = self._header_at(block)
        header = self._header(block)
        before = bytes(self._record)
        erased = self._buf[records.FOLLOWED_AT :] == records.ERASED_MARK and self._is_blank_block(block)
        self._mark(block, False)
        if not erased:
            self._store.erase(self._first_block + block)
        erases = header[1] + 1 if header else begin_seq // self.capacity_records + 1
        records.pack_block_header(self._buf, begin_seq, erases, now_s)
        kept = records.keeps(self._store, at, self._record)
        if not kept:
            self.damaged += 1
            if self._record == before:
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

    def _note_followed(self):
        # After the header of the block, else a loss of power would cost a block without a record; before its first
        # record.
        before = (self._block - 1) % self._blocks
        self._store.program(self._header_at(before) + records.FOLLOWED_AT, b"\0\0\0\0")

    def _drop(self, block):
        # Erases a block before its turn. The mark says that the erase has been completed.
        self._mark(block, False)
        self._store.erase(self._first_block + block)
        self._store.program(self._header_at(block) + records.FOLLOWED_AT, records.ERASED_MARK)

    # --- Where things are --------------------------------------------------------------------------------------

    def _block_of(self, seq):
        return (self._block + seq // self.segment_records - self._begin_seq // self.segment_records) % self._blocks

    def _offset(self, seq):
        return self._header_at(self._block_of(seq)) + _HEADER_BYTES + seq % self.segment_records * _RECORD_BYTES

    def _expected(self, block):
        # The first sequence number that a block must have, going back round the ring from the newest.
        return self._begin_seq - (self._block - block) % self._blocks * self.segment_records

    def _is_valid(self, block):
        return self._valid[block >> 3] >> (block & 7) & 1

    def _mark(self, block, valid):
        bit = 1 << (block & 7)
        self._valid[block >> 3] = self._valid[block >> 3] & ~bit | (bit if valid else 0)

    def _header_at(self, block):
        return (self._first_block + block) * self._store.block_bytes

    def _header(self, block):
        self._store.read(self._header_at(block), self._buf)
        return records.unpack_block_header(self._buf)

    def _segment_at(self, block):
        # Its segment; _BLANK; or _DAMAGED when its header cannot be believed.
        header = self._header(block)
        if header and header[0] % self.segment_records == 0:
            return header[0] // self.segment_records
        return _BLANK if min(self._record) == 0xFF else _DAMAGED

    def _created_s(self, block):
        header = self._header(block)
        return header[2] if header else 0

    def _is_blank(self, slot):
        self._store.read(self._offset(self._begin_seq + slot), self._record)
        return min(self._record) == 0xFF

    def _is_blank_block(self, block):
        # But for the four bytes of marks.
        at = self._header_at(block)
        self._store.read(at, self._record)
        at += _HEADER_BYTES
        end = at + self.segment_records * _RECORD_BYTES
        while min(self._record) == 0xFF:
            if at == end:
                return True
            self._store.read(at, self._record)
            at += _RECORD_BYTES
        return False
