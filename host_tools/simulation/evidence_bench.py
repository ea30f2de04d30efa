"""How far two logs can be believed: `make bench-evidence`. All simulated; see desk_logs.py.

Honest pairs sit 0.5 to 2 m apart for 12 to 60 minutes, with up to six others around. In a replay an id's owner sits
with up to six others in one room, and somebody plays the id in another, beside a victim who sits with up to six
others. In an office twelve wearers share four rooms for three hours and change places every 20 to 60 minutes.
"""

import argparse
from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from random import Random

from host_tools.matching.rules import Rules, load_rules
from host_tools.matching.second_degree import together
from host_tools.matching.two_sided import Judged, check

from .desk_logs import Relay, TokenLog, live
from .scenario import Person, Place

START_S = 1_597_024_800  # 2020-08-10 09:00 in Viet Nam
_NEAR_M = 2.0
_STEP_S = 30
_ROOM_M = 6.0
_AWAY_M = 80.0  # out of range, and a minute's walk
_LEEWAY_S = 900


@dataclass(frozen=True)
class Verdicts:
    """How often a contact was judged how, with the other side's ids known and not."""

    known: Counter[Judged]
    unknown: Counter[Judged]


def _sitting(name: str, x_m: float, y_m: float, room: str, come_s: float = 0.0, go_s: float = 1e9) -> Person:
    there, away = Place(x_m, y_m, room), Place(x_m, y_m - _AWAY_M, f"away {name}")
    arrival = ((0.0, away), (come_s, there)) if come_s else ((0.0, there),)
    return Person(name, "token", (*arrival, (go_s, away)))


def _company(random: Random, room: str, duration_s: float) -> list[Person]:
    """Up to six others in a room, who come and go when they like."""
    found = []
    for n in range(random.randint(0, 6)):
        come_s = random.uniform(0, duration_s / 2)
        go_s = random.uniform(come_s + 300, duration_s + 1800)
        at = (random.uniform(0, _ROOM_M), random.uniform(0, _ROOM_M))
        found.append(_sitting(f"{room} {n}", *at, room, come_s, go_s))
    return found


def _judge(logs: dict[str, TokenLog], victim: str, owner: str, reach_s: tuple[float, float], counts: Verdicts) -> None:
    log, other = logs[victim], logs[owner]
    owners_ids = set(other.ids.values())
    heard = [each for each in log.encounters if each.bluezone_id in owners_ids]
    for own_ids, counter in ((set(log.ids.values()), counts.known), (None, counts.unknown)):
        found = {each.judged for each in check(heard, log.encounters, other.encounters, reach_s, own_ids)}
        counter["one_sided" if "one_sided" in found else "confirmed" if "confirmed" in found else "unjudged"] += 1


def honest(count: int, seed: int = 1) -> Verdicts:
    """Pairs who really sat together."""
    random = Random(seed)
    counts = Verdicts(Counter(), Counter())
    for _ in range(count):
        lasts_s = random.uniform(720, 3600)
        come_s = random.uniform(0, 900)
        at = random.uniform(0, _ROOM_M), random.uniform(0, _ROOM_M)
        people = [
            _sitting("victim", *at, "room", come_s, come_s + lasts_s),
            _sitting("owner", at[0] + random.uniform(0.5, _NEAR_M), at[1], "room", come_s, come_s + lasts_s),
            *_company(random, "room", come_s + lasts_s),
        ]
        whole_s = int(come_s + lasts_s) + _LEEWAY_S
        logs = live(people, START_S, whole_s, random)
        _judge(logs, "victim", "owner", (START_S, START_S + whole_s), counts)
    return counts


def replayed(count: int, seed: int = 2) -> Verdicts:
    """Victims beside whom somebody played the id of an owner who was elsewhere."""
    random = Random(seed)
    counts = Verdicts(Counter(), Counter())
    for _ in range(count):
        lasts_s = random.uniform(720, 3600)
        from_s = random.uniform(0, 900)
        whole_s = int(from_s + lasts_s) + _LEEWAY_S
        people = [
            _sitting("victim", 3.0, 3.0, "here"),
            _sitting("owner", 103.0, 3.0, "there"),
            *_company(random, "here", whole_s),
            *(_moved(person, 100.0) for person in _company(random, "there", whole_s)),
        ]
        relay = Relay("owner", "victim", from_s, from_s + lasts_s, random.uniform(-68, -50))
        logs = live(people, START_S, whole_s, random, [relay])
        _judge(logs, "victim", "owner", (START_S, START_S + whole_s), counts)
    return counts


def _moved(person: Person, by_m: float) -> Person:
    stays = tuple((t_s, Place(at.x_m + by_m, at.y_m, at.room)) for t_s, at in person.stays)
    return Person(person.name, person.device, stays)


@dataclass
class PairsFound:
    """Pairs of an office: those truly near for the rule's time, those that two logs call so, and both."""

    true: int = 0
    told: int = 0
    right: int = 0


def offices(count: int, rules: Rules, seed: int = 3, people: int = 12, rooms: int = 4) -> PairsFound:
    """Second degree in offices: which pairs two logs say were together, against the truth."""
    random = Random(seed)
    found = PairsFound()
    whole_s = 3 * 3600
    for _ in range(count):
        staff = [_restless(f"p{n}", random, rooms, whole_s) for n in range(people)]
        logs = live(staff, START_S, whole_s, random)
        for one, other in combinations(staff, 2):
            days = together(logs[one.name].encounters, logs[other.name].encounters, rules)
            told = any(day.minutes >= rules.on(day.day).minutes for day in days)
            true = _near_minutes(one, other, whole_s) >= rules.rules[0].minutes
            found.told += told
            found.true += true
            found.right += told and true
    return found


def _restless(name: str, random: Random, rooms: int, whole_s: int) -> Person:
    stays = []
    t_s = 0.0
    while t_s < whole_s:
        room = random.randrange(rooms)  # rooms lie in a row, a wall between them
        desk = random.randrange(4)
        at_m = (room * (_ROOM_M + 0.2) + 1 + desk % 2 * 4 + random.uniform(0, 1.2), 1 + desk // 2 * 4 + random.random())
        stays.append((t_s, Place(*at_m, f"room {room}")))
        t_s += random.uniform(1200, 3600)
    return Person(name, "token", tuple(stays))


def _near_minutes(one: Person, other: Person, whole_s: int) -> float:
    steps = 0
    for t_s in range(0, whole_s, _STEP_S):
        (ax, ay, a_room), (bx, by, b_room) = one.position(t_s), other.position(t_s)
        steps += a_room == b_room and (ax - bx) ** 2 + (ay - by) ** 2 <= _NEAR_M**2
    return steps * _STEP_S / 60


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=4000)
    parser.add_argument("--replays", type=int, default=1000)
    parser.add_argument("--offices", type=int, default=40)
    given = parser.parse_args()
    for what, counts in (("honest pairs", honest(given.pairs)), ("replays", replayed(given.replays))):
        for ids, counter in (("known", counts.known), ("unknown", counts.unknown)):
            told = ", ".join(f"{each} {counter[each]}" for each in ("confirmed", "one_sided", "unjudged"))
            print(f"{what}, ids of the other side {ids}: {told}")
    found = offices(given.offices, load_rules())
    print(
        f"second degree in {given.offices} offices: {found.true} pairs truly near for the rule's time; "
        f"two logs tell {found.told}, of them rightly {found.right}"
    )


if __name__ == "__main__":
    main()
