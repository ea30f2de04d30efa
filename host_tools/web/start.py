"""Starts a kiosk: on an adapter, or in a simulated office."""

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path

from host_tools.fleet import logs
from host_tools.fleet.office import Office
from host_tools.link.adapter import Adapter
from host_tools.matching.list_source import ListSource
from host_tools.matching.rules import Rules
from host_tools.provisioning.token_keys import KioskRoot

from .running import KioskProcess, listen


@dataclass(frozen=True)
class Door:
    """Where browsers come in, under which further names, and whether programs read what is printed."""

    host: str
    port: int
    names: frozenset[str]
    as_json: bool

    @property
    def all_names(self) -> frozenset[str]:
        return self.names | {self.host}

    def open_for(self, office: Office, port: int) -> None:
        """Say where the pages are, and how the first account is made.

        Args:
            port: the one that was really taken.
        """
        address = f"http://[{self.host}]:{port}" if ":" in self.host else f"http://{self.host}:{port}"
        code = office.accounts.setup_code()
        if self.as_json:
            print(json.dumps({"wearers": f"{address}/", "staff": f"{address}/staff", "setup_code": code}), flush=True)
            return
        print(f"Wearers: {address}/   Staff: {address}/staff", flush=True)
        if code is not None:
            print(f"There is no account yet. Make the first one at {address}/staff/setup with this code: {code}",
                  flush=True)  # fmt: skip


def start_here(
    adapter: Adapter,
    source: ListSource,
    root: KioskRoot,
    rules: Rules,
    database: str,
    key_file: Path | None,
    door: Door,
) -> None:
    """Serve the tokens that an adapter reaches until a signal to end.

    Raises:
        UserError: the list, the database or the port cannot be used.
    """
    logs.configure()
    with Office(database, key_file) as office, listen(door.host, door.port) as listener:
        process = KioskProcess(office, adapter, source, root, rules, time.time)
        door.open_for(office, listener.getsockname()[1])
        asyncio.run(process.run(listener, door.all_names))


def start_simulation(scenario: Path | None, seed: int, out: Path, rules: Rules, door: Door) -> None:
    """Live through a scenario, then serve its wearers, who come again and again, until a signal to end.

    Raises:
        UserError: the scenario or the port cannot be used.
    """
    from host_tools.simulation import clock

    from .simulated import serve_office

    logs.configure()
    with listen(door.host, door.port) as listener:
        port = listener.getsockname()[1]
        if not door.as_json:
            print("The simulated people meet; this takes half a minute …", flush=True)
        clock.run(
            serve_office(
                scenario, seed, out, rules, listener, door.all_names, lambda office: door.open_for(office, port)
            )
        )
