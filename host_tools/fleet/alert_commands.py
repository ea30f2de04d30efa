"""`bluezone fleet alert …`, `fleet gateway …` and `fleet match`: who has to be told, how, and by which list."""

from pathlib import Path
from typing import Annotated

import typer

from host_tools.command_completion import words
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

from .command_kit import DATABASE, Json, Key, Where, actor, existing, opened, say, secret

_Kind = Annotated[
    str,
    typer.Argument(help="Of the addresses that it reaches: mail or phone.", autocompletion=words("mail", "phone")),
]


def register(fleet: typer.Typer) -> None:
    """Add the subcommands to the group."""
    alert = typer.Typer(no_args_is_help=True, help="Wearers whom a new list makes F1 while their token is away.")
    alert.command("list")(waiting)
    alert.command()(told)
    alert.command()(send)
    fleet.add_typer(alert, name="alert")
    gateway = typer.Typer(no_args_is_help=True, help="How alerts reach wearers: e-mail and SMS.")
    gateway.command("set")(set_gateway)
    gateway.command()(remove)
    gateway.command("list")(gateways)
    gateway.command("test")(try_gateway)
    fleet.add_typer(gateway, name="gateway")
    fleet.command()(with_list_options(match))


# --- Alerts ----------------------------------------------------------------------------------------------------------


def waiting(database: Where = DATABASE, key_file: Key = None, as_json: Json = False) -> None:
    """Alerts that have not reached their wearers, oldest first; those in state hand wait for a call."""
    from tracing.wire import short_code

    with existing(database, key_file) as office:
        rows = office.alerts.look_at(actor())
    found = [
        {
            "alert": row.id, "serial": row.serial.hex(), "short_code": short_code(row.serial), "person": row.person_id,
            "day": str(row.day), "state": row.state, "attempts": row.attempts, "problem": row.problem,
        }
        for row in rows
    ]  # fmt: skip
    lines = [f"{a['alert']:>4}  {a['short_code']}  {a['day']}  {a['state']:<8} {a['problem']}" for a in found]
    say(as_json, {"alerts": found}, "\n".join([*lines, f"Alerts that wait: {len(found)}."]))


def told(
    number: Annotated[int, typer.Argument(help="As `bluezone fleet alert list` shows it.", metavar="ALERT")],
    database: Where = DATABASE,
    key_file: Key = None,
    as_json: Json = False,
) -> None:
    """Say that you have told the wearer yourself."""
    with existing(database, key_file) as office:
        office.alerts.told_by_hand(actor(), number)
    say(as_json, {"alert": number, "state": "told"}, f"Alert {number}: the wearer has been told.")


def send(database: Where = DATABASE, key_file: Key = None, as_json: Json = False) -> None:
    """Send all alerts that are due now, as a kiosk does every minute."""
    with existing(database, key_file) as office:
        taken = office.alerts.deliver()
        left = len(office.alerts.open_ones())
    say(as_json, {"sent": taken, "waiting": left}, f"Messages sent: {taken}. Alerts that wait: {left}.")


def match(
    cases: Cases,
    listed: ListOptions = NO_LIST_OPTIONS,
    rules: RuleSet = None,
    board: Board = None,
    tolerance: Tolerance = TOLERANCE_S,
    database: Where = DATABASE,
    key_file: Key = None,
    as_json: Json = False,
) -> None:
    """Hold the list against all stored encounters now; what it newly says becomes results and alerts."""
    from host_tools.matching.case_finder import CaseFinder
    from host_tools.matching.explanation import ListVersion

    judged_by = rules_for(rules, board, tolerance)
    source = listed.source(cases)
    with existing(database, key_file) as office:
        national, status = source.load(office.now())
        finder = CaseFinder(national.cases, office.index)
        found = office.results.rematch(national, judged_by, finder, ListVersion.of(status), actor())
    say(
        as_json,
        {"list": status.as_dict(), "tokens": found.tokens, "alerts": found.alerts},
        f"{status.problem or status.words()}. Tokens that met a case: {found.tokens}. New alerts: {found.alerts}.",
    )


# --- Gateways --------------------------------------------------------------------------------------------------------


def set_gateway(
    kind: _Kind,
    url_file: Annotated[
        Path | None, typer.Option(help="File with the URL in its first line; without it the URL is asked for.")
    ] = None,
    database: Where = DATABASE,
    key_file: Key = None,
    as_json: Json = False,
) -> None:
    """Set the gateway for a kind of address: an apprise URL with {address} in it. It is kept encrypted."""
    url = secret(url_file, "URL of the gateway").strip()
    if not url:
        raise UserError(f"The URL is empty. Nothing was changed; `bluezone fleet gateway remove {kind}` removes it.")
    with opened(database, key_file) as office:
        office.alerts.set_gateway(actor(), kind, url)
    say(as_json, {"kind": kind, "set": True}, f"The gateway for {kind} is set. Try it with `fleet gateway test`.")


def remove(kind: _Kind, database: Where = DATABASE, key_file: Key = None, as_json: Json = False) -> None:
    """Send nothing to a kind of address any more; its alerts then wait for a call."""
    with existing(database, key_file) as office:
        office.alerts.set_gateway(actor(), kind, "")
    say(as_json, {"kind": kind, "set": False}, f"The gateway for {kind} is removed.")


def gateways(database: Where = DATABASE, key_file: Key = None, as_json: Json = False) -> None:
    """Which gateways are set: the service only, for the rest of a URL holds passwords."""
    from host_tools.fleet.gateways import services

    with existing(database, key_file) as office:
        found = services(office)
    told = [{"kind": kind, "service": service} for kind, service in found.items()]
    say(as_json, {"gateways": told}, "\n".join(f"{kind:<6} {service or 'not set'}" for kind, service in found.items()))


def try_gateway(
    address: Annotated[str, typer.Argument(help="An e-mail address or a telephone number of your own.")],
    database: Where = DATABASE,
    key_file: Key = None,
    as_json: Json = False,
) -> None:
    """Send a test message to an address by the gateway for its kind."""
    from host_tools.fleet.gateways import send_test

    with existing(database, key_file) as office:
        send_test(office, actor(), address)
    say(as_json, {"address": address, "taken": True}, f"The gateway has taken the message to {address}.")
