"""What the tests of the log share: a log on an emulated flash, and what it must hold after whatever has happened."""

from functools import cache

from emulated_flash import EmulatedFlash

from tracing import records
from tracing.kiosk_log import open_record
from tracing.log import Log
from tracing.sealing import Seal
from tracing.segment import next_segment_key, segment_seal

BLOCK_BYTES = 256
PER_BLOCK = 8
FIRST_BLOCK = 1  # the block before the log is somebody else's
SIZE = records.RECORD_BYTES
BEGAN_S = 1_600_000_000
DAY_S = 86400
ROOT = bytes(range(100, 132))  # log key of segment 0


class Keys:
    """What the log asks of the state, kept without fail through every loss of power."""

    def __init__(self, segment: int = 0) -> None:
        self.log_segment = segment
        self.log_key = log_key(segment)
        self.last_time_s = BEGAN_S
        self.expire_from_s = 0
        self.kept: tuple = (self.log_segment, self.log_key, self.expire_from_s)

    def keep(self) -> None:
        self.kept = (self.log_segment, self.log_key, self.expire_from_s)

    def restart(self) -> "Keys":
        self.log_segment, self.log_key, self.expire_from_s = self.kept
        return self


@cache
def log_key(segment: int) -> bytes:
    """The host's chain: the log key of a segment."""
    return ROOT if segment == 0 else next_segment_key(log_key(segment - 1))


@cache
def seal(segment: int) -> Seal:
    return segment_seal(log_key(segment))


@cache
def opened(segment: int, seq: int, raw: bytes) -> bytes | None:
    """What the host makes of a record."""
    return open_record(seal(segment), seq, raw)


def fields(number: int) -> tuple:
    """The arguments of append for record `number`; no two are alike."""
    ident = b"%012d" % number
    return (0x11, number, BEGAN_S + 40 * number, number % 900, number % 20, number % 40, -50, -70, ident)


@cache
def packed(number: int) -> bytes:
    """The bytes of record `number`, as the host has them in the end."""
    buf = bytearray(SIZE)
    records.pack_record(buf, *fields(number))
    return bytes(buf)


def sealed(seq: int, number: int, per_block: int = PER_BLOCK) -> bytes:
    """The bytes of record `number` as they lie in flash under a sequence number."""
    buf = bytearray(packed(number))
    seal(seq // per_block).close(seq, buf, SIZE - 4)
    return bytes(buf)


def make_flash(blocks: int, **settings) -> EmulatedFlash:
    """Flash for a log of `blocks` blocks behind one that is not the log's."""
    flash = EmulatedFlash(FIRST_BLOCK + blocks, BLOCK_BYTES, **settings)
    if "image" not in settings:
        flash.image[: FIRST_BLOCK * BLOCK_BYTES] = b"\x5a" * (FIRST_BLOCK * BLOCK_BYTES)
    return flash


def mounted(flash: EmulatedFlash, keys: Keys | None = None) -> Log:
    """The log of a token that has just started."""
    log = Log(flash, FIRST_BLOCK, flash.blocks - FIRST_BLOCK, keys.restart() if keys else Keys())
    log.mount()
    return log


def pulled(log: Log) -> dict[int, bytes | None]:
    """What the host makes of the log: records by sequence number, None where one does not open.

    Asserts that nothing outside the log's range is there.
    """
    buf = bytearray(SIZE + 3)
    found = {}
    reach = 2 * log.segment_records
    for seq in range(log.oldest_seq - reach, log.next_seq + reach):
        if log.read(seq, buf, 3):
            assert log.oldest_seq <= seq < log.next_seq
            found[seq] = opened(seq // log.segment_records, seq, bytes(buf[3:]))
    return found


def contents(log: Log) -> dict[int, bytes]:
    """Every record that the host can open, by sequence number."""
    return {seq: record for seq, record in pulled(log).items() if record is not None}


def kept_from(next_seq: int, blocks: int, per_block: int = PER_BLOCK) -> int:
    """The oldest record that a log may not drop while it writes record `next_seq`."""
    return max(0, (next_seq // per_block - blocks + 1) * per_block)


def offset_of(seq: int, blocks: int) -> int:
    """Where a record lies in the image, by SPEC.md: its number says where."""
    block = FIRST_BLOCK + seq // PER_BLOCK % blocks
    return block * BLOCK_BYTES + records.BLOCK_HEADER_BYTES + seq % PER_BLOCK * SIZE
