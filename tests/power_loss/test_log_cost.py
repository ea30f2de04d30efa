"""What the log costs in flash, wear and reading."""

import pytest
from emulated_flash import EmulatedFlash
from log_bench import SIZE, fields

from tracing import records
from tracing.log import Log

BLOCK_BYTES = 4096
PER_BLOCK = 145
BLOCKS = 6


def full(count: int) -> tuple[EmulatedFlash, Log]:
    flash = EmulatedFlash(BLOCKS, BLOCK_BYTES)
    log = Log(flash, 0, BLOCKS)
    log.mount()
    for number in range(count):
        log.append(*fields(number))
    return flash, log


def test_each_block_is_erased_once_a_lap_and_hardly_more_is_written_than_records() -> None:
    laps = 3
    flash, log = full(laps * BLOCKS * PER_BLOCK)
    assert log.capacity_records == BLOCKS * PER_BLOCK
    assert flash.erases == [laps] * BLOCKS
    counts = [
        records.unpack_block_header(flash.image[at : at + records.BLOCK_HEADER_BYTES])
        for at in range(0, len(flash.image), BLOCK_BYTES)
    ]
    assert [header[1] if header else None for header in counts] == [laps] * BLOCKS
    amplification = flash.programmed_bytes / (log.next_seq * SIZE)
    assert amplification == pytest.approx(1 + (records.BLOCK_HEADER_BYTES + 4) / (PER_BLOCK * SIZE))
    assert amplification < 1.01


@pytest.mark.parametrize("count", [0, 1, 100, PER_BLOCK, PER_BLOCK + 1, BLOCKS * PER_BLOCK, BLOCKS * PER_BLOCK + 77])
@pytest.mark.parametrize("next_block", ["as it is", "noise", "lost its header"])
def test_mounting_reads_a_header_a_block_and_one_block(count: int, next_block: str) -> None:
    flash, log = full(count)
    at = -(-log.next_seq // PER_BLOCK) % BLOCKS * BLOCK_BYTES
    if next_block == "noise":
        flash.image[at : at + BLOCK_BYTES] = bytes(i * 151 & 0xFF for i in range(BLOCK_BYTES))
    elif next_block == "lost its header":
        flash.image[at] ^= 1
    flash.read_bytes = 0
    Log(flash, 0, BLOCKS).mount()
    assert flash.read_bytes <= BLOCKS * records.BLOCK_HEADER_BYTES + BLOCK_BYTES


def test_a_mebibyte_holds_25_days_of_a_thousand_encounters() -> None:
    blocks = (1 << 20) // BLOCK_BYTES
    log = Log(EmulatedFlash(blocks, BLOCK_BYTES), 0, blocks)
    assert log.capacity_records - PER_BLOCK >= 25 * 1000  # one block is always being written anew
    assert BLOCK_BYTES / PER_BLOCK <= 32
