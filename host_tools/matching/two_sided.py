"""The two-sided check: who was near a case is in the case's own log as well.

An id that somebody relays or replays elsewhere is heard there, but whoever hears it is not heard where the id's owner
is. So a long and strong contact that only one of two logs has stands out. Possible only where both logs are at hand,
as those of two tokens of one organisation, or the exports of two phones.

The check speaks of contacts that are long and strong enough to be sure of an answer; it says nothing of the others. A
relay that works in both directions at once is not found: both logs then have what both would have had.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from host_tools.matching.exposures import Encounter
from host_tools.matching.risk import Span, covered_s
from host_tools.matching.stretches import Contact, Stretch, answers, contacts, stretches

LONG_S = 480  # shorter contacts may have been missed by one side
STRONG_DBM = -75.0  # those farther away too: the table of a token in a crowd gives them up first
_ASYMMETRY_DB = 15.0  # antennas, bodies and boards make one direction stronger than the other
_PIECE_S = 240  # of the ids of a stretch, those heard for so long must be answered
_COVERED = 1 / 3  # of a stretch that known ids must cover
_ANSWERED = 0.75  # of the ids of a stretch, by time, must be answered when the other's ids are not known

Judged = Literal["confirmed", "one_sided", "unjudged"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What the check says of one contact.

    Attributes:
        judged: "confirmed" by the other log; "one_sided": long and strong here, absent there, so a relay or replay is
            suspected; "unjudged": too short, too weak, or outside what the other log reaches.
        certain: whether the other side's ids were known; else an unknown id could vouch or fail to.
    """

    judged: Judged
    span: Span
    rssi_mean_dbm: float
    certain: bool


def check(
    heard: Iterable[Encounter],
    log: Iterable[Encounter],
    other_log: Collection[Encounter],
    reach_s: Span | None = None,
    own_ids: Collection[bytes] | None = None,
) -> list[Finding]:
    """Compare what one log has of an owner with the owner's own log.

    Args:
        heard: the encounters with ids of the owner, such as those of a case.
        log: all encounters of the log that `heard` is from.
        other_log: all encounters of the owner's log.
        reach_s: from when to when the owner's log is complete (its oldest record, its last sync), Unix s; by default
            from its first to its last encounter.
        own_ids: ids of the log's wearer; None when they are not known, as with tokens. Then an encounter with any id
            that is not in `log` can be the answer: a token never hears itself.
    """
    there = contacts(other_log)
    reach_s = reach_s or _reach(there)
    if own_ids is None:
        known_here = {encounter.bluezone_id for encounter in log}
        candidates = [each for each in there if each.bluezone_id not in known_here]
    else:
        candidates = [each for each in there if each.bluezone_id in own_ids]
    mine = contacts(heard)
    strong = [each for each in mine if each.rssi_mean_dbm >= STRONG_DBM]
    weak = [each for each in mine if each.rssi_mean_dbm < STRONG_DBM]
    found = []
    for stretch in sorted([*stretches(strong), *stretches(weak)], key=lambda each: each.span):
        judged: Judged = "unjudged"
        if _answerable(stretch, reach_s):
            confirmed = _vouched(stretch, candidates) if own_ids is None else _covered(stretch, candidates)
            judged = "confirmed" if confirmed else "one_sided"
        found.append(Finding(judged, stretch.span, stretch.rssi_mean_dbm, own_ids is not None))
    return found


def _reach(log: list[Contact]) -> Span:
    return (log[0].start_s, max(each.end_s for each in log)) if log else (0.0, 0.0)


def _answerable(stretch: Stretch, reach_s: Span) -> bool:
    start_s, end_s = stretch.span
    reached = reach_s[0] <= start_s and end_s <= reach_s[1]
    return reached and stretch.seconds >= LONG_S and stretch.rssi_mean_dbm >= STRONG_DBM


def _covered(stretch: Stretch, candidates: Iterable[Contact]) -> bool:
    start_s, end_s = stretch.span
    cut = ((max(each.start_s, start_s), min(each.end_s, end_s)) for each in candidates)
    return covered_s(span for span in cut if span[0] < span[1]) >= _COVERED * stretch.seconds


def _vouched(stretch: Stretch, candidates: Collection[Contact]) -> bool:
    pieces = [each for each in stretch.contacts if each.seconds >= _PIECE_S] or stretch.contacts
    answered = [each for each in pieces if any(answers(each, other, _ASYMMETRY_DB) for other in candidates)]
    # Somebody who sits beside the owner all day fits whole quarters of an hour; only who is the wearer fits the edges.
    edges = [each for each in pieces if each.has_edge]
    share = sum(each.seconds for each in answered) / sum(each.seconds for each in pieces)
    return share >= _ANSWERED and all(each in answered for each in edges)
