"""The file store: NOR semantics, and power that dies at every single operation of the flash underneath."""

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest
from fiber import PowerCut
from hypothesis import given, settings
from hypothesis import strategies as st

from tracing.errors import StoreError

BLOCKS = 3
LBA, SECTOR = 512, 4096
BEFORE = 5  # foreign LBAs before the file, and after it, with a content that must stay


class Flash:
    """A flash chip under a FAT file system, as CircuitPython has it: one sector of 4096 bytes is cached; to write it
    back, all of it is erased, then programmed page by page. Power can die at each of those steps.

    Args:
        file_bytes: length of the file, which lies in one piece.
        phase: LBAs between the beginning of a sector and the beginning of the file.
    """

    def __init__(self, file_bytes: int, phase: int) -> None:
        self._at = SECTOR + phase * LBA
        end = self._at + file_bytes + 2 * SECTOR
        self.image = bytearray(random.Random(1).randbytes(end - end % SECTOR))
        self.image[self._at : self._at + file_bytes] = b"\xff" * file_bytes
        self._file_bytes = file_bytes
        self._foreign = self._outside()
        self._cached = -1
        self._cache = bytearray()
        self._offset = 0
        self.steps = 0
        self.steps_left: int | None = None
        self._torn = True

    def _outside(self) -> bytes:
        return bytes(self.image[: self._at] + self.image[self._at + self._file_bytes :])

    def restart(self, steps_left: int | None = None, torn: bool = True) -> "Flash":
        """Power is back; it dies again after `steps_left` steps, in the middle of the next one or before it."""
        assert self._outside() == self._foreign
        self._cached = -1
        self.steps = 0
        self.steps_left = steps_left
        self._torn = torn
        return self

    def _step(self, begin: int, data: bytes) -> None:
        self.steps += 1
        if self.steps_left is not None and self.steps > self.steps_left:
            if not self._torn:
                raise PowerCut
            half = len(data) // 2
            self.image[begin : begin + half] = data[:half]
            # The rest of a half-erased or half-programmed sector is anything.
            chance = random.Random(self.steps)
            for i in range(begin + half, begin + len(data)):
                self.image[i] &= chance.randrange(256)
            raise PowerCut
        self.image[begin : begin + len(data)] = data

    def sync(self) -> None:
        """os.sync: what is cached goes to the chip."""
        if self._cached >= 0 and self._cache != self.image[self._cached : self._cached + SECTOR]:
            self._step(self._cached, b"\xff" * SECTOR)
            for page in range(0, SECTOR, LBA):
                self._step(self._cached + page, bytes(self._cache[page : page + LBA]))
        self._cached = -1

    # --- As a file -------------------------------------------------------------------------------------------

    def seek(self, offset: int) -> None:
        self._offset = offset

    def readinto(self, buf) -> int:
        begin = self._at + self._offset
        for i in range(len(buf)):
            address = begin + i
            cached = self._cached >= 0 and self._cached <= address < self._cached + SECTOR
            buf[i] = self._cache[address - self._cached] if cached else self.image[address]
        return len(buf)

    def write(self, data) -> int:
        assert self._offset % LBA == 0, "only whole LBAs: others would go through the directory's buffer"
        assert len(data) % LBA == 0
        assert self._offset + len(data) <= self._file_bytes, "the file would grow"
        for at in range(0, len(data), LBA):
            address = self._at + self._offset + at
            sector = address - address % SECTOR
            if sector != self._cached:
                self.sync()
                self._cached = sector
                self._cache = self.image[sector : sector + SECTOR]
            self._cache[address - sector : address - sector + LBA] = data[at : at + LBA]
        return len(data)


@pytest.fixture
def make_flash(file_store: Any) -> Callable[..., Flash]:
    return lambda phase=3: Flash(file_store.file_bytes(BLOCKS), phase)


def contents(store: Any) -> list[bytes]:
    """All blocks."""
    found = []
    for block in range(store.blocks):
        buf = bytearray(store.block_bytes)
        store.read(block * store.block_bytes, buf)
        found.append(bytes(buf))
    return found


def programmed(before: bytes, at: int, data: bytes) -> bytes:
    return (
        before[:at]
        + bytes(a & b for a, b in zip(before[at : at + len(data)], data, strict=True))
        + before[at + len(data) :]
    )


def test_a_new_file_is_all_ones_and_not_to_be_repaired(file_store: Any, make_flash: Any) -> None:
    flash = make_flash()
    store = file_store.FileStore(flash, flash.sync, BLOCKS)
    assert contents(store) == [b"\xff" * store.block_bytes] * BLOCKS
    assert store.repaired == 0
    assert flash.steps == 0


