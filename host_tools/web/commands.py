"""`bluezone kiosk`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from host_tools.fleet.command_kit import DATABASE, Json, Key, Where


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command()(kiosk)


def kiosk(
    cases: Annotated[Path | None, typer.Option(help="The national list, as JSON; a simulation makes its own.")] = None,
    database: Where = DATABASE,
    key_file: Key = None,
    radio: Annotated[
        Literal["hardware", "virtual"], typer.Option(help="This PC's Bluetooth adapter, or a simulated office.")
    ] = "hardware",
    host: Annotated[str, typer.Option(help="Where browsers come in; by default only from this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port of the pages.")] = 8000,
    name: Annotated[list[str] | None, typer.Option(help="A further name under which browsers reach it.")] = None,
    scenario: Annotated[Path | None, typer.Option(help="With --radio virtual: a scenario file.")] = None,
    out: Annotated[Path, typer.Option(help="With --radio virtual: where its files go.")] = Path("build/kiosk-demo"),
    seed: Annotated[int, typer.Option(help="With --radio virtual: of all randomness.")] = 1,
    as_json: Json = False,
) -> None:
    """The kiosk: reads tokens, keeps the fleet, and shows it on pages, until it is stopped."""
    from .start import Door, start_here, start_simulation

    door = Door(host, port, frozenset(name or ()), as_json)
    if radio == "virtual":
        start_simulation(scenario, seed, out, door)
    else:
        start_here(cases, database, key_file, door)
