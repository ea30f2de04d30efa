"""How commands answer: in a sentence, or in JSON for programs."""

import json
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")]


def say(as_json: bool, answer: dict[str, Any], sentence: str) -> None:
    """Print the answer."""
    print(json.dumps(answer, ensure_ascii=False) if as_json else sentence)
