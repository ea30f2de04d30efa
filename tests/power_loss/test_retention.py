"""Old records are erased even if nobody syncs; a wrong clock erases nothing for a day."""

from types import SimpleNamespace

import pytest
from emulated_flash import EmulatedFlash, Operation, tears
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from log_bench import BEGAN_S, DAY_S, FIRST_BLOCK, Keys, contents, make_flash, mounted, offset_of

from host_tools.provisioning.firmware_files import boards
from tracing import records
from tracing.journal import Journal
from tracing.log import Log
from tracing.sightings import SightingRing

BLOCKS = 12
DAYS = 2
HOUR_S = 3600
LATEST_S = DAYS * DAY_S + DAY_S + 2 * HOUR_S  # a block may be open for a day, and both are looked at once an hour
YEARS_S = 5 * 365 * DAY_S


class Wearer:
    """A token's hours: some encounters, then `expire`.

    Attributes:
        written: sequence number → when the encounter began, Unix s, true time.
        error_s: how far the token's clock is ahead.
    """

    def __init__(self, flash: EmulatedFlash, keys: Keys) -> None:
        self.flash, self.keys = flash, keys
        self.log = mounted(flash, keys)
        self.written: dict[int, int] = {}
        self.now_s = BEGAN_S
        self.error_s = 0
        self.clock_set = True

    def hour(self, encounters: int) -> None:
        for number in range(encounters):
            start_s = self.now_s + 60 * number
            self.append(start_s)
        self.now_s += HOUR_S
        self.keys.last_time_s = self.now_s + self.error_s
        self.expire()

    def append(self, start_s: int) -> None:
        kind = records.KIND_ENCOUNTER | (records.FLAG_CLOCK_SET if self.clock_set else 0)
        shown_s = start_s + self.error_s if self.clock_set else 5
        seq = self.log.append(kind, 1, shown_s, 300, 3, 4, -60, -70, b"%012d" % start_s)
        self.written[seq] = start_s

    def set_clock(self, error_s: int) -> None:
        """What app.py does when a kiosk sets the clock."""
        self.error_s = error_s
        self.keys.last_time_s = self.now_s + error_s
        self.expire()

    def expire(self) -> None:
        if self.clock_set:
            self.log.expire(self.now_s + self.error_s, DAYS)

    def held(self) -> set[int]:
        """When the encounters that are still there began; asserts that each is the one that was written."""
        found = contents(self.log)
        for seq, record in found.items():
            assert int(record[12:24]) == self.written[seq]
        return {self.written[seq] for seq in found}

    def check(self) -> None:
        """What is young is there, what is old is not, be it sealed."""
        held = self.held()
        for start_s in self.written.values():
            if self.now_s - start_s <= DAYS * DAY_S:
                assert start_s in held
            if self.now_s - start_s > LATEST_S:
                assert start_s not in held
        for seq, start_s in self.written.items():
            if self.now_s - start_s > LATEST_S:
                at = offset_of(seq, BLOCKS)
                block = at // self.flash.block_bytes * self.flash.block_bytes
                header = records.unpack_block_header(self.flash.image[block:])
                assert header is None or header[0] > seq


def wearer() -> Wearer:
    return Wearer(make_flash(BLOCKS), Keys())


@pytest.mark.parametrize("encounters", [0, 1, 2])
def test_what_is_older_than_the_days_is_gone(encounters: int) -> None:
    token = wearer()
    for hour in range(12 * 24):
        token.hour(encounters if hour % 24 < 12 else 0)
        token.check()
    assert token.written or not encounters


def test_it_goes_even_when_nobody_is_met_any_more() -> None:
    token = wearer()
    for _ in range(5):
        token.hour(3)
    for _ in range(DAYS * 24 + 30):
        token.hour(0)
    assert token.held() == set()
    token.hour(1)
    assert len(token.held()) == 1
    assert max(token.written) == 2 * 8  # the block that was begun when the last one was closed


