"""From a board to a token without keys: MicroPython if asked for, the firmware, the time, a start that is watched.

Running it again finishes what was interrupted (copying.py); a new MicroPython is written as a whole (image.py).
"""

import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from host_tools.provisioning import firmware_files, ports
from host_tools.provisioning.board_error import BoardError
from host_tools.provisioning.copying import Copy, Progress
from host_tools.provisioning.firmware_files import ROOT, Builds, BuiltFile
from host_tools.provisioning.image import OLDEST_MICROPYTHON, ChipImage, flash_image
from host_tools.provisioning.token_board import Identity, TokenBoard
from host_tools.provisioning.token_service import TokenService, faults

_REAPPEAR_S = 10


@dataclass
class Report:
    """What a flash run did."""

    board: str
    port: str
    machine: str = ""  # as the board's MicroPython calls it
    micropython: str = ""  # version on the board
    files: int = 0  # of the firmware
    copied: int = 0  # of them now; the others were there already
    removed: int = 0  # of an earlier firmware
    bytes: int = 0  # copied
    image_bytes: int = 0  # written by esptool
    firmware: str = ""  # 12 hex digits that name the firmware on the board
    self_test: dict[str, str] = field(default_factory=dict)  # part → "" or what is wrong
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
        builds: where built firmware comes from when several boards share it.
        image: MicroPython to write first; everything on the board goes.
        wipe: whether an image may go over a provisioned token.
        before: how esptool gets into the boot loader.
        self_test: whether the token's parts are tried before it starts.
    """

    def __init__(
        self,
        board: str,
        port: str,
        progress: Progress,
        patience_s: int = 4,
        watch_s: int = 5,
        root: Path = ROOT,
        builds: Builds | None = None,
        image: ChipImage | None = None,
        wipe: bool = False,
        before: str = "default-reset",
        self_test: bool = False,
    ) -> None:
        self._board_name = board
        self._settings = firmware_files.boards(root)[board]
        self._port = port
        self._progress = progress
        self._patience_s = patience_s
        self._watch_s = watch_s
        self._root = root
        self._builds = builds
        self._image = image
        self._wipe = wipe
        self._before = before
        self._self_test = self_test
        self._kept = "Nothing on the board was changed."

    def run(self) -> Report:
        """Do it.

        Raises:
            UserError: with what happened, what was kept, and what to do.
        """
        started_s = time.monotonic()
        report = Report(self._board_name, self._port)
        board = None
        try:
            with ExitStack() as stack:
                builds = self._builds or stack.enter_context(Builds(self._root))
                folder, built = builds.get(self._board_name)
                if self._image:
                    self._write_image(self._image, folder, built, report)
                board = TokenBoard(self._port, self._patience_s)
                identity = board.identity()
                report.machine = identity.machine
                report.micropython = ".".join(str(part) for part in identity.version)
                self._check(board, identity)
                folder, built = loadable(builds, self._board_name, identity)
                if not any(file.device_path.endswith(".mpy") for file in built):
                    report.notes.append("This MicroPython cannot load our compiled files: it got the sources.")
                self._copy(board, folder, built, report)
                if not board.set_clock(datetime.now(UTC)):
                    report.notes.append("The board has no clock to set.")
                if self._self_test:
                    self._progress("self-test: watch its light", 1, 1)
                    report.self_test = TokenService(board).self_test()
                    report.notes += faults(report.self_test)
                self._progress("watching its start", 1, 1)
                board.restart(self._watch_s)
        except BoardError as error:
            raise BoardError(f"{error} {self._kept}") from error
        finally:
            if board:
                board.close()
        report.seconds = round(time.monotonic() - started_s, 1)
        return report

    def _write_image(self, image: ChipImage, folder: Path, built: list[BuiltFile], report: Report) -> None:
        # With the firmware in its file system: over the boot loader it goes faster than over the REPL, which then only
        # verifies it.
        from host_tools.provisioning.esp_chip import EspChip
        from host_tools.provisioning.wiped import refuse_provisioned

        whole = flash_image(image, self._board_name, self._settings, folder, built)
        with EspChip(self._port, self._before) as chip:
            if chip.name != self._settings["chip"]:
                raise BoardError(f"The board is an {chip.name}; {self._board_name} is for {self._settings['chip']}.")
            if not self._wipe:
                refuse_provisioned(chip, whole.log_at)
            self._kept = "The board holds no program now. Run the same command again."
            chip.flash(whole.data, self._progress)
        report.image_bytes = len(whole.data)
        self._kept = "MicroPython is on the board. Run the same command without --image."
        ports.wait_for(self._port, _REAPPEAR_S)

    def _copy(self, board: TokenBoard, folder: Path, built: list[BuiltFile], report: Report) -> None:
        copy = Copy(board, self._board_name, folder, built, self._progress)
        try:
            copy.run()
        finally:
            self._kept = copy.kept
        report.files = len(built)
        report.copied, report.removed, report.bytes = copy.copied, copy.removed, copy.bytes
        report.firmware = board.manifest()["firmware"]

    def _check(self, board: TokenBoard, identity: Identity) -> None:
        check_runs(board, identity, self._board_name, self._settings)


def check_runs(board: TokenBoard, identity: Identity, name: str, settings: dict) -> None:
    """Before anything changes: is this the board that was named, and can it run the firmware?

    Raises:
        BoardError: no.
    """
    version = ".".join(str(part) for part in identity.version)
    if identity.implementation == "circuitpython" and settings["method"] == "uf2":
        raise BoardError(
            "The board runs CircuitPython and takes its firmware as a drive: hold its button while you press reset, "
            f"then repeat with --board {name} and without --port."
        )
    if identity.implementation != "micropython":
        raise BoardError(f"The board runs {identity.implementation} {version}, not MicroPython: see deploy.md.")
    if identity.version < OLDEST_MICROPYTHON:
        raise BoardError(f"The board has MicroPython {version}; 1.24 or newer is needed: see deploy.md.")
    if identity.platform != "esp32":
        return
    chip = identity.machine.split(" with ")[-1]
    if chip != settings["chip"]:
        raise BoardError(f"The board is an {chip}; {name} is for {settings['chip']}.")
    label = settings["log"]["partition"]
    blocks = firmware_files.store_blocks(settings)
    if board.partition_blocks(label) < blocks:
        raise BoardError(
            f'The board has no partition "{label}" of {blocks} blocks for the log: '
            f"boards/{name}/deploy.md says how to make it."
        )


def loadable(builds: Builds, board: str, identity: Identity) -> tuple[Path, list[BuiltFile]]:
    """The firmware in the form that a board can load, as Builds.get gives it: compiled, else as source.

    Raises:
        UserError: as firmware_files.build.
    """
    if identity.implementation == "micropython":
        folder, built = builds.get(board)
        if identity.mpy == _mpy_version(folder, built):
            return folder, built
    return builds.get(board, compiled=False)


def _mpy_version(folder: Path, built: list[BuiltFile]) -> int:
    # The second byte of each compiled file.
    compiled = next(file for file in built if file.device_path.endswith(".mpy"))
    return (folder / compiled.device_path).read_bytes()[1]
