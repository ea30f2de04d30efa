"""What the shell offers after TAB, besides commands, options and files. It reads, and never makes or changes a file.

Where nothing fits, the shell offers files: `--rules` takes a name or a file.
"""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import typer

_MOST = 200  # more codes than that nobody reads


def words(*known: str) -> Callable[[str], list[str]]:
    """Completes one of a few words."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in known if word.startswith(incomplete)]

    return complete


KINDS = ("F0", "F1")  # national_list.KINDS, which takes long to import
kinds = words(*KINDS)
rule_sets = words("viet-nam", "dp-3t", "cwa")


def boards(incomplete: str) -> list[str]:
    """Names of folders in boards/."""
    from host_tools.errors import UserError
    from host_tools.provisioning.firmware_files import boards as known

    try:
        return [name for name in known() if name.startswith(incomplete)]
    except UserError:  # TAB is no place for a sentence
        return []


def tokens(context: typer.Context, incomplete: str) -> list[str]:
    """Short codes of the ledger, if the database is a file. No name is read, so the audit has nothing to note."""
    import sqlite3

    place = Path(str(context.params.get("database") or "kiosk.sqlite"))
    if not place.is_file():
        return []
    query = "SELECT short_code FROM token WHERE substr(short_code, 1, ?) = ? ORDER BY short_code LIMIT ?"
    beginning = incomplete.upper()
    try:
        with closing(sqlite3.connect(f"{place.absolute().as_uri()}?mode=ro", uri=True, timeout=1)) as connection:
            codes = [code for (code,) in connection.execute(query, (len(beginning), beginning, _MOST))]
    except sqlite3.Error:
        return []
    return [code.lower() for code in codes] if incomplete.islower() else codes  # the shell goes on with what is typed
