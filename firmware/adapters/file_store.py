"""Flash as the log wants it (read, program, erase), in a preallocated file of a FAT file system.

CircuitPython gives no raw flash, and its FAT is not made for losing power (circuitpython#7065): any write, be it of one
byte, erases and rewrites the 4096 bytes of flash around it, and flushing or closing a file rewrites the directory. So:

- The file is made once, in full, on a fresh file system, and never grows, is never flushed, never closed. Whole sectors
  of 512 bytes are written in place: FAT and directory are not touched again. `sync` empties the cache below the file
  system and leaves the directory alone.
- A block is never rewritten where it lies. It is written anew into a free slot of the file, with a checksum, read
  back, and only then is the old slot blanked. Power may be lost at any moment: a block is found as it was before the
  operation or as it should be after it, and no other block is touched.
- Where the flash's 4096 bytes begin inside the file is unknown. Slots are so far apart, and so far from the file's
  ends, that no two of them, and no other file, share any.
- Slots take turns, so that no part of the flash wears out before the rest.
- What has been erased or overwritten is gone: no old copy stays, so that a key of yesterday is nowhere in the flash.

A slot is 4096 bytes: a header in a sector of its own (CRC-32 of the 4092 bytes after it, 4 bytes magic, block as u16,
two bytes 0xFF, generation as u32, all little-endian; the rest 0xFF), then the block's 3584 bytes. A block that has no
slot is all ones.

Never seen on hardware yet.
"""

from struct import pack_into, unpack_from

from tracing.const import const
from tracing.errors import StoreError
from tracing.records import crc32

_HEAD = "<I4sHHI"
_MAGIC = b"BZf1"
_CRC_BYTES = const(4)
_HEADER_BYTES = const(512)  # a sector
_SLOT_BYTES = const(4096)
_BLOCK_BYTES = const(3584)
_STRIDE_BYTES = const(8192)  # a slot, and as much again to keep it from its neighbour
_SPARE_SLOTS = const(2)
_ONES = b"\xff" * 256
# What a slot is to us.
_FREE = const(0)
_HOLDS = const(1)  # a block
_STALE = const(2)  # an old copy that has not been blanked yet


def file_bytes(blocks):
    """Size of the file for so many blocks: their slots and the spare ones, with room at both ends."""
    return (blocks + _SPARE_SLOTS) * _STRIDE_BYTES + _SLOT_BYTES


