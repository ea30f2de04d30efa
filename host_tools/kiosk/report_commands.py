"""`bluezone report`: the verdicts on all stored logs, as one HTML page."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from host_tools.fleet.command_kit import DATABASE, Json, Key, Where, actor, existing
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

if TYPE_CHECKING:
    from host_tools.fleet.office import Office
    from host_tools.kiosk.report import WearerReport
    from host_tools.matching.assessment import Listed
    from host_tools.matching.rules import Rules


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command()(with_list_options(report))


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
    from host_tools.matching.assessment import Listed
    from host_tools.matching.case_finder import CaseFinder
    from host_tools.matching.explanation import ListVersion

    from .report import write_report

    judged_by = rules_for(rules, board, tolerance)
    source = listed.source(cases)
    with existing(database, key_file) as office:
        national, status = source.load(office.now())
        listed_now = Listed(national, CaseFinder(national.cases, office.index), ListVersion.of(status))
        wearers = _wearers(office, listed_now, judged_by)
        write_report(out, "Bluezone", wearers)
        with office.database.writing() as connection:
            audit.note(connection, office.now(), actor(), "report", wearers=len(wearers), list_digest=status.digest)
    exposed = sum(wearer.state == "exposed" for wearer in wearers)
    if as_json:
        print(json.dumps({"tokens": len(wearers), "exposed": exposed, "report": str(out)}))
    else:
        print(f"Tokens: {len(wearers)}, F1: {exposed}. {status.problem or status.words()}. {out}")


def _wearers(office: "Office", listed: "Listed", rules: "Rules") -> "list[WearerReport]":
    from host_tools.fleet.desk import TurnedAway
    from host_tools.matching.assessment import assess

    from .report import WearerReport, contacts, history

    found = []
    for token in office.store.tokens():
        try:
            encounters = office.desk.encounters(token.serial, office.now())
        except TurnedAway:
            continue
        found.append(
            WearerReport(
                name="",
                short_code=token.short_code,
                verdict=assess(encounters, listed.cases, listed.finder, rules),
                last_sync_s=token.last_sync_s,
                battery_mv=token.battery_mv,
                days=history(encounters, rules),
                contacts=contacts(encounters, rules),
                list_version=listed.version,
            )
        )
    return found
