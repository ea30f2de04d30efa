"""`bluezone fleet …`: staff lists, what is held of a person, and for how long."""

import json
from pathlib import Path
from typing import Annotated

import typer

from .command_kit import DATABASE, Json, Key, Staff, Where, actor, existing, opened, person_of, say


def register(fleet: typer.Typer) -> None:
    """Add the subcommands to the group."""
    fleet.command("import")(bring_in)
    fleet.command("export")(bring_out)
    fleet.command()(held)
    fleet.command()(forget)
    fleet.command()(keep)
    fleet.command()(purge)


def bring_in(
    path: Annotated[Path, typer.Argument(help="CSV in UTF-8; SPEC.md has the columns.")],
    database: Where = DATABASE,
    key_file: Key = None,
    as_json: Json = False,
) -> None:
    """Enter a staff list, whole or not at all."""
    from host_tools.matching.inputs import reading

    with reading(path, "staff list") as stream:
        data = stream.read()
    with opened(database, key_file) as office:
        done = office.staff_csv.bring_in(actor(), data)
    told = {"persons": done.persons, "assigned": done.assigned}
    say(as_json, told, f"Persons: {done.persons}. Tokens assigned: {done.assigned}.")


def bring_out(
    path: Annotated[Path, typer.Argument(help="The CSV to write.")],
    database: Where = DATABASE,
    key_file: Key = None,
    as_json: Json = False,
) -> None:
    """Write all persons and their tokens as a staff list. It has names in the clear."""
    from host_tools.errors import UserError

    with existing(database, key_file) as office:
        text = office.staff_csv.bring_out(actor())
    try:
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise UserError(f"The list {path} cannot be written: {error}. Name another file.") from error
    persons = text.count("\r\n") - 1
    say(as_json, {"persons": persons, "file": str(path)}, f"Persons: {persons}, in {path}.")


def held(staff: Staff, database: Where = DATABASE, key_file: Key = None, as_json: Json = False) -> None:
    """All that is held of a person."""
    with existing(database, key_file) as office:
        found = office.privacy.held(actor(), person_of(office, staff))
    told = {
        "staff_number": found.person.staff_number,
        "name": found.person.name,
        "address": found.person.address,
        "agency": found.person.unit.agency if found.person.unit else "",
        "tokens": [{"serial": p.serial.hex(), "since": p.since_s, "until": p.until_s} for p in found.periods],
        "records": found.records,
        "days": [each.as_json() for each in found.days],
    }
    say(as_json, told, json.dumps(told, ensure_ascii=False, indent=2))


def forget(
    staff: Staff,
    contacts_only: Annotated[bool, typer.Option("--contacts-only", help="They keep name and token.")] = False,
    database: Where = DATABASE,
    key_file: Key = None,
    as_json: Json = False,
) -> None:
    """Delete what is held of a person; a token they have counts as returned."""
    with existing(database, key_file) as office:
        person = person_of(office, staff)
        if contacts_only:
            office.privacy.forget_contacts(actor(), person)
        else:
            office.privacy.erase(actor(), person)
    say(as_json, {"forgotten": "contacts" if contacts_only else "person"}, "Deleted.")


def keep(
    days: Annotated[
        int | None, typer.Argument(help="0: not past the verdict; up to 180. Without it the rule is only told.")
    ] = None,
    database: Where = DATABASE,
    key_file: Key = None,
    as_json: Json = False,
) -> None:
    """For how many days encounters are kept; with DAYS older ones are deleted at once."""
    deleted = 0
    with existing(database, key_file) as office:
        if days is not None:
            office.privacy.set_days(actor(), days)
            deleted = office.privacy.purge()
        rule = office.privacy.days()
    say(as_json, {"days": rule, "deleted": deleted}, f"Kept for {rule} days. Records deleted: {deleted}.")


def purge(database: Where = DATABASE, key_file: Key = None, as_json: Json = False) -> None:
    """Delete encounters that are older than the rule allows, as a kiosk does every hour."""
    with existing(database, key_file) as office:
        deleted = office.privacy.purge()
        rule = office.privacy.days()
    say(as_json, {"days": rule, "deleted": deleted}, f"Kept for {rule} days. Records deleted: {deleted}.")
