"""`bluezone export` and `bluezone report`: what the database holds, as files."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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

from .command_kit import DATABASE, Json, Key, TokenName, Where, actor, opened

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
    token: TokenName,
    out: Annotated[Path, typer.Option(help="The file to write.")],
    form: Annotated[str, typer.Option("--format", help="bluezone (data_trace.txt), csv or parquet.")] = "bluezone",
    database: Where = DATABASE,
    key_file: Key = None,
    as_json: Json = False,
) -> None:
    """Write a token's stored encounters to a file."""
    from host_tools.fleet import audit
    from host_tools.fleet.export import write

    with opened(database, key_file) as office:
        serial = office.ledger.serial(token)
        encounters = office.store.encounters(serial)
        write(out, form, encounters)
        with office.database.writing() as connection:
            audit.note(connection, office.now(), actor(), "export", serial, form=form, encounters=len(encounters))
    if as_json:
        print(json.dumps({"encounters": len(encounters), "format": form, "file": str(out)}))
    else:
        print(f"{len(encounters)} encounters, in {out}.")


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
    with opened(database, key_file) as office:
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
