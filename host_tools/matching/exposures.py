"""Sightings and encounters matched to cases.

A match is a logged id equal to a case's id, logged while that id was on the air (both ends of the slot
included).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tracing.keys import DAY_S

if TYPE_CHECKING:  # the command line reads TOLERANCE_S at its start
    from host_tools.matching.case_index import CaseIndex, Slot
    from host_tools.matching.trace_log import Sighting

# A token's clock may be off by this much and still match: more than it drifts in a day or two after a sync.
TOLERANCE_S = 120

_DAY_MS = DAY_S * 1000


class Encounter(Protocol):
    """What matching needs to know of a token's log record.

    `start_s` is Unix time, `duration_s` the time from the first to the last scan window that heard the id
    (0 when it was one window), `connected` means that the id was read over a connection, as from an iPhone.
    """

    @property
    def bluezone_id(self) -> bytes: ...
    @property
    def start_s(self) -> int: ...
    @property
    def duration_s(self) -> int: ...
    @property
    def windows(self) -> int: ...
    @property
    def sightings(self) -> int: ...
    @property
    def rssi_max_dbm(self) -> int: ...
    @property
    def rssi_mean_dbm(self) -> float: ...
    @property
    def connected(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Exposure:
    """What was heard of a case in one slot.

    Attributes:
        case: index in the national list.
        bluezone_id: 12 bytes.
        slot_start_s, slot_end_s: when the id was on the air, Unix s, rounded down.
        first_s, last_s: when it was first and last heard, Unix s, rounded down.
        sightings: how often it was heard.
        rssi_max_dbm, rssi_mean_dbm: over those sightings.
        pair: who heard whom, a key of the near/far thresholds in rules.toml, such as "token-ios".
        windows: scan windows that heard it; 1 where that is not known.
    """

    case: int
    bluezone_id: bytes
    slot_start_s: int
    slot_end_s: int
    first_s: int
    last_s: int
    sightings: int
    rssi_max_dbm: int
    rssi_mean_dbm: float
    pair: str
    windows: int = 1


def days_of_sightings(sightings: "Iterable[Sighting]") -> set[int]:
    """The UTC days that matching these sightings can need; at midnight both days' slots match."""
    days: set[int] = set()
    for sighting in sightings:
        days.add(sighting.time_ms // _DAY_MS)
        days.add((sighting.time_ms - 1) // _DAY_MS)
    return days


def days_of_encounters(encounters: Iterable[Encounter], tolerance_s: int = TOLERANCE_S) -> set[int]:
    """The UTC days that matching these encounters with this tolerance can need."""
    days: set[int] = set()
    for encounter in encounters:
        first_s, last_s = _span_s(encounter, tolerance_s)
        days.update(range((first_s - 1) // DAY_S, last_s // DAY_S + 1))
    return days


def match_sightings(
    sightings: "Iterable[Sighting]", index: "CaseIndex", pair: str = "android-android"
) -> list[Exposure]:
    """One exposure per (case, id, slot) with at least one sighting in it, by case, then time."""
    heard: dict[tuple[bytes, Slot], list[Sighting]] = {}
    for sighting in sightings:
        for slot in index.slots(sighting.peer_id):
            if slot.start_ms <= sighting.time_ms <= slot.end_ms:
                heard.setdefault((sighting.peer_id, slot), []).append(sighting)
    return _in_order(_exposure(bluezone_id, slot, matched, pair) for (bluezone_id, slot), matched in heard.items())


def match_encounters(
    encounters: Iterable[Encounter], index: "CaseIndex", tolerance_s: int = TOLERANCE_S
) -> list[Exposure]:
    """One exposure per encounter and slot that its time, widened by the tolerance on both sides, touches."""
    found = []
    for encounter in encounters:
        first_s, last_s = _span_s(encounter, tolerance_s)
        for slot in index.slots(encounter.bluezone_id):
            if first_s * 1000 <= slot.end_ms and last_s * 1000 >= slot.start_ms:
                found.append(
                    Exposure(
                        case=slot.case,
                        bluezone_id=encounter.bluezone_id,
                        slot_start_s=slot.start_ms // 1000,
                        slot_end_s=slot.end_ms // 1000,
                        first_s=encounter.start_s,
                        last_s=encounter.start_s + encounter.duration_s,
                        sightings=encounter.sightings,
                        rssi_max_dbm=encounter.rssi_max_dbm,
                        rssi_mean_dbm=encounter.rssi_mean_dbm,
                        pair=pair_of(encounter),
                        windows=encounter.windows,
                    )
                )
    return _in_order(found)


def pair_of(encounter: Encounter) -> str:
    """Who heard whom, as a key of the thresholds in rules.toml; tokens are heard as Android phones are."""
    return "token-ios" if encounter.connected else "token-android"


def _span_s(encounter: Encounter, tolerance_s: int) -> tuple[int, int]:
    return encounter.start_s - tolerance_s, encounter.start_s + encounter.duration_s + tolerance_s


def _exposure(bluezone_id: bytes, slot: "Slot", matched: "list[Sighting]", pair: str) -> Exposure:
    times_ms = [sighting.time_ms for sighting in matched]
    rssis_dbm = [sighting.rssi_dbm for sighting in matched]
    return Exposure(
        case=slot.case,
        bluezone_id=bluezone_id,
        slot_start_s=slot.start_ms // 1000,
        slot_end_s=slot.end_ms // 1000,
        first_s=min(times_ms) // 1000,
        last_s=max(times_ms) // 1000,
        sightings=len(matched),
        rssi_max_dbm=max(rssis_dbm),
        rssi_mean_dbm=sum(rssis_dbm) / len(rssis_dbm),
        pair=pair,
    )


def _in_order(exposures: Iterable[Exposure]) -> list[Exposure]:
    return sorted(exposures, key=lambda e: (e.case, e.slot_start_s, e.bluezone_id, e.first_s))