def test_restarts_do_not_put_it_off() -> None:
    token = wearer()
    for hour in range(8 * 24):
        token.hour(1)
        if hour % 7 == 6:
            token.log = mounted(token.flash, token.keys)
        token.check()


def test_every_block_is_erased_once_a_lap_all_the_same() -> None:
    token = wearer()
    while token.log.next_seq < 5 * token.log.capacity_records:
        token.hour(1)
    assert max(token.flash.erases[FIRST_BLOCK:]) <= 5 + 1  # once more before its very first use
    # A block that has been erased for its age keeps its count.
    headers = [
        records.unpack_block_header(token.flash.image[at : at + records.BLOCK_HEADER_BYTES])
        for at in range(FIRST_BLOCK * token.flash.block_bytes, len(token.flash.image), token.flash.block_bytes)
    ]
    assert {header[1] for header in headers if header} <= {5, 6}


@pytest.mark.parametrize("hours", [1, 5, 23])
@pytest.mark.parametrize("restart", [False, True])
def test_a_wrong_clock_erases_nothing_for_a_day(hours: int, restart: bool) -> None:
    token = wearer()
    for _ in range(30):
        token.hour(1)
    before = token.held()
    token.set_clock(YEARS_S)
    for _ in range(hours):
        if restart:
            token.log = mounted(token.flash, token.keys)
        token.hour(1)
        assert before <= token.held()
    # Put right, it goes on as if nothing had been, after another day of caution.
    token.set_clock(0)
    for hour in range(7 * 24):
        token.hour(1)
        if hour > 24 + LATEST_S // HOUR_S:
            token.check()


def test_a_clock_that_is_wrong_for_good_is_believed_after_a_day() -> None:
    token = wearer()
    for _ in range(30):
        token.hour(1)
    token.set_clock(YEARS_S)
    for _ in range(26):
        token.hour(0)
    assert len(token.held()) < 8  # a block is left, whose end is dated by the wrong clock
    for _ in range(DAYS * 24):
        token.hour(0)
    assert token.held() == set()


class BootedKeys(Keys):
    boot = 1


@pytest.mark.parametrize("step_s", [6 * HOUR_S, 23 * HOUR_S])
def test_a_clock_that_is_moved_on_in_steps_erases_nothing_for_a_day_either(step_s: int) -> None:
    token = Wearer(make_flash(BLOCKS), BootedKeys())
    for _ in range(30):
        token.hour(1)
    journal = Journal(SightingRing(1), token.log, SimpleNamespace(is_set=True), token.keys)
    before = set(contents(token.log))
    for now_s in range(token.now_s, token.now_s + 2 * DAYS * DAY_S, step_s):
        journal.shift(now_s - step_s, now_s, step_s)
        journal.expire(now_s, DAYS)
    assert before < set(contents(token.log))


def test_a_small_correction_is_no_jump() -> None:
    token = wearer()
    for hour in range(6 * 24):
        token.error_s = (hour % 5 - 2) * 600
        token.hour(1)
    assert min(token.held()) >= token.now_s - LATEST_S - HOUR_S


def test_records_without_a_clock_go_with_those_after_them() -> None:
    token = wearer()
    token.clock_set = False
    for _ in range(20):
        token.hour(1)
    assert len(token.held()) == 20
    token.clock_set = True
    for hour in range(6 * 24):
        token.hour(1)
        if hour <= DAYS * 24:
            assert len(token.held()) == 20 + hour + 1
    assert min(token.held()) >= token.now_s - LATEST_S


def test_a_block_that_has_lost_its_header_goes_too() -> None:
    token = wearer()
    for _ in range(20):
        token.hour(1)
    at = offset_of(8, BLOCKS) // token.flash.block_bytes * token.flash.block_bytes
    lost = bytes(token.flash.image[at + 32 : at + 32 + 28])
    token.flash.image[at] ^= 1
    token.log = mounted(token.flash, token.keys)
    for _ in range(DAYS * 24 + 30):
        token.hour(1)
    assert lost not in token.flash.image


