"""Matching against plain hashlib: slots, ends of intervals, days, tolerance; and the log's format under fuzz."""

import hashlib
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from host_tools.errors import UserError
from host_tools.matching import trace_log
from host_tools.matching.case_index import CaseIndex, case_slots
from host_tools.matching.exposures import (
    days_of_encounters,
    days_of_sightings,
    match_encounters,
    match_sightings,
)
from host_tools.matching.national_list import Case
from host_tools.matching.trace_log import Sighting

DAY_S = 86400
DAY = 18482 * DAY_S  # 2020-08-08
KEY = bytes(range(32))
OWN = bytes(12)


@dataclass(frozen=True)
class Met:
    """A token's encounter."""

    bluezone_id: bytes
    start_s: int
    duration_s: int = 0
    windows: int = 1
    sightings: int = 1
    rssi_max_dbm: int = -60
    rssi_mean_dbm: int = -65
    connected: bool = False


def hashlib_id(days_after: int, i: int) -> bytes:
    key = KEY
    for _ in range(days_after):
        key = hashlib.sha256(key).digest()
    key = hashlib.sha256(key + b"bluzonesubkey").digest()
    for _ in range(i):
        key = hashlib.sha256(key).digest()
    return bytes(key[n] for n in (0, 4, 8, 12, 16, 18, 20, 22, 24, 26, 28, 30))


def case(start_s: int = DAY, end_s: int = DAY + DAY_S, per_day: int = 96, index: int = 0) -> Case:
    return Case(index, KEY, start_s, end_s, per_day)


def heard(bluezone_id: bytes, time_ms: int) -> Sighting:
    return Sighting(OWN, bluezone_id, -60, time_ms)


def test_both_ends_of_a_slot_are_in_it_and_a_millisecond_more_is_not():
    index = CaseIndex([case()])
    start_ms = (DAY + 24 * 900) * 1000
    for time_ms, matches in ((-1, 0), (0, 1), (900_000, 1), (900_001, 0)):
        assert len(match_sightings([heard(hashlib_id(0, 24), start_ms + time_ms)], index)) == matches, time_ms


