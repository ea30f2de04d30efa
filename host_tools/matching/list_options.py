"""The options of the command line that say where the national list comes from, defined once for all commands.

A command names a parameter `listed: ListOptions` and is decorated with `with_list_options`: it then takes
`--list-key`, `--list-cache`, `--allow-http` and `--allow-unsigned`, and makes the source of `--cases` from them.
"""

import functools
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from host_tools.command_completion import KINDS, boards, kinds, rule_sets
from host_tools.errors import UserError

if TYPE_CHECKING:
    from host_tools.matching.list_source import ListSource
    from host_tools.matching.rules import Rules

Cases = Annotated[
    str,
    typer.Option(metavar="PLACE", help="The national list: a JSON file, a folder of them, or an https address."),
]
Kind = Annotated[
    str, typer.Option(help="F0: infected. F1: close contacts of infected.", autocompletion=kinds, metavar="F0|F1")
]
RuleSet = Annotated[
    str | None,
    typer.Option(
        "--rules",
        metavar="NAME|FILE",
        help="The rules: viet-nam, dp-3t, cwa, or a file like rules.toml.",
        autocompletion=rule_sets,
    ),
]
Board = Annotated[
    str | None,
    typer.Option(metavar="BOARD", help="The tokens' board, for its RSSI offset.", autocompletion=boards),
]
Tolerance = Annotated[
    int, typer.Option(min=0, max=86400, metavar="SECONDS", help="How far a token's clock may be off.")
]
_Key = Annotated[
    Path | None,
    typer.Option("--list-key", help="The authority's public key (PEM): lists must be signed with it."),
]
_Cache = Annotated[
    Path | None,
    typer.Option(
        "--list-cache",
        metavar="FOLDER",
        help="Keeps the last good list; for an address or a key ~/.cache/bluezone by default.",
    ),
]
_AllowHttp = Annotated[bool, typer.Option("--allow-http", help="Also http, from a server on this computer.")]
_AllowUnsigned = Annotated[
    bool, typer.Option("--allow-unsigned", help="With --list-key: also lists without a signature, but no wrong one.")
]


@dataclass(frozen=True, slots=True)
class ListOptions:
    """What the command line said about lists besides their place."""

    list_key: _Key = None
    list_cache: _Cache = None
    allow_http: _AllowHttp = False
    allow_unsigned: _AllowUnsigned = False

    def source(self, cases: str, kind: str = "F0") -> "ListSource":
        """The source that the options describe.

        Raises:
            UserError: they do not fit together, or the key cannot be read.
        """
        from stamina.instrumentation import set_on_retry_hooks

        from host_tools.matching.list_fetch import is_address
        from host_tools.matching.list_source import ListSource
        from host_tools.matching.list_statement import load_public_key

        # Failed attempts would be printed to stdout, into the answer; the last one is told as the reason.
        set_on_retry_hooks(())
        public_key = load_public_key(self.list_key) if self.list_key else None
        cache = self.list_cache
        if cache is None and (public_key or is_address(cases)):
            cache = user_cache() / "lists"
        required = False if self.allow_unsigned else None
        return ListSource(cases, cache, checked_kind(kind), public_key, required, self.allow_http)


NO_LIST_OPTIONS = ListOptions()


def with_list_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command whose parameter `listed` is filled from the options of lists."""
    own = inspect.signature(command).parameters
    options = [
        inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=each.type)
        for each in fields(ListOptions)
    ]

    @functools.wraps(command)
    def filled(**given: Any) -> Any:
        listed = ListOptions(**{option.name: given.pop(option.name) for option in options})
        return command(**given, listed=listed)

    parameters = []
    for each in own.values():
        parameters += options if each.name == "listed" else [each.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
    setattr(filled, "__signature__", inspect.Signature(parameters))  # noqa: B010 (functions have no such field)
    filled.__annotations__ = {each.name: each.annotation for each in parameters}
    return filled


def rules_for(chosen: str | None, board: str | None, tolerance_s: int | None = None) -> "Rules":
    """The rules that the options describe.

    Raises:
        UserError: there is no such set, file or board.
    """
    from dataclasses import replace

    from host_tools.matching.rules import load_rules
    from host_tools.provisioning.firmware_files import rssi_offset_db

    rules = load_rules(chosen).for_board(rssi_offset_db(board) if board else 0.0)
    return rules if tolerance_s is None else replace(rules, tolerance_s=tolerance_s)


def checked_kind(kind: str) -> str:
    """The kind of a list, if there is one of that name.

    Raises:
        UserError: there is none.
    """
    if kind not in KINDS:
        raise UserError(f"--kind must be {' or '.join(KINDS)}, not {kind}.")
    return kind


def user_cache() -> Path:
    """Where this user's programs keep what can be made anew."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bluezone"
