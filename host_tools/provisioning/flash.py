"""Copies a board's firmware to it, verifies it there, and starts it; running it again finishes what was interrupted.

The order makes every interruption harmless: main.py goes first and comes back last, so that a board with half a
firmware starts nothing; the manifest says "copying" meanwhile and names old and new files, so that the next run knows
what to clear away.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from host_tools.provisioning import firmware_files
from host_tools.provisioning.firmware_files import ROOT, BuiltFile
from host_tools.provisioning.token_board import MANIFEST, BoardError, Identity, TokenBoard

OLDEST_MICROPYTHON = (1, 24, 0)

_MAIN = "main.py"
_BLOCK_BYTES = 4096
_SPARE_BLOCKS = 2  # littlefs writes the new before it frees the old

Progress = Callable[[str, int, int], None]  # what is being done, bytes done, bytes in all


@dataclass
class Report:
    """What a flash run did."""

    board: str
    port: str
    machine: str  # as the board's MicroPython calls it
    micropython: str  # version on the board
    files: int = 0  # of the firmware
    copied: int = 0  # of them now; the others were there already
    removed: int = 0  # of an earlier firmware
    bytes: int = 0  # copied
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)  # what the technician should know though it is no error

    def as_dict(self) -> dict:
        """For JSON."""
        return asdict(self)


class Flash:
    """One run.

    Args:
        board: name of a folder in boards/.
        port: a serial port.
        progress: called before each file, and once more before the start.
        patience_s: how long to wait for the REPL, in each of three attempts.
        watch_s: how long to watch the firmware after its start (main.py waits 3 s before it does anything); 0: not.
    """

    def __init__(
        self, board: str, port: str, progress: Progress, patience_s: int = 4, watch_s: int = 5, root: Path = ROOT
    ) -> None:
        self._board_name = board
        self._settings = firmware_files.boards(root)[board]
        self._port = port
        self._progress = progress
        self._patience_s = patience_s
        self._watch_s = watch_s
        self._root = root
        self._kept = "Nothing on the board was changed."

    def run(self) -> Report:
        """Do it.

        Raises:
            UserError: with what happened, what was kept, and what to do.
        """
        started_s = time.monotonic()
        board = None
        try:
            with TemporaryDirectory() as folder:
                built = firmware_files.build(self._board_name, Path(folder), root=self._root)
                board = TokenBoard(self._port, self._patience_s)
                identity = board.identity()
                report = Report(
                    self._board_name, self._port, identity.machine, ".".join(str(part) for part in identity.version)
                )
                self._check(board, identity)
                if identity.mpy != _mpy_version(Path(folder), built):
                    report.notes.append("This MicroPython cannot load our compiled files: it got the sources.")
                    built = firmware_files.build(self._board_name, Path(folder), compiled=False, root=self._root)
                self._copy(board, Path(folder), built, report)
                if not board.set_clock(datetime.now(UTC)):
                    report.notes.append("The board has no clock to set.")
                self._progress("watching its start", 1, 1)
                board.restart(self._watch_s)
        except BoardError as error:
            raise BoardError(f"{error} {self._kept}") from error
        except KeyboardInterrupt as error:
            raise BoardError(f"Stopped. {self._kept}") from error
        finally:
            if board:
                board.close()
        report.seconds = round(time.monotonic() - started_s, 1)
        return report

    def _check(self, board: TokenBoard, identity: Identity) -> None:
        # Before anything changes: is this the board that was named, and can it run the firmware?
        version = ".".join(str(part) for part in identity.version)
        if identity.implementation != "micropython":
            raise BoardError(f"The board runs {identity.implementation} {version}, not MicroPython: see deploy.md.")
        if identity.version < OLDEST_MICROPYTHON:
            raise BoardError(f"The board has MicroPython {version}; 1.24 or newer is needed: see deploy.md.")
        if identity.platform != "esp32":
            return
        chip = identity.machine.split(" with ")[-1]
        if chip != self._settings["chip"]:
            raise BoardError(f"The board is an {chip}; {self._board_name} is for {self._settings['chip']}.")
        label = self._settings["log"]["partition"]
        blocks = firmware_files.store_blocks(self._settings)
        if board.partition_blocks(label) < blocks:
            raise BoardError(
                f'The board has no partition "{label}" of {blocks} blocks for the log: '
                f"boards/{self._board_name}/deploy.md says how to make it."
            )

    def _copy(self, board: TokenBoard, folder: Path, built: list[BuiltFile], report: Report) -> None:
        manifest = {
            "state": "complete",
            "board": self._board_name,
            "firmware": sha256("".join(file.sha256 for file in built).encode()).hexdigest()[:12],
            "files": [file.device_path for file in built],
        }
        old = board.manifest()
        there = _listing(board, built, old)
        stale = _stale(there, built, old)
        due = [file for file in built if file.device_path not in there or not _same(board, file)]
        report.files = len(built)
        if due or stale:
            self._need_space(board, due, stale, there)
            self._note_kept(sum(file not in due for file in built if file.device_path != _MAIN), len(built))
            # Whatever happens now, the next run knows which files were ours; and without main.py nothing starts.
            known = sorted({*manifest["files"], *_our_files(old), *stale})
            board.write_manifest({**manifest, "state": "copying", "files": known})
            if _MAIN in there:
                board.remove(_MAIN)
            for path in stale:
                board.remove(path)
            self._write(board, folder, built, due, report)
            report.removed = len(stale)
        if old != manifest or due or stale:
            board.write_manifest(manifest)
        self._kept = "The firmware on the board is complete."

    def _write(
        self, board: TokenBoard, folder: Path, built: list[BuiltFile], due: list[BuiltFile], report: Report
    ) -> None:
        main = next(file for file in built if file.device_path == _MAIN)
        others = [file for file in due if file is not main]
        total = sum(file.size for file in (*others, main))
        there = len(built) - len(others) - 1
        for name in sorted({file.device_path.rpartition("/")[0] for file in others} - {""}):
            board.make_folder(name)
        for file in (*others, main):
            if file is main:
                self._verify(board, others)
            self._progress(f"copying {file.device_path}", report.bytes, total)
            board.write(file.device_path, (folder / file.device_path).read_bytes())
            report.copied += 1
            report.bytes += file.size
            self._note_kept(there + report.copied, len(built))
        self._verify(board, [main])

    def _verify(self, board: TokenBoard, files: list[BuiltFile]) -> None:
        for file in files:
            if not _same(board, file):
                raise BoardError(
                    f"{file.device_path} is not on the board as it was sent. If it happens again, the board's flash is "
                    "worn out or the cable is bad."
                )

    def _note_kept(self, there: int, total: int) -> None:
        self._kept = (
            f"{there} of {total} files are on the board and stay; it will not start with a part of its firmware. "
            "Run the same command again: it copies only the rest."
        )

    def _need_space(self, board: TokenBoard, due: list[BuiltFile], stale: list[str], there: dict[str, int]) -> None:
        needed = sum(_on_disk(file.size) for file in due) + _SPARE_BLOCKS * _BLOCK_BYTES
        freed = sum(_on_disk(there.get(path, 0)) for path in (*stale, *(file.device_path for file in due)))
        free = board.free_bytes() + freed
        if free < needed:
            raise BoardError(
                f"The board has room for {free // 1024} KB; the firmware needs {needed // 1024} KB. Remove files that "
                f"are not the token's: mpremote connect {self._port} fs ls."
            )


def _mpy_version(folder: Path, built: list[BuiltFile]) -> int:
    # Second byte of every compiled file.
    compiled = next(file for file in built if file.device_path.endswith(".mpy"))
    return (folder / compiled.device_path).read_bytes()[1]


def _our_files(manifest: dict) -> set[str]:
    return {path for path in manifest.get("files", ()) if isinstance(path, str)}


def _listing(board: TokenBoard, built: list[BuiltFile], old: dict) -> dict[str, int]:
    ours = {file.device_path for file in built} | _our_files(old)
    there: dict[str, int] = {}
    for folder in sorted({path.rpartition("/")[0] for path in ours} | {""}):
        there |= board.files(folder)
    return there


def _stale(there: dict[str, int], built: list[BuiltFile], old: dict) -> list[str]:
    # What an earlier firmware left: what its manifest names, everything else in our folders, and at the root whatever
    # hides a module of ours (MicroPython prefers x.py to x.mpy). Other files at the root belong to somebody else.
    paths = {file.device_path for file in built}
    modules = {path.rpartition(".")[0] for path in paths}
    folders = {path.rpartition("/")[0] for path in paths} - {""}
    return sorted(
        path
        for path in there.keys() - paths - {MANIFEST}
        if path in _our_files(old)
        or path.rpartition("/")[0] in folders
        or (path.endswith((".py", ".mpy")) and path.rpartition(".")[0] in modules)
    )


def _same(board: TokenBoard, file: BuiltFile) -> bool:
    return board.sha256(file.device_path) == file.sha256


def _on_disk(size: int) -> int:
    return -(-size // _BLOCK_BYTES) * _BLOCK_BYTES
