"""A segment: entries of the national list, expanded, their ids sorted within each slot of 15 minutes.

An id is packed into 64 bits: the first 40 bits of the BluezoneID, then the entry's number in the segment. Equal
prefixes of different ids happen, so every find is made sure by deriving the whole id again.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from host_tools.matching import expansion, slot_search
from host_tools.matching.expansion import Array, Engine
from tracing.keys import ID_BYTES, SLOT_S, SLOTS_PER_DAY

Allocate = Callable[[int], Array]


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


class Encounters(NamedTuple):
    """Encounters in columns: ids (n, 12) bytes, start in Unix s and duration in s, both (n,) int64."""

    bluezone_ids: Array
    start_s: Array
    duration_s: Array


class Finds(NamedTuple):
    """Encounters that met an entry: three columns of the same length, int64.

    Attributes:
        rows: of the encounters.
        slots: Unix s // 900, in which the id was on the air.
        numbers: of the entries in the segment.
    """

    rows: Array
    slots: Array
    numbers: Array


def slots_touched(encounters: Encounters, tolerance_s: int) -> tuple[Array, Array]:
    """First and last slot that each encounter touches, widened by the tolerance; both ends of a slot are in it."""
    first = (encounters.start_s - tolerance_s - 1) // SLOT_S
    return first, (encounters.start_s + encounters.duration_s + tolerance_s) // SLOT_S


@dataclass(frozen=True)
class Segment:
    """Arrays, in memory or in a mapped file.

    Attributes:
        entries: ENTRY, sorted, each once.
        days: days since 1970-01-01 that have ids, ascending.
        offsets: (len(days) * 96 + 1,) where the ids of each slot begin.
        checksums: (len(days) * 96,) uint64, see `checksum`.
        ids: uint64.
    """

    entries: Array
    days: Array
    offsets: Array
    checksums: Array
    ids: Array

    @cached_property
    def _day_rows(self) -> Array:
        rows = np.full(int(self.days[-1] - self.days[0]) + 1 if len(self.days) else 0, -1)
        if len(self.days):
            rows[self.days - self.days[0]] = np.arange(len(self.days))
        return rows

    def find(self, encounters: Encounters, tolerance_s: int, using: Engine) -> Finds:
        """Every encounter that met an entry, by row, slot and entry; all 12 bytes of the ids agree."""
        if not len(self.days):
            return Finds(*(np.empty(0, np.int64) for _ in Finds._fields))
        found = Finds(
            *slot_search.search()(
                self.ids,
                self._day_rows,
                int(self.days[0]),
                self.offsets,
                expansion.prefixes_of(encounters.bluezone_ids),
                *slots_touched(encounters, tolerance_s),
            )
        )
        derived = expansion.ids_at(using, self.entries[found.numbers], found.slots)
        same = (derived == encounters.bluezone_ids[found.rows].reshape(-1, ID_BYTES)).all(axis=1)
        return Finds(*(column[same] for column in found))

    def sound_ids(self) -> bool:
        """Are the ids those that were written? Reads them all."""

        def day_is_sound(row: int) -> bool:
            places = range(row * SLOTS_PER_DAY, (row + 1) * SLOTS_PER_DAY)
            return all(checksum(self.slot(place)) == self.checksums[place] for place in places)

        with ThreadPoolExecutor(processors()) as pool:
            return all(pool.map(day_is_sound, range(len(self.days))))

    def slot(self, place: int) -> Array:
        """The packed ids of a slot: place 96 * row of the day + slot of the day."""
        return self.ids[self.offsets[place] : self.offsets[place + 1]]

    def close_slot(self, place: int) -> None:
        """Sort a slot whose ids have all been put into it."""
        self.slot(place).sort()
        self.checksums[place] = checksum(self.slot(place))


def checksum(ids: Array) -> np.uint64:
    """The sum of ids[i] * (2 i + 1), modulo 2**64: any one that changes, changes it."""
    return np.dot(ids, np.arange(1, 2 * len(ids), 2, dtype=np.uint64)) if len(ids) else np.uint64(0)


def laid_out(entries: Array, allocate: Allocate, only_day: int | None = None) -> Segment:
    """A segment whose ids and checksums are still to be filled in.

    Args:
        entries: at most 2**24, sorted.
        allocate: makes an uint64 array of a length, for the ids.
        only_day: leave out the ids of other days.
    """
    first_days = entries["first"].astype(np.int64) // SLOTS_PER_DAY
    last_days = entries["last"].astype(np.int64) // SLOTS_PER_DAY
    days = _days_covered(first_days, last_days)
    if only_day is not None:
        days = days[days == only_day]
    counts = np.zeros((len(days), SLOTS_PER_DAY + 1), np.int64)
    for row, day in enumerate(days):
        numbers = np.flatnonzero((first_days <= day) & (last_days >= day))
        first, last = _slots_of_day(entries[numbers], day)
        counts[row] += np.bincount(first, minlength=SLOTS_PER_DAY + 1)
        counts[row] -= np.bincount(last + 1, minlength=SLOTS_PER_DAY + 1)
    in_slot = np.cumsum(counts, axis=1)[:, :SLOTS_PER_DAY].ravel()
    offsets = np.concatenate([[0], np.cumsum(in_slot)])
    return Segment(entries, days, offsets, np.zeros(len(in_slot), np.uint64), allocate(int(offsets[-1])))


def expand(segment: Segment, using: Engine, workers: int) -> None:
    """Derive the ids of a segment that is laid out.

    The daily keys are walked here, in the order of the days; a day's ids are one job, of which no more are open than
    the workers need.
    """
    entries = segment.entries
    states = expansion.states_of(entries)
    at_day = entries["first"].astype(np.int64) // SLOTS_PER_DAY
    last_days = entries["last"].astype(np.int64) // SLOTS_PER_DAY

    def fill_day(row: int, numbers: Array, sub_keys: Array) -> None:
        using.first_sub_keys(sub_keys)
        first, last = _slots_of_day(entries[numbers], int(segment.days[row]))
        begin = row * SLOTS_PER_DAY
        free = segment.offsets[begin : begin + SLOTS_PER_DAY].copy()
        using.fill(sub_keys, first, last, numbers.astype(np.uint64), segment.ids, free)
        for place in range(begin, begin + SLOTS_PER_DAY):
            segment.close_slot(place)

    def jobs() -> Iterator[Callable[[], None]]:
        for row, day in enumerate(segment.days):
            numbers = np.flatnonzero((at_day <= day) & (last_days >= day))
            sub_keys = states[numbers]
            using.advance(sub_keys, day - at_day[numbers])
            states[numbers] = sub_keys
            at_day[numbers] = day
            yield lambda row=row, numbers=numbers, sub_keys=sub_keys: fill_day(row, numbers, sub_keys)

    in_turn(jobs(), workers)


def in_turn(jobs: Iterator[Callable[[], None]], workers: int) -> None:
    """Do jobs side by side, taking each only when a worker is about to be free."""
    with ThreadPoolExecutor(workers) as pool:
        open_jobs: deque[Future[None]] = deque()
        for job in jobs:
            open_jobs.append(pool.submit(job))
            if len(open_jobs) > workers:
                open_jobs.popleft().result()
        while open_jobs:
            open_jobs.popleft().result()


def _days_covered(first_days: Array, last_days: Array) -> Array:
    if not len(first_days):
        return np.empty(0, np.int64)
    origin = first_days.min()
    changes = np.zeros(int(last_days.max() - origin) + 2, np.int64)
    np.add.at(changes, first_days - origin, 1)
    np.add.at(changes, last_days + 1 - origin, -1)
    return origin + np.flatnonzero(np.cumsum(changes) > 0)


def _slots_of_day(entries: Array, day: int) -> tuple[Array, Array]:
    """First and last slot of the day that count, 0 … 95, for entries that have some there."""
    begin = day * SLOTS_PER_DAY
    first = np.maximum(entries["first"].astype(np.int64) - begin, 0)
    return first, np.minimum(entries["last"].astype(np.int64) - begin, SLOTS_PER_DAY - 1)
