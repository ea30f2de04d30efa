"""`bluezone export` and `bluezone report`: what the database holds, as files."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from host_tools.command_completion import tokens as tokens_known
from host_tools.errors import UserError
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

from .command_kit import DATABASE, Json, Key, Where, actor, existing

if TYPE_CHECKING:
    from host_tools.fleet.office import Office
    from host_tools.kiosk.report import WearerReport
    from host_tools.matching.list_source import ListStatus
    from host_tools.matching.national_list import NationalList
    from host_tools.matching.rules import Rules


def register(app: typer.Typer) -> None:
    """Add the subcommands."""
    app.command()(export)
    app.command()(with_list_options(report))


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


def report(
    cases: Cases,
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    database: Where = DATABASE,
    key_file: Key = None,
    listed: ListOptions = NO_LIST_OPTIONS,
    rules: RuleSet = None,
    board: Board = None,
    tolerance: Tolerance = TOLERANCE_S,
    as_json: Json = False,
) -> None:
    """Hold a list against all stored logs and write the verdicts as one HTML page."""
    from host_tools.fleet import audit
    from host_tools.kiosk.report import write_report

    judged_by = rules_for(rules, board, tolerance)
    source = listed.source(cases)
    with existing(database, key_file) as office:
        national, status = source.load(office.now())
        wearers = _wearers(office, national, status, judged_by)
        write_report(out, "Bluezone", wearers)
        with office.database.writing() as connection:
            audit.note(connection, office.now(), actor(), "report", wearers=len(wearers), list_digest=status.digest)
    exposed = sum(wearer.state == "exposed" for wearer in wearers)
    if as_json:
        print(json.dumps({"tokens": len(wearers), "exposed": exposed, "report": str(out)}))
    else:
        print(f"Tokens: {len(wearers)}, F1: {exposed}. {status.problem or status.words()}. {out}")


def _wearers(office: "Office", national: "NationalList", status: "ListStatus", rules: "Rules") -> "list[WearerReport]":
    from host_tools.kiosk.report import WearerReport, contacts, history
    from host_tools.kiosk.service import TurnedAway, assess
    from host_tools.matching.case_finder import CaseFinder
    from host_tools.matching.explanation import ListVersion

    found, finder, version = [], CaseFinder(national.cases, office.index), ListVersion.of(status)
    for token in office.store.tokens():
        try:
            encounters = office.desk.encounters(token.serial, office.now())
        except TurnedAway:
            continue
        found.append(
            WearerReport(
                name="",
                short_code=token.short_code,
                verdict=assess(encounters, national, finder, rules),
                last_sync_s=token.last_sync_s,
                battery_mv=token.battery_mv,
                days=history(encounters, rules),
                contacts=contacts(encounters, rules),
                list_version=version,
            )
        )
    return found