def test_only_erasing_sets_bits(file_store: Any, make_flash: Any) -> None:
    flash = make_flash()
    store = file_store.FileStore(flash, flash.sync, BLOCKS)
    size = store.block_bytes
    store.program(size + 10, b"\x0f\xf0")
    with pytest.raises(StoreError, match="set a bit"):
        store.program(size + 10, b"\xff\xf0")
    store.program(size + 10, b"\x00\xf0")
    assert contents(store)[1] == b"\xff" * 10 + b"\x00\xf0" + b"\xff" * (size - 12)
    store.erase(1)
    assert contents(store) == [b"\xff" * size] * BLOCKS


@pytest.mark.parametrize(("offset", "size"), [(-1, 1), (3584 * BLOCKS, 1), (3583, 2)])
def test_no_operation_crosses_a_block_or_leaves_the_file(
    file_store: Any, make_flash: Any, offset: int, size: int
) -> None:
    flash = make_flash()
    store = file_store.FileStore(flash, flash.sync, BLOCKS)
    for operation in (store.program, store.read):
        with pytest.raises(StoreError, match="end of a block"):
            operation(offset, bytearray(size))
    for block in (-1, BLOCKS):
        with pytest.raises(StoreError, match="end of a block"):
            store.erase(block)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, BLOCKS - 1), st.integers(0, 3584 - 16), st.binary(min_size=0, max_size=16)),
        max_size=12,
    )
)
def test_it_is_what_a_flash_would_be(file_store: Any, operations: list[tuple[int, int, bytes]]) -> None:
    """Against a model; an operation without data is an erase."""
    flash = Flash(file_store.file_bytes(BLOCKS), 6)
    store = file_store.FileStore(flash, flash.sync, BLOCKS)
    model = contents(store)
    for block, at, data in operations:
        if data:
            data = bytes(a & b for a, b in zip(data, model[block][at:], strict=False))
            store.program(block * store.block_bytes + at, data)
            model[block] = programmed(model[block], at, data)
        else:
            store.erase(block)
            model[block] = b"\xff" * store.block_bytes
        assert contents(store) == model
    flash.restart()
    assert contents(file_store.FileStore(flash, flash.sync, BLOCKS)) == model


@pytest.mark.parametrize("phase", range(8))
def test_power_may_be_lost_at_every_step(file_store: Any, phase: int) -> None:
    """An operation is found done or not done; every other block, and every other file, is as it was."""
    flash = Flash(file_store.file_bytes(BLOCKS), phase)
    store = file_store.FileStore(flash, flash.sync, BLOCKS)
    size = store.block_bytes
    for block in range(BLOCKS):
        store.program(block * size, bytes([block]) * 40)
    operations: tuple[Callable[[Any], None], ...] = (
        lambda store: store.program(size + 100, b"record"),
        lambda store: store.program(size, bytes(40)),
        lambda store: store.erase(1),
    )
    for operation in operations:
        before = contents(store)
        start = bytes(flash.image)
        flash.restart()
        operation(store)
        after = contents(store)
        steps = flash.steps
        assert steps >= 9, "at least one sector was erased and written"
        for cut_after in range(steps):
            flash.image[:] = start
            store = file_store.FileStore(flash.restart(), flash.sync, BLOCKS)
            flash.restart(cut_after)
            with pytest.raises(PowerCut):
                operation(store)
            found = contents(file_store.FileStore(flash.restart(), flash.sync, BLOCKS))
            assert found in (before, after)
        flash.image[:] = start
        store = file_store.FileStore(flash.restart(), flash.sync, BLOCKS)
        operation(store)
        flash.restart()


def test_power_may_be_lost_while_it_recovers(file_store: Any, make_flash: Any) -> None:
    flash = make_flash()
    store = file_store.FileStore(flash, flash.sync, BLOCKS)
    store.program(5, b"one")
    flash.restart(14)  # of 18: the new copy is written, the old one half blanked
    with pytest.raises(PowerCut):
        store.program(5, bytes(3))
    for cut_after in range(2):
        flash.restart(cut_after)
        with pytest.raises(PowerCut):
            file_store.FileStore(flash, flash.sync, BLOCKS)
    file_store.FileStore(flash.restart(), flash.sync, BLOCKS)
    store = file_store.FileStore(flash.restart(), flash.sync, BLOCKS)
    assert store.repaired == 0
    assert contents(store)[0][5:8] == bytes(3)


def test_no_copy_of_what_was_cleared_stays(file_store: Any, make_flash: Any) -> None:
    """A key of yesterday must be nowhere in the flash, wherever power was lost."""
    key = bytes(range(100, 132))
    flash = make_flash()
    store = file_store.FileStore(flash, flash.sync, BLOCKS)
    store.program(64, key)
    store.program(200, b"the next record")
    start = bytes(flash.image)
    flash.restart()
    store = file_store.FileStore(flash, flash.sync, BLOCKS)
    store.program(64, bytes(32))
    steps = flash.steps
    assert key not in flash.image
    for cut_after in range(steps):
        flash.image[:] = start
        flash.restart(cut_after)
        store = file_store.FileStore(flash, flash.sync, BLOCKS)
        with pytest.raises(PowerCut):
            store.program(64, bytes(32))
        flash.restart()
        store = file_store.FileStore(flash, flash.sync, BLOCKS)
        if contents(store)[0][64:96] == key:
            store.program(64, bytes(32))  # as StateStore.load does
        assert key not in flash.image


