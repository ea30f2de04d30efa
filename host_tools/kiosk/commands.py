"""`bluezone demo`, `bluezone sync` and `bluezone release`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from host_tools.provisioning.key_commands import KeyFile, PassphraseFile

if TYPE_CHECKING:
    from host_tools.provisioning.token_keys import KioskRoot

Database = Annotated[Path, typer.Option(help="The kiosk's database; made when missing.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")]


def register(app: typer.Typer) -> None:
    """Add the subcommands."""
    app.command()(demo)
    app.command()(sync)
    app.command()(release)


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
    cases: Annotated[Path, typer.Option(help="The national list, as JSON.")],
    keys: KeyFile,
    database: Database = Path("kiosk.sqlite"),
    passphrase_file: PassphraseFile = None,
    seconds: Annotated[float, typer.Option(help="How long to wait for tokens.")] = 60.0,
    as_json: Json = False,
) -> None:
    """Read every token in sync mode near this PC, over its own Bluetooth adapter, and tell each verdict."""
    from .serve import serve_here

    found = serve_here(cases, database, _root(keys, passphrase_file), seconds, quiet=as_json)
    if as_json:
        print(json.dumps({"tokens": found}, ensure_ascii=False))


def release(
    code: Annotated[str, typer.Argument(help="The six letters on the token's label.")],
    out: Annotated[Path, typer.Argument(help="The file to write, for the health authority.")],
    keys: KeyFile,
    database: Database = Path("kiosk.sqlite"),
    passphrase_file: PassphraseFile = None,
    seconds: Annotated[float, typer.Option(help="How long to wait for the token.")] = 60.0,
    as_json: Json = False,
) -> None:
    """Release a token's keys and history to the health authority: with the wearer's button and the authority's code."""
    from .release import release_here

    written = release_here(code.upper(), out, database, _root(keys, passphrase_file), seconds)
    if as_json:
        print(json.dumps(written))


def _root(file: Path, passphrase_file: Path | None) -> "KioskRoot":
    from host_tools.provisioning import key_file
    from host_tools.provisioning.passphrase import passphrase
    from host_tools.provisioning.token_keys import KioskRoot

    key_file.describe(file)  # a wrong file is told before anybody types a passphrase
    return key_file.load(file, KioskRoot, passphrase(passphrase_file))
