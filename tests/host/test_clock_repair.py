"""Times of records that a token logged by a wrong clock."""

from hypothesis import given
from hypothesis import strategies as st

from host_tools.storage.clock_repair import ClockReading, repair
from host_tools.storage.store import Store
from tracing import records

T0 = 1_597_021_200


def test_without_readings_nothing_changes():
    assert repair([], 5, 1, True, T0) == (T0, True)
    assert repair([], 5, 1, False, 77) == (77, False)


def test_a_clock_that_was_never_set_in_this_boot_is_moved_by_its_whole_error():
    reading = ClockReading(boot=258, before_seq=10, token_s=T0 - 9000, true_s=T0)
    assert repair([reading], 9, 2, False, T0 - 9500) == (T0 - 500, True)
    assert repair([reading], 9, 1, False, T0 - 9500) == (T0 - 9500, False)  # another boot: nobody knows
    assert repair([reading], 10, 2, True, T0 + 50) == (T0 + 50, True)  # made after the clock was set


@given(
    drift=st.floats(-0.06, 0.06),
    apart_s=st.integers(600, 14 * 86400),
    share=st.floats(0, 1),
)
def test_a_drifting_clock_is_repaired_to_within_seconds(drift, apart_s, share):
    def token_clock(true_s):
        return T0 + round((true_s - T0) * (1 + drift))

    readings = [
        ClockReading(3, 0, T0 - 100, T0),
        ClockReading(3, 50, token_clock(T0 + apart_s), T0 + apart_s),
    ]
    true_s = T0 + share * apart_s
    repaired_s, known = repair(readings, 20, 3, True, token_clock(true_s))
    assert known
    assert abs(repaired_s - true_s) <= 3


def test_records_are_repaired_as_they_are_stored_even_by_a_later_session(tmp_path):
    serial = bytes(8)
    buf = bytearray(records.RECORD_BYTES)
    records.pack_record(
        buf, records.KIND_ENCOUNTER | records.FLAG_CLOCK_SET, 3, T0 + 43_200, 60, 2, 3, -60, -65, bytes(12)
    )
    with Store(tmp_path / "kiosk.sqlite") as store:
        store.note_clock(serial, ClockReading(3, 0, T0 - 5, T0))
        # A day later the clock is 5 % fast; the session breaks right after the clock has been set …
        store.note_clock(serial, ClockReading(3, 1, T0 + 86_400, T0 + 82_286))
        # … and the next one finds nothing wrong, but brings the record.
        store.note_clock(serial, ClockReading(3, 1, T0 + 82_400, T0 + 82_400))
        store.store_records(serial, [(0, bytes(buf))], T0 + 82_400)
        (encounter,) = store.encounters(serial)
    assert encounter.start_s == T0 + 43_200 - 4114 // 2


@given(
    ahead_s=st.integers(3600, 400 * 86_400) | st.integers(-400 * 86_400, -3600),
    passed_s=st.integers(600, 30_000),
    share=st.floats(0, 1),
)
def test_what_was_logged_after_a_kiosk_with_a_wrong_clock_is_moved_by_all_of_its_error(ahead_s, passed_s, share):
    readings = [ClockReading(3, 0, T0, T0 + ahead_s), ClockReading(3, 50, T0 + ahead_s + passed_s, T0 + passed_s)]
    true_s = T0 + round(share * passed_s)
    assert repair(readings, 20, 3, True, true_s + ahead_s) == (true_s, True)
