"""What came of a scenario: every pair that was close, and whether their devices have noticed."""

from collections.abc import Iterable
from dataclasses import dataclass

from host_tools.storage.store import Encounter
from tracing import keys

from .scenario import Scenario
from .truth import Meeting
from .world import World

CLOSE_MINUTES = 5  # from so long a meeting on, a device must have noticed


@dataclass(frozen=True)
class Owner:
    """Whose BluezoneID, and from when to when it was on the air (Unix s)."""

    name: str
    from_s: int
    to_s: int


@dataclass(frozen=True)
class PairOutcome:
    """Whether `hearer` has logged `heard`, with whom they spent `minutes` within two metres."""

    hearer: str
    heard: str
    minutes: float
    found: bool


def owners(world: World) -> dict[bytes, Owner]:
    """Every id that any device of the scenario had or could have had on the air on its day."""
    day = keys.day_of(world.scenario.start_s)
    result = {}
    for person in world.scenario.people:
        for slot, ident in enumerate(keys.day_ids(world.base_id(person.name))):
            start_s = day * keys.DAY_S + slot * keys.SLOT_S
            result[ident] = Owner(person.name, start_s, start_s + keys.SLOT_S)
    return result


def false_encounters(encounters: Iterable[Encounter], known: dict[bytes, Owner], slack_s: int = 60) -> list[Encounter]:
    """Encounters with an id that nobody had at that time."""
    wrong = []
    for encounter in encounters:
        owner = known.get(encounter.bluezone_id)
        end_s = encounter.start_s + encounter.duration_s
        if owner is None or encounter.start_s < owner.from_s - slack_s or end_s > owner.to_s + slack_s:
            wrong.append(encounter)
    return wrong


def pair_outcomes(
    scenario: Scenario, meetings: list[Meeting], heard: dict[str, set[str]], known: Iterable[str]
) -> list[PairOutcome]:
    """Every direction of every pair that met for CLOSE_MINUTES or more in all.

    Args:
        heard: by hearer, the names whose ids the device has logged.
        known: the hearers whose logs are at hand.
    """
    minutes: dict[tuple[str, str], float] = {}
    for meeting in meetings:
        pair = (meeting.first, meeting.second)
        minutes[pair] = minutes.get(pair, 0.0) + meeting.minutes
    hearers = set(known)
    result = []
    for (first, second), total in sorted(minutes.items()):
        if total < CLOSE_MINUTES:
            continue
        for hearer, other in ((first, second), (second, first)):
            if hearer in hearers:
                result.append(PairOutcome(hearer, other, total, other in heard.get(hearer, set())))
    return result
