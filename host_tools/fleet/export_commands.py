"""`bluezone export`: stored encounters as files."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from host_tools.command_completion import tokens as tokens_known
from host_tools.errors import UserError

from .command_kit import DATABASE, Json, Key, Where, actor, existing


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command()(export)


def export(
    tokens: Annotated[
        list[str],
        typer.Argument(
            help="The six letters on a label, or a serial in hex; one or several.", autocompletion=tokens_known
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE|FOLDER", help="The file to write, - for stdout; for several tokens a folder.")
    ],
    form: Annotated[
        Literal["bluezone", "csv", "parquet"],
        typer.Option("--format", help="Bluezone's data_trace.txt, or a table; SPEC.md has the columns."),
    ] = "bluezone",
    database: Where = DATABASE,
    key_file: Key = None,
    as_json: Json = False,
) -> None:
    """Write stored encounters of tokens to files that only you can read; the audit log notes it."""
    from host_tools.fleet import audit
    from host_tools.fleet.export import SUFFIXES, write
    from tracing.wire import short_code

    to_stdout = str(out) == "-"
    if to_stdout and (as_json or len(tokens) > 1):
        raise UserError("To stdout goes one token's export and no JSON beside it. Nothing was written; name a file.")
    answers = []
    with existing(database, key_file) as office:
        for serial in [office.ledger.serial(token) for token in tokens]:  # all of them, before anything is written
            encounters = office.store.encounters(serial)
            path = out / f"{short_code(serial)}-{serial.hex()}{SUFFIXES[form]}" if len(tokens) > 1 else out
            with office.database.writing() as connection:
                audit.note(connection, office.now(), actor(), "export", serial, form=form, encounters=len(encounters))
            write(None if to_stdout else path, form, encounters)
            answers.append({"encounters": len(encounters), "format": form, "file": str(path)})
    if as_json:
        print(json.dumps({"exports": answers}))
    elif not to_stdout:
        for answer in answers:
            print(f"{answer['encounters']} encounters, in {answer['file']}.")
