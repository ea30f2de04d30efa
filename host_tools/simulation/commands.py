"""`bluezone demo`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from host_tools.answers import Json


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command()(demo)


def demo(
    seed: Annotated[int, typer.Option(help="Of all randomness: the same seed gives the same radio trace.")] = 1,
    scenario: Annotated[Path | None, typer.Option(help="A scenario file; by default a morning in an office.")] = None,
    out: Annotated[Path, typer.Option(help="Where results go.")] = Path("build/demo"),
    as_json: Json = False,
) -> None:
    """A scenario in virtual time: tokens meet, the kiosk reads them, the verdict stands beside the truth."""
    from .demo_view import run_demo

    answer = run_demo(scenario, seed, out, as_json)
    if as_json:
        print(json.dumps(answer, ensure_ascii=False))