def test_slots_take_turns(file_store: Any, make_flash: Any) -> None:
    flash = make_flash()
    store = file_store.FileStore(flash, flash.sync, BLOCKS)
    used = []
    write = flash.write

    def noted(data) -> int:
        if min(data) != 0xFF:
            used.append(flash._offset)
        return write(data)

    flash.write = noted
    for i in range(10):
        store.program(i * 4, bytes(4))
    assert len(set(used)) == BLOCKS + 2
    assert max(used.count(offset) for offset in used) == 2


def test_of_two_sound_copies_the_younger_counts(file_store: Any, make_flash: Any) -> None:
    """Wherever the slots lie: power is lost just when the new copy is written and the old one not yet touched."""
    flash = make_flash(5)  # a slot's first sectors lie in one sector of the flash, so that nine steps write it
    store = file_store.FileStore(flash, flash.sync, BLOCKS)
    for turn in range(8):
        store.program(turn * 4, b"old")
        flash.restart(9, torn=False)
        with pytest.raises(PowerCut):
            store.program(turn * 4 + 100, b"new")
        store = file_store.FileStore(flash.restart(), flash.sync, BLOCKS)
        assert contents(store)[0][turn * 4 : turn * 4 + 3] == b"old"
        assert contents(store)[0][turn * 4 + 100 : turn * 4 + 103] == b"new"
        assert store.repaired == 1


def fail_at(flash: Flash, numbers: set[int]) -> None:
    """Let some of the next writes fail, counted from 1. Each operation has two: of the new copy, and over the old."""
    calls: list[int] = []
    write = flash.write

    def failing(data) -> int:
        calls.append(1)
        if len(calls) in numbers:
            raise OSError(5)
        return write(data)

    flash.write = failing


def test_a_forgotten_copy_does_not_come_back(file_store: Any, make_flash: Any) -> None:
    """The old copy could not be blanked; then the block is erased, with power lost at any step."""
    for cut_after in itertools.count():
        flash = make_flash()
        store = file_store.FileStore(flash, flash.sync, BLOCKS)
        for turn in range(4):  # so that the old copy has a higher place than the new one
            store.program(turn * 8 + 900, b"turn")
        store.program(0, b"old")
        fail_at(flash, {2})
        with pytest.raises(StoreError):
            store.program(3, b"new")
        flash.restart(cut_after, torn=False)
        try:
            store.erase(0)
        except PowerCut:
            found = contents(file_store.FileStore(flash.restart(), flash.sync, BLOCKS))[0][:6]
            assert found in (b"oldnew", b"\xff" * 6)
        else:
            assert contents(file_store.FileStore(flash.restart(), flash.sync, BLOCKS))[0] == b"\xff" * 3584
            assert cut_after >= 18  # two slots were blanked
            return


def test_a_flash_that_fails_for_a_while_is_written_again(file_store: Any, make_flash: Any) -> None:
    flash = make_flash()
    store = file_store.FileStore(flash, flash.sync, BLOCKS)
    for block in range(BLOCKS):
        store.program(block * 3584, b"old")
    fail_at(flash, {2, 4})
    for _ in range(2):
        with pytest.raises(StoreError):
            store.program(3, b"new")
    store.program(6, b"end")
    assert [block[:9] for block in contents(store)] == [b"oldnewend", b"old" + b"\xff" * 6, b"old" + b"\xff" * 6]


def test_a_flash_that_does_not_keep_what_is_written_is_noticed(file_store: Any, make_flash: Any) -> None:
    flash = make_flash()
    store = file_store.FileStore(flash, flash.sync, BLOCKS)
    store.program(0, b"old")
    write = flash.write
    flash.write = lambda data: len(data)
    with pytest.raises(StoreError, match="keep"):
        store.program(3, b"new")
    flash.write = write
    assert contents(store)[0][:6] == b"old" + b"\xff" * 3
    store.program(3, b"new")
    assert contents(file_store.FileStore(flash.restart(), flash.sync, BLOCKS))[0][:6] == b"oldnew"


def test_the_file_is_made_in_full(file_store: Any, tmp_path: Any) -> None:
    path = tmp_path / "log"
    file_store.make_file(path, BLOCKS)
    assert path.stat().st_size == file_store.file_bytes(BLOCKS)
    with path.open("r+b", buffering=0) as file:
        assert set(contents(file_store.FileStore(file, int, BLOCKS))) == {b"\xff" * 3584}
    with path.open("r+b", buffering=0) as file:
        file.truncate(9000)
        with pytest.raises(StoreError, match="shorter"):
            file_store.FileStore(file, int, BLOCKS)
