"""A scenario file: who is where when, with which device, and who turns out to be infected.

TOML; scenarios/office_morning.toml shows every key. Positions are metres on a floor plan; times are of the day in
Vietnam.
"""

import math
import tomllib
from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

from ..errors import UserError
from .air import Position

VIETNAM = timezone(timedelta(hours=7))
WALK_M_PER_S = 1.3
DEVICES = ("token", "android", "iphone", "iphone-background")


@dataclass(frozen=True)
class Place:
    """A point on the floor plan."""

    x_m: float
    y_m: float
    room: str


@dataclass(frozen=True)
class Person:
    """Somebody with a device.

    Attributes:
        device: one of DEVICES.
        stays: (seconds since the start at which the person sets out for it, place), in order.
        infected: found positive afterwards; the person's keys go on the national list.
        battery_mv: of the token.
    """

    name: str
    device: str
    stays: tuple[tuple[float, Place], ...]
    infected: bool = False
    battery_mv: int = 3000

    def position(self, t_s: float) -> Position:
        """Where the person is `t_s` seconds after the start; walks in a straight line from place to place."""
        times = [time for time, _ in self.stays]
        now = max(bisect_right(times, t_s) - 1, 0)
        set_out_s, goal = self.stays[now]
        if now == 0:
            return goal.x_m, goal.y_m, goal.room
        came_from = self.stays[now - 1][1]
        distance_m = math.dist((came_from.x_m, came_from.y_m), (goal.x_m, goal.y_m))
        done = (t_s - set_out_s) * WALK_M_PER_S / distance_m if distance_m else 1.0
        if done >= 1:
            return goal.x_m, goal.y_m, goal.room
        x_m = came_from.x_m + (goal.x_m - came_from.x_m) * done
        y_m = came_from.y_m + (goal.y_m - came_from.y_m) * done
        return x_m, y_m, came_from.room if done < 0.5 else goal.room


@dataclass(frozen=True)
class Scenario:
    """A whole scenario.

    Attributes:
        start_s: Unix time of its beginning; duration_s: how long people move before they go to the kiosk.
        kiosk: where the kiosk stands.
    """

    title: str
    start_s: int
    duration_s: int
    kiosk: Place
    people: tuple[Person, ...]
    propagation: dict[str, float] = field(default_factory=dict)

    def person(self, name: str) -> Person:
        """The person of that name."""
        return next(person for person in self.people if person.name == name)

    @property
    def wearers(self) -> list[Person]:
        """The people with tokens."""
        return [person for person in self.people if person.device == "token"]


def load(path: Path) -> Scenario:
    """Read a scenario file.

    Raises:
        UserError: the file cannot be read or says something impossible; the sentence names the place.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"The scenario {path} cannot be read: {error}. Nothing was started.") from error
    try:
        return _scenario(data)
    except (KeyError, TypeError, ValueError) as error:
        what = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise UserError(f"The scenario {path} is not complete: {what}. Nothing was started.") from error


def _scenario(data: dict) -> Scenario:
    start = data["start"]
    if not isinstance(start, datetime) or start.tzinfo is None:
        raise ValueError("`start` must be a date and time with an offset, such as 2020-08-10T08:00:00+07:00")
    places = {
        name: Place(float(entry["at"][0]), float(entry["at"][1]), str(entry["room"]))
        for name, entry in data["places"].items()
    }
    people = tuple(_person(entry, start, places) for entry in data["people"])
    names = [person.name for person in people]
    if len(set(names)) != len(names):
        raise ValueError("two people have the same name")
    return Scenario(
        title=str(data["title"]),
        start_s=int(start.timestamp()),
        duration_s=int(data["minutes"]) * 60,
        kiosk=_place(places, data["kiosk"], "the kiosk"),
        people=people,
        propagation={key: float(value) for key, value in data.get("radio", {}).items()},
    )


def _place(places: dict[str, Place], name: str, whose: str) -> Place:
    if name not in places:
        raise ValueError(f"{whose} is at {name!r}, which is not among the places")
    return places[name]


def _person(entry: dict, start: datetime, places: dict[str, Place]) -> Person:
    name = str(entry["name"])
    if entry["device"] not in DEVICES:
        raise ValueError(f"{name} has a {entry['device']!r}; known are {', '.join(DEVICES)}")
    stays = []
    for clock, place in entry["stays"]:
        hour, minute = (int(part) for part in clock.split(":"))
        at = start.astimezone(VIETNAM).replace(hour=hour, minute=minute, second=0, microsecond=0)
        stays.append(((at - start).total_seconds(), _place(places, place, name)))
    if not stays or stays != sorted(stays, key=lambda stay: stay[0]):
        raise ValueError(f"the stays of {name} are not in order of time, or there are none")
    return Person(
        name, entry["device"], tuple(stays), bool(entry.get("infected", False)), int(entry.get("battery_mv", 3000))
    )
