"""Which part of host_tools may import which, and what the command line loads before it knows what is wanted."""

import ast
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("storage", "matching", "fleet", "provisioning", "link", "authority", "kiosk", "simulation", "web")
# Imports against the order, inside functions. A kind of board has an RSSI offset, which stands in its board.toml.
AGAINST = {("matching.list_options", "provisioning.firmware_files")}
AT_START = {"host_tools", "tracing"}  # typer apart, with what it brings


def imports() -> set[tuple[str, str]]:
    """(module, module that it imports), both without `host_tools.` in front; those inside functions too."""
    found = set()
    for path in (ROOT / "host_tools").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT / "host_tools").with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").startswith("host_tools."):
                whole = (node.module or "").removeprefix("host_tools.")
                found |= {(name, whole if "." in whole else f"{whole}.{each.name}") for each in node.names}
    return found


def test_the_search_finds_imports():
    assert ("kiosk.service", "link.session") in imports()
    assert imports() >= AGAINST


@pytest.mark.parametrize("part", PARTS)
def test_a_part_imports_only_those_before_it(part):
    later = PARTS[PARTS.index(part) + 1 :]
    wrong = {(one, other) for one, other in imports() if one.split(".")[0] == part and other.split(".")[0] in later}
    assert wrong - AGAINST == set()


def test_design_lists_the_parts_in_their_order():
    text = (ROOT / "DESIGN.md").read_text(encoding="utf-8")
    table = text[text.index("| in `host_tools` | is |") :]
    places = [table.index(f"| `{part}` |") for part in PARTS]
    assert all(one < other for one, other in pairwise(places))


def test_the_command_line_loads_little():
    program = (
        "import sys, typer, typer.main; before = set(sys.modules); from host_tools.cli import build_app; build_app(); "
        "new = {name.split('.')[0] for name in set(sys.modules) - before}; "
        "print(*sorted(new - sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == AT_START
