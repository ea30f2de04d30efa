"""`make bench-flash`: seconds per board and for many at once, from an empty board to a verified token.

Made-up boards: a MicroPython on this computer with the real firmware behind a pseudo terminal, which has no speed of
its own. What crosses the line is counted, and tells what the line of a real board takes for it: computed, not measured.
Beside it, in the same run, `mpremote cp` of the same files to a board of the same kind.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import chip_fakes
from pty_board import PtyBoard

from host_tools.fleet.office import Office
from host_tools.provisioning.bench import Outcome, serve
from host_tools.provisioning.copying import Progress
from host_tools.provisioning.firmware_files import ROOT, Builds
from host_tools.provisioning.flash import Flash
from host_tools.provisioning.provision import Provisioning
from host_tools.provisioning.token_keys import AuthorityRoot, KioskRoot, Roots
from host_tools.provisioning.update import Update
from host_tools.provisioning.upkeep import verify_token

MANY = 20
BOARD = "esp32_generic"
_ROOTS = Roots(KioskRoot(b"k" * 32), AuthorityRoot(b"a" * 32))
_BITS_PER_BYTE = 10  # a start and a stop bit
_BAUD = 115_200
_TURN_S = 0.002  # a question and its answer over a USB converter that polls each ms
_PATIENCE_S = 20  # 20 boards share a processor here

Step = Callable[[str, Progress], Any]


def steps(builds: Builds, changed: Builds, office: Office) -> dict[str, Step]:
    """A technician's day; each as its command does it."""
    provisioning = Provisioning(_ROOTS, office, "bench", "")

    def flash(port: str, progress: Progress) -> Any:
        return Flash(BOARD, port, progress, _PATIENCE_S, builds=builds, self_test=True).run()

    return {
        "flash": flash,
        "flash again": flash,
        "update": lambda port, progress: Update(BOARD, port, progress, changed, _PATIENCE_S).run(),
        "provision": lambda port, progress: provisioning.run(port, progress, patience_s=_PATIENCE_S),
        "provision again": lambda port, progress: provisioning.run(port, progress, patience_s=_PATIENCE_S),
        "verify": lambda port, progress: verify_token(port, progress, changed, patience_s=_PATIENCE_S),
    }


def measure(folder: Path, count: int, builds: Builds, changed: Builds) -> dict[str, float]:
    """Print a row for each step of `count` boards at once; returns how long each step took, s."""
    seconds = {}
    with ExitStack() as stack:
        office = stack.enter_context(Office(folder / "kiosk.sqlite"))
        boards = []
        for number in range(count):
            device = folder / f"board{number}"
            device.mkdir()
            boards.append(stack.enter_context(PtyBoard(device, chip_fakes.esp32(device, watched=True))))
        for name, step in steps(builds, changed, office).items():
            before = _counts(boards)
            begun = time.perf_counter()
            outcomes: list[Outcome[Any]] = serve([board.port for board in boards], step, show=False)
            seconds[name] = time.perf_counter() - begun
            assert not any(one.error for one in outcomes), outcomes
            counts = [(now - then) // count for now, then in zip(_counts(boards), before, strict=True)]
            _row(name, count, seconds[name], getattr(outcomes[0].done, "bytes", 0), counts)
    return seconds


def _counts(boards: list[PtyBoard]) -> list[int]:
    counts = ("heard_bytes", "said_bytes", "answers")
    return [sum(getattr(board, what) for board in boards) for what in counts]


def _row(name: str, boards: int, took_s: float, copied: int, counts: list[int]) -> None:
    heard, said, answers = counts
    line_s = (heard + said) * _BITS_PER_BYTE / _BAUD + answers * _TURN_S
    print(
        f"| {name} | {boards} | {took_s:.1f} | {took_s / boards:.2f} | {copied:,} | {heard:,} | {said:,} | "
        f"{answers:,} | {line_s:.1f} |"
    )


def plain_copy(folder: Path, built: Path) -> None:
    """Print what `mpremote cp` takes for the same files, which it neither verifies nor starts."""
    device = folder / "plain"
    device.mkdir()
    with PtyBoard(device, chip_fakes.esp32(device)) as board:
        begun = time.perf_counter()
        entries = [str(path) for path in sorted(built.iterdir())]
        words = [sys.executable, "-m", "mpremote", "connect", board.port, "cp", "-r", *entries, ":."]
        subprocess.run(words, check=True, capture_output=True)
        took_s = time.perf_counter() - begun
        copied = sum(path.stat().st_size for path in device.rglob("*") if path.is_file())
        _row("`mpremote cp` of the same files", 1, took_s, copied, _counts([board]))


def main() -> int:
    """Prints a table; returns 1 when many boards take longer for nothing than for everything."""
    print("| step | boards | s | s each | bytes of files | to the board | from it | answers | line, computed, s |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name, Builds() as builds:
        folder = Path(name)
        built, _ = builds.get(BOARD)
        with Builds(changed_tree(folder)) as changed:
            changed.get(BOARD)
            plain_copy(folder, built)
            for count in (1, MANY):
                place = folder / str(count)
                place.mkdir()
                seconds = measure(place, count, builds, changed)
    return int(seconds["flash again"] > seconds["flash"])


def changed_tree(folder: Path) -> Path:
    """The project's firmware with one file changed."""
    root = folder / "changed"
    for part in ("firmware", f"boards/{BOARD}"):
        shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
    with (root / "firmware/adapters/cures.py").open("a") as file:
        file.write("\n_CHANGED = 1\n")
    return root


if __name__ == "__main__":
    raise SystemExit(main())
