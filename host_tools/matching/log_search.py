"""What of a list a phone's log can have met: by hashlib, or for long lists by the compiled kernels, in memory.

A log is matched once, so nothing is kept on the disk: the ids of one day and some cases are derived, looked up and let
go of. For one log after the other see case_finder.
"""

from collections.abc import Iterator, Sequence

from host_tools.matching.case_finder import FoundSlots
from host_tools.matching.case_index import CaseIndex, Slot
from host_tools.matching.exposures import days_of_sightings
from host_tools.matching.national_list import Case
from host_tools.matching.trace_log import Sighting
from tracing.keys import ID_BYTES, SLOT_S, SLOTS_PER_DAY

SMALL_IDS = 500_000  # hashlib derives them in the time that the kernels take to load
CASES_AT_ONCE = 250_000  # 192 MB of ids a day
_SLOT_MS = SLOT_S * 1000


def index_for_sightings(
    cases: Sequence[Case], sightings: Sequence[Sighting], small_ids: int = SMALL_IDS, at_once: int = CASES_AT_ONCE
) -> CaseIndex:
    """What `match_sightings` needs for these sightings.

    Args:
        small_ids: up to so many ids of the list on the log's days are derived with hashlib.
        at_once: cases whose ids of a day are in memory together.
    """
    days = days_of_sightings(sightings)
    if len(cases) * len(days) * SLOTS_PER_DAY <= small_ids:
        return CaseIndex(cases, days, {sighting.peer_id for sighting in sightings})
    # One row for each id and quarter of an hour; match_sightings looks at the moments.
    heard = sorted({(sighting.peer_id, sighting.time_ms // _SLOT_MS) for sighting in sightings})
    found: dict[bytes, set[Slot]] = {}
    for row, slot in _met(cases, heard, sorted(days), at_once):
        found.setdefault(heard[row][0], set()).add(slot)
    return FoundSlots({bluezone_id: sorted(slots) for bluezone_id, slots in found.items()})


def _met(
    cases: Sequence[Case], heard: list[tuple[bytes, int]], days: list[int], at_once: int
) -> Iterator[tuple[int, Slot]]:
    import numpy as np

    from host_tools.matching import expansion
    from host_tools.matching.listed_cases import Hits, ListedCases
    from host_tools.matching.segment import Encounters, expand, laid_out, processors

    listed, using = ListedCases.of(cases), expansion.engine()
    ids = np.frombuffer(b"".join(bluezone_id for bluezone_id, _ in heard), "u1").reshape(-1, ID_BYTES)
    start_s = np.array([slot for _, slot in heard], np.int64) * SLOT_S
    encounters = Encounters(ids, start_s, np.full(len(heard), SLOT_S, np.int64))

    def slots(hits: Hits) -> Iterator[tuple[int, Slot]]:
        for row, case, start_ms, end_ms in zip(*hits, strict=True):
            yield int(row), Slot(int(case), int(start_ms), int(end_ms))

    yield from slots(listed.find_odd(encounters, 0))
    entries = np.unique(listed.texts).view(expansion.ENTRY)
    first, last = (entries[end].astype(np.int64) // SLOTS_PER_DAY for end in ("first", "last"))
    for day in days:
        of_day = entries[(first <= day) & (last >= day)]
        for begin in range(0, len(of_day), at_once):
            some = of_day[begin : begin + at_once]
            segment = laid_out(some, lambda length: np.empty(length, np.uint64), only_day=day)
            expand(segment, using, processors())
            yield from slots(listed.hits(segment, segment.find(encounters, 0, using)))
