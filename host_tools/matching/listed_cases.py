"""The cases of a national list beside the segments that hold their ids."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from host_tools.matching import expansion
from host_tools.matching.case_index import CaseIndex
from host_tools.matching.expansion import Array
from host_tools.matching.exposures import TOLERANCE_S
from host_tools.matching.national_list import Case
from host_tools.matching.segment import Encounters, Finds, Segment
from tracing.keys import DAY_S, KEY_BYTES, SLOT_S, SLOTS_PER_DAY


class Hits(NamedTuple):
    """Encounters that met a case, in columns of the same length, int64.

    Attributes:
        rows: of the encounters.
        cases: index in the national list.
        slot_start_ms, slot_end_ms: when the id was on the air, Unix ms.
    """

    rows: Array
    cases: Array
    slot_start_ms: Array
    slot_end_ms: Array


class ListedCases:
    """Which entry is which case: the place in the list changes from list to list, the entry does not.

    Args:
        daily_keys: (n, 32) bytes; time_start, time_end: (n,) int64, Unix s; index: (n,) int64, in the list. Of the
            cases with 96 ids a day.
        odd: the cases whose `max` is another.

    Attributes:
        texts: the entries of the cases, sorted; see `expansion.as_texts`.
    """

    def __init__(
        self, daily_keys: Array, time_start: Array, time_end: Array, index: Array, odd: Sequence[Case]
    ) -> None:
        texts = expansion.as_texts(expansion.entries_of(daily_keys, time_start, time_end))
        order = np.argsort(texts)
        self.texts = texts[order]
        self._index = index[order]
        self._odd = odd

    @classmethod
    def of(cls, cases: Sequence[Case]) -> Self:
        """The cases of a list that has been read."""
        regular = [case for case in cases if case.max == SLOTS_PER_DAY]
        daily_keys = np.frombuffer(b"".join(case.daily_key for case in regular), "u1").reshape(-1, KEY_BYTES)
        columns = np.array([(c.time_start, c.time_end, c.index) for c in regular], np.int64).reshape(-1, 3)
        odd = [case for case in cases if case.max != SLOTS_PER_DAY]
        return cls(daily_keys, columns[:, 0], columns[:, 1], columns[:, 2], odd)

    def hits(self, segment: Segment, finds: Finds) -> Hits:
        """What a segment found: a retracted entry yields nothing, one that is listed twice yields two."""
        texts = expansion.as_texts(segment.entries[finds.numbers])
        begin = np.searchsorted(self.texts, texts)
        times = np.searchsorted(self.texts, texts, side="right") - begin
        rows, slots = np.repeat(finds.rows, times), np.repeat(finds.slots, times)
        at = np.arange(len(rows)) - np.repeat(np.cumsum(times) - times, times) + np.repeat(begin, times)
        start_ms = slots * (SLOT_S * 1000)
        return Hits(rows, self._index[at], start_ms, start_ms + SLOT_S * 1000)

    @property
    def has_odd(self) -> bool:
        """Are there cases whose `max` is not 96?"""
        return bool(self._odd)

    def find_odd(self, encounters: Encounters, tolerance_s: int = TOLERANCE_S) -> Hits:
        """The hits of cases whose `max` is not 96: their ids do not keep to slots of 15 minutes."""
        found: list[tuple[int, int, int, int]] = []
        if self._odd and len(encounters.start_s):
            first_s = encounters.start_s - tolerance_s
            last_s = encounters.start_s + encounters.duration_s + tolerance_s
            logged = [bytes(bluezone_id) for bluezone_id in encounters.bluezone_ids]
            days = range((int(first_s.min()) - 1) // DAY_S, int(last_s.max()) // DAY_S + 1)
            index = CaseIndex(self._odd, days, set(logged))
            for row, bluezone_id in enumerate(logged):
                for slot in index.slots(bluezone_id):
                    if first_s[row] * 1000 <= slot.end_ms and last_s[row] * 1000 >= slot.start_ms:
                        found.append((row, slot.case, slot.start_ms, slot.end_ms))
        return Hits(*np.array(found, np.int64).reshape(-1, 4).T)


def in_order(hits: Sequence[Hits]) -> Hits:
    """Hits together, by row, case and slot."""
    rows, cases, start_ms, end_ms = (np.concatenate(columns) for columns in zip(*hits, strict=True))
    order = np.lexsort((start_ms, cases, rows))
    return Hits(rows[order], cases[order], start_ms[order], end_ms[order])
