"""`bluezone demo` and `bluezone sync`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from host_tools.matching.list_options import AllowHttp, AllowUnsigned, Cases, ListCache, ListKey

Rules = Annotated[str | None, typer.Option(help="The rules: viet-nam, dp-3t, cwa, or a file like rules.toml.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")]


def register(app: typer.Typer) -> None:
    """Add the subcommands."""
    app.command()(demo)
    app.command()(sync)


def demo(
    seed: Annotated[int, typer.Option(help="Of all randomness: the same seed gives the same radio trace.")] = 1,
    scenario: Annotated[Path | None, typer.Option(help="A scenario file; by default a morning in an office.")] = None,
    out: Annotated[Path, typer.Option(help="Where results go.")] = Path("build/demo"),
    as_json: Json = False,
) -> None:
    """A scenario in virtual time: tokens meet, the kiosk reads them, the verdict stands beside the truth."""
    from .demo_view import run_demo

    print_json = run_demo(scenario, seed, out, as_json)
    if as_json:
        print(json.dumps(print_json, ensure_ascii=False))


def sync(
    cases: Cases,
    database: Annotated[Path, typer.Option(help="The kiosk's database; made when missing.")] = Path("kiosk.sqlite"),
    seconds: Annotated[float, typer.Option(help="How long to wait for tokens.")] = 60.0,
    list_key: ListKey = None,
    list_cache: ListCache = None,
    allow_http: AllowHttp = False,
    allow_unsigned: AllowUnsigned = False,
    rules: Rules = None,
    board: Annotated[str | None, typer.Option(help="The tokens' board, for its RSSI offset.")] = None,
    as_json: Json = False,
) -> None:
    """Read every token in sync mode near this PC, over its own Bluetooth adapter, and tell each verdict."""
    from host_tools.matching.list_options import list_source
    from host_tools.matching.rules import load_rules
    from host_tools.provisioning.firmware_files import rssi_offset_db

    from .serve import serve_here

    judged_by = load_rules(rules).for_board(rssi_offset_db(board) if board else 0.0)
    source = list_source(cases, list_key, list_cache, allow_http=allow_http, allow_unsigned=allow_unsigned)
    found, status = serve_here(source, database, seconds, quiet=as_json, rules=judged_by)
    if as_json:
        print(json.dumps({"list": status.as_dict(), "tokens": found}, ensure_ascii=False))
