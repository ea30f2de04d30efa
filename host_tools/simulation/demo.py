"""The demo: a scenario is lived through in virtual time, then the wearers come to the kiosk."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from host_tools.errors import UserError
from host_tools.kiosk.contracts import Screen, WearerResult
from host_tools.kiosk.service import Kiosk
from host_tools.link.adapter import virtual
from host_tools.matching.explanation import ListVersion
from host_tools.matching.list_source import ListSource
from host_tools.matching.rules import load_rules
from host_tools.storage.store import Store
from tracing import keys
from tracing.wire import short_code

from . import clock, outcome, truth
from .rom import rom_image
from .scenario import Scenario, load
from .world import World

SCENARIOS = Path(__file__).with_name("scenarios")
STEP_S = 30.0  # between two looks at the boards
PRESS_EVERY_S = 6.0  # one wearer after the other, faster than the kiosk needs: some wait, some overlap
KIOSK_LIMIT_S = 300.0


@dataclass
class DemoResult:
    """All that a run has brought, for the tables and the report.

    Attributes:
        results: by wearer; a wearer whom the kiosk could not serve is missing.
        near_minutes: by wearer, the true minutes within two metres of somebody infected.
        heard: by name of the hearer, whose ids the device has logged.
        pairs: see outcome.PairOutcome; false: encounters that never were.
        trace: fingerprint of every reception; the same for the same seed.
        heaps: by wearer, (bytes in use, highest use) of the token's heap.
    """

    scenario: Scenario
    seed: int
    codes: dict[str, str]
    results: dict[str, WearerResult]
    failures: dict[str, str]
    near_minutes: dict[str, float]
    heard: dict[str, set[str]]
    pairs: list[outcome.PairOutcome]
    false: int
    receptions: int
    trace: str
    heaps: dict[str, tuple[int, int]]
    simulated_s: float = 0.0
    wall_s: float = 0.0


@dataclass
class _Results:
    """Collects what the kiosk finds, and passes it on to the screen that is looked at."""

    screen: Screen
    names: dict[str, str]
    results: dict[str, WearerResult] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def found(self, code: str) -> None:
        self.screen.found(code)

    def progress(self, code: str, done: int, total: int) -> None:
        self.screen.progress(code, done, total)

    def finished(self, code: str, result: WearerResult) -> None:
        self.results[self.names[code]] = result
        self.screen.finished(code, result)

    def failed(self, code: str, error: UserError, again: bool) -> None:
        self.failures[self.names[code]] = str(error)
        self.screen.failed(code, error, again)


def write_national_list(world: World, path: Path) -> None:
    """The list as the health authority would publish it: the keys of the infected from the scenario's day on."""
    day_s = keys.day_of(world.scenario.start_s) * keys.DAY_S
    data = [
        {
            "daily_key": world.base_id(person.name).hex().upper(),
            "time_start": day_s,
            "time_end": day_s + keys.DAY_S,
            "max": keys.SLOTS_PER_DAY,
        }
        for person in world.scenario.people
        if person.infected
    ]
    path.write_text(json.dumps({"data": data}, indent=1) + "\n", encoding="utf-8")


def write_phone_log(world: World, name: str, path: Path) -> None:
    """A phone's contact log in the app's export format."""
    rows = [
        f"{row.own_id.hex().upper()}\t{row.peer_id.hex().upper()}\t{row.rssi_dbm}\t{row.time_ms}\n"
        for row in world.phones[name].log
    ]
    path.write_text("".join(rows), encoding="utf-8")


def run(
    scenario_path: Path,
    seed: int,
    folder: Path,
    screen: Screen,
    on_time: Callable[[float, float], None] = lambda done_s, total_s: None,
    labels: dict[str, str] | None = None,
) -> DemoResult:
    """Live through a scenario and serve everybody at the kiosk.

    Args:
        folder: for everything that is written; earlier results in it are replaced.
        screen: see kiosk.contracts.Screen.
        on_time: called with the seconds lived through, and of how many.
        labels: receives the wearers' names by short code, for the screen.
    """
    scenario = load(scenario_path)
    folder.mkdir(parents=True, exist_ok=True)
    began_s = time.monotonic()
    result = clock.run(_run(scenario, seed, folder, screen, on_time, {} if labels is None else labels))
    result.wall_s = time.monotonic() - began_s
    return result


