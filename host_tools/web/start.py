"""Starts a kiosk: on this PC's adapter, or in a simulated office."""

import asyncio
import time
from pathlib import Path

from host_tools.errors import UserError
from host_tools.fleet import logs
from host_tools.fleet.office import Office
from host_tools.link.adapter import real
from host_tools.matching.verdict import load_rules

from .cases import FileSource
from .running import KioskProcess, listen


def start_here(
    cases: Path | None, database: str, key_file: Path | None, host: str, port: int, names: frozenset[str]
) -> None:
    """Serve on this PC's adapter until a signal to end.

    Raises:
        UserError: the list, the database or the port cannot be used.
    """
    if cases is None:
        raise UserError("The kiosk needs the national list: name it with --cases. Nothing was started.")
    logs.configure()
    with Office(database, key_file) as office, listen(host, port) as listener:
        process = KioskProcess(office, real(), FileSource(cases), load_rules(), time.time)
        greet(office, host, listener.getsockname()[1])
        asyncio.run(process.run(listener, names | {host}))


def start_simulation(scenario: Path | None, seed: int, out: Path, host: str, port: int, names: frozenset[str]) -> None:
    """Live through a scenario, then serve its wearers, who come again and again, until a signal to end.

    Raises:
        UserError: the scenario or the port cannot be used.
    """
    from host_tools.simulation import clock

    from .simulated import serve_office

    logs.configure()
    with listen(host, port) as listener:
        clock.run(serve_office(scenario, seed, out, listener, names | {host}, lambda office: greet(
            office, host, listener.getsockname()[1]
        )))  # fmt: skip


def greet(office: Office, host: str, port: int) -> None:
    """Say where the pages are, and how the first account is made."""
    shown = f"[{host}]" if ":" in host else host
    print(f"Wearers: http://{shown}:{port}/   Staff: http://{shown}:{port}/staff", flush=True)
    code = office.accounts.setup_code()
    if code is not None:
        print(f"There is no account yet. Make the first one at /staff/setup with this code: {code}", flush=True)