def test_power_dies_at_any_byte_of_it() -> None:
    token = wearer()
    for _ in range(40):
        token.hour(1)
    token.flash.operations = []
    marks: list[tuple[int, dict[int, int]]] = []
    for hour in range(40):
        token.flash.noted = hour
        marks.append((token.now_s, dict(token.written)))
        token.hour(1)
    operations = token.flash.operations
    assert sum(operation.erase for operation in operations) > 6
    for operation in operations:
        now_s, written = marks[operation.noted]
        for tear in list(tears(operation, 3))[:: 1 if operation.erase else 5]:
            check_cut(operation, operation.torn(tear), now_s, written)


def check_cut(operation: Operation, image: bytearray, now_s: int, written: dict[int, int]) -> None:
    """Nothing young is lost, and what is old goes all the same."""
    keys = Keys()
    keys.last_time_s = now_s
    again = Wearer(EmulatedFlash(FIRST_BLOCK + BLOCKS, image=image), keys)
    again.now_s = now_s
    found = contents(again.log)
    for seq, start_s in written.items():
        assert start_s < now_s - DAYS * DAY_S or seq in found
    # The record that was being written may be there.
    again.written = {seq: int(record[12:24]) for seq, record in found.items()} | written
    again.now_s += HOUR_S
    for _ in range(3):
        again.hour(1)
        again.check()


class ClockMachine(RuleBasedStateMachine):
    """Hours, restarts and wrong clocks: what is young is there."""

    @initialize()
    def start(self) -> None:
        self.token = wearer()

    @rule(hours=st.integers(1, 40), encounters=st.integers(0, 2))
    def live(self, hours: int, encounters: int) -> None:
        for _ in range(hours):
            self.token.hour(encounters)

    @rule()
    def restart(self) -> None:
        self.token.log = mounted(self.token.flash, self.token.keys)

    @rule(back=st.booleans(), hours=st.integers(1, 22))
    def wrong_for_a_while(self, back: bool, hours: int) -> None:
        held = self.token.held()
        self.token.set_clock(-YEARS_S if back else YEARS_S)
        for _ in range(hours):
            self.token.hour(0)
        assert held <= self.token.held()
        self.token.set_clock(0)

    @invariant()
    def young_ones_are_there(self) -> None:
        if not hasattr(self, "token"):
            return
        held = self.token.held()
        oldest_kept = self.token.log.next_seq - self.token.log.capacity_records + 8
        for seq, start_s in self.token.written.items():
            if self.token.now_s - start_s <= DAYS * DAY_S and seq >= oldest_kept:
                assert start_s in held


ClockMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestClockMachine = ClockMachine.TestCase


def test_at_most_a_second_of_erasing_at_a_time() -> None:
    """A token that has lain in a drawer has much to erase: the radio must not wait for all of it."""
    flash = EmulatedFlash(60)
    log = Log(flash, 0, 60, keys := Keys())
    log.mount()
    for number in range(50 * 8):
        log.append(0x11, 1, BEGAN_S + number, 0, 1, 1, -50, -50, b"%012d" % number)
    before = sum(flash.erases)
    keys.last_time_s = now_s = BEGAN_S + 20 * DAY_S
    log.mount()
    log.expire(now_s, DAYS)
    assert sum(flash.erases) == before + 1 + 16  # the next block, for the old one is closed
    for _ in range(4):
        log.expire(now_s, DAYS)
    assert len(contents(log)) == 8  # how old the open block's are is not known: they count from now
    log.expire(now_s + DAYS * DAY_S - HOUR_S, DAYS)
    assert len(contents(log)) == 8


@pytest.mark.parametrize("board", boards().values(), ids=boards())
def test_a_board_keeps_records_for_1_to_25_days(board: dict) -> None:
    days = board["log"]["days"]
    assert 1 <= days <= 25
    assert days < board["log"]["blocks"] - 1  # a block a day at least
