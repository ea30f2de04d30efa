"""`bluezone kiosk`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from host_tools.errors import UserError
from host_tools.fleet.command_kit import DATABASE, Json, Key, Where
from host_tools.kiosk.commands import kiosk_root
from host_tools.matching.exposures import TOLERANCE_S
from host_tools.matching.list_options import (
    NO_LIST_OPTIONS,
    Board,
    ListOptions,
    RuleSet,
    Tolerance,
    rules_for,
    with_list_options,
)
from host_tools.provisioning.key_commands import PassphraseFile


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command()(with_list_options(kiosk))


def kiosk(
    cases: Annotated[
        str | None,
        typer.Option(metavar="PLACE", help="The national list: a JSON file, a folder of them, or an https address."),
    ] = None,
    keys: Annotated[Path | None, typer.Option(help="The kiosks' key file, made with `bluezone key new`.")] = None,
    passphrase_file: PassphraseFile = None,
    listed: ListOptions = NO_LIST_OPTIONS,
    rules: RuleSet = None,
    board: Board = None,
    tolerance: Tolerance = TOLERANCE_S,
    database: Where = DATABASE,
    key_file: Key = None,
    radio: Annotated[
        Literal["hardware", "virtual"],
        typer.Option(help="This PC's Bluetooth adapter, or a simulated office with a list and keys of its own."),
    ] = "hardware",
    hci: Annotated[
        str | None,
        typer.Option(help="A Bluetooth controller that only the kiosk uses, by Bumble's name for it, as usb:0."),
    ] = None,
    host: Annotated[str, typer.Option(help="Where browsers come in; by default only from this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port of the pages; 0: any that is free.")] = 8000,
    name: Annotated[list[str] | None, typer.Option(help="A further name under which browsers reach it.")] = None,
    scenario: Annotated[Path | None, typer.Option(help="With --radio virtual: a scenario file.")] = None,
    out: Annotated[Path, typer.Option(help="With --radio virtual: where its files go.")] = Path("build/kiosk-demo"),
    seed: Annotated[int, typer.Option(help="With --radio virtual: of all randomness.")] = 1,
    as_json: Json = False,
) -> None:
    """The kiosk: reads tokens, keeps the fleet, and shows it on pages, until it is stopped."""
    from host_tools.link import adapter

    from .start import Door, start_here, start_simulation

    door = Door(host, port, frozenset(name or ()), as_json)
    judged_by = rules_for(rules, board, tolerance)
    if radio == "virtual":
        start_simulation(scenario, seed, out, judged_by, door)
        return
    if cases is None:
        raise UserError("The kiosk needs the national list: name it with --cases. Nothing was started.")
    if keys is None:
        raise UserError("The kiosk needs the key file of its fleet: name it with --keys. Nothing was started.")
    used = adapter.real() if hci is None else adapter.hci(hci)
    start_here(used, listed.source(cases), kiosk_root(keys, passphrase_file), judged_by, database, key_file, door)
