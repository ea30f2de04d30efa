"""A phone's log against a long list: what the kernels find in memory is what hashlib finds."""

from hypothesis import given, settings
from hypothesis import strategies as st
from signed_lists import DAY, DAY_S, case

from host_tools.matching.case_index import CaseIndex, case_slots
from host_tools.matching.cases import Case
from host_tools.matching.exposures import match_sightings
from host_tools.matching.log_search import index_for_sightings
from host_tools.matching.trace_log import Sighting

CASES = st.builds(
    lambda n, at_s, long_s, per_day: Case(0, case(n).daily_key, DAY + at_s, DAY + at_s + long_s, per_day),
    st.integers(0, 5),
    st.sampled_from([0, 1, 899, 900, 40_000, DAY_S - 1]),
    st.sampled_from([0, 1, 900, 901, DAY_S, 3 * DAY_S]),
    st.sampled_from([96, 96, 96, 48, 97]),
)  # fmt: skip
# Which of the ids a list has, and when it was heard beside the beginning of its slot, in ms.
HEARD = st.tuples(st.integers(0, 10_000), st.sampled_from([-1, 0, 1, 450_000, 899_999, 900_000, 900_001, DAY_S * 1000]))


@settings(max_examples=40)
@given(st.lists(CASES, min_size=1, max_size=6), st.lists(HEARD, max_size=12), st.integers(1, 3))
def test_kernels_find_what_hashlib_finds(entries, heard, at_once):
    cases = [Case(i, each.daily_key, each.time_start, each.time_end, each.max) for i, each in enumerate(entries)]
    on_air = [found for each in cases for found in case_slots(each)]
    sightings = [Sighting(bytes(12), bytes(range(12)), -50, DAY * 1000)]
    for choice, late_ms in heard:
        ident, slot = on_air[choice % len(on_air)]
        sightings.append(Sighting(bytes(12), ident, -60, slot.start_ms + late_ms))
    plain = match_sightings(sightings, CaseIndex(cases))
    assert match_sightings(sightings, index_for_sightings(cases, sightings, 0, at_once)) == plain
    assert match_sightings(sightings, index_for_sightings(cases, sightings)) == plain


def test_a_log_of_nothing_meets_nobody():
    assert len(index_for_sightings([case(1)], [], small_ids=-1)) == 0
