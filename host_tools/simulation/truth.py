"""Ground truth of a scenario: who really was within two metres of whom, and when. No radio is involved."""

import math
from dataclasses import dataclass
from itertools import combinations

from .scenario import Scenario

NEAR_M = 2.0
STEP_S = 5.0


@dataclass(frozen=True)
class Meeting:
    """A stretch of time in which two people were within NEAR_M of each other, in seconds since the start."""

    first: str
    second: str
    from_s: float
    to_s: float

    @property
    def minutes(self) -> float:
        return (self.to_s - self.from_s) / 60


def distance_m(scenario: Scenario, first: str, second: str, t_s: float) -> float:
    """Metres between two people; infinite when a wall is between them."""
    ax, ay, a_room = scenario.person(first).position(t_s)
    bx, by, b_room = scenario.person(second).position(t_s)
    return math.dist((ax, ay), (bx, by)) if a_room == b_room else math.inf


def meetings(scenario: Scenario) -> list[Meeting]:
    """Every meeting of every pair, in order of pair and time."""
    result = []
    for first, second in combinations([person.name for person in scenario.people], 2):
        since: float | None = None
        steps = int(scenario.duration_s / STEP_S)
        for step in range(steps + 1):
            t_s = step * STEP_S
            near = step < steps and distance_m(scenario, first, second, t_s) <= NEAR_M
            if near and since is None:
                since = t_s
            elif not near and since is not None:
                result.append(Meeting(first, second, since, t_s))
                since = None
    return result


def near_minutes(found: list[Meeting], name: str, others: set[str]) -> float:
    """Minutes that `name` spent within two metres of any of `others`; overlapping meetings count once."""
    spans = sorted(
        (meeting.from_s, meeting.to_s)
        for meeting in found
        if (meeting.first == name and meeting.second in others) or (meeting.second == name and meeting.first in others)
    )
    total_s = 0.0
    end_s = -math.inf
    for from_s, to_s in spans:
        total_s += max(0.0, to_s - max(from_s, end_s))
        end_s = max(end_s, to_s)
    return total_s / 60
