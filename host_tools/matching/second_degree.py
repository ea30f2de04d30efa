"""F2 from stored logs: whose token was near an F1's, as far as two logs can say.

The exact way is a list of F1s: keys that they have released are matched as those of cases are. Without keys nobody
knows an F1's ids, and that is meant. What an organisation has are the logs of its own tokens. Two of them that were
near each other have contacts that answer each other (stretches.py). The id of a third who was near both is in both
logs, and is left out; the id that the other hears of me is in no log of mine.

That is evidence, not proof: two pairs in two places at their desks all day look alike. So quarters of an hour that
follow each other count only if in one of them both logs share a third id, which means the same place, or a beginning
or an end that is not the quarter's own agrees. The result is for the clerk, who asks; no token shows it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from host_tools.matching.exposures import Encounter
from host_tools.matching.risk import Span, covered_s, to_minutes
from host_tools.matching.rules import Rules
from host_tools.matching.stretches import Contact, answers, common_s, contacts
from host_tools.matching.verdict import vietnam_day

_ASYMMETRY_DB = 10.0
_LONG_S = 120  # a shorter contact has no edges to speak of


@dataclass(frozen=True, slots=True)
class Together:
    """Two wearers who were probably near each other on one day (Viet Nam time), and for how many minutes."""

    day: date
    minutes: int


def together(log: Collection[Encounter], other_log: Collection[Encounter], rules: Rules) -> list[Together]:
    """The days on which two tokens were probably near each other, oldest first.

    Args:
        log, other_log: all encounters of the two tokens in the days in question.
    """
    here, there = _by_slot(log), _by_slot(other_log)
    days: dict[date, list[Span]] = defaultdict(list)
    run: list[_Piece] = []
    for slot in sorted(here.keys() & there.keys()):
        if run and slot > run[-1].slot + 1:
            _keep(run, days)
            run = []
        run += _pieces(slot, here[slot], there[slot], rules)
    _keep(run, days)
    return [Together(day, to_minutes(covered_s(spans))) for day, spans in sorted(days.items())]


def second_degree(
    f1_log: Collection[Encounter], exposed: date, others: Mapping[bytes, Collection[Encounter]], rules: Rules
) -> dict[bytes, list[Together]]:
    """Who was near an F1 long enough, from the day of the exposure on.

    Args:
        f1_log: of the F1's token.
        exposed: the day in Viet Nam on which the F1 met the case.
        others: by serial, the logs of the organisation's other tokens.

    Returns:
        By serial, the days that reach the minutes of their rule; tokens without such a day are missing.
    """
    since = _from(f1_log, exposed)
    found = {}
    for serial, log in others.items():
        days = together(since, _from(log, exposed), rules)
        enough = [each for each in days if each.minutes >= rules.on(each.day).minutes]
        if enough:
            found[serial] = enough
    return found


def _from(log: Iterable[Encounter], day: date) -> list[Encounter]:
    return [each for each in log if vietnam_day(each.start_s) >= day]


def _by_slot(log: Iterable[Encounter]) -> dict[int, list[Contact]]:
    found: dict[int, list[Contact]] = defaultdict(list)
    for each in contacts(log):
        found[each.slot].append(each)
    return found


def _counts(contact: Contact, shared: Collection[bytes], rules: Rules) -> bool:
    near = contact.rssi_mean_dbm + rules.rssi_offset_db >= rules.near_dbm[contact.pair]
    return near and contact.seconds >= _LONG_S and contact.bluezone_id not in shared


class _Piece(NamedTuple):
    """Time of a quarter of an hour in which contacts answer each other; `backed` by a shared id or a common edge."""

    slot: int
    span: Span
    backed: bool


def _pieces(slot: int, here: list[Contact], there: list[Contact], rules: Rules) -> list[_Piece]:
    shared = {each.bluezone_id for each in here} & {each.bluezone_id for each in there}
    mine = [each for each in here if _counts(each, shared, rules)]
    others = [each for each in there if _counts(each, shared, rules)]
    found = []
    for contact, other in _pairs(mine, others):
        end_s = min(contact.end_s, other.end_s) + rules.scan_period_s
        span = (max(contact.start_s, other.start_s), end_s)
        found.append(_Piece(slot, span, bool(shared) or contact.has_edge))
    return found


def _keep(run: list[_Piece], days: dict[date, list[Span]]) -> None:
    """Count quarters of an hour that follow each other, if one of them is more than the quarters' own rhythm."""
    if any(piece.backed for piece in run):
        for piece in run:
            days[vietnam_day(piece.span[0])].append(piece.span)


def _pairs(mine: list[Contact], others: list[Contact]) -> list[tuple[Contact, Contact]]:
    """Contacts that answer each other, the longest in common first, each used once."""
    possible = [(a, b) for a in mine for b in others if answers(a, b, _ASYMMETRY_DB)]
    chosen: list[tuple[Contact, Contact]] = []
    for a, b in sorted(possible, key=lambda pair: -common_s(*pair)):
        if all(a is not used and b is not answer for used, answer in chosen):
            chosen.append((a, b))
    return chosen
