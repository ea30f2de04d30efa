"""Where encounters meet the packed ids of a segment, compiled by numba.

`slot_search.find_plainly` is the same in numpy.
"""

import numpy as np
from numba import njit

from host_tools.matching.expansion import CASE_BITS, PREFIX_BYTES
from tracing.keys import SLOTS_PER_DAY

_PREFIX_BITS = np.uint64(8 * PREFIX_BYTES)
_CASE_MASK = np.uint64((1 << CASE_BITS) - 1)
_NEAR = 8  # the first step away from where an id should lie


@njit(nogil=True, cache=True)
def _lower_bound(ids, begin, end, sought, guess):
    """The first place in the sorted ids[begin:end] that is not below `sought`, looked for outwards from `guess`."""
    low, high, step = begin, end, _NEAR
    if ids[guess] < sought:
        low = guess + 1
        while low + step < end and ids[low + step] < sought:
            low += step + 1
            step *= 2
        high = min(low + step, end)
    else:
        high = guess
        while high - step >= begin and ids[high - step] >= sought:
            high -= step
            step *= 2
        low = max(high - step, begin)
    while low < high:
        middle = (low + high) >> 1
        if ids[middle] < sought:
            low = middle + 1
        else:
            high = middle
    return low


@njit(nogil=True, cache=True)
def find(ids, day_rows, first_day, offsets, prefixes, first, last, rows, slots, cases):
    """Every packed id that has an encounter's prefix in a slot that the encounter touches.

    Args:
        ids, offsets: of the segment.
        day_rows: (days,), the row of each day from `first_day` on, -1 for a day that the segment lacks.
        prefixes: (n,) of the encounters.
        first, last: (n,) slots that each one touches, both included.
        rows, slots, cases: receive the finds, as many as they hold.

    Returns:
        How many there are: call again with longer arrays when these were too short.
    """
    count = 0
    begin_slot = first_day * SLOTS_PER_DAY
    end_slot = begin_slot + len(day_rows) * SLOTS_PER_DAY
    for row in range(len(prefixes)):
        prefix = prefixes[row]
        sought = prefix << np.uint64(CASE_BITS)
        for slot in range(max(first[row], begin_slot), min(last[row] + 1, end_slot)):
            day_row = day_rows[(slot - begin_slot) // SLOTS_PER_DAY]
            if day_row < 0:
                continue
            place = day_row * SLOTS_PER_DAY + slot % SLOTS_PER_DAY
            begin, end = offsets[place], offsets[place + 1]
            if begin == end:
                continue
            # Ids are as good as random: one with this prefix lies about that far into the slot.
            guess = begin + np.int64((prefix * np.uint64(end - begin)) >> _PREFIX_BITS)
            at = _lower_bound(ids, begin, end, sought, guess)
            while at < end and ids[at] >> np.uint64(CASE_BITS) == prefix:
                if count < len(rows):
                    rows[count] = row
                    slots[count] = slot
                    cases[count] = np.int64(ids[at] & _CASE_MASK)
                count += 1
                at += 1
    return count
