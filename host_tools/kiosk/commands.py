"""`bluezone sync` and `bluezone release`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from host_tools.fleet.command_kit import DATABASE, Json, Key, Where, actor, opened
from host_tools.matching.exposures import TOLERANCE_S
from host_tools.matching.list_options import (
    NO_LIST_OPTIONS,
    Board,
    Cases,
    ListOptions,
    RuleSet,
    Tolerance,
    rules_for,
    with_list_options,
)
from host_tools.provisioning.key_commands import KeyFile, PassphraseFile

if TYPE_CHECKING:
    from host_tools.provisioning.token_keys import KioskRoot


def register(app: typer.Typer) -> None:
    """Add the subcommands."""
    app.command()(with_list_options(sync))
    app.command()(release)


def sync(
    cases: Cases,
    keys: KeyFile,
    database: Where = DATABASE,
    key_file: Key = None,
    passphrase_file: PassphraseFile = None,
    seconds: Annotated[float, typer.Option(help="How long to wait for tokens.")] = 60.0,
    listed: ListOptions = NO_LIST_OPTIONS,
    rules: RuleSet = None,
    board: Board = None,
    tolerance: Tolerance = TOLERANCE_S,
    as_json: Json = False,
) -> None:
    """Read every token in sync mode near this PC, over its own Bluetooth adapter, and tell each verdict."""
    from .serve import serve_here

    judged_by = rules_for(rules, board, tolerance)
    source = listed.source(cases)
    root = kiosk_root(keys, passphrase_file)
    with opened(database, key_file) as office:
        answer = serve_here(source, office, root, seconds, quiet=as_json, rules=judged_by)
    if as_json:
        print(json.dumps(answer, ensure_ascii=False))


def release(
    code: Annotated[str, typer.Argument(help="The six letters on the token's label.")],
    out: Annotated[Path, typer.Argument(help="The file to write, for the health authority.")],
    keys: KeyFile,
    database: Where = DATABASE,
    key_file: Key = None,
    passphrase_file: PassphraseFile = None,
    seconds: Annotated[float, typer.Option(help="How long to wait for the token.")] = 60.0,
    as_json: Json = False,
) -> None:
    """Release a token's keys and history to the health authority: with the wearer's button and the authority's code."""
    from .release import release_here

    root = kiosk_root(keys, passphrase_file)
    with opened(database, key_file) as office:
        written = release_here(code.upper(), out, office, actor(), root, seconds)
    if as_json:
        print(json.dumps(written))


def kiosk_root(file: Path, passphrase_file: Path | None) -> "KioskRoot":
    """The root in a kiosk's key file.

    Raises:
        UserError: it is another file, or cannot be opened.
    """
    from host_tools.provisioning import key_file
    from host_tools.provisioning.passphrase import passphrase
    from host_tools.provisioning.token_keys import KioskRoot

    key_file.describe(file)  # a wrong file is told before anybody types a passphrase
    return key_file.load(file, KioskRoot, passphrase(passphrase_file))
