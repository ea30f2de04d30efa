"""What of the national list a wearer's log can have met: by the slot index, or by hashlib when the list is short."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from host_tools.matching.case_index import CaseIndex, Slot
from host_tools.matching.exposures import TOLERANCE_S, Encounter, days_of_encounters
from host_tools.matching.national_list import Case
from tracing.keys import DAY_S, ID_BYTES, SLOTS_PER_DAY

if TYPE_CHECKING:
    from host_tools.matching.slot_index import SlotIndex

# A tenth of a second of hashlib: below that, an index on disk and compiled kernels cost more than they save.
SMALL_LIST_IDS = 100_000


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
        import numpy as np

        from host_tools.matching.segment import Encounters

        ids = b"".join(encounter.bluezone_id for encounter in encounters)
        columns = Encounters(
            np.frombuffer(ids, "u1").reshape(-1, ID_BYTES),
            np.array([encounter.start_s for encounter in encounters], np.int64),
            np.array([encounter.duration_s for encounter in encounters], np.int64),
        )
        found: dict[bytes, set[Slot]] = {}
        for row, case, start_ms, end_ms in zip(*self._index.find(columns, tolerance_s), strict=True):
            slot = Slot(int(case), int(start_ms), int(end_ms))
            found.setdefault(encounters[row].bluezone_id, set()).add(slot)
        return FoundSlots({bluezone_id: sorted(slots) for bluezone_id, slots in found.items()})


def _ids_of(cases: Sequence[Case]) -> int:
    """About how many ids the list has; an entry with another `max` than 96 is expanded with hashlib in any case."""
    seconds = sum(case.time_end - case.time_start + DAY_S for case in cases if case.max == SLOTS_PER_DAY)
    return seconds * SLOTS_PER_DAY // DAY_S
