"""Looking encounters up in the sorted ids of a segment."""

from collections.abc import Callable
from functools import cache

import numpy as np

from host_tools.matching.expansion import CASE_BITS, Array
from tracing.keys import SLOTS_PER_DAY

# (ids, day_rows, first_day, offsets, prefixes, first, last) -> (rows, slots, cases); see `search_kernel.find`.
Search = Callable[[Array, Array, int, Array, Array, Array, Array], tuple[Array, Array, Array]]


@cache
def search() -> Search:
    """The fastest search that works here."""
    try:
        from host_tools.matching import search_kernel
    except (ImportError, OSError):
        return find_plainly

    def find_compiled(
        ids: Array, day_rows: Array, first_day: int, offsets: Array, prefixes: Array, first: Array, last: Array
    ) -> tuple[Array, Array, Array]:
        capacity = 1024 + len(prefixes) // 16
        while True:
            rows, slots, cases = (np.empty(capacity, np.int64) for _ in range(3))
            count = search_kernel.find(
                ids, day_rows, first_day, offsets, prefixes, first, last, rows, slots, cases
            )  # fmt: skip
            if count <= capacity:
                return rows[:count], slots[:count], cases[:count]
            capacity = count

    return find_compiled


def find_plainly(
    ids: Array, day_rows: Array, first_day: int, offsets: Array, prefixes: Array, first: Array, last: Array
) -> tuple[Array, Array, Array]:
    """The search in numpy alone, slot by slot."""
    begin_slot = first_day * SLOTS_PER_DAY
    first = np.maximum(first, begin_slot)
    touched = np.maximum(np.minimum(last, begin_slot + len(day_rows) * SLOTS_PER_DAY - 1) - first + 1, 0)
    rows = np.repeat(np.arange(len(prefixes)), touched)
    slots = np.arange(len(rows)) - np.repeat(np.cumsum(touched) - touched, touched) + first[rows]
    nothing = np.empty(0, np.int64)
    found = [(nothing, nothing, nothing)]
    by_slot = np.argsort(slots, kind="stable")
    every, begins = np.unique(slots[by_slot], return_index=True)
    for slot, members in zip(every, np.split(by_slot, begins[1:]), strict=bool(len(every))):
        day_row = day_rows[(slot - begin_slot) // SLOTS_PER_DAY]
        if day_row >= 0:
            place = day_row * SLOTS_PER_DAY + slot % SLOTS_PER_DAY
            in_slot = ids[offsets[place] : offsets[place + 1]]
            sought = prefixes[rows[members]] << np.uint64(CASE_BITS)
            begin = np.searchsorted(in_slot, sought)
            lengths = np.searchsorted(in_slot, sought | np.uint64((1 << CASE_BITS) - 1), side="right") - begin
            hits = np.repeat(np.arange(len(members)), lengths)
            at = np.arange(len(hits)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + begin[hits]
            cases = (in_slot[at] & np.uint64((1 << CASE_BITS) - 1)).astype(np.int64)
            found.append((rows[members[hits]], np.full(len(hits), slot), cases))
    all_rows, all_slots, all_cases = (np.concatenate(columns) for columns in zip(*found, strict=True))
    order = np.lexsort((all_cases, all_slots, all_rows))
    return all_rows[order], all_slots[order], all_cases[order]
