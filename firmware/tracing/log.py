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
_ATTEMPTS = const(3)  # slots tried for one record before the flash is given up


class Log:
    """The log in `blocks` blocks of a store, from `first_block` on. Call `mount` before anything else.

    Attributes:
        oldest_seq, next_seq: the log holds oldest_seq <= sequence number < next_seq.
        capacity_records: how many records fit.
        damaged: records and headers whose checksum did not fit, as far as they have been looked at since mount.
    """

    def __init__(self, store, first_block, blocks):
        self._store = store
        self._first_block = first_block
        self._blocks = blocks
        self._per_block = (store.block_bytes - _HEADER_BYTES) // _RECORD_BYTES
        self._valid = bytearray((blocks + 7) // 8)  # one bit a block: its header can be believed
        self._buf = bytearray(_HEADER_BYTES)
        self._block = -1  # being written, counted from first_block; -1: none yet
        self._slot = 0  # the next one in it
        self._begin_seq = 0  # of the block being written
        self.oldest_seq = 0
        self.capacity_records = blocks * self._per_block
        self.damaged = 0

    @property
    def next_seq(self):
        """The sequence number that the next record gets."""
        return self._begin_seq + self._slot

    def mount(self):
        """Find the log again: reads one header a block, and the records of the newest block.

        Raises:
            StoreError: the store cannot be read.
        """
        self._block = -1
        self._slot = self._begin_seq = 0
        for block in range(self._blocks):
            begin_seq = self._header(block)
            self._mark(block, begin_seq >= 0)
            if begin_seq >= self._begin_seq:
                self._block = block
                self._begin_seq = begin_seq
        if self._block < 0:
            self.oldest_seq = 0
            return
        # A header counts only where the ring would have put it: anything else is the leftover of a fault.
        for block in range(self._blocks):
            if self._is_valid(block) and self._header(block) != self._expected(block):
                self._mark(block, False)
                self.damaged += 1
        self._slot = self._per_block
        while self._slot and self._is_blank(self._slot - 1):
            self._slot -= 1
        self._find_oldest()

    def append(self, kind_flags, boot, start_s, duration_s, windows, sightings, rssi_max_dbm, rssi_mean_dbm, ident):
        """Write a record; drops the oldest block when there is no room. Fields as in records.pack_record.

        Returns:
            Its sequence number. Once this has returned, no loss of power takes the record away.

        Raises:
            StoreError: the flash does not keep what is written.
        """
        record = memoryview(self._buf)[:_RECORD_BYTES]
        for _ in range(_ATTEMPTS):
            if self._block < 0 or self._slot == self._per_block:
                self._open_block(start_s)
            records.pack_record(
                self._buf, kind_flags, boot, start_s, duration_s, windows, sightings, rssi_max_dbm, rssi_mean_dbm, ident
            )
            crc = bytes(record[-4:])
            seq = self.next_seq
            self._slot += 1  # whatever comes now, this place is used up
            self._store.program(self._offset(seq), record)
            self._store.read(self._offset(seq), record)
            if records.unpack_record(self._buf) is not None and bytes(record[-4:]) == crc:
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
        if records.unpack_record(buf, at) is None:
            self.damaged += 1
            return False
        return True

    # --- Where things are --------------------------------------------------------------------------------------

    def _block_of(self, seq):
        behind = self._begin_seq // self._per_block - seq // self._per_block
        return (self._block - behind) % self._blocks

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

    def _header(self, block):
        # The first sequence number of a block, or -1 when its header cannot be believed.
        self._store.read((self._first_block + block) * self._store.block_bytes, self._buf)
        header = records.unpack_block_header(self._buf)
        return header[0] if header and header[0] % self._per_block == 0 else -1

    def _is_blank(self, slot):
        record = memoryview(self._buf)[:_RECORD_BYTES]
        self._store.read(self._offset(self._begin_seq + slot), record)
        return all(byte == 0xFF for byte in record)

    def _find_oldest(self):
        # The ring's blocks in order from the one that will be erased next; the first sound one holds the oldest record.
        for age in range(self._blocks - 1, -1, -1):
            block = (self._block - age) % self._blocks
            if self._is_valid(block):
                self.oldest_seq = self._expected(block)
                return

    def _open_block(self, now_s):
        # The block is erased first even if it looks blank: an erase that lost power may leave bits that will not last.
        block = (self._block + 1) % self._blocks
        begin_seq = 0 if self._block < 0 else self._begin_seq + self._per_block
        self._store.read((self._first_block + block) * self._store.block_bytes, self._buf)
        header = records.unpack_block_header(self._buf)
        self._mark(block, False)
        self._store.erase(self._first_block + block)
        records.pack_block_header(self._buf, begin_seq, header[1] + 1 if header else 1, now_s)
        self._store.program((self._first_block + block) * self._store.block_bytes, self._buf)
        self._block = block
        self._begin_seq = begin_seq
        self._slot = 0
        self._mark(block, True)
        self._find_oldest()
