"""The `bluezone` command. Each part of the product registers its own subcommands.

Only typer is imported at the start; commands import what they need when they run, so that `bluezone --help`
and shell completion answer at once.
"""

import json
import sys
from collections.abc import Sequence
from io import TextIOWrapper

import typer
from typer.main import get_command

from host_tools.command_words import with_words
from host_tools.errors import UserError

EXIT_UNUSABLE = 2
EXIT_INTERRUPTED = 130  # as a shell says it of SIGINT


def new_app() -> typer.Typer:
    """The command without any subcommand."""
    app = typer.Typer(name="bluezone", no_args_is_help=True, pretty_exceptions_enable=False)

    @app.callback()
    def bluezone() -> None:
        """Contact-tracing tokens that speak Bluezone v2, and the kiosk that reads them."""

    return app


def build_app() -> typer.Typer:
    """The whole command."""
    from host_tools.authority import commands as authority
    from host_tools.fleet import commands as fleet
    from host_tools.fleet import export_commands as export
    from host_tools.kiosk import commands as kiosk
    from host_tools.kiosk import report_commands as report
    from host_tools.matching import bulk_commands as bulk_matching
    from host_tools.matching import commands as matching
    from host_tools.matching import list_commands as lists
    from host_tools.provisioning import commands as provisioning
    from host_tools.simulation import commands as simulation
    from host_tools.web import commands as web

    app = new_app()
    for part in (
        matching, bulk_matching, lists, simulation, kiosk, fleet, export, report, web, provisioning, authority,
    ):  # fmt: skip
        part.register(app)
    return app


def run(app: typer.Typer, args: Sequence[str]) -> int:
    """Run one command line.

    Args:
        args: the words after the command's name.

    Returns:
        The exit status: 0, 130 after Ctrl-C, or 2 when the input is unusable. Then the reason is on stderr in one
        sentence, and with `--json` also on stdout as `{"error": …}`, so that a program never reads an empty answer.
    """
    try:
        status = with_words(get_command(app)).main(args=list(args), prog_name="bluezone", standalone_mode=False)
    except UserError as error:
        return _unusable(str(error), args)
    except typer.TyperException as error:
        said = error.format_message().replace("Value error, ", "").rstrip(".")
        if not said:  # a command without the word that it needs: the help is printed already
            return EXIT_UNUSABLE
        context = getattr(error, "ctx", None)
        command = context.command_path if context else app.info.name
        return _unusable(f"{said}. See `{command} --help`.", args)
    except typer.Abort:
        return EXIT_INTERRUPTED
    return status if isinstance(status, int) else 0


def _unusable(sentence: str, args: Sequence[str]) -> int:
    if "--json" in args:
        print(json.dumps({"error": sentence}))
    print(sentence, file=sys.stderr)
    return EXIT_UNUSABLE


def main() -> None:
    """Entry point of the `bluezone` script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Vietnamese letters shows "?", not a traceback
    sys.exit(run(build_app(), sys.argv[1:]))


if __name__ == "__main__":
    main()
