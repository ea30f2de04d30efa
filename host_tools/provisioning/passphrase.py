"""Where the passphrase of a key file comes from: a file, the environment, or the person at the keyboard."""

import os
import sys
from pathlib import Path

import typer

from host_tools.errors import UserError

VARIABLE = "BLUEZONE_PASSPHRASE"


def passphrase(file: Path | None, new: bool = False) -> str:
    """The passphrase; it is never an argument of a command, which other users of the machine could see.

    Args:
        file: its first line is the passphrase; None: the environment's BLUEZONE_PASSPHRASE, else a prompt.
        new: ask twice.

    Raises:
        UserError: the file cannot be read, or nobody can be asked.
    """
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").partition("\n")[0]
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"The passphrase file {file} cannot be read: {error}. Nothing was done.") from error
    if VARIABLE in os.environ:
        return os.environ[VARIABLE]
    if not sys.stdin.isatty():
        raise UserError(
            f"A passphrase is needed and there is no terminal to ask at. Nothing was done. Set {VARIABLE} or name a "
            "--passphrase-file."
        )
    return typer.prompt("Passphrase", hide_input=True, confirmation_prompt=new, err=True)
