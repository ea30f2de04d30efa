"""A kiosk in a simulated office: the morning passes at once, then time keeps pace with the clock on the wall, and the
wearers come to the kiosk again and again. People and radio are simulated; firmware, kiosk and pages are the real ones.
"""

import asyncio
import contextlib
import hashlib
import shutil
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from host_tools.authority.release import code_for
from host_tools.fleet.office import Office
from host_tools.fleet.people import Unit
from host_tools.kiosk.release_desk import UNDER_WAY
from host_tools.link.adapter import virtual
from host_tools.matching.list_source import ListSource
from host_tools.matching.list_statement import Statement
from host_tools.matching.rules import Rules
from host_tools.simulation.clock import VirtualLoop
from host_tools.simulation.demo import SCENARIOS, write_national_list
from host_tools.simulation.propagation import stream
from host_tools.simulation.rom import rom_image
from host_tools.simulation.scenario import load
from host_tools.simulation.world import World

from .running import KioskProcess

_STEP_S = 30.0
_COME_EVERY_S = (8.0, 25.0)
_TOGETHER = (1, 1, 1, 2, 3)  # how many come at once
_UNITS = (Unit("Sở Y tế", "Hải Châu", "health"), Unit("UBND phường", "Thanh Khê", "government"))
_CLERK = "simulation"


async def serve_office(
    scenario_path: Path | None,
    seed: int,
    folder: Path,
    rules: Rules,
    listener: socket.socket,
    names: frozenset[str],
    greet: Callable[[Office], None],
) -> None:
    """Run in a VirtualLoop until a signal to end.

    Args:
        folder: for everything that is written; an earlier database in it is replaced.
    """
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    scenario = load(scenario_path or SCENARIOS / "office_morning.toml")
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("kiosk.sqlite*"):
        old.unlink()
    world = World(scenario, seed, folder, rom_image())
    try:
        await world.start()

        def now() -> float:
            return scenario.start_s + loop.time()

        with Office(folder / "kiosk.sqlite", now=lambda: int(now())) as office:
            enter_wearers(office, world)
            while loop.time() < scenario.duration_s:
                await asyncio.sleep(min(_STEP_S, scenario.duration_s - loop.time()))
                world.check()
            source = _signed_list(world, folder, int(now()))
            root, practice = world.roots.kiosk, partial(code_for, world.roots.authority)
            process = KioskProcess(office, virtual(world.kiosk), source, root, rules, now, True, practice)
            loop.keep_pace()
            greet(office)
            coming = asyncio.create_task(_come_again(world, seed, process))
            try:
                await process.run(listener, names)
            finally:
                coming.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await coming
    finally:
        await world.close()


def _signed_list(world: World, folder: Path, now_s: int) -> ListSource:
    cases = folder / "national_list.json"
    write_national_list(world, cases)
    authority = Ed25519PrivateKey.generate()
    said = Statement("F0", 1, 1, now_s, hashlib.sha256(cases.read_bytes()).hexdigest())
    cases.with_name(f"{cases.name}.sig").write_bytes(said.signed(authority))
    shutil.rmtree(folder / "lists", ignore_errors=True)  # of an earlier authority
    return ListSource(str(cases), folder / "lists", public_key=authority.public_key())


def enter_wearers(office: Office, world: World) -> None:
    """Everybody of the scenario with a token is in the ledger."""
    for number, (name, given) in enumerate(world.provisioned.items()):
        office.ledger.register(_CLERK, given.serial)
        unit = _UNITS[number % len(_UNITS)]
        person = office.people.enter(_CLERK, f"NV{number + 1:03}", name, unit)
        office.ledger.assign(_CLERK, given.serial, person)


async def _come_again(world: World, seed: int, process: KioskProcess) -> None:
    random = stream(seed, "coming to the kiosk")
    names = list(world.provisioned)
    serials = {given.serial: name for name, given in world.provisioned.items()}
    while True:
        await asyncio.sleep(random.uniform(*_COME_EVERY_S))
        world.check()
        come = random.sample(names, min(random.choice(_TOGETHER), len(names)))
        called = {serials.get(release.serial): release.state for release in process.releases.all()}
        come = [name for name in come if called.get(name) not in UNDER_WAY]
        come += [name for name, state in called.items() if name and state == "waiting"]  # whom the officer has called
        for place, name in enumerate(come):
            world.call_to_kiosk(name, place)
            world.boards[name].press()
