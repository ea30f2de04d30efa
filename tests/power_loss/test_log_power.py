"""Power dies at every operation of the log, and at every byte of it: nothing is lost, nothing invented."""

import pytest
from emulated_flash import Operation, PowerLoss, Tear, noise, prefix, tears
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from log_bench import (
    BLOCK_BYTES,
    FIRST_BLOCK,
    PER_BLOCK,
    contents,
    fields,
    kept_from,
    make_flash,
    mounted,
    offset_of,
    packed,
    pulled,
)

TORN = 4  # random ways to tear each operation, beside one for every byte


def workload(blocks: int, laps: int) -> list[Operation]:
    """Every program and erase of so many laps; `noted` is how many appends had returned before it."""
    flash = make_flash(blocks, operations=[])
    log = mounted(flash)
    for number in range(laps * blocks * PER_BLOCK + 3):
        flash.noted = number
        assert log.append(*fields(number)) == number
    assert flash.operations is not None
    return flash.operations


def check_cut(operation: Operation, tear: Tear, blocks: int) -> None:
    """Cut, start again, go on for more than a block, start again."""
    done = operation.noted
    flash = make_flash(blocks, image=operation.torn(tear))
    log = mounted(flash)
    found = contents(log)
    kept = kept_from(done, blocks)
    assert log.oldest_seq <= kept
    assert log.next_seq >= done
    # Everything whose append returned is there, once; beside it nothing but the record that was being written.
    assert {seq: record for seq, record in found.items() if kept <= seq < done} == {
        seq: packed(seq) for seq in range(kept, done)
    }
    assert all(record == packed(seq) for seq, record in found.items())
    assert done not in found or log.next_seq > done

    expected = found
    next_seq = log.next_seq
    for number in range(1000, 1000 + PER_BLOCK + 2):
        seq = log.append(*fields(number))
        assert seq >= next_seq
        next_seq = seq + 1
        expected[seq] = packed(number)
    kept = kept_from(next_seq, blocks)
    for again in (log, mounted(flash)):
        assert again.next_seq == next_seq
        held = contents(again)
        assert {seq: held[seq] for seq in held if seq >= kept} == {
            seq: expected[seq] for seq in expected if seq >= kept
        }
    assert flash.image[: FIRST_BLOCK * BLOCK_BYTES] == operation.before[: FIRST_BLOCK * BLOCK_BYTES]


RINGS = ((3, 3), (4, 2))  # blocks, laps


def cut_everywhere(blocks: int, laps: int) -> int:
    """Every operation of the workload, cut short in every way; how many that were."""
    cuts = 0
    for operation in workload(blocks, laps):
        for tear in tears(operation, TORN):
            check_cut(operation, tear, blocks)
            cuts += 1
    return cuts


@pytest.mark.parametrize(("blocks", "laps"), RINGS)
def test_power_dies_at_every_byte(blocks: int, laps: int) -> None:
    records_written = laps * blocks * PER_BLOCK + 3
    assert cut_everywhere(blocks, laps) > records_written * (28 + TORN)


@pytest.mark.parametrize("begun", [False, True], ids=["erase", "header"])
def test_power_dies_again_and_again_at_the_same_block(begun: bool) -> None:
    blocks = 4
    done = 2 * blocks * PER_BLOCK
    flash = make_flash(blocks)
    log = mounted(flash)
    for number in range(done):
        log.append(*fields(number))
    for turn in range(60):
        flash.cut_after = int(begun)
        flash.tear = prefix(turn % 28) if begun else noise(turn)
        with pytest.raises(PowerLoss):
            mounted(flash).append(*fields(done))
    flash.cut_after = None
    log = mounted(flash)
    assert log.append(*fields(done)) == done
    assert contents(log) == {seq: packed(seq) for seq in range(kept_from(done, blocks), done + 1)}


class LogMachine(RuleBasedStateMachine):
    """A log with a plain dictionary beside it; power dies, bits flip, and the model knows which records may be gone."""

    @initialize(blocks=st.integers(3, 6))
    def start(self, blocks: int) -> None:
        self.blocks = blocks
        self.flash = make_flash(blocks)
        self.log = mounted(self.flash)
        self.written: dict[int, int] = {}  # sequence number -> number of the record
        self.hurt: set[int] = set()  # sequence numbers that a flip may have taken
        self.number = 0

    @rule(count=st.integers(1, 2 * PER_BLOCK + 1))
    def append(self, count: int) -> None:
        for _ in range(count):
            self.number += 1
            seq = self.log.append(*fields(self.number))
            assert seq > max(self.written, default=-1)
            self.written[seq] = self.number

    @rule()
    def restart(self) -> None:
        before = contents(self.log)
        next_seq = self.log.next_seq
        self.log = mounted(self.flash)
        assert self.log.next_seq >= next_seq
        assert contents(self.log) == before

    @rule(after=st.integers(0, 3), data=st.data())
    def lose_power(self, after: int, data: st.DataObject) -> None:
        self.flash.cut_after = after
        self.flash.tear = lambda before, wanted: data.draw(
            st.sampled_from(list(tears(Operation(0, wanted, b"", len(wanted) == BLOCK_BYTES, 0), 3)))
        )(before, wanted)
        with pytest.raises(PowerLoss):
            self.append(2 * after + 2)
        next_seq = max(self.written, default=-1) + 1
        self.flash.cut_after = None
        self.log = mounted(self.flash)
        assert self.log.next_seq >= next_seq
        held = contents(self.log)
        for seq in held.keys() - self.written.keys():  # the record that was being written
            assert seq >= next_seq
            assert held[seq] == packed(self.number)
            self.written[seq] = self.number

    @rule(data=st.data())
    def flip_a_bit_of_a_record(self, data: st.DataObject) -> None:
        alive = sorted(contents(self.log))
        if not alive:
            return
        seq = data.draw(st.sampled_from(alive))
        bit = data.draw(st.integers(0, 28 * 8 - 1))
        self.flash.image[offset_of(seq, self.blocks) + bit // 8] ^= 1 << bit % 8
        self.hurt.add(seq)
        assert pulled(self.log).get(seq, None) is None

    @invariant()
    def holds_what_was_written(self) -> None:
        if not hasattr(self, "log"):
            return
        held = contents(self.log)
        assert all(record == packed(self.written[seq]) for seq, record in held.items())
        kept = kept_from(self.log.next_seq, self.blocks)
        assert held.keys() >= {seq for seq in self.written if seq >= kept} - self.hurt


LogMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestLogMachine = LogMachine.TestCase