async def _run(
    scenario: Scenario,
    seed: int,
    folder: Path,
    screen: Screen,
    on_time: Callable[[float, float], None],
    labels: dict[str, str],
) -> DemoResult:
    world = World(scenario, seed, folder, rom_image())
    loop = asyncio.get_running_loop()
    try:
        await world.start()
        while loop.time() < scenario.duration_s:
            await asyncio.sleep(min(STEP_S, scenario.duration_s - loop.time()))
            world.check()
            on_time(loop.time(), scenario.duration_s)
        return await _at_the_kiosk(world, folder, screen, seed, labels)
    finally:
        await world.close()


async def _at_the_kiosk(world: World, folder: Path, screen: Screen, seed: int, labels: dict[str, str]) -> DemoResult:
    list_path = folder / "national_list.json"
    write_national_list(world, list_path)
    for name in world.phones:
        write_phone_log(world, name, folder / f"phone_{name}.txt")
    codes = {name: short_code(given.serial) for name, given in world.provisioned.items()}
    labels.update({code: name for name, code in codes.items()})
    seen = _Results(screen, {code: name for name, code in codes.items()})
    database = folder / "kiosk.sqlite"
    for old in folder.glob("kiosk.sqlite*"):
        old.unlink()
    with Store(database) as store:
        cases, status = ListSource(str(list_path), None).load(world.now_s())
        version = replace(ListVersion.of(status), published_s=int(world.now_s()))
        root = world.roots.kiosk
        kiosk = Kiosk(virtual(world.kiosk), store, cases, load_rules(), root, world.now_s, seen, version)
        serving = asyncio.create_task(kiosk.run())
        for place, name in enumerate(codes):
            world.call_to_kiosk(name, place)
            world.boards[name].press()
            await asyncio.sleep(PRESS_EVERY_S)
        deadline_s = asyncio.get_running_loop().time() + KIOSK_LIMIT_S
        while len(seen.results) < len(codes) and asyncio.get_running_loop().time() < deadline_s:
            await asyncio.sleep(1.0)
            world.check()
            if serving.done():
                serving.result()
        await asyncio.sleep(5.0)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        heaps = {name: await board.heap() for name, board in world.boards.items()}
        return _collect(world, seed, codes, seen, heaps)


def _collect(world: World, seed: int, codes: dict[str, str], seen: _Results, heaps) -> DemoResult:
    scenario = world.scenario
    known = outcome.owners(world)
    found = truth.meetings(scenario)
    infected = {person.name for person in scenario.people if person.infected}
    heard: dict[str, set[str]] = {}
    false = 0
    for name, result in seen.results.items():
        heard[name] = {known[e.bluezone_id].name for e in result.encounters if e.bluezone_id in known}
        false += len(outcome.false_encounters(result.encounters, known))
    for name, phone in world.phones.items():
        heard[name] = {known[row.peer_id].name for row in phone.log if row.peer_id in known}
        false += sum(row.peer_id not in known for row in phone.log)
    return DemoResult(
        scenario=scenario,
        seed=seed,
        codes=codes,
        results=seen.results,
        failures={name: why for name, why in seen.failures.items() if name not in seen.results},
        near_minutes={name: truth.near_minutes(found, name, infected - {name}) for name in codes},
        heard=heard,
        pairs=outcome.pair_outcomes(scenario, found, heard, heard),
        false=false,
        receptions=world.air.receptions,
        trace=world.air.trace_digest,
        heaps=heaps,
        simulated_s=asyncio.get_running_loop().time() * len(world.boards),
    )