@settings(deadline=None)
@given(
    per_day=st.integers(2, 400) | st.just(DAY_S),
    days_after=st.integers(0, 3),
    data=st.data(),
)
def test_any_max_and_day(per_day, days_after, data):
    i = data.draw(st.integers(0, min(per_day, 300) - 1))
    offset_ms = data.draw(st.integers(-3, DAY_S * 1000 // per_day + 3))
    time_ms = (DAY + days_after * DAY_S) * 1000 + i * DAY_S * 1000 // per_day + offset_ms
    sighting = heard(hashlib_id(days_after, i), time_ms)
    index = CaseIndex(
        [case(end_s=DAY + 4 * DAY_S, per_day=per_day)],
        days_of_sightings([sighting]),
        only_ids={sighting.peer_id},
    )
    found = match_sightings([sighting], index)
    in_day_ms = time_ms - (DAY + days_after * DAY_S) * 1000
    exactly = i * DAY_S * 1000 <= in_day_ms * per_day <= (i + 1) * DAY_S * 1000
    nearly = i * DAY_S * 1000 < (in_day_ms + 1) * per_day and in_day_ms * per_day <= (i + 1) * DAY_S * 1000
    assert exactly <= bool(found) <= nearly  # a slot that does not begin at a whole ms begins up to 1 ms early
    for exposure in found:
        assert exposure.slot_start_s == DAY + days_after * DAY_S + i * DAY_S // per_day
        assert exposure.first_s == exposure.last_s == time_ms // 1000


@given(start=st.integers(0, 3 * DAY_S), span=st.integers(0, 3 * DAY_S), per_day=st.sampled_from([2, 7, 24, 96]))
def test_slots_of_a_case_are_those_that_overlap_its_time(start, span, per_day):
    part = case(DAY + start, DAY + start + span, per_day)
    slots = [slot for _, slot in case_slots(part)]
    first_day = DAY + start // DAY_S * DAY_S
    every = [
        (first_day * 1000 + n * DAY_S * 1000 // per_day, first_day * 1000 + (n + 1) * DAY_S * 1000 // per_day)
        for n in range(8 * per_day)
    ]
    begin_ms, end_ms = part.time_start * 1000, part.time_end * 1000
    if span:
        overlapping = [(a, b) for a, b in every if min(b, end_ms) > max(a, begin_ms)]
    else:
        overlapping = [(a, b) for a, b in every if a <= begin_ms < b]
    assert [(slot.start_ms, slot.end_ms) for slot in slots] == overlapping


def test_restricting_days_and_ids_changes_cost_not_matches():
    cases = [case(DAY, DAY + 13 * DAY_S, index=5), case(DAY + 2 * DAY_S, DAY + 9 * DAY_S, index=7)]
    midnight_ms = (DAY + 4 * DAY_S) * 1000
    log = [heard(hashlib_id(3, 95), midnight_ms), heard(hashlib_id(4, 0), midnight_ms), heard(OWN, midnight_ms)]
    whole = CaseIndex(cases)
    lean = CaseIndex(cases, days_of_sightings(log), {sighting.peer_id for sighting in log})
    assert match_sightings(log, lean) == match_sightings(log, whole)
    assert [exposure.case for exposure in match_sightings(log, whole)] == [5, 5]
    assert (lean.expanded, whole.expanded) == (4 * 96, 20 * 96)
    assert len(lean) == 2


def test_one_exposure_per_case_id_and_slot_in_order():
    ids = [hashlib_id(0, i) for i in range(3)]
    log = [heard(ids[i], (DAY + i * 900 + second) * 1000 + 999) for i in (2, 0, 1) for second in (700, 5)]
    found = match_sightings(log, CaseIndex([case(index=9), case(index=2)]))
    assert [(e.case, e.slot_start_s - DAY) for e in found] == [(c, s) for c in (2, 9) for s in (0, 900, 1800)]
    assert all((e.first_s, e.last_s, e.sightings) == (e.slot_start_s + 5, e.slot_start_s + 700, 2) for e in found)


@given(start=st.integers(-2000, 3000), duration=st.integers(0, 900), tolerance=st.integers(0, 300))
def test_an_encounter_matches_when_its_widened_time_touches_the_slot(start, duration, tolerance):
    slot_start = DAY  # the first slot: the tolerance reaches into the day before
    met = Met(hashlib_id(0, 0), slot_start + start, duration)
    index = CaseIndex([case()], days_of_encounters([met], tolerance), {met.bluezone_id})
    touches = start - tolerance <= 900 and start + duration + tolerance >= 0
    found = match_encounters([met], index, tolerance)
    assert bool(found) == touches
    for exposure in found:
        assert (exposure.first_s, exposure.last_s) == (met.start_s, met.start_s + duration)
        assert (exposure.slot_start_s, exposure.slot_end_s) == (slot_start, slot_start + 900)
        assert exposure.pair == "token-android"


def test_an_id_read_over_a_connection_is_an_iphone_s():
    found = match_encounters([Met(hashlib_id(0, 0), DAY, connected=True)], CaseIndex([case()]))
    assert [exposure.pair for exposure in found] == ["token-ios"]


LINE = b"B9A665D754FE65E665D76A45\t7C3DEC4246EA6F90E38EA254\t-71\t1596866191387\n"
fuzz = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@fuzz
@given(junk=st.lists(st.binary(max_size=40) | st.just(LINE[:-9]) | st.just(b"\t" * 1025), max_size=6), data=st.data())
def test_fuzz_good_lines_survive_among_bad_ones(tmp_path, junk, data):
    lines = [line.replace(b"\n", b"") + b"\n" for line in junk]
    good_at = data.draw(st.integers(0, len(lines)))
    lines.insert(good_at, LINE)
    path = tmp_path / "log.txt"
    path.write_bytes(b"".join(lines))
    log = trace_log.load(path)
    peer = bytes.fromhex("7C3DEC4246EA6F90E38EA254")
    assert [(s.peer_id, s.rssi_dbm, s.time_ms) for s in log.sightings] == [(peer, -71, 1596866191387)]
    blank = [n for n, line in enumerate(lines, 1) if len(line) <= 1024 and not line.strip()]
    bad = [n for n in range(1, len(lines) + 1) if n != good_at + 1 and n not in blank]
    assert [rejection.where for rejection in log.rejected] == [f"line {n}" for n in bad]


@fuzz
@given(content=st.binary(max_size=3000))
def test_fuzz_binary_never_crashes(tmp_path, content):
    path = tmp_path / "log.txt"
    path.write_bytes(content)
    assert trace_log.load(path).sightings == []


def test_a_log_of_absurd_length_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(trace_log, "MAX_SIGHTINGS", 10)
    path = tmp_path / "log.txt"
    path.write_bytes(LINE * 10)
    assert len(trace_log.load(path).sightings) == 10
    path.write_bytes(LINE * 11)
    with pytest.raises(UserError, match="more than 10 sightings"):
        trace_log.load(path)
