"""What stands for a value in the help of the `bluezone` command: FILE and SECONDS, where typer says <path>, <float>.

Typer's words are those of a programmer. An option that has a word of its own (`metavar`) keeps it.
"""

from pathlib import Path
from typing import Any

from typer.core import TyperArgument, TyperGroup, TyperOption

# By the name of the option, where its type says too little.
_BY_NAME = {
    "days": "DAYS",
    "drive": "FOLDER",
    "host": "ADDRESS",
    "name": "NAME",
    "port": "PORT",
    "scheduler": "ADDRESS",
    "seconds": "SECONDS",
    "time": "SECONDS",
}
_BY_TYPE = {bool: "", int: "NUMBER", float: "NUMBER", str: "TEXT"}


def with_words(command: Any) -> Any:
    """The command, its groups and their commands, with words for all values. `command` is what typer has built."""
    for parameter in command.params:
        if isinstance(parameter, TyperOption) and parameter.metavar is None:
            parameter.metavar = _word(parameter)
        elif isinstance(parameter, TyperArgument):
            parameter.metavar = parameter.metavar or parameter.name.upper()
            setattr(parameter, "display_type", _nothing)  # noqa: B010 (its name says what it is)
    if isinstance(command, TyperGroup):
        for inner in command.commands.values():
            with_words(inner)
    context = command.make_context(command.name, [], resilient_parsing=True)
    help_option = command.get_help_option(context)
    if help_option is not None:
        help_option.metavar = ""
    return command


def _word(option: TyperOption) -> str:
    kind = option.type_descriptor
    if kind.choices is not None:
        return "|".join(str(choice) for choice in kind.choices)
    if kind.is_datetime:
        return "YYYY-MM-DD"
    if option.is_flag:
        return ""
    if option.name in _BY_NAME:
        return _BY_NAME[option.name]
    if kind.is_path:
        folder = isinstance(option.default, Path) and not option.default.suffix
        return "FOLDER" if folder else "FILE"
    return _BY_TYPE.get(kind.annotation, "TEXT")


def _nothing(*_: object) -> str:
    return ""
