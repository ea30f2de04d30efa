"""The token's state outlives every loss of power and every flipped bit, and a thief finds no key but the newest."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

import pytest
from emulated_flash import DeadFlash, EmulatedFlash, Operation, PowerLoss, tears
from hypothesis import given, settings
from hypothesis import strategies as st
from log_bench import log_key

from tracing import records
from tracing.errors import StoreError
from tracing.keys import next_daily_key
from tracing.state import State, StateStore

UNIT = records.UNIT_BYTES
BLOCK_BYTES = 44 * UNIT  # as it is begun, and eight units more
FIRST_FREE = 36 * UNIT
LOG_BLOCK = 2  # not the state's
KEYS = [bytes(range(32))]
for _ in range(40):
    KEYS.append(bytes(next_daily_key(KEYS[-1])))
SAVES_A_DAY = 4
SAVES_A_SEGMENT = 3


def state(number: int) -> State:
    """The state of save `number`: new keys every few saves, the time every time, the rest every other time."""
    number = max(number, 0)
    fresh = State()
    fresh.key_day, fresh.daily_key = 18_000 + number // SAVES_A_DAY, KEYS[number // SAVES_A_DAY]
    fresh.log_segment = number // SAVES_A_SEGMENT
    fresh.log_key = log_key(fresh.log_segment)
    fresh.last_time_s, fresh.expire_from_s = 13 * number, 17 * number
    rest = number // 2
    fresh.flags, fresh.boot, fresh.first_day, fresh.skew_ppm = 1, rest, 18_000, -rest
    fresh.serial, fresh.watermark, fresh.last_sync_s = b"serial 8", 7 * rest, 11 * rest
    fresh.sync_key, fresh.code_key, fresh.escrow = b"sync" * 8, b"code" * 8, b"escrow.." * 8
    return fresh


PARTS = {
    "daily key": ("key_day", "daily_key"),
    "log key": ("log_segment", "log_key"),
    "time": ("last_time_s", "expire_from_s"),
    "rest": (
        "flags", "boot", "first_day", "skew_ppm", "serial", "watermark", "last_sync_s", "sync_key", "code_key",
        "escrow",
    ),
}  # fmt: skip


def part(of: State, name: str) -> tuple:
    return tuple(getattr(of, field) for field in PARTS[name])


def is_state(found: State | None, number: int) -> bool:
    return found is not None and all(part(found, name) == part(state(number), name) for name in PARTS)


def make_flash(**fields) -> EmulatedFlash:
    return EmulatedFlash(3, BLOCK_BYTES, **fields)


def loaded(flash: EmulatedFlash) -> tuple[StateStore, State | None]:
    store = StateStore(flash, 0, 1)
    found = State()
    known = store.load(found)
    assert found.keeper is store
    return store, found if known else None


def saved(count: int, **fields) -> EmulatedFlash:
    """Flash after `count` saves."""
    flash = make_flash(**fields)
    store, _ = loaded(flash)
    for number in range(count):
        flash.noted = number
        store.save(state(number))
    return flash


def stolen(image: bytes | bytearray, keys: list[bytes]) -> Iterator[int]:
    """The thief: indices of `keys` of which any four bytes in a row can be read in the image."""
    for i, key in enumerate(keys):
        if any(key[at : at + 4] in image for at in range(len(key) - 3)):
            yield i


def check_thief(flash: EmulatedFlash, number: int) -> None:
    """No part of a key from before save `number`."""
    number = max(number, 0)
    assert list(stolen(flash.image, KEYS[: number // SAVES_A_DAY])) == []
    assert list(stolen(flash.image, [log_key(i) for i in range(number // SAVES_A_SEGMENT)])) == []


def test_parts_are_all_there_is() -> None:
    assert {field for fields in PARTS.values() for field in fields} == vars(State()).keys() - {"keeper"}


def test_a_new_flash_has_no_state() -> None:
    flash = make_flash()
    before = bytes(flash.image)
    assert loaded(flash)[1] is None
    assert flash.image == before


def test_what_was_saved_is_loaded_over_many_laps() -> None:
    flash = make_flash()
    for number in range(60):
        store, _ = loaded(flash)
        store.save(state(number))
        assert is_state(loaded(flash)[1], number)
        check_thief(flash, number)
    assert flash.erases[LOG_BLOCK] == 0
    assert sum(flash.erases) > 8
    assert abs(flash.erases[0] - flash.erases[1]) <= 1


def test_only_what_has_changed_is_written() -> None:
    flash = saved(1)
    store, found = loaded(flash)
    assert found is not None
    for changed, cost in ((False, 0), (True, UNIT)):
        flash.programmed_bytes = 0
        found.last_time_s += changed
        store.save(found)
        assert flash.programmed_bytes == cost
    flash.programmed_bytes = 0
    found.log_segment, found.log_key = 1, log_key(1)
    found.keep()
    assert flash.programmed_bytes == 2 * records.STATE_PART_BYTES[records.PART_LOG_KEY] + 2 * 32  # and the old key


def check_cut(operation: Operation, image: bytearray, seed: int) -> None:
    """After a cut during save `noted`: of each part the old one or the new one, no older key, and saving goes on."""
    number = operation.noted
    flash = make_flash(image=image)
    store, found = loaded(flash)
    if found is None:
        assert number == 0
    else:
        for name in PARTS:
            assert part(found, name) in (part(state(number), name), part(state(number - 1), name))
        check_thief(flash, number - 1)
    for later in range(number, number + 2 + seed % 3):  # the store that goes on, then one that is started again
        store.save(state(later))
        store, found = loaded(flash)
        assert is_state(found, later)
        check_thief(flash, later)
    assert flash.image[LOG_BLOCK * BLOCK_BYTES :] == b"\xff" * BLOCK_BYTES


def cut(saves: int, step: int) -> int:
    """Cut so many saves short, at every `step`th byte; how many cuts that were. every_cut.py tries them all."""
    flash = saved(saves, operations=[])
    assert flash.operations is not None
    assert sum(operation.erase for operation in flash.operations) >= saves // 8
    every = ((operation, tear) for operation in flash.operations for tear in tears(operation, 4))
    chosen = list(islice(every, 0, None, step))
    for seed, (operation, tear) in enumerate(chosen):
        check_cut(operation, operation.torn(tear), seed)
    return len(chosen)


def test_power_dies_at_any_byte() -> None:
    assert cut(26, 7) > 700


def test_power_dies_while_the_thief_waits_for_the_keys_to_be_wiped() -> None:
    """Each start after a cut wipes what the one before could not."""
    last = 3 * SAVES_A_DAY
    flash = saved(last)
    store, _ = loaded(flash)
    flash.cut_after = 2  # both new records are written, the old ones not yet wiped
    with pytest.raises(PowerLoss):
        store.save(state(last))
    for cut in range(2):
        flash.cut_after = 0
        flash.tear = lambda before, after, cut=cut: after[: 9 * cut] + before[9 * cut :]
        with pytest.raises(PowerLoss):
            loaded(flash)
    flash.cut_after = None
    assert set(stolen(flash.image, KEYS)) == {2, 3}
    assert loaded(flash)[1] is not None
    assert set(stolen(flash.image, KEYS)) == {3}


def check_flipped(flash: EmulatedFlash, count: int) -> None:
    """No key is lost, and no more than the last save of the rest."""
    store, found = loaded(flash)
    assert found is not None
    for name in PARTS:
        back = {"time": 1, "rest": 2}.get(name, 0)  # the rest changes with every other save
        known = [state(count - 1 - i) for i in range(back + 1)]
        assert part(found, name) in [part(each, name) for each in known]
    check_thief(flash, count - 1)
    store.save(state(count))
    assert is_state(loaded(flash)[1], count)


COUNTS = (1, 2, 3, 4, 5, 7, 11, 12)


def flip_bits(count: int, step: int) -> int:
    """Every `step`th bit of the image after `count` saves; how many that were. every_cut.py tries them all."""
    image = bytes(saved(count).image)
    bits = range(count % step, 2 * BLOCK_BYTES * 8, step)
    for bit in bits:
        flash = make_flash(image=bytearray(image))
        flash.image[bit // 8] ^= 1 << bit % 8
        check_flipped(flash, count)
    return len(bits)


@pytest.mark.parametrize("count", COUNTS)
def test_single_bits_of_the_image(count: int) -> None:
    assert flip_bits(count, 37) > 300


def test_single_bits_after_a_loss_of_power() -> None:
    """The start writes the second copy that the cut has prevented."""
    flash = saved(SAVES_A_SEGMENT)
    flash.cut_after = 1
    flash.tear = lambda before, after: before
    with pytest.raises(PowerLoss):
        loaded(flash)[0].save(state(SAVES_A_SEGMENT))
    flash.cut_after = None
    found = loaded(flash)[1]
    assert found is not None
    assert found.log_segment == 1
    image = bytes(flash.image)
    for bit in range(0, 2 * BLOCK_BYTES * 8, 11):
        flash = make_flash(image=bytearray(image))
        flash.image[bit // 8] ^= 1 << bit % 8
        found = loaded(flash)[1]
        assert found is not None
        assert (part(found, "log key"), part(found, "daily key")) == (
            (1, log_key(1)),
            part(state(SAVES_A_SEGMENT - 1), "daily key"),
        )


@settings(max_examples=100, deadline=None)
@given(bits=st.lists(st.integers(0, 2 * BLOCK_BYTES * 8 - 1), min_size=2, max_size=30), count=st.integers(1, 14))
def test_a_flip_now_and_then_never_adds_up(bits: list[int], count: int) -> None:
    """Each start mends what the flip before it has damaged."""
    flash = saved(count)
    for bit in bits:
        flash.image[bit // 8] ^= 1 << bit % 8
        found = loaded(flash)[1]
        assert found is not None
        for name in ("daily key", "log key"):
            assert part(found, name) == part(state(count - 1), name)
        assert found.sync_key == b"sync" * 8


@pytest.mark.parametrize("lost", ["daily key", "log key", "rest"])
@pytest.mark.parametrize("count", range(1, 16))
def test_a_part_that_is_lost_for_good_is_lost_once(lost: str, count: int) -> None:
    """What is saved in place of it stays, though the block with the damage may have the higher generation."""
    flash = saved(count)
    secret = getattr(state(count - 1), {"daily key": "daily_key", "log key": "log_key", "rest": "serial"}[lost])
    while (at := bytes(flash.image).find(secret)) >= 0:
        flash.image[at] ^= 0x80
    store, found = loaded(flash)
    assert found is None
    for number in range(40, 44):
        store.save(state(number))
        store, found = loaded(flash)
        assert is_state(found, number)
        check_thief(flash, number)


@settings(max_examples=300, deadline=None)
@given(noise=st.binary(min_size=2 * BLOCK_BYTES, max_size=2 * BLOCK_BYTES), saves=st.integers(1, 9))
def test_whatever_was_in_the_flash_before(noise: bytes, saves: int) -> None:
    flash = make_flash()
    flash.image[: len(noise)] = noise
    store, found = loaded(flash)
    assert found is None
    for number in range(saves):
        store.save(state(number))
        assert is_state(loaded(flash)[1], number)


@pytest.mark.parametrize("at", [0, 8, 39, 47])
def test_a_worn_cell_costs_its_place_only(at: int) -> None:
    flash = saved(1)
    store, _ = loaded(flash)
    flash.stuck = {FIRST_FREE + at: 0xFF}
    for number in (SAVES_A_SEGMENT, 2 * SAVES_A_SEGMENT):
        store.save(state(number))
        assert is_state(loaded(flash)[1], number)
        check_thief(flash, number)


def test_worn_out_flash_is_an_error_and_the_old_state_stays() -> None:
    flash = saved(1)
    store, _ = loaded(flash)
    flash.stuck = dict.fromkeys(range(FIRST_FREE, 2 * BLOCK_BYTES), 0xFF)
    for _ in range(4):
        with pytest.raises(StoreError, match="does not keep"):
            store.save(state(3))
        assert is_state(loaded(flash)[1], 0)
    flash.stuck = {}
    store.save(state(4))
    assert is_state(loaded(flash)[1], 4)


class HalfDeadFlash(EmulatedFlash):
    """The state's second block never becomes blank."""

    def _do(self, offset: int, after: bytes, erase: bool) -> None:
        super()._do(offset, after, erase)
        for unit in range(0, BLOCK_BYTES, UNIT):
            self.image[BLOCK_BYTES + unit] = 0


def test_the_block_with_the_only_state_is_never_erased() -> None:
    flash = HalfDeadFlash(3, BLOCK_BYTES)
    store, _ = loaded(flash)
    number = 0
    while flash.erases[1] == 0:
        with suppress(StoreError):
            store.save(state(number))
            number += 1
    assert number > 1
    for _ in range(3):
        with pytest.raises(StoreError, match="does not keep"):
            store.save(state(number))
    assert flash.erases[0] == 1
    found = loaded(flash)[1]
    assert found is not None
    for name in PARTS:
        assert part(found, name) in (part(state(number), name), part(state(number - 1), name))


def test_a_flash_that_refuses_is_an_error() -> None:
    flash = saved(2)
    dead = DeadFlash(flash.blocks, BLOCK_BYTES, image=flash.image)
    store, found = loaded(dead)
    assert is_state(found, 1)
    with pytest.raises(StoreError, match="refused"):
        store.save(state(2))
    assert is_state(loaded(flash)[1], 1)
