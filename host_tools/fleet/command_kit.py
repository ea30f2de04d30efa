"""What the fleet's commands share: options, the open office, and answers."""

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from host_tools.answers import Json as Json
from host_tools.answers import say as say
from host_tools.command_completion import tokens
from host_tools.errors import UserError

if TYPE_CHECKING:
    from host_tools.fleet.office import Office

Where = Annotated[
    str,
    typer.Option(
        "--database",
        metavar="FILE|URL",
        help="The kiosk's database: a file, or the URL of a PostgreSQL one.",
        is_eager=True,  # read first: what TAB offers for a token comes from it
    ),
]
Key = Annotated[
    Path | None, typer.Option("--key-file", help="The key of the names; by default <database>.key beside a file.")
]
TokenName = Annotated[
    str, typer.Argument(help="The six letters on its label, or its serial in hex.", autocompletion=tokens)
]
Staff = Annotated[str, typer.Argument(help="A staff number.")]
DATABASE = "kiosk.sqlite"


@contextmanager
def opened(database: str, key_file: Path | None) -> Iterator["Office"]:
    """The fleet for one command; a new database is made where none is."""
    from host_tools.fleet.office import Office

    with Office(database, key_file) as office:
        yield office


@contextmanager
def existing(database: str, key_file: Path | None) -> Iterator["Office"]:
    """The fleet for a command that asks or takes away: in an empty database it would find nothing, and say so.

    Raises:
        UserError: there is no database.
    """
    if "://" not in database and not Path(database).exists():
        raise UserError(
            f"There is no database at {database}. Nothing was done; name the kiosk's own with --database. A new one "
            "is made by `bluezone kiosk`, `sync`, `fleet add` and `fleet import`."
        )
    with opened(database, key_file) as office:
        yield office


def actor() -> str:
    """Whom the audit names: who works on this machine has the key, and needs no account."""
    return f"console:{getpass.getuser()}"


def secret(file: Path | None, what: str, twice: bool = False) -> str:
    """A password or the like. It is never an argument of a command, which other users of the machine could see.

    Args:
        file: its first line is taken; None: it is typed.
        what: the prompt.
        twice: ask twice.

    Raises:
        UserError: the file cannot be read, or there is no terminal to type at.
    """
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").partition("\n")[0].strip("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"The file {file} cannot be read: {error}. Nothing was changed.") from error
    if not sys.stdin.isatty():
        raise UserError(f"{what}: there is no terminal to type it at. Nothing was changed. Name a file that holds it.")
    return typer.prompt(what, hide_input=True, confirmation_prompt=twice, err=True)


def person_of(office: "Office", staff: str) -> int:
    """The number of the person with a staff number.

    Raises:
        PersonError: there is none.
    """
    from host_tools.fleet.people import PersonError

    person = office.people.find(staff)
    if person is None:
        raise PersonError(f"There is nobody with staff number {staff!r}. Nothing was changed. Import the person first.")
    return person


def moment(unix_s: int) -> str:
    """A time as people in Viet Nam read it."""
    from host_tools.matching.verdict import VIETNAM_TIME

    return f"{datetime.fromtimestamp(unix_s, VIETNAM_TIME):%Y-%m-%d %H:%M}"
