"""The token's state outlives every loss of power, and a thief finds no key but today's."""

from collections.abc import Iterator
from random import Random

import pytest
from emulated_flash import DeadFlash, EmulatedFlash, Operation, PowerLoss, tears
from hypothesis import given, settings
from hypothesis import strategies as st

from tracing import records
from tracing.errors import StoreError
from tracing.keys import next_daily_key
from tracing.state import State, StateStore

SIZE = records.STATE_BYTES
BLOCK_BYTES = 256  # three places
LOG_BLOCK = 2  # not the state's
SERIAL = b"serial 8"
KEYS = [bytes(range(32))]
for _ in range(40):
    KEYS.append(bytes(next_daily_key(KEYS[-1])))
SAVES_A_DAY = 4


def state(number: int) -> State:
    """The state of save `number`: a new key every few saves."""
    fresh = State()
    day = number // SAVES_A_DAY
    fresh.flags, fresh.boot, fresh.key_day, fresh.daily_key = 1, number, 18_000 + day, KEYS[day]
    fresh.serial, fresh.watermark, fresh.last_sync_s, fresh.last_time_s = SERIAL, 7 * number, 11 * number, 13 * number
    return fresh


def make_flash(**fields) -> EmulatedFlash:
    return EmulatedFlash(3, BLOCK_BYTES, **fields)


def loaded(flash: EmulatedFlash) -> tuple[StateStore, State | None]:
    store = StateStore(flash, 0, 1)
    found = State()
    return store, found if store.load(found) else None


def saved(count: int, **fields) -> EmulatedFlash:
    """Flash after `count` saves."""
    flash = make_flash(**fields)
    store = StateStore(flash, 0, 1)
    for number in range(count):
        flash.noted = number
        store.save(state(number))
    return flash


def stolen(image: bytes | bytearray, keys: list[bytes]) -> Iterator[int]:
    """The thief: indices of `keys` of which any four bytes in a row can be read in the image."""
    for i, key in enumerate(keys):
        if any(key[at : at + 4] in image for at in range(len(key) - 3)):
            yield i


