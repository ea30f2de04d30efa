"""What the tests of the log share: a log on an emulated flash, and what it must hold after whatever has happened."""

from emulated_flash import EmulatedFlash

from tracing import records
from tracing.log import Log

BLOCK_BYTES = 256
PER_BLOCK = 8
FIRST_BLOCK = 1  # the block before the log is somebody else's
SIZE = records.RECORD_BYTES


def fields(number: int) -> tuple:
    """The arguments of append for record `number`; no two are alike."""
    ident = b"%012d" % number
    return (0x11, number, 1_600_000_000 + 40 * number, number % 900, number % 20, number % 40, -50, -70, ident)


def packed(number: int) -> bytes:
    """The bytes of record `number`."""
    buf = bytearray(SIZE)
    records.pack_record(buf, *fields(number))
    return bytes(buf)


def make_flash(blocks: int, **settings) -> EmulatedFlash:
    """Flash for a log of `blocks` blocks behind one that is not the log's."""
    flash = EmulatedFlash(FIRST_BLOCK + blocks, BLOCK_BYTES, **settings)
    if "image" not in settings:
        flash.image[: FIRST_BLOCK * BLOCK_BYTES] = b"\x5a" * (FIRST_BLOCK * BLOCK_BYTES)
    return flash


def mounted(flash: EmulatedFlash) -> Log:
    """The log of a token that has just started."""
    log = Log(flash, FIRST_BLOCK, flash.blocks - FIRST_BLOCK)
    log.mount()
    return log


def contents(log: Log) -> dict[int, bytes]:
    """Every record that can be read, by sequence number; asserts that nothing outside the log's range can."""
    buf = bytearray(SIZE + 3)
    found = {}
    for seq in range(log.oldest_seq - 2 * PER_BLOCK, log.next_seq + 2 * PER_BLOCK):
        if log.read(seq, buf, 3):
            assert log.oldest_seq <= seq < log.next_seq
            found[seq] = bytes(buf[3:])
    return found


def kept_from(next_seq: int, blocks: int) -> int:
    """The oldest record that a log may not drop while it writes record `next_seq`."""
    return max(0, (next_seq // PER_BLOCK - blocks + 1) * PER_BLOCK)


def offset_of(seq: int, blocks: int) -> int:
    """Where a record lies in the image, by SPEC.md: its number says where."""
    block = FIRST_BLOCK + seq // PER_BLOCK % blocks
    return block * BLOCK_BYTES + records.BLOCK_HEADER_BYTES + seq % PER_BLOCK * SIZE
