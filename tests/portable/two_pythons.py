"""One suite, two interpreters: a check is a function that imports what it needs, and runs here or on the VM.

@both_pythons
def test_something(run):
    run(check_something, arguments)
"""

import inspect
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAP = "64k"  # of a token


def here(check: Callable, *arguments: object, heap: str = HEAP) -> None:
    """Run a check on CPython, which has as much heap as it wants."""
    check(*arguments)


def on_vm(check: Callable, *arguments: object, heap: str = HEAP) -> None:
    """Run a check on the VM with a token's heap. Arguments must come back from their repr; a failed assert shows.

    Args:
        heap: more, for a check that imports much: here the modules are compiled on the VM's own heap.
    """
    code = textwrap.dedent(inspect.getsource(check)) + f"\n{check.__name__}(*{arguments!r})\nprint('passed')\n"
    done = subprocess.run(
        [str(Path(sys.executable).parent / "micropython"), "-X", f"heapsize={heap}", "-c", code],
        env={**os.environ, "MICROPYPATH": f"{ROOT / 'firmware'}:.frozen"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "passed\n"), done.stderr + done.stdout


both_pythons = pytest.mark.parametrize("run", [here, pytest.param(on_vm, marks=pytest.mark.vm)])
