"""`bluezone kiosk`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from host_tools.errors import UserError
from host_tools.fleet.command_kit import DATABASE, Json, Key, Where
from host_tools.kiosk.commands import Board, RuleSet, kiosk_root, rules_for
from host_tools.matching.list_options import AllowHttp, AllowUnsigned, ListCache, ListKey
from host_tools.provisioning.key_commands import PassphraseFile


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command()(kiosk)


def kiosk(
    cases: Annotated[
        str | None, typer.Option(help="The national list: a JSON file, a folder of them, or an https address.")
    ] = None,
    keys: Annotated[Path | None, typer.Option(help="The kiosks' key file, made with `bluezone key new`.")] = None,
    passphrase_file: PassphraseFile = None,
    list_key: ListKey = None,
    list_cache: ListCache = None,
    allow_http: AllowHttp = False,
    allow_unsigned: AllowUnsigned = False,
    rules: RuleSet = None,
    board: Board = None,
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
    port: Annotated[int, typer.Option(help="The port of the pages.")] = 8000,
    name: Annotated[list[str] | None, typer.Option(help="A further name under which browsers reach it.")] = None,
    scenario: Annotated[Path | None, typer.Option(help="With --radio virtual: a scenario file.")] = None,
    out: Annotated[Path, typer.Option(help="With --radio virtual: where its files go.")] = Path("build/kiosk-demo"),
    seed: Annotated[int, typer.Option(help="With --radio virtual: of all randomness.")] = 1,
    as_json: Json = False,
) -> None:
    """The kiosk: reads tokens, keeps the fleet, and shows it on pages, until it is stopped."""
    from host_tools.link import adapter
    from host_tools.matching.list_options import list_source

    from .start import Door, start_here, start_simulation

    door = Door(host, port, frozenset(name or ()), as_json)
    judged_by = rules_for(rules, board)
    if radio == "virtual":
        start_simulation(scenario, seed, out, judged_by, door)
        return
    if cases is None:
        raise UserError("The kiosk needs the national list: name it with --cases. Nothing was started.")
    if keys is None:
        raise UserError("The kiosk needs the key file of its fleet: name it with --keys. Nothing was started.")
    source = list_source(cases, list_key, list_cache, allow_http=allow_http, allow_unsigned=allow_unsigned)
    used = adapter.real() if hci is None else adapter.hci(hci)
    start_here(used, source, kiosk_root(keys, passphrase_file), judged_by, database, key_file, door)
