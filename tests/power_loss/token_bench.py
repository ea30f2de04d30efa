"""What the tests of log and state together share: a token's flash, days of its work, and power that dies in them."""

import hmac
from collections.abc import Callable, Iterator
from itertools import islice

from emulated_flash import EmulatedFlash, Operation, tears
from log_bench import BEGAN_S, DAY_S, fields, kept_from, log_key, packed, pulled

from tracing import records
from tracing.keys import next_daily_key
from tracing.log import Log
from tracing.state import State, StateStore

BLOCK_BYTES = 768
PER_BLOCK = 26
LOG_BLOCKS = 3
LAPS = 3
RECORDS = LAPS * LOG_BLOCKS * PER_BLOCK + 3
TORN = 4  # random ways to tear each operation, beside one for every byte
RECORD_EVERY_S = 1200
FIRST_DAY = BEGAN_S // DAY_S
SYNC_KEY, CODE_KEY = b"sync key" * 4, b"code key" * 4
DAILY_KEYS = [bytes(range(32))]
for _ in range(RECORDS * RECORD_EVERY_S // DAY_S + 2):
    DAILY_KEYS.append(bytes(next_daily_key(DAILY_KEYS[-1])))

Store = Callable[[EmulatedFlash], object]  # what the token uses, over the flash


class Token:
    """State and log of a token that has just started.

    Attributes:
        known: whether a state was found.
    """

    def __init__(self, store) -> None:
        self.state = State()
        self.known = StateStore(store, 0, 1).load(self.state)
        self.log = Log(store, 2, store.blocks - 2, self.state)
        if self.known:
            self.log.mount()

    def provision(self) -> "Token":
        """What a technician does."""
        state = self.state
        state.flags, state.serial, state.first_day = records.STATE_PROVISIONED, b"serial 8", FIRST_DAY
        state.key_day, state.daily_key, state.log_key = FIRST_DAY, DAILY_KEYS[0], log_key(0)
        state.sync_key, state.code_key, state.escrow = SYNC_KEY, CODE_KEY, b"escrowed" * 8
        state.last_time_s = BEGAN_S
        state.keep()
        self.log.mount()
        return self

    def work(self, number: int) -> int:
        """Log record `number`; before it, save the time once an hour, and a new key once a day."""
        state = self.state
        now_s = BEGAN_S + number * RECORD_EVERY_S
        if now_s - state.last_time_s >= 3600:
            state.last_time_s = now_s
            state.key_day = max(now_s // DAY_S, state.key_day)
            state.daily_key = DAILY_KEYS[state.key_day - FIRST_DAY]
            state.keep()
        if number % 50 == 49:
            state.watermark = number
            state.keep()
        return self.log.append(*fields(number))


def make_flash(**settings) -> EmulatedFlash:
    return EmulatedFlash(2 + LOG_BLOCKS, BLOCK_BYTES, **settings)


def workload() -> list[Operation]:
    """Every program and erase of the days; `noted` is how many appends had returned before it."""
    flash = make_flash()
    token = Token(flash).provision()
    flash.operations = []
    for number in range(RECORDS):
        flash.noted = number
        assert token.work(number) == number
    return flash.operations


def cuts(operations: list[Operation], step: int) -> Iterator[tuple[Operation, bytearray]]:
    """Every `step`th way to cut one of the operations short, and the image that it leaves."""
    every = ((operation, tear) for operation in operations for tear in tears(operation, TORN))
    return ((operation, operation.torn(tear)) for operation, tear in islice(every, 0, None, step))


def check_cut(operation: Operation, image: bytearray, store: Store = lambda flash: flash) -> None:
    """Start, look, go on for more than a block, start again, look again."""
    done = operation.noted
    check_thief(image, done, started=False)
    flash = make_flash(image=image)
    token = Token(store(flash))
    check_thief(flash.image, done, started=True)
    assert token.known
    check_state(token.state, done)
    log = token.log
    assert log.next_seq >= done
    kept = kept_from(done, LOG_BLOCKS, PER_BLOCK)
    assert log.oldest_seq <= kept
    # Everything whose append returned is there, once; beside it nothing but the record that was being written.
    found = pulled(log)
    for seq in range(kept, done):
        assert found[seq] == packed(seq)
    for seq, record in found.items():
        assert record == packed(seq) or (record is None and not kept <= seq < done)
    assert done not in found or log.next_seq > done

    expected = {seq: record for seq, record in found.items() if record}
    next_seq = log.next_seq
    for number in range(1000, 1000 + PER_BLOCK + 2):
        seq = log.append(*fields(number))
        assert seq >= next_seq
        next_seq = seq + 1
        expected[seq] = packed(number)
    again = Token(store(flash))
    assert again.log.next_seq == next_seq
    held = pulled(again.log)
    for seq in range(kept_from(next_seq, LOG_BLOCKS, PER_BLOCK), next_seq):
        assert held.get(seq) == expected.get(seq)
    assert again.state.log_segment == (next_seq - 1) // PER_BLOCK
    assert again.state.log_key == log_key(again.state.log_segment)


FLIP_COUNTS = (30, 80, 131)  # records in the log when a bit flips


def flips(step: int) -> Iterator[tuple[bytes, int, int]]:
    """Every `step`th bit of the image after so many records: image, bit, records."""
    for count in FLIP_COUNTS:
        flash = make_flash()
        token = Token(flash).provision()
        for number in range(count):
            token.work(number)
        image = bytes(flash.image)
        yield from ((image, bit, count) for bit in range(count % step, 8 * len(image), step))


def check_flip(image: bytes, bit: int, count: int) -> None:
    """A flipped bit costs the record that it hits, or the block whose header it hits; never a key, and no number."""
    flash = make_flash(image=bytearray(image))
    flash.image[bit // 8] ^= 1 << bit % 8
    block, at = divmod(bit // 8, BLOCK_BYTES)
    kept = range(kept_from(count - 1, LOG_BLOCKS, PER_BLOCK), count)
    lost: set[int] = set()
    if block >= 2:
        of_block = {seq for seq in kept if seq // PER_BLOCK % LOG_BLOCKS == block - 2}
        slot, hit = divmod(at - records.BLOCK_HEADER_BYTES, records.RECORD_BYTES)
        if at < records.FOLLOWED_AT:
            lost = of_block
        elif at >= records.BLOCK_HEADER_BYTES:
            lost = {seq for seq in of_block if seq % PER_BLOCK == slot and hit >= 0}
    token = Token(flash)
    assert token.known
    assert token.state.daily_key in DAILY_KEYS
    assert token.state.log_key == log_key((count - 1) // PER_BLOCK)
    found = pulled(token.log)
    assert {seq: record for seq, record in found.items() if record and seq in kept} == {
        seq: packed(seq) for seq in kept if seq not in lost
    }
    unopened = sum(found.get(seq) is None for seq in lost & found.keys())
    assert unopened + token.log.damaged >= bool(lost)
    seq = token.log.append(*fields(1000))
    assert seq >= count
    assert pulled(Token(flash).log)[seq] == packed(1000)


def check_state(state: State, done: int) -> None:
    """The state is that of before the cut record or that of after it."""
    now_s = BEGAN_S + done * RECORD_EVERY_S
    assert state.serial == b"serial 8"
    assert (state.sync_key, state.code_key, state.escrow) == (SYNC_KEY, CODE_KEY, b"escrowed" * 8)
    assert state.daily_key == DAILY_KEYS[state.key_day - FIRST_DAY]
    assert state.log_key == log_key(state.log_segment)
    assert now_s - 2 * 3600 < state.last_time_s <= now_s
    assert (done + 1) // 50 * 50 - 51 <= state.watermark <= done


def check_thief(image: bytearray, done: int, started: bool) -> None:
    """No part of a key that is over; before the next start the last one may be there, whose end was being written."""
    now_s = BEGAN_S + done * RECORD_EVERY_S
    segment = max(done - 1, 0) // PER_BLOCK
    day = (now_s - RECORD_EVERY_S * 4) // DAY_S - FIRST_DAY
    for key in [*map(log_key, range(segment)), *DAILY_KEYS[: max(day, 0)]]:
        assert not any(key[at : at + 4] in image for at in range(29))
    if started:
        assert sum(log_key(each) in image for each in range(segment + 3)) == 1
        assert sum(key in image for key in DAILY_KEYS) == 1


def readable(image: bytes | bytearray) -> set[int]:
    """The thief: sequence numbers of the records that open with anything in the image as their segment's key.

    Every place of 32 bytes that begins at a multiple of four is tried for every record. (A segment's key leads to those
    after it as well, which a thief who has the token may write.)
    """
    found = set()
    sealed = dict(records_in(image))
    for key in {bytes(image[at : at + 32]) for at in range(0, len(image) - 31, 4)}:
        mac_key = seal_keys(key)[16:]
        for seq, raw in sealed.items():
            if hmac.digest(mac_key, seq.to_bytes(4, "little") + raw[:24], "sha256")[:4] == raw[24:]:
                found.add(seq)
    return found


def records_in(image: bytes | bytearray) -> Iterator[tuple[int, bytes]]:
    """Sequence numbers and sealed bytes of all records whose block has a sound header."""
    for at in range(2 * BLOCK_BYTES, len(image), BLOCK_BYTES):
        header = records.unpack_block_header(image[at : at + records.BLOCK_HEADER_BYTES])
        if header:
            for slot in range(PER_BLOCK):
                start = at + records.BLOCK_HEADER_BYTES + slot * records.RECORD_BYTES
                yield header[0] + slot, bytes(image[start : start + records.RECORD_BYTES])


def seal_keys(log_key: bytes) -> bytes:
    """HKDF-SHA256 once more, of the standard library's HMAC: the 48 bytes that seal a segment, by SPEC.md."""
    secret = hmac.digest(bytes(32), log_key, "sha256")
    first = hmac.digest(secret, b"bluezone log seal\1", "sha256")
    return first + hmac.digest(secret, first + b"bluezone log seal\2", "sha256")[:16]
