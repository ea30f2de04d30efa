"""What two logs say about each other: contacts of one that the other answers.

Two tokens that are together hear each other at the same times and about equally strong; each log then has an encounter
with an id of the other. Ids change with every quarter of an hour (UTC), so time is looked at in those pieces.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from host_tools.matching.exposures import Encounter, pair_of
from host_tools.matching.risk import Span, covered_s
from tracing.keys import SLOT_S

# Two logs of one meeting begin and end apart by up to some scan periods of 37.5 s: packets are lost.
EDGE_S = 225
_SHARE = 0.5  # of a contact that its answer must cover


@dataclass(frozen=True, slots=True)
class Contact:
    """All that a log has of one id, put together: who is not heard for a while has several records.

    Attributes:
        start_s, end_s: first and last sighting, Unix s.
        rssi_mean_dbm: over all sightings.
        pair: see exposures.pair_of.
    """

    bluezone_id: bytes
    start_s: int
    end_s: int
    rssi_mean_dbm: float
    pair: str

    @property
    def seconds(self) -> int:
        """From the first to the last sighting."""
        return self.end_s - self.start_s

    @property
    def slot(self) -> int:
        """The quarter of an hour (UTC) that holds its middle; clocks are off by seconds."""
        return (self.start_s + self.end_s) // 2 // SLOT_S

    @property
    def has_edge(self) -> bool:
        """Does it begin or end clearly within the quarter of an hour, not with its id?"""
        begins_late = self.start_s > self.slot * SLOT_S + EDGE_S
        return begins_late or self.end_s < (self.slot + 1) * SLOT_S - EDGE_S


@dataclass(frozen=True, slots=True)
class Stretch:
    """Contacts, in order of time, that follow each other without a longer gap. The mean is weighted by time."""

    span: Span
    rssi_mean_dbm: float
    contacts: tuple[Contact, ...]

    @property
    def seconds(self) -> float:
        """Time covered by the contacts; gaps between them do not count."""
        return covered_s((each.start_s, each.end_s) for each in self.contacts)


def contacts(log: Iterable[Encounter]) -> list[Contact]:
    """Put the encounters of each id together, in order of time; what is there twice counts once."""
    by_id: dict[bytes, set[Encounter]] = {}
    for encounter in log:
        by_id.setdefault(encounter.bluezone_id, set()).add(encounter)
    return sorted(
        (_contact(ident, group) for ident, group in by_id.items()), key=lambda each: (each.start_s, each.bluezone_id)
    )


def _contact(ident: bytes, group: Iterable[Encounter]) -> Contact:
    parts = list(group)
    sightings = sum(each.sightings for each in parts)
    return Contact(
        ident,
        min(each.start_s for each in parts),
        max(each.start_s + each.duration_s for each in parts),
        sum(each.sightings * each.rssi_mean_dbm for each in parts) / sightings,
        pair_of(parts[0]),
    )


def stretches(found: Iterable[Contact], gap_s: float = 2 * EDGE_S) -> list[Stretch]:
    """Join contacts, whatever their ids, that lie no more than `gap_s` apart."""
    groups: list[list[Contact]] = []
    until_s = float("-inf")
    for each in sorted(found, key=lambda each: (each.start_s, each.end_s)):
        if each.start_s > until_s + gap_s:
            groups.append([])
        groups[-1].append(each)
        until_s = max(until_s, each.end_s)
    return [_stretch(group) for group in groups]


def _stretch(group: Sequence[Contact]) -> Stretch:
    weights = [each.seconds + 1 for each in group]
    total = sum(weight * each.rssi_mean_dbm for weight, each in zip(weights, group, strict=True))
    span = (group[0].start_s, max(each.end_s for each in group))
    return Stretch(span, total / sum(weights), tuple(group))


def answers(contact: Contact, other: Contact, asymmetry_db: float) -> bool:
    """Could `other`, of another log, be the same meeting seen from there?

    The same quarter of an hour, about the same beginning and end, and no stronger or weaker than by `asymmetry_db`:
    antennas, bodies and boards differ.
    """
    return (
        contact.slot == other.slot
        and abs(contact.start_s - other.start_s) <= EDGE_S
        and abs(contact.end_s - other.end_s) <= EDGE_S
        and abs(contact.rssi_mean_dbm - other.rssi_mean_dbm) <= asymmetry_db
        and common_s(contact, other) >= _SHARE * contact.seconds
    )


def common_s(contact: Contact, other: Contact) -> int:
    """Seconds that two contacts have in common."""
    return max(0, min(contact.end_s, other.end_s) - max(contact.start_s, other.start_s))
