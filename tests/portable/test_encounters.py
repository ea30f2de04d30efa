"""The table of encounters against a plain dict."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from two_pythons import both_pythons

from tracing.encounters import Encounters

NOON_S = 1_596_844_800
CAPACITY = 4
STALE_S = 80  # who has been silent for longer makes room first,
ESTABLISHED, GRACE_S = 4, 35  # … so much later, if so many windows have heard it
STRONGER_DB = 6  # a newcomer must be so much nearer than the one that makes room
NEAR_DBM = -75  # and the one that makes room no nearer
# Ids that could be found where none begins: all alike, and like the bytes of neighbours.
IDENTS = [
    bytes(12),
    b"\xff" * 12,
    b"\x01" + bytes(11),
    bytes(11) + b"\x01",
    b"twelve bytes",
    b"\x01" * 12,
    bytes(range(12)),
]


@dataclass
class Entry:
    kind_flags: int
    first_s: int
    last_s: int
    windows: int
    rssis_dbm: list[int]

    def record(self, ident: bytes) -> tuple:
        rssis_dbm = self.rssis_dbm
        mean_dbm = sum(rssis_dbm) // len(rssis_dbm)
        duration_s = self.last_s - self.first_s
        return (
            self.kind_flags, self.first_s, duration_s, self.windows, len(rssis_dbm), max(rssis_dbm), mean_dbm, ident
        )  # fmt: skip


class EncountersMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.table = Encounters(CAPACITY)
        self.model: dict[bytes, Entry] = {}
        self.now_s = NOON_S
        self.turned_away = 0

    @rule(seconds=st.integers(1, 400))
    def next_window(self, seconds):
        self.now_s += seconds

    @rule(ident=st.sampled_from(IDENTS), rssi_dbm=st.integers(-127, 20), kind_flags=st.sampled_from([0x01, 0x11, 0x31]))
    def note(self, ident, rssi_dbm, kind_flags):
        pushed_out = self.table.note(ident, rssi_dbm, self.now_s, kind_flags)
        entry = self.model.get(ident)
        if entry is not None:
            assert pushed_out is None
            entry.windows += entry.last_s != self.now_s
            entry.last_s = self.now_s
            entry.rssis_dbm.append(rssi_dbm)
            return
        room = len(self.model) < CAPACITY
        if pushed_out is not None:
            assert not room
            self._made_room(pushed_out, rssi_dbm)
            room = True
        elif not room:
            assert not self._who_may_go(rssi_dbm)
            self.turned_away += 1
        if room:
            self.model[ident] = Entry(kind_flags, self.now_s, self.now_s, 1, [rssi_dbm])

    def _who_may_go(self, rssi_dbm):
        due_s = {i: e.last_s + (GRACE_S if e.windows >= ESTABLISHED else 0) for i, e in self.model.items()}
        stalest_s = min(due_s.values())
        if stalest_s < self.now_s - STALE_S:
            return [ident for ident, at_s in due_s.items() if at_s == stalest_s]
        means_dbm = {ident: entry.record(ident)[6] for ident, entry in self.model.items()}
        weakest_dbm = min(means_dbm.values())
        if weakest_dbm >= min(rssi_dbm - STRONGER_DB, NEAR_DBM):
            return []
        return [ident for ident, mean_dbm in means_dbm.items() if mean_dbm == weakest_dbm]

    def _made_room(self, pushed_out, rssi_dbm):
        ident = pushed_out[-1]
        assert ident in self._who_may_go(rssi_dbm)
        assert pushed_out == self.model.pop(ident).record(ident)

    @rule(silent_s=st.integers(0, 500))
    def pop(self, silent_s):
        popped = self.table.pop(self.now_s - silent_s)
        stalest_s = min((entry.last_s for entry in self.model.values()), default=self.now_s)
        if not self.model or stalest_s > self.now_s - silent_s:
            assert popped is None
            return
        assert popped is not None
        ident = popped[-1]
        entry = self.model.pop(ident)
        assert entry.last_s == stalest_s
        assert popped == entry.record(ident)

    @precondition(lambda self: self.model)
    @rule(seconds=st.integers(-1000, 1_000_000))
    def correct_the_clock(self, seconds):
        self.table.shift(seconds)
        self.now_s += seconds
        for entry in self.model.values():
            entry.first_s += seconds
            entry.last_s += seconds

    @invariant()
    def as_many(self):
        assert len(self.table) == len(self.model)
        assert self.table.turned_away == self.turned_away

    def teardown(self):
        popped = {}
        while (record := self.table.pop(self.now_s)) is not None:
            popped[record[-1]] = record
        assert popped == {ident: entry.record(ident) for ident, entry in self.model.items()}


TestEncounters = EncountersMachine.TestCase
TestEncounters.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def check_one_encounter(noon_s):
    from tracing.encounters import Encounters

    table = Encounters(2)
    for window_s, rssi_dbm in ((0, -70), (0, -61), (38, -65), (38, -90), (150, -71)):
        assert table.note(b"twelve bytes", rssi_dbm, noon_s + window_s, 0x11) is None
    assert table.note(b"twelve BYTES", -50, noon_s + 149, 0x31) is None
    assert table.note(b"a third one.", -70, noon_s + 150, 0x11) is None
    assert (len(table), table.turned_away) == (2, 1)
    assert table.pop(noon_s + 148) is None
    assert table.pop(noon_s + 150) == (0x31, noon_s + 149, 0, 1, 1, -50, -50, b"twelve BYTES")
    assert table.pop(noon_s + 150) == (0x11, noon_s, 150, 3, 5, -61, -72, b"twelve bytes")
    assert len(table) == 0


@both_pythons
def test_one_encounter(run):
    run(check_one_encounter, NOON_S)


@given(st.integers(1, 23), st.integers(-127, 20))
def test_an_id_across_two_entries_is_not_found(offset, rssi_dbm):
    table = Encounters(3)
    table.note(b"twelve bytes", rssi_dbm, NOON_S, 0x11)
    table.note(b"TWELVE BYTES", rssi_dbm, NOON_S, 0x11)
    across = bytes(table._buf[offset : offset + 12])
    table.note(across, -50, NOON_S + 1, 0x31)
    assert len(table) == 3
    popped = [table.pop(NOON_S + 1) for _ in range(3)]
    assert (0x31, NOON_S + 1, 0, 1, 1, -50, -50, across) in popped


def test_counters_stop_at_their_end():
    table = Encounters(1)
    for number in range(3_000):
        table.note(b"twelve bytes", -127 if number % 2 else -91, NOON_S + number // 10, 0x11)
    record = table.pop(NOON_S + 1000)
    assert record is not None
    _, start_s, duration_s, windows, sightings, peak_dbm, mean_dbm, _ = record
    assert (start_s, duration_s, windows, sightings, peak_dbm) == (NOON_S, 299, 255, 255, -91)
    assert abs(mean_dbm + 109) <= 1


# --- The waiting room ------------------------------------------------------------------------------------------


def check_newcomers(noon_s):
    from tracing.encounters import Encounters

    table = Encounters(8, 1, 150)
    for _ in range(5):
        table.note(b"only for now", -60, noon_s, 0x11)
        table.note(b"here to stay", -70, noon_s, 0x11)
    assert (len(table), table.heard) == (0, 2)
    table.note(b"here to stay", -65, noon_s + 38, 0x11)
    assert (len(table), table.heard) == (1, 1)
    table.note(b"only for now", -60, noon_s + 151, 0x11)  # so much later that it begins anew
    assert len(table) == 1
    assert table.pop(noon_s + 151) == (0x11, noon_s, 38, 2, 2, -65, -68, b"here to stay")


@both_pythons
def test_an_id_is_admitted_in_its_second_window(run):
    run(check_newcomers, NOON_S)


@given(st.lists(st.binary(min_size=12, max_size=12), max_size=200, unique=True))
def test_ids_heard_once_never_get_in(idents):
    table = Encounters(8, 2)
    for ident in idents:
        assert table.note(ident, -40, NOON_S, 0x11) is None
    assert len(table) == 0
    assert table.pop(NOON_S) is None


@pytest.mark.parametrize(("seconds", "start_s"), [(-100, 0), (1_596_844_800, 1_596_844_850)])
def test_times_stay_in_their_range(seconds, start_s):
    table = Encounters(1)
    table.note(b"twelve bytes", -60, 50, 0x01)
    table.shift(seconds)
    record = table.pop(start_s)
    assert record is not None
    assert record[1:3] == (start_s, 0)


def test_when_the_table_was_full_moves_with_the_clock():
    table = Encounters(1)
    assert NOON_S - table.full_s > 86_400  # not yet
    for ident in IDENTS[:2]:
        table.note(ident, -60, NOON_S, 0x11)
    table.shift(-86_400)
    assert table.full_s == NOON_S - 86_400


# --- Through a reset -------------------------------------------------------------------------------------------

PLACES = 64  # of the journal
RTC_BYTES = 2048  # what an ESP32 keeps through a reset


def a_table(entries, capacity=CAPACITY):
    table = Encounters(capacity)
    for ident, sightings in entries.items():
        for after_s, rssi_dbm in sorted(sightings):
            table.note(ident, rssi_dbm, NOON_S + after_s, 0x11)
    return table


def all_of(table):
    found = []
    while (record := table.pop(NOON_S + 10_000)) is not None:
        found.append(record)
    return sorted(found, key=lambda record: record[-1])


entries = st.dictionaries(
    st.sampled_from(IDENTS),
    st.lists(st.tuples(st.integers(0, 600), st.integers(-127, 20)), min_size=1),
    max_size=CAPACITY,
)


@given(entries, st.integers(0, 100_000))
def test_what_is_kept_through_a_reset_is_all_of_it(entries, later_s):
    kept = bytes(a_table(entries).dump(NOON_S + 600))
    table = Encounters(CAPACITY)
    assert table.load(kept, NOON_S + 600 + later_s)
    assert len(table) == len(entries)
    assert all_of(table) == all_of(a_table(entries))


@given(entries, st.data())
def test_what_is_damaged_is_not_taken_up(entries, data):
    kept = bytearray(a_table(entries).dump(NOON_S))
    kept[data.draw(st.integers(0, len(kept) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    table = a_table({IDENTS[0]: [(0, -60)]})
    assert not table.load(kept, NOON_S)
    assert all_of(table) == all_of(a_table({IDENTS[0]: [(0, -60)]}))


@given(st.binary(max_size=200))
def test_nothing_that_is_found_there_raises(data):
    table = Encounters(CAPACITY)
    assert not table.load(data, NOON_S)
    assert len(table) == 0


def test_what_comes_from_the_future_or_from_a_bigger_table_is_not_taken_up():
    kept = bytes(a_table({ident: [(0, -60)] for ident in IDENTS[:3]}).dump(NOON_S))
    assert not Encounters(CAPACITY).load(kept, NOON_S - 3)  # the clock is not the one that wrote this
    assert Encounters(CAPACITY).load(kept, NOON_S - 2)
    assert not Encounters(2).load(kept, NOON_S)
    assert Encounters(3).load(kept, NOON_S)


def test_a_full_table_fits_into_the_chips_memory():
    table = Encounters(PLACES, 64)
    table_of_all = a_table({bytes([i]) * 12: [(0, -60)] for i in range(PLACES)}, PLACES)
    assert len(table_of_all.dump(NOON_S)) <= RTC_BYTES
    assert table.load(table_of_all.dump(NOON_S), NOON_S)
    assert len(table) == PLACES


def check_dump_and_load(noon_s):
    from tracing.encounters import Encounters

    table = Encounters(4)
    table.note(b"twelve bytes", -70, noon_s, 0x11)
    table.note(b"twelve bytes", -60, noon_s + 38, 0x11)
    kept = bytes(table.dump(noon_s + 40))
    again = Encounters(4)
    assert again.load(kept, noon_s + 45)
    assert again.note(b"twelve bytes", -50, noon_s + 75, 0x11) is None
    assert again.pop(noon_s + 75) == (0x11, noon_s, 75, 3, 3, -50, -60, b"twelve bytes")
    assert not again.load(kept[:-1], noon_s + 45)
    assert not again.load(b"", noon_s + 45)


@both_pythons
def test_an_encounter_goes_on_after_a_reset(run):
    run(check_dump_and_load, NOON_S)