def make_file(path, blocks):
    """Make the file, all ones. What a file of the same name held is lost.

    Raises:
        OSError: the file system is full or may not be written.
    """
    ones = b"\xff" * _SLOT_BYTES
    with open(path, "wb") as file:
        for _ in range(file_bytes(blocks) // _SLOT_BYTES):
            file.write(ones)


class FileStore:
    """The store port in a file.

    Args:
        file: made by `make_file`, open for reading and writing ("r+b"), unbuffered.
        sync: empties the caches below the file system (`os.sync`).
        blocks: as many as when the file was made, 254 at most.

    Attributes:
        block_bytes, blocks: its geometry.
        repaired: slots that had to be blanked at the start: traces of a loss of power.

    Raises:
        StoreError: the file cannot be read or written.
    """

    block_bytes = _BLOCK_BYTES

    def __init__(self, file, sync, blocks):
        self._file = file
        self._sync = sync
        self.blocks = blocks
        self.repaired = 0
        self._slots = blocks + _SPARE_SLOTS
        self._slot_of = bytearray(blocks)  # slot of a block, plus 1; 0: the block is all ones
        self._uses = bytearray(self._slots)
        self._next = 0  # where the search for a free slot begins
        self._generation = 0
        self._buf = bytearray(_SLOT_BYTES)
        self._data = memoryview(self._buf)[_HEADER_BYTES:]
        self._find_blocks()

    def read(self, offset, buf):
        """Fill `buf` from `offset`; never crosses a block.

        Raises:
            StoreError: the file cannot be read, or no such place.
        """
        block, at = self._place(offset, len(buf))
        slot = self._slot_of[block] - 1
        if slot < 0:
            for i in range(len(buf)):
                buf[i] = 0xFF
            return
        self._read(slot, _HEADER_BYTES + at, buf)

    def program(self, offset, data):
        """Clear the bits that are 0 in `data`; never crosses a block. As a whole, or not at all.

        Raises:
            StoreError: the file cannot be written, no such place, or a bit would have to become 1.
        """
        block, at = self._place(offset, len(data))
        self._blank_stale()
        self._load(block)
        image = self._data
        for i in range(len(data)):
            if data[i] & ~image[at + i]:
                raise StoreError("programming cannot set a bit")
            image[at + i] = data[i]
        self._put(block)

    def erase(self, block):
        """Set a whole block to 0xFF.

        Raises:
            StoreError: the file cannot be written, or no such block.
        """
        self._place(block * _BLOCK_BYTES, 1)
        self._blank_stale()  # older copies first: the block must not become what it was before
        self._give_up(block)
        self._blank_stale()

    def _place(self, offset, size):
        block, at = divmod(offset, _BLOCK_BYTES)
        if not 0 <= block < self.blocks or at + size > _BLOCK_BYTES:
            raise StoreError("beyond the end of a block")
        return block, at

    # --- Slots -----------------------------------------------------------------------------------------------

    def _find_blocks(self):
        # Of two sound copies of a block the younger one counts: power was lost before the elder was blanked.
        generations = {}
        for slot in range(self._slots):
            block, generation = self._look_at(slot)
            if block < 0:
                continue
            elder = self._slot_of[block] - 1
            if elder >= 0 and generations[block] > generation:
                slot, elder = elder, slot
            if elder >= 0:
                self._uses[elder] = _FREE
                self._repair(elder)
            self._slot_of[block] = slot + 1
            self._uses[slot] = _HOLDS
            generations[block] = max(generation, generations.get(block, 0))
            if generation > self._generation:
                self._generation = generation
                self._next = (slot + 1) % self._slots

    def _look_at(self, slot):
        # (block, generation) of a sound slot; (-1, 0) of another one, which is blank from now on.
        self._read(slot, 0, self._buf)
        crc, magic, block, _, generation = unpack_from(_HEAD, self._buf, 0)
        if magic == _MAGIC and block < self.blocks and crc == self._checksum():
            return block, generation
        if min(self._buf) != 0xFF:
            self._repair(slot)
        return -1, 0

    def _checksum(self):
        return crc32(memoryview(self._buf)[_CRC_BYTES:])

    def _repair(self, slot):
        self.repaired += 1
        self._blank(slot)

    def _load(self, block):
        slot = self._slot_of[block] - 1
        if slot < 0:
            self._fill_with_ones()
        else:
            self._read(slot, 0, self._buf)

    def _put(self, block):
        # Writes the image in `_buf` into a free slot, and gives the block's old slot up once the new one is sound.
        slot = self._free_slot()
        self._generation += 1
        pack_into(_HEAD, self._buf, 0, 0, _MAGIC, block, 0xFFFF, self._generation)
        pack_into("<I", self._buf, 0, self._checksum())
        self._write(slot)
        if self._look_at(slot) != (block, self._generation):
            raise StoreError("the flash does not keep what is written")
        self._uses[slot] = _HOLDS
        self._give_up(block)
        self._slot_of[block] = slot + 1
        self._blank_stale()

    def _free_slot(self):
        for i in range(self._slots):
            slot = (self._next + i) % self._slots
            if self._uses[slot] == _FREE:
                self._next = (slot + 1) % self._slots
                return slot
        raise StoreError("no free slot")

    def _give_up(self, block):
        slot = self._slot_of[block] - 1
        if slot >= 0:
            self._uses[slot] = _STALE
            self._slot_of[block] = 0

    def _blank_stale(self):
        # If that fails it is tried again before anything else: a forgotten copy must not come back.
        slot = self._uses.find(_STALE)
        while slot >= 0:
            self._blank(slot)
            self._uses[slot] = _FREE
            slot = self._uses.find(_STALE)

    def _blank(self, slot):
        self._fill_with_ones()
        self._write(slot)

    def _fill_with_ones(self):
        for at in range(0, _SLOT_BYTES, len(_ONES)):
            self._buf[at : at + len(_ONES)] = _ONES

    # --- The file --------------------------------------------------------------------------------------------

    def _read(self, slot, at, buf):
        try:
            self._file.seek(_SLOT_BYTES + slot * _STRIDE_BYTES + at)
            if self._file.readinto(buf) != len(buf):
                raise StoreError("the file is shorter than it should be")
        except OSError as error:
            raise StoreError(str(error))

    def _write(self, slot):
        try:
            self._file.seek(_SLOT_BYTES + slot * _STRIDE_BYTES)
            if self._file.write(self._buf) != _SLOT_BYTES:
                raise StoreError("the file is shorter than it should be")
            self._sync()
        except OSError as error:
            raise StoreError(str(error))