def key_fields(image: bytes | bytearray) -> set[bytes]:
    """What stands where SPEC.md says that the keys are."""
    places = [at + slot * SIZE + 14 for at in (0, BLOCK_BYTES) for slot in range(BLOCK_BYTES // SIZE)]
    return {bytes(image[at : at + 32]) for at in places}


def is_state(found: State | None, number: int) -> bool:
    return found is not None and vars(found) == vars(state(number))


def test_a_new_flash_has_no_state() -> None:
    flash = make_flash()
    before = bytes(flash.image)
    found = State()
    untouched = dict(vars(found))
    assert StateStore(flash, 0, 1).load(found) is False
    assert vars(found) == untouched
    assert flash.image == before


def test_what_was_saved_is_loaded_over_many_laps() -> None:
    flash = make_flash()
    for number in range(40):
        store, _ = loaded(flash)
        store.save(state(number))
        assert is_state(loaded(flash)[1], number)
        assert set(stolen(flash.image, KEYS)) == {number // SAVES_A_DAY}
        assert key_fields(flash.image) <= {KEYS[number // SAVES_A_DAY], bytes(32), b"\xff" * 32}
    assert flash.erases[LOG_BLOCK] == 0
    assert abs(flash.erases[0] - flash.erases[1]) <= 1


def check_cut(operation: Operation, image: bytearray, seed: int) -> None:
    """After a cut during save `noted`: the old state or the new one, no key of a day gone by, and saving goes on."""
    number = operation.noted
    flash = make_flash(image=image)
    store, found = loaded(flash)
    if is_state(found, number):
        now = number
    else:
        now = number - 1
        assert is_state(found, now) or (found is None and number == 0)
    old_keys = KEYS[: max(now, 0) // SAVES_A_DAY]
    assert list(stolen(flash.image, old_keys)) == []

    for later in range(now + 1, now + 2 + seed % 3):  # the store that goes on, then one that is started again
        store.save(state(later))
        store, found = loaded(flash)
        assert is_state(found, later)
        assert list(stolen(flash.image, KEYS[: later // SAVES_A_DAY])) == []
    assert flash.image[LOG_BLOCK * BLOCK_BYTES :] == b"\xff" * BLOCK_BYTES


def test_power_dies_at_every_byte() -> None:
    flash = saved(26, operations=[])
    assert flash.operations is not None
    assert sum(operation.erase for operation in flash.operations) >= 8  # four laps
    for operation in flash.operations:
        for seed, tear in enumerate(tears(operation, 4)):
            check_cut(operation, operation.torn(tear), seed)


def test_power_dies_while_the_thief_waits_for_the_keys_to_be_wiped() -> None:
    """Each start after a cut wipes what the one before could not."""
    flash = saved(3 * SAVES_A_DAY, operations=[])
    store, _ = loaded(flash)
    flash.cut_after = 2  # a block is erased, the record is written, its predecessors' keys are not yet wiped
    with pytest.raises(PowerLoss):
        store.save(state(3 * SAVES_A_DAY))
    for cut in range(2):
        flash.cut_after = 0
        flash.tear = lambda before, after, cut=cut: after[: 9 * cut] + before[9 * cut :]
        with pytest.raises(PowerLoss):
            loaded(flash)
    flash.cut_after = None
    assert set(stolen(flash.image, KEYS)) == {2, 3}
    assert is_state(loaded(flash)[1], 3 * SAVES_A_DAY)
    assert set(stolen(flash.image, KEYS)) == {3}


@pytest.mark.parametrize("count", [2, 3, 4, 7, 11])
def test_every_single_bit_of_the_image(count: int) -> None:
    """With two saves under the same key, a flipped bit costs at most the last save."""
    image = bytes(saved(count).image)
    for bit in range(2 * BLOCK_BYTES * 8):
        flash = make_flash(image=bytearray(image))
        flash.image[bit // 8] ^= 1 << bit % 8
        store, found = loaded(flash)
        assert is_state(found, count - 1) or is_state(found, count - 2)
        store.save(state(count))
        assert is_state(loaded(flash)[1], count)


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


@pytest.mark.parametrize("at", [0, 20, 79])
def test_a_worn_cell_costs_its_place_only(at: int) -> None:
    flash = saved(2)
    store, _ = loaded(flash)
    flash.stuck = {2 * SIZE + at: 0xFF}
    store.save(state(SAVES_A_DAY))
    assert is_state(loaded(flash)[1], SAVES_A_DAY)
    store.save(state(2 * SAVES_A_DAY))
    assert is_state(loaded(flash)[1], 2 * SAVES_A_DAY)
    assert set(stolen(flash.image, KEYS)) == {2}


def test_worn_out_flash_is_an_error_and_the_old_state_stays() -> None:
    flash = saved(2)
    store, _ = loaded(flash)
    flash.stuck = dict.fromkeys(range(2 * SIZE, 2 * BLOCK_BYTES), 0xFF)
    for _ in range(4):
        with pytest.raises(StoreError, match="does not keep"):
            store.save(state(3))
        assert is_state(loaded(flash)[1], 1)
    flash.stuck = {}
    store.save(state(4))
    assert is_state(loaded(flash)[1], 4)


class HalfDeadFlash(EmulatedFlash):
    """In the state's second block the first place keeps nothing, and the others never become blank."""

    def _do(self, offset: int, after: bytes, erase: bool) -> None:
        super()._do(offset, after, erase)
        for slot in (1, 2):
            self.image[BLOCK_BYTES + slot * SIZE] = 0


def test_the_block_with_the_only_state_is_never_erased() -> None:
    flash = HalfDeadFlash(3, BLOCK_BYTES, stuck={BLOCK_BYTES: 0xFF})
    store = StateStore(flash, 0, 1)
    for number in range(3):
        store.save(state(number))
    with pytest.raises(StoreError, match="does not keep"):
        store.save(state(3))
    assert flash.erases[0] == 1
    assert is_state(loaded(flash)[1], 2)


def test_a_flash_that_refuses_is_an_error() -> None:
    flash = saved(2)
    dead = DeadFlash(flash.blocks, BLOCK_BYTES, image=flash.image)
    store, found = loaded(dead)
    assert is_state(found, 1)
    with pytest.raises(StoreError, match="refused"):
        store.save(state(2))
    assert is_state(loaded(flash)[1], 1)


def test_the_newest_record_is_the_one_with_the_highest_counter() -> None:
    flash = make_flash()
    order = Random(1).sample(range(1, 70_000), 6)
    for place, counter in enumerate(order):
        fresh = state(0)
        fresh.watermark = counter
        buf = bytearray(SIZE)
        records.pack_state(buf, counter, fresh)
        at = place // 3 * BLOCK_BYTES + place % 3 * SIZE
        flash.image[at : at + SIZE] = buf
    store, found = loaded(flash)
    assert found is not None
    assert found.watermark == max(order)
    store.save(state(1))
    assert is_state(loaded(flash)[1], 1)
