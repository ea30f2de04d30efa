"""`bluezone fleet account …`: who may log in to the kiosk's pages for staff."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from host_tools.errors import UserError

from .command_kit import DATABASE, Json, Key, Where, actor, existing, opened, say, secret

if TYPE_CHECKING:
    from host_tools.fleet.accounts import Account
    from host_tools.fleet.office import Office

_Name = Annotated[str, typer.Argument(help="The name that somebody logs in with.")]
_PasswordFile = Annotated[
    Path | None, typer.Option(help="File with the password in its first line; without it the password is asked for.")
]


def register(fleet: typer.Typer) -> None:
    """Add the subcommands to the group."""
    group = typer.Typer(no_args_is_help=True, help="Accounts for the kiosk's pages.")
    group.command()(add)
    group.command("list")(all_accounts)
    group.command()(password)
    group.command()(disable)
    group.command()(enable)
    fleet.add_typer(group, name="account")


def add(
    name: _Name,
    role: Annotated[Literal["admin", "clerk", "officer", "viewer"], typer.Option(help="What it may do.")],
    password_file: _PasswordFile = None,
    database: Where = DATABASE,
    key_file: Key = None,
    as_json: Json = False,
) -> None:
    """Make an account."""
    typed = secret(password_file, "Password of the account", twice=True)
    with opened(database, key_file) as office:
        made = office.accounts.add(actor(), name, role, typed)
    say(as_json, _told(made), f"Account {made.name} is made, as {made.role}.")


def all_accounts(database: Where = DATABASE, key_file: Key = None, as_json: Json = False) -> None:
    """All accounts, by name."""
    with existing(database, key_file) as office:
        found = office.accounts.all()
    lines = [f"{each.name:<20} {each.role:<8} {'disabled' if each.disabled else ''}".rstrip() for each in found]
    say(as_json, {"accounts": [_told(each) for each in found]}, "\n".join([*lines, f"Accounts: {len(found)}."]))


def password(
    name: _Name,
    password_file: _PasswordFile = None,
    database: Where = DATABASE,
    key_file: Key = None,
    as_json: Json = False,
) -> None:
    """Give an account another password; whoever is logged in with it is logged out."""
    with existing(database, key_file) as office:
        account = _account(office, name)
        office.accounts.set_password(actor(), account.id, secret(password_file, "New password", twice=True))
    say(as_json, _told(account), f"Account {account.name} has a new password.")


def disable(name: _Name, database: Where = DATABASE, key_file: Key = None, as_json: Json = False) -> None:
    """Shut an account out, at once."""
    _change(name, True, database, key_file, as_json)


def enable(name: _Name, database: Where = DATABASE, key_file: Key = None, as_json: Json = False) -> None:
    """Let a disabled account in again."""
    _change(name, False, database, key_file, as_json)


def _change(name: str, disabled: bool, database: str, key_file: Path | None, as_json: bool) -> None:
    with existing(database, key_file) as office:
        office.accounts.disable(actor(), _account(office, name).id, disabled)
        account = _account(office, name)
    say(as_json, _told(account), f"Account {account.name} is {'disabled' if disabled else 'enabled'}.")


def _account(office: "Office", name: str) -> "Account":
    found = next((each for each in office.accounts.all() if each.name == name.strip().casefold()), None)
    if found is None:
        raise UserError(f"There is no account {name!r}. Nothing was changed. See `bluezone fleet account list`.")
    return found


def _told(account: "Account") -> dict[str, Any]:
    return {"id": account.id, "name": account.name, "role": account.role, "disabled": account.disabled}
