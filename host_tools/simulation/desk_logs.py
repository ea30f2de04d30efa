"""Logs of tokens that meet, without VMs: the firmware's own table of encounters, fed window by window.

For questions that need thousands of logs. Strength comes from propagation.py's model, with an error of each board's own
in either direction; loss is a constant share. Everything is simulated.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from host_tools.storage.store import Encounter
from tracing.encounters import Encounters
from tracing.keys import SLOT_S

from .propagation import Propagation
from .scenario import Person

PERIOD_S = 37.5
LOSS = 0.28  # share of windows that do not hear somebody in range: packets lost, and windows
BOARD_DB = 2.0  # deviation of what a board sends and hears, each
_JITTER_S = 0.5
_SILENT_S = 150
_TABLE, _NEWCOMERS = 64, 64  # as in firmware/tracing/journal.py
_ENCOUNTER = 1


@dataclass(frozen=True, slots=True)
class Relay:
    """Somebody plays the id that `owner` has at that moment beside `victim`, from and to in s since the beginning."""

    owner: str
    victim: str
    from_s: float
    to_s: float
    rssi_dbm: float


@dataclass
class TokenLog:
    """One token's log, and the ids that it had: what its operator does not know."""

    encounters: list[Encounter] = field(default_factory=list)
    ids: dict[int, bytes] = field(default_factory=dict)  # by slot


def live(
    people: Sequence[Person],
    start_s: int,
    duration_s: int,
    random: Random,
    relays: Iterable[Relay] = (),
    radio: Propagation | None = None,
) -> dict[str, TokenLog]:
    """Let people be where they are for `duration_s`; returns their tokens' logs by name."""
    air = _Air(people, random, radio or Propagation())
    relays = list(relays)
    logs = {person.name: TokenLog() for person in people}
    for person in people:
        table = Encounters(_TABLE, _NEWCOMERS, _SILENT_S, True)
        log = logs[person.name].encounters
        t_s = random.uniform(0, PERIOD_S)
        while t_s < duration_s:
            now_s = start_s + int(t_s)
            for ident, rssi_dbm in _window(person, t_s, now_s, people, relays, logs, air, random):
                pushed_out = table.note(ident, max(-127, min(20, round(rssi_dbm))), now_s, _ENCOUNTER)
                if pushed_out is not None:
                    log.append(_encounter(pushed_out))
            _pop(table, now_s - _SILENT_S, log)
            t_s += PERIOD_S + random.uniform(-_JITTER_S, _JITTER_S)
        _pop(table, 1 << 32, log)
    return logs


class _Air:
    """Strengths between people; shadowing is the same in both directions, the boards' errors are not."""

    def __init__(self, people: Sequence[Person], random: Random, radio: Propagation) -> None:
        self.radio = radio
        self._random = random
        self._error_db = {person.name: random.gauss(0, BOARD_DB) for person in people}
        self._sent_db = {person.name: random.gauss(0, BOARD_DB) for person in people}
        self._shadow_db: dict[tuple[frozenset[str], int], float] = {}

    def rssi_dbm(self, hearer: Person, heard: Person, t_s: float) -> float:
        ax, ay, a_room = hearer.position(t_s)
        bx, by, b_room = heard.position(t_s)
        key = (frozenset((hearer.name, heard.name)), int(t_s // self.radio.shadow_s))
        if key not in self._shadow_db:
            self._shadow_db[key] = self._random.gauss(0, self.radio.shadow_db)
        mean_dbm = self.radio.mean_dbm(((ax - bx) ** 2 + (ay - by) ** 2) ** 0.5, a_room == b_room)
        boards_db = self._error_db[hearer.name] + self._sent_db[heard.name]
        return mean_dbm + boards_db + self._shadow_db[key] + self._random.gauss(0, self.radio.fading_db)


def _window(person, t_s, now_s, people, relays, logs, air, random) -> list[tuple[bytes, float]]:
    """(id, RSSI) of what one scan window hears."""
    slot = now_s // SLOT_S
    heard = []
    for other in people:
        if other is not person and random.random() >= LOSS:
            rssi_dbm = air.rssi_dbm(person, other, t_s)
            if rssi_dbm >= air.radio.sensitivity_dbm:
                heard.append((_ident(logs[other.name], slot, random), rssi_dbm))
    for relay in relays:
        if relay.victim == person.name and relay.from_s <= t_s < relay.to_s and random.random() >= LOSS:
            fading_db = random.gauss(0, air.radio.fading_db)
            heard.append((_ident(logs[relay.owner], slot, random), relay.rssi_dbm + fading_db))
    return heard


def _ident(log: TokenLog, slot: int, random: Random) -> bytes:
    return log.ids.setdefault(slot, random.randbytes(12))


def _pop(table: Encounters, silent_since_s: int, log: list[Encounter]) -> None:
    while (gone := table.pop(silent_since_s)) is not None:
        log.append(_encounter(gone))


def _encounter(popped: tuple) -> Encounter:
    _, start_s, duration_s, windows, sightings, rssi_max_dbm, rssi_mean_dbm, ident = popped
    return Encounter(ident, start_s, duration_s, windows, sightings, rssi_max_dbm, rssi_mean_dbm, False)
