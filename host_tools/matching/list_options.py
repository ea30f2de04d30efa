"""The options of the command line that say where the national list comes from."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from host_tools.errors import UserError

if TYPE_CHECKING:
    from host_tools.matching.list_source import ListSource

Cases = Annotated[str, typer.Option(help="The national list: a JSON file, a folder of them, or an https address.")]
ListKey = Annotated[Path | None, typer.Option(help="The authority's public key (PEM): lists must be signed with it.")]
ListCache = Annotated[
    Path | None,
    typer.Option(help="Folder that keeps the last good list; for an address or a key ~/.cache/bluezone by default."),
]
Kind = Annotated[str, typer.Option(help="F0: infected. F1: close contacts of infected.")]
AllowHttp = Annotated[bool, typer.Option("--allow-http", help="Also http, from a server on this computer.")]
AllowUnsigned = Annotated[
    bool, typer.Option("--allow-unsigned", help="With --list-key: also lists without a signature, but no wrong one.")
]


def list_source(
    cases: str,
    key: Path | None,
    cache: Path | None,
    kind: str = "F0",
    allow_http: bool = False,
    allow_unsigned: bool = False,
) -> "ListSource":
    """The source that the options describe.

    Raises:
        UserError: they do not fit together, or the key cannot be read.
    """
    from host_tools.matching.list_fetch import is_address
    from host_tools.matching.list_source import ListSource
    from host_tools.matching.list_statement import load_public_key

    public_key = load_public_key(key) if key else None
    if cache is None and (public_key or is_address(cases)):
        cache = _usual_cache()
    required = False if allow_unsigned else None
    return ListSource(cases, cache, checked_kind(kind), public_key, required, allow_http)


def checked_kind(kind: str) -> str:
    """The kind of a list, if there is one of that name.

    Raises:
        UserError: there is none.
    """
    from host_tools.matching.national_list import KINDS

    if kind not in KINDS:
        raise UserError(f"--kind must be {' or '.join(KINDS)}, not {kind}.")
    return kind


def _usual_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bluezone" / "lists"
