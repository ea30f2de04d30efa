"""What of the national list a wearer's log can have met: by the slot index, or by hashlib when the list is short."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from host_tools.matching.case_index import CaseIndex, Slot
from host_tools.matching.exposures import TOLERANCE_S, Encounter, days_of_encounters
from host_tools.matching.national_list import Case
from tracing.keys import DAY_S, ID_BYTES, SLOTS_PER_DAY

if TYPE_CHECKING:
    from host_tools.matching.segment import Encounters
    from host_tools.matching.slot_index import SlotIndex

# A tenth of a second of hashlib: below that, an index on disk and compiled kernels cost more than they save.
SMALL_LIST_IDS = 100_000


class Logged(NamedTuple):
    """What was logged when, in columns of the same length.

    Attributes:
        ids: 12 bytes each.
        start_s, duration_s: as of an encounter.
    """

    ids: Sequence[bytes]
    start_s: Sequence[int]
    duration_s: Sequence[int]


class FoundSlots(CaseIndex):
    """The slots that were found for a log, as a CaseIndex of it has them."""

    def __init__(self, slots: dict[bytes, list[Slot]]) -> None:
        super().__init__(())
        self._slots = slots


class CaseFinder:
    """The national list, ready for one log after the other.

    Args:
        cases: of the list.
        folder: of the slot index, which is brought up to date here; None: always expand with hashlib.
        small_list_ids: lists with no more ids are expanded with hashlib for every log.

    Raises:
        UserError: the slot index cannot be written.
    """

    def __init__(self, cases: Sequence[Case], folder: Path | None = None, small_list_ids: int = SMALL_LIST_IDS) -> None:
        self._cases = cases
        self._index: SlotIndex | None = None
        if folder is not None and _ids_of(cases) > small_list_ids:
            from host_tools.matching import slot_index

            self._index = slot_index.updated(folder, cases)

    def index_for(self, encounters: Sequence[Encounter], tolerance_s: int = TOLERANCE_S) -> CaseIndex:
        """What `match_encounters` needs for these encounters and this tolerance."""
        if self._index is None:
            days = days_of_encounters(encounters, tolerance_s)
            return CaseIndex(self._cases, days, {encounter.bluezone_id for encounter in encounters})
        logged = Logged(
            [encounter.bluezone_id for encounter in encounters],
            [encounter.start_s for encounter in encounters],
            [encounter.duration_s for encounter in encounters],
        )
        found: dict[bytes, set[Slot]] = {}
        for row, case, start_ms, end_ms in zip(*self._index.find(_columns(logged), tolerance_s), strict=True):
            slot = Slot(int(case), int(start_ms), int(end_ms))
            found.setdefault(encounters[row].bluezone_id, set()).add(slot)
        return FoundSlots({bluezone_id: sorted(slots) for bluezone_id, slots in found.items()})

    def met(self, logged: Logged, tolerance_s: int = TOLERANCE_S) -> Iterator[tuple[int, int]]:
        """(row, case) of everything logged that met a case; some of them more than once."""
        if self._index is not None:
            hits = self._index.find(_columns(logged), tolerance_s)
            yield from zip(hits.rows.tolist(), hits.cases.tolist(), strict=True)
            return
        first_s = min(logged.start_s) - tolerance_s
        last_s = max(map(sum, zip(logged.start_s, logged.duration_s, strict=True))) + tolerance_s
        days = range((first_s - 1) // DAY_S, last_s // DAY_S + 1)
        index = CaseIndex(self._cases, days, set(logged.ids))
        for row, (bluezone_id, start_s, duration_s) in enumerate(zip(*logged, strict=True)):
            for slot in index.slots(bluezone_id):
                begin_ms, end_ms = (start_s - tolerance_s) * 1000, (start_s + duration_s + tolerance_s) * 1000
                if begin_ms <= slot.end_ms and end_ms >= slot.start_ms:
                    yield row, slot.case


def _columns(logged: Logged) -> "Encounters":
    import numpy as np

    from host_tools.matching.segment import Encounters

    return Encounters(
        np.frombuffer(b"".join(logged.ids), "u1").reshape(-1, ID_BYTES),
        np.array(logged.start_s, np.int64),
        np.array(logged.duration_s, np.int64),
    )


def _ids_of(cases: Sequence[Case]) -> int:
    """About how many ids the list has; an entry with another `max` than 96 is expanded with hashlib in any case."""
    seconds = sum(case.time_end - case.time_start + DAY_S for case in cases if case.max == SLOTS_PER_DAY)
    return seconds * SLOTS_PER_DAY // DAY_S
