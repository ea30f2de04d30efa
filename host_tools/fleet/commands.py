"""`bluezone fleet …`: what clerks do on the kiosk's pages, for technicians."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from host_tools.command_completion import words

from . import account_commands, alert_commands, clock_commands, people_commands
from .command_kit import DATABASE, Json, Key, Staff, TokenName, Where, actor, existing, moment, opened, person_of, say

if TYPE_CHECKING:
    from host_tools.fleet.office import Office


_STATES = ("new", "assigned", "returned", "lost", "revoked", "wiped")  # ledger.STATES, which takes long to import


def register(app: typer.Typer) -> None:
    """Add the group."""
    fleet = typer.Typer(no_args_is_help=True, help="Whose token it is: the ledger, its people and its rules.")
    deeds = {"add": add, "assign": assign, "return": take_back, "lose": lose, "revoke": revoke, "wipe": wipe}
    questions = {"list": list_tokens, "history": history, "label": label, "units": units, "audit": audit}
    for name, command in {**deeds, "replace": replace, **questions}.items():
        fleet.command(name)(command)
    people_commands.register(fleet)
    alert_commands.register(fleet)
    clock_commands.register(fleet)
    account_commands.register(fleet)
    app.add_typer(fleet, name="fleet")


def _standing(office: "Office", serial: bytes) -> dict[str, Any]:
    at = office.ledger.standing(serial)
    return {"serial": serial.hex(), "short_code": at.short_code, "state": at.state, "since": at.since_s}


def _done(office: "Office", serial: bytes, as_json: bool) -> None:
    told = _standing(office, serial)
    say(as_json, told, f"Token {told['short_code']} is {told['state']}.")


# --- Deeds -----------------------------------------------------------------------------------------------------------


def add(
    serials: Annotated[list[str], typer.Argument(help="Serials, 16 hex digits each.")],
    database: Where = DATABASE,
    key_file: Key = None,
    as_json: Json = False,
) -> None:
    """Register tokens before any kiosk has seen them."""
    from host_tools.errors import UserError
    from host_tools.fleet.label import code

    try:
        known = [bytes.fromhex(serial) for serial in serials]
    except ValueError:
        raise UserError("A serial has 16 hex digits. Nothing was changed.") from None
    with opened(database, key_file) as office:
        for serial in known:
            office.ledger.register(actor(), serial)
    codes = [code(serial) for serial in known]
    say(as_json, {"registered": codes}, f"Registered: {', '.join(codes)}.")


def assign(
    token: TokenName, staff: Staff, database: Where = DATABASE, key_file: Key = None, as_json: Json = False
) -> None:
    """Give a new or wiped token to a person."""
    with opened(database, key_file) as office:
        serial = office.ledger.serial(token)
        office.ledger.assign(actor(), serial, person_of(office, staff))
        _done(office, serial, as_json)


def _deed(call: Callable[["Office"], Callable[[str, bytes], None]], what: str) -> Callable[..., None]:
    def command(token: TokenName, database: Where = DATABASE, key_file: Key = None, as_json: Json = False) -> None:
        with opened(database, key_file) as office:
            serial = office.ledger.serial(token)
            call(office)(actor(), serial)
            _done(office, serial, as_json)

    command.__doc__ = what
    return command


take_back = _deed(lambda office: office.ledger.take_back, "A wearer has returned a token, or a lost one is found.")
lose = _deed(lambda office: office.ledger.lose, "Report a token lost: kiosks send who brings it to the clerk.")
revoke = _deed(lambda office: office.ledger.revoke, "Take a token out of use for good.")
wipe = _deed(lambda office: office.ledger.wipe, "Say that a token's log has been wiped: it may be assigned again.")


def replace(
    token: TokenName,
    new: Annotated[str, typer.Argument(help="The token to give instead.")],
    why: Annotated[Literal["return", "lose", "revoke"], typer.Option(help="What becomes of the old one.")] = "return",
    database: Where = DATABASE,
    key_file: Key = None,
    as_json: Json = False,
) -> None:
    """Give a wearer another token."""
    with opened(database, key_file) as office:
        fresh = office.ledger.serial(new)
        office.ledger.replace(actor(), office.ledger.serial(token), fresh, why)
        _done(office, fresh, as_json)


# --- Questions -------------------------------------------------------------------------------------------------------


def list_tokens(
    search: Annotated[str, typer.Argument(help="Beginning of a short code or serial, or a staff number.")] = "",
    state: Annotated[
        str | None,
        typer.Option(metavar="STATE", help="Only tokens in this state.", autocompletion=words(*_STATES)),
    ] = None,
    offset: Annotated[int, typer.Option(help="How many to pass over.", min=0)] = 0,
    limit: Annotated[int, typer.Option(help="How many at most.", min=1, max=10_000)] = 50,
    database: Where = DATABASE,
    key_file: Key = None,
    as_json: Json = False,
) -> None:
    """Tokens with their wearers, a page at a time."""
    from host_tools.errors import UserError
    from host_tools.fleet.ledger import STATES, State

    wanted: State | None = next((known for known in STATES if known == state), None)
    if state is not None and wanted is None:
        raise UserError(f"A state is one of {', '.join(STATES)}, not {state!r}.")
    with existing(database, key_file) as office:
        page = office.listing.page(actor(), search, wanted, offset=offset, limit=limit)
    rows = [
        {
            "serial": row.serial.hex(), "short_code": row.short_code, "state": row.state, "name": row.name,
            "staff_number": row.staff_number, "agency": row.unit.agency if row.unit else "",
            "battery_mv": row.battery_mv, "last_sync_s": row.last_sync_s, "alerts": row.alerts,
        }
        for row in page.rows
    ]  # fmt: skip
    lines = [f"{row['short_code']}  {row['state']:<9} {row['staff_number']:<12} {row['name']}" for row in rows]
    say(as_json, {"tokens": rows, "total": page.total}, "\n".join([*lines, f"{len(rows)} of {page.total} tokens."]))


def history(token: TokenName, database: Where = DATABASE, key_file: Key = None, as_json: Json = False) -> None:
    """All that has happened to a token."""
    with existing(database, key_file) as office:
        rows = office.listing.history(actor(), office.ledger.serial(token))
    told = [{"at": row.at_s, "actor": row.actor, "action": row.action, "person": row.person_id} for row in rows]
    lines = [f"{moment(row.at_s)}  {row.action:<9} {row.actor}" for row in rows]
    say(as_json, {"history": told}, "\n".join(lines))


def label(
    token: TokenName,
    out: Annotated[Path, typer.Option(help="The SVG to write.")] = Path("label.svg"),
    database: Where = DATABASE,
    key_file: Key = None,
    as_json: Json = False,
) -> None:
    """The label of a token with a QR code, as SVG."""
    from host_tools.errors import UserError
    from host_tools.fleet.label import code, label_svg

    with existing(database, key_file) as office:
        serial = office.ledger.serial(token)
    try:
        out.write_text(label_svg(serial), encoding="utf-8")
    except OSError as error:
        raise UserError(f"The label {out} cannot be written: {error}. Name another file.") from error
    say(as_json, {"short_code": code(serial), "label": str(out)}, f"Label of {code(serial)}: {out}")


def units(database: Where = DATABASE, key_file: Key = None, as_json: Json = False) -> None:
    """Each unit's tokens, the share synced within the last 7 days, and how many are with nobody."""
    with existing(database, key_file) as office:
        shares = office.listing.shares()
    told = [
        {
            "agency": share.unit.agency, "district": share.unit.district, "kind": share.unit.kind,
            "tokens": share.tokens, "synced_7d": share.recent, "percent": share.percent, "spare": share.spare,
        }
        for share in shares
    ]  # fmt: skip
    lines = [
        f"{row['percent']:>3} %  {row['synced_7d']} of {row['tokens']}, {row['spare']} spare  {row['agency']}"
        for row in told
    ]
    say(as_json, {"units": told}, "\n".join(lines))


def audit(
    limit: Annotated[int, typer.Option(help="How many at most.", min=1, max=10_000)] = 50,
    before: Annotated[int | None, typer.Option(help="Only rows before this number: the next page.", min=1)] = None,
    by: Annotated[str | None, typer.Option("--actor", help="Only what this account has done.")] = None,
    database: Where = DATABASE,
    key_file: Key = None,
    as_json: Json = False,
) -> None:
    """Who did what when, newest first."""
    with existing(database, key_file) as office:
        rows = office.audit.rows(actor=by, before_id=before, limit=limit)
    told = [
        {
            "number": row.id, "at": row.at_s, "actor": row.actor, "action": row.action, "person": row.person_id,
            "detail": row.detail, "serial": row.serial.hex() if row.serial else None,
        }
        for row in rows
    ]  # fmt: skip
    say(
        as_json,
        {"audit": told},
        "\n".join(f"{row.id:>6}  {moment(row.at_s)}  {row.actor}  {row.action}" for row in rows),
    )
