"""BluezoneIDs of cases, ready to be looked up."""

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from host_tools.matching.national_list import Case
from tracing import keys

_DAY_MS = keys.DAY_S * 1000


class Slot(NamedTuple):
    """When an id was on the air, Unix ms, both ends included.

    `case` is the case's index in the national list.
    """

    case: int
    start_ms: int
    end_ms: int


class CaseIndex:
    """The ids of all cases, each with the slots in which it was on the air.

    Args:
        cases: of one national list.
        days: UTC days (days since 1970-01-01) to expand; None for all. The days of the logs suffice, see
            `exposures.days_of_sightings` and `days_of_encounters`.
        only_ids: keep only these ids; None for all. With the ids of the logs, memory does not grow with
            the list.

    Attributes:
        expanded: how many ids were derived.
    """

    def __init__(
        self,
        cases: Iterable[Case],
        days: Collection[int] | None = None,
        only_ids: Collection[bytes] | None = None,
    ) -> None:
        self._slots: dict[bytes, list[Slot]] = {}
        self.expanded = 0
        for case in cases:
            for bluezone_id, slot in case_slots(case, days):
                self.expanded += 1
                if only_ids is None or bluezone_id in only_ids:
                    self._slots.setdefault(bluezone_id, []).append(slot)

    def __len__(self) -> int:
        return len(self._slots)

    def slots(self, bluezone_id: bytes) -> list[Slot]:
        """Where this id (12 bytes) was on the air; empty for an id of no case."""
        return self._slots.get(bluezone_id, [])


def case_slots(case: Case, days: Collection[int] | None = None) -> Iterator[tuple[bytes, Slot]]:
    """(id, slot) of every slot of a case that overlaps time_start … time_end, on `days` (None: all)."""
    key_day = keys.day_of(case.time_start)
    daily_key = case.daily_key
    for day in range(key_day, keys.day_of(case.time_end) + 1):
        if days is not None and day not in days:
            continue
        daily_key = keys.daily_key_after(daily_key, day - key_day)
        key_day = day
        day_ms = day * _DAY_MS
        for i, bluezone_id in enumerate(keys.day_ids(daily_key, case.max)):
            # Id i is on the air from i to i + 1 parts of the day; `max` need not divide it, so round down
            # to ms.
            start_ms = day_ms + i * _DAY_MS // case.max
            end_ms = day_ms + (i + 1) * _DAY_MS // case.max
            if _counts(case, start_ms, end_ms):
                yield bluezone_id, Slot(case.index, start_ms, end_ms)


def _counts(case: Case, start_ms: int, end_ms: int) -> bool:
    """Does the slot share more than an end point with time_start … time_end, or hold both if equal?"""
    begins_in_time = start_ms < case.time_end * 1000 or start_ms <= case.time_start * 1000
    return begins_in_time and end_ms > case.time_start * 1000
