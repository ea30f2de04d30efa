"""Every subcommand: it says what it does, fits a terminal, answers programs, and TAB completes it."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from host_tools import cli
from host_tools.fleet.office import Office

ROOT = Path(__file__).parents[2]
TALKS = {"repl"}  # a conversation, not an answer


def leaves(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    for word, inner in getattr(command, "commands", {}).items():
        yield from leaves(inner, f"{name} {word}".strip())
    if not hasattr(command, "commands"):
        yield name, command


LEAVES = dict(leaves(get_command(cli.build_app())))
GROUPS = ["", *sorted({name.rpartition(" ")[0] for name in LEAVES} - {""})]


def run(*words: str) -> tuple[int, str, str]:
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        status = cli.run(cli.build_app(), words)
    return status, out.getvalue(), err.getvalue()


@pytest.mark.parametrize("name", [*LEAVES, *GROUPS])
def test_help_fits_a_terminal_and_speaks_no_python(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    status, out, _ = run(*name.split(), "--help")
    assert status == 0
    assert max(len(line) for line in out.splitlines()) <= 80
    assert re.findall(r"<\w+(?:\[\w+\])?>|None|list\[", out.replace("<database>", "")) == []


@pytest.mark.parametrize("name", LEAVES)
def test_every_command_and_option_is_described(name):
    command = LEAVES[name]
    assert command.help
    assert [each.name for each in command.params if not each.help] == []
    assert ("--json" in {option for each in command.params for option in each.opts}) == (name not in TALKS)


@pytest.mark.parametrize("name", [name for name in LEAVES if name not in TALKS])
def test_an_unusable_line_is_json_too(name):
    status, out, err = run(*name.split(), "--no-such-option", "--json")
    assert status == cli.EXIT_UNUSABLE
    assert json.loads(out)["error"] in err


# --- Completion ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory):
    """Answers of a real bash: what TAB offers after some words."""
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    folder = tmp_path_factory.mktemp("completion")
    program = folder / "bluezone"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m host_tools.cli "$@"\n')
    program.chmod(0o755)
    with Office(folder / "kiosk.sqlite") as office:
        office.ledger.register("clerk", bytes.fromhex("0102030405060708"))
        office.ledger.register("clerk", bytes.fromhex("1112030405060708"))
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": f"{ROOT}:{ROOT / 'firmware'}"}
    script = (
        'eval "$(_BLUEZONE_COMPLETE=source_bash bluezone)"; read -ra COMP_WORDS <<< "$LINE"; '
        '[[ $LINE == *" " ]] && COMP_WORDS+=(""); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); '
        '_bluezone_completion bluezone; printf "%s\\n" "${COMPREPLY[@]}"'
    )

    def after(line: str) -> list[str]:
        done = subprocess.run(
            ["bash", "--norc", "-c", script], env={**env, "LINE": line}, cwd=folder, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split()

    return after


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("bluezone match-", ["match-stored", "match-nation"]),
        ("bluezone fleet re", ["return", "revoke", "replace"]),
        ("bluezone flash --board esp32_c", ["esp32_c3", "esp32_c6"]),
        ("bluezone sync --rules ", ["viet-nam", "dp-3t", "cwa"]),
        ("bluezone match --kind ", ["F0", "F1"]),
        ("bluezone kiosk --radio v", ["virtual"]),
        ("bluezone export ", ["3J2824", "KJ6824"]),
        ("bluezone fleet assign k", ["kj6824"]),
        ("bluezone fleet assign --database none.sqlite ", []),
        ("bluezone match --log ", []),  # bash itself offers files where there is nothing
    ],
)
def test_bash_completes(bash, line, offered):
    assert bash(line) == offered


def test_completion_makes_no_file(bash, tmp_path):
    place = tmp_path / "none.sqlite"
    assert bash(f"bluezone fleet history --database {place} ") == []
    assert not place.exists()
