"""A thief with the flash image, and without the roots: what can be read, at any moment of the token's life."""

from emulated_flash import Operation
from log_bench import fields, log_key
from token_bench import (
    BLOCK_BYTES,
    CODE_KEY,
    DAILY_KEYS,
    FIRST_DAY,
    LOG_BLOCKS,
    PER_BLOCK,
    RECORDS,
    SYNC_KEY,
    Token,
    check_thief,
    cuts,
    make_flash,
    readable,
    records_in,
    workload,
)

LOG_AT = 2 * BLOCK_BYTES


def segments(seqs: set[int]) -> set[int]:
    return {seq // PER_BLOCK for seq in seqs}


def test_only_the_open_segment_can_be_read() -> None:
    flash = make_flash()
    token = Token(flash).provision()
    for number in range(RECORDS):
        token.work(number)
        check_thief(flash.image, number + 1, started=True)
        if number % 7 == 0:
            begun = number // PER_BLOCK * PER_BLOCK
            assert readable(flash.image) == set(range(begun, number + 1))
    assert readable(flash.image) == {RECORDS - 3, RECORDS - 2, RECORDS - 1}
    held = Token(flash).log
    assert held.next_seq - held.oldest_seq > (LOG_BLOCKS - 1) * PER_BLOCK  # so much is there, and stays shut


def test_after_a_loss_of_power_the_last_segment_too_until_the_next_start() -> None:
    """While the key moves on, the segment just closed can be read; once the token has started, no more."""
    operations = workload()
    in_the_switch = 0
    chosen = [each for i, each in enumerate(operations) if is_near_a_switch(each) or i % 40 == 0]
    for operation, image in cuts(chosen, 193):
        open_segment = max(operation.noted - 1, 0) // PER_BLOCK
        before = segments(readable(image))
        assert before <= {open_segment, open_segment + 1}
        flash = make_flash(image=image)
        token = Token(flash)
        after = segments(readable(flash.image))
        assert after <= {token.state.log_segment}
        in_the_switch += before > after
    assert in_the_switch > 5


def is_near_a_switch(operation: Operation) -> bool:
    """Between a segment's last record and the first one of the next."""
    return 0 < operation.noted < RECORDS and operation.noted % PER_BLOCK == 0


def test_two_images_give_no_more_than_one() -> None:
    """No number seals two records under one key, which would give both away: what lies in its place stays as it is."""
    compared = 0
    for _, image in cuts(workload(), 101):
        before = {seq: raw for seq, raw in records_in(image) if min(raw) < 0xFF}
        flash = make_flash(image=image)
        token = Token(flash)
        for number in range(RECORDS, RECORDS + PER_BLOCK + 2):
            token.log.append(*fields(number))
        after = dict(records_in(flash.image))
        for seq in before.keys() & after.keys():
            assert after[seq] == before[seq]
            compared += 1
    assert compared > 1000


def test_of_the_daily_keys_only_todays() -> None:
    flash = make_flash()
    token = Token(flash).provision()
    days = set()
    for number in range(RECORDS):
        token.work(number)
        today = token.state.key_day - FIRST_DAY
        days.add(today)
        assert [i for i, key in enumerate(DAILY_KEYS) if key in flash.image] == [today]
    assert len(days) > 3


def test_what_else_is_there_is_this_tokens_own() -> None:
    """Keys of this token alone: for its kiosk and its release code. Nothing from which another token's would follow."""
    flash = make_flash()
    token = Token(flash).provision()
    for number in range(60):
        token.work(number)
    image = bytes(flash.image[:LOG_AT])
    for secret in (SYNC_KEY, CODE_KEY, token.state.escrow, token.state.daily_key, token.state.log_key):
        assert secret in image
        image = image.replace(secret, b"")
    # What is left are counters, times, the serial, and zeros where keys have been.
    runs = [run for run in image.replace(b"\xff", b"\0").split(b"\0") if run]
    assert max(map(len, runs)) <= 20
    assert log_key(0) not in image
