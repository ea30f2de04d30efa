"""Bits flip and cells wear out: damaged records are skipped and counted, never believed, never fatal."""

import pytest
from emulated_flash import DeadFlash
from hypothesis import example, given, settings
from hypothesis import strategies as st
from log_bench import (
    BLOCK_BYTES,
    FIRST_BLOCK,
    PER_BLOCK,
    SIZE,
    Keys,
    contents,
    fields,
    kept_from,
    make_flash,
    mounted,
    offset_of,
    packed,
    pulled,
    sealed,
)

from tracing import records
from tracing.errors import StoreError

BLOCKS = 3
LOG_AT = FIRST_BLOCK * BLOCK_BYTES
HEADER = records.BLOCK_HEADER_BYTES


def written(count: int) -> bytes:
    """The image of a log after `count` records."""
    flash = make_flash(BLOCKS)
    log = mounted(flash)
    for number in range(count):
        log.append(*fields(number))
    return bytes(flash.image)


@pytest.mark.parametrize("count", [3, 24, 29])
def test_every_single_bit_of_the_image(count: int) -> None:
    image = written(count)
    whole = range(kept_from(count - 1, BLOCKS), count)
    place_of = {offset_of(seq, BLOCKS): seq for seq in whole}
    for bit in range(LOG_AT * 8, len(image) * 8):
        flash = make_flash(BLOCKS, image=bytearray(image))
        flash.image[bit // 8] ^= 1 << bit % 8
        block_at = bit // 8 // BLOCK_BYTES * BLOCK_BYTES
        if records.FOLLOWED_AT <= bit // 8 - block_at < HEADER:
            lost = set()  # of the bits that say whether a block follows, one may flip
        elif bit // 8 - block_at < HEADER:
            lost = {seq for at, seq in place_of.items() if at // BLOCK_BYTES * BLOCK_BYTES == block_at}
        else:
            at = block_at + HEADER + (bit // 8 - block_at - HEADER) // SIZE * SIZE
            lost = {place_of[at]} if at in place_of else set()
        log = mounted(flash)
        assert log.next_seq >= count
        assert contents(log) == {seq: packed(seq) for seq in whole if seq not in lost}
        assert log.damaged + list(pulled(log).values()).count(None) >= bool(lost)
        seq = log.append(*fields(1000))
        assert seq >= count  # a number is never given twice
        log = mounted(flash)
        held = contents(log)
        assert held[seq] == packed(1000)
        assert held.keys() >= {seq for seq in whole if seq not in lost and seq >= kept_from(log.next_seq, BLOCKS)}


@pytest.mark.parametrize("count", [5, 9, 24, 29, 57, 72, 77])
@pytest.mark.parametrize("headers", [1, 2, 3])
@pytest.mark.parametrize("records_too", [False, True])
def test_no_number_is_given_twice_when_the_newest_blocks_lose_their_headers(
    count: int, headers: int, records_too: bool
) -> None:
    blocks = 5
    flash = make_flash(blocks)
    log = mounted(flash)
    for number in range(count):
        log.append(*fields(number))
    for back in range(min(headers, 1 + (count - 1) // PER_BLOCK)):
        block = ((count - 1) // PER_BLOCK - back) % blocks
        at = LOG_AT + block * BLOCK_BYTES
        flash.image[at + 5] ^= 4
        if records_too:
            for slot in range(PER_BLOCK):
                flash.image[at + HEADER + slot * SIZE] ^= 1
    log = mounted(flash)
    assert log.append(*fields(1000)) >= count
    assert mounted(flash).next_seq == log.next_seq


@settings(max_examples=150, deadline=None)
@given(
    flips=st.lists(st.integers(LOG_AT * 8, (FIRST_BLOCK + BLOCKS) * BLOCK_BYTES * 8 - 1), min_size=2, max_size=40),
    count=st.integers(1, 50),
)
def test_many_flips_at_once(flips: list[int], count: int) -> None:
    flash = make_flash(BLOCKS, image=bytearray(written(count)))
    for bit in flips:
        flash.image[bit // 8] ^= 1 << bit % 8
    log = mounted(flash)
    # A header whose number survives two flips would need both to keep its CRC-32: not with so few bits.
    assert all(record == packed(seq) for seq, record in contents(log).items())
    seq = log.append(*fields(1000))
    assert contents(mounted(flash))[seq] == packed(1000)


@settings(max_examples=200, deadline=None)
@given(noise=st.binary(min_size=BLOCKS * BLOCK_BYTES, max_size=BLOCKS * BLOCK_BYTES))
@example(noise=bytes(BLOCKS * BLOCK_BYTES))
@example(noise=b"\xff" * (BLOCKS * BLOCK_BYTES))
def test_whatever_was_in_the_flash_before(noise: bytes) -> None:
    flash = make_flash(BLOCKS)
    flash.image[LOG_AT:] = noise
    log = mounted(flash)
    assert contents(log) == {}
    first = log.append(*fields(0))
    for number in range(1, 2 * BLOCKS * PER_BLOCK):
        assert log.append(*fields(number)) == first + number
    found = contents(mounted(flash))
    kept = kept_from(log.next_seq - 1, BLOCKS)
    assert found == {seq: packed(seq - first) for seq in range(kept, log.next_seq)}


def header(first_seq: int) -> bytes:
    buf = bytearray(HEADER)
    records.pack_block_header(buf, first_seq, 1, 1_600_000_000)
    return bytes(buf)


@settings(max_examples=150, deadline=None)
@given(numbers=st.lists(st.none() | st.integers(0, 8), min_size=BLOCKS, max_size=BLOCKS))
@example(numbers=[4, None, 3])
@example(numbers=[0, 0, 1])
@example(numbers=[7, 7, 7])
def test_sound_headers_in_a_senseless_order(numbers: list[int | None]) -> None:
    """The newest block counts, and of the others those that lie where the ring would have put them."""
    flash = make_flash(BLOCKS)
    for block, number in enumerate(numbers):
        if number is not None:
            at = LOG_AT + block * BLOCK_BYTES
            flash.image[at : at + HEADER] = header(number * PER_BLOCK)
            for slot in range(PER_BLOCK):
                start = at + HEADER + slot * SIZE
                flash.image[start : start + SIZE] = sealed(number * PER_BLOCK + slot, block * 100 + slot)
    log = mounted(flash)
    known = [(number, block) for block, number in enumerate(numbers) if number is not None]
    if not known:
        assert (log.oldest_seq, log.next_seq, log.damaged) == (0, 0, 0)
        return
    newest = max(number for number, _ in known)
    at_newest = min(block for number, block in known if number == newest)
    expected = {
        number * PER_BLOCK + slot: packed(block * 100 + slot)
        for number, block in known
        if number == newest - (at_newest - block) % BLOCKS
        for slot in range(PER_BLOCK)
    }
    assert contents(log) == expected
    assert log.damaged == len(known) - len(expected) // PER_BLOCK
    assert log.next_seq >= (newest + 1) * PER_BLOCK


def test_a_header_of_another_format_is_not_believed() -> None:
    for at, value in ((0, 0x41), (2, 1), (3, 27), (4, 3)):  # magic, version, record size, first number not a multiple
        flash = make_flash(BLOCKS, image=bytearray(written(3)))
        buf = flash.image[LOG_AT : LOG_AT + HEADER]
        buf[at] = value
        buf[-4:] = records.crc32(buf[:-4]).to_bytes(4, "little")
        flash.image[LOG_AT : LOG_AT + HEADER] = buf
        assert contents(mounted(flash)) == {}


def test_worn_cells_cost_their_place_only() -> None:
    flash = make_flash(BLOCKS, stuck={offset_of(3, BLOCKS) + 1: 0xFF, offset_of(12, BLOCKS) + 25: 0xFF})
    log = mounted(flash)
    seqs = [log.append(*fields(number)) for number in range(20)]
    places = [seq for seq in range(22) if seq not in (3, 12)]
    assert seqs == places
    assert log.damaged == 2
    expected = {seq: packed(number) for number, seq in enumerate(places)}
    assert contents(log) == expected
    assert contents(mounted(flash)) == expected


def test_a_block_that_keeps_no_header_is_passed_over() -> None:
    flash = make_flash(BLOCKS, stuck={LOG_AT + BLOCK_BYTES: 0xFF})
    log = mounted(flash)
    seqs = [log.append(*fields(number)) for number in range(12)]
    assert seqs == [*range(8), *range(16, 20)]
    expected = {seq: packed(number) for number, seq in enumerate(seqs)}
    assert contents(log) == expected
    assert contents(mounted(flash)) == expected


def test_worn_out_flash_is_an_error_and_the_log_stays_readable() -> None:
    flash = make_flash(BLOCKS)
    log = mounted(flash)
    for number in range(5):
        log.append(*fields(number))
    flash.stuck = dict.fromkeys(range(LOG_AT, LOG_AT + BLOCKS * BLOCK_BYTES), 0xFF)
    for _ in range(10):
        with pytest.raises(StoreError, match="does not keep"):
            log.append(*fields(5))
        assert contents(log).keys() <= set(range(5))
    flash.stuck = {}
    seq = log.append(*fields(6))
    assert contents(log)[seq] == packed(6)


class DeafFlash(DeadFlash):
    """Can be read; ignores every program and erase without a word, as behind a write-protect bit."""

    def _do(self, offset: int, after: bytes, erase: bool) -> None:
        pass

    def program(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        pass


@pytest.mark.parametrize("kind", [DeadFlash, DeafFlash])
@pytest.mark.parametrize("failures", [1, 2 * BLOCKS, 5 * BLOCKS])
@pytest.mark.parametrize("count", [2 * PER_BLOCK, BLOCKS * PER_BLOCK, BLOCKS * PER_BLOCK + 3, 2 * BLOCKS * PER_BLOCK])
def test_a_flash_that_refuses_for_a_while_costs_no_block(kind: type[DeadFlash], failures: int, count: int) -> None:
    flash = make_flash(BLOCKS)
    log = mounted(flash)
    for number in range(count):
        log.append(*fields(number))
    before = contents(log)
    log._store = kind(flash.blocks, BLOCK_BYTES, image=flash.image)
    for _ in range(failures):
        with pytest.raises(StoreError):
            log.append(*fields(90))
        assert contents(log).items() <= before.items()
    log._store = flash
    seq = log.append(*fields(91))
    assert count <= seq <= -(-count // PER_BLOCK) * PER_BLOCK  # places of the open block are used up, not blocks
    for again in (log, mounted(flash)):
        held = contents(again)
        assert held.pop(seq) == packed(91)
        assert held == {seq: before[seq] for seq in range(kept_from(seq, BLOCKS), count)}


class UnsavedKeys(Keys):
    failures = 0

    def keep(self) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreError("refused")
        super().keep()


@pytest.mark.parametrize("restart", [False, True])
def test_a_segment_takes_no_record_before_its_key_is_saved(restart: bool) -> None:
    """Else the key before it would stay in the flash."""
    flash = make_flash(BLOCKS)
    keys = UnsavedKeys()
    log = mounted(flash, keys)
    for number in range(PER_BLOCK):
        log.append(*fields(number))
    keys.failures = 3
    for _ in range(3):
        with pytest.raises(StoreError):
            log.append(*fields(90))
        assert contents(log) == {seq: packed(seq) for seq in range(PER_BLOCK)}
    if restart:
        log = mounted(flash, keys)
    assert log.append(*fields(91)) == PER_BLOCK
    assert keys.kept[0] == 1
    keys.failures = 1  # inside a segment nothing is to be saved
    assert log.append(*fields(92)) == PER_BLOCK + 1
