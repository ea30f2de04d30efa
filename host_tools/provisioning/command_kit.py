"""What the commands for boards share: options, and one answer for several boards."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from host_tools.provisioning.bench import Outcome

Ports = Annotated[
    list[str] | None,
    typer.Option("--port", help="Serial port, such as /dev/ttyUSB0; several times for several; by default all boards."),
]
FAILED = 2


def print_outcomes(outcomes: "list[Outcome[Any]]", as_json: bool, sentence: Callable[[Any], str]) -> int:
    """Print what became of each board: `{"boards": […], "failed": [{"port", "error"}, …]}`, or sentences.

    Returns:
        The exit status: 0 when no board failed.
    """
    failed = [outcome for outcome in outcomes if outcome.error]
    done: list[Any] = [outcome.done for outcome in outcomes if not outcome.error]
    if as_json:
        boards = [item if isinstance(item, dict) else item.as_dict() for item in done]
        print(json.dumps({"boards": boards, "failed": [{"port": one.port, "error": one.error} for one in failed]}))
    else:
        for item in done:
            print(sentence(item))
    for one in failed:
        # A single board's sentence stands alone; of several, each names its port.
        typer.echo(one.error if len(outcomes) == 1 else f"{one.port}: {one.error}", err=True)
    return FAILED if failed else 0
