"""Boards that show up as drives: an nRF52840's boot loader, which takes a UF2 file, and CircuitPython's CIRCUITPY."""

import errno
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from host_tools.errors import UserError
from host_tools.provisioning import firmware_files
from host_tools.provisioning.board_error import BoardError
from host_tools.provisioning.copying import Copy, Progress, firmware_digest
from host_tools.provisioning.firmware_files import Builds
from host_tools.provisioning.token_board import MANIFEST

OLDEST_CIRCUITPYTHON = 10

_MOUNTS = ("/media/*/*", "/run/media/*/*", "/mnt/*", "/Volumes/*")
_BOOT_NOTE = "INFO_UF2.TXT"
_CIRCUITPY_NOTE = "boot_out.txt"
# UF2 (Microsoft): blocks of 512 bytes, each with two magics at its beginning and one at its end, and the chip's family.
_UF2_BLOCK_BYTES = 512
_UF2_BEGINS = bytes.fromhex("55 46 32 0a 57 51 5d 9e")
_UF2_ENDS = bytes.fromhex("30 6f b1 0a")
_UF2_FAMILY = {"nRF52840": bytes.fromhex("42 a8 52 ad")}
_FAMILY_AT = 28
_APPEARS_S = 60
_POLL_S = 0.5


@dataclass
class DriveReport:
    """What was done to a drive."""

    board: str
    drive: str
    circuitpython: str
    files: int
    copied: int
    removed: int
    bytes: int
    firmware: str
    uf2_bytes: int
    seconds: float

    def as_dict(self) -> dict:
        """For JSON."""
        return asdict(self)


class Drive:
    """CIRCUITPY as a place for firmware (copying.Place). Every file is on the drive for good when `write` returns."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.where = str(folder)

    def version(self) -> tuple[str, str]:
        """CircuitPython's version and the board's chip, from the drive's boot_out.txt.

        Raises:
            BoardError: there is none.
        """
        with self._doing("looking at it"):
            text = (self._folder / _CIRCUITPY_NOTE).read_text(errors="replace")
        found = re.search(r"CircuitPython (\S+) .*with (\S+)", text)
        if not found:
            raise BoardError(f"{self.where} is not CIRCUITPY: its {_CIRCUITPY_NOTE} is not CircuitPython's.")
        return found[1], found[2]

    def files(self, folder: str) -> dict[str, int]:
        """As TokenBoard's."""
        with self._doing("listing its files"):
            place = self._folder / folder
            entries = [path for path in place.iterdir() if path.is_file()] if place.is_dir() else []
            return {path.relative_to(self._folder).as_posix(): path.stat().st_size for path in entries}

    def sha256(self, path: str) -> str:
        """As TokenBoard's, but computed here: a drive only gives its bytes."""
        with self._doing(f"checking {path}"):
            return hashlib.sha256((self._folder / path).read_bytes()).hexdigest()

    def free_bytes(self) -> int:
        """Free space."""
        with self._doing("asking for its free space"):
            return shutil.disk_usage(self._folder).free

    def manifest(self) -> dict:
        """As TokenBoard's."""
        with self._doing("reading which firmware it has"):
            try:
                manifest = json.loads((self._folder / MANIFEST).read_text())
            except (FileNotFoundError, ValueError):
                return {}
        return manifest if isinstance(manifest, dict) else {}

    def write_manifest(self, manifest: dict) -> None:
        """As TokenBoard's."""
        self.write(MANIFEST, json.dumps(manifest).encode())

    def write(self, path: str, data: bytes) -> None:
        """Create or replace a file."""
        with self._doing(f"copying {path}"), open(self._folder / path, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def make_folder(self, folder: str) -> None:
        """Make a folder unless it is there."""
        with self._doing(f"making the folder {folder}"):
            (self._folder / folder).mkdir(exist_ok=True)

    def remove(self, path: str) -> None:
        """Remove a file."""
        with self._doing(f"removing {path}"):
            (self._folder / path).unlink()

    @contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise BoardError(
                    f"{self.where} cannot be written (while {what}): the token keeps its drive to itself. Hold the "
                    "button while you press reset, then repeat."
                ) from error
            if not self._folder.is_dir():
                raise BoardError(
                    f"The drive {self.where} went away while {what}. Plug the board in with the button held, "
                    "then repeat."
                ) from error
            raise BoardError(f"The drive {self.where} failed while {what}: {error.strerror or error}.") from error


def drives(patterns: Iterable[str] = _MOUNTS) -> list[Path]:
    """The boot drives and CIRCUITPY drives of this PC."""
    found = [path for pattern in patterns for path in sorted(Path("/").glob(pattern.lstrip("/")))]
    return [path for path in found if (path / _BOOT_NOTE).is_file() or (path / _CIRCUITPY_NOTE).is_file()]


def check_uf2(path: Path, board: str, settings: dict) -> bytes:
    """A UF2 file for a board's chip.

    Raises:
        UserError: it is none, is cut short, or is for another chip.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"The image {path} cannot be read: {error.strerror}. Nothing was changed.") from error
    blocks = [data[at : at + _UF2_BLOCK_BYTES] for at in range(0, len(data), _UF2_BLOCK_BYTES)]
    whole = blocks and all(
        len(block) == _UF2_BLOCK_BYTES and block.startswith(_UF2_BEGINS) and block.endswith(_UF2_ENDS)
        for block in blocks
    )
    if not whole:
        raise UserError(f"{path} is no UF2 file, or is cut short. Nothing was changed. Download it again.")
    family = _UF2_FAMILY[settings["chip"]]
    if any(block[_FAMILY_AT : _FAMILY_AT + len(family)] != family for block in blocks):
        raise UserError(f"{path} is for another chip; {board} is an {settings['chip']}. Nothing was changed.")
    return data


def flash_drive(
    board: str,
    drive: Path,
    progress: Progress,
    builds: Builds,
    image: Path | None = None,
    find: Callable[[], list[Path]] = drives,
    appears_s: float = _APPEARS_S,
) -> DriveReport:
    """Put CircuitPython on a boot drive if an image is given, then the firmware on CIRCUITPY.

    Args:
        drive: the boot drive when there is an image, else CIRCUITPY.
        find: lists the drives there are; appears_s: how long CIRCUITPY may take to appear after the image.

    Raises:
        UserError: with what happened, what was kept, and what to do.
    """
    started_s = time.monotonic()
    uf2 = b""
    if image is not None:
        uf2 = check_uf2(image, board, firmware_files.boards()[board])
        if not (drive / _BOOT_NOTE).is_file():
            raise BoardError(f"{drive} is no boot drive. Press reset twice, quickly, then repeat. Nothing was changed.")
        before = find()
        progress("copying CircuitPython", 0, len(uf2))
        _drop(uf2, drive / "circuitpython.uf2")
        progress("waiting for CIRCUITPY", len(uf2), len(uf2))
        drive = _appeared(find, before, appears_s)
    place = Drive(drive)
    version, chip = place.version()
    if not version.split(".")[0].isdigit() or int(version.split(".")[0]) < OLDEST_CIRCUITPYTHON:
        raise BoardError(
            f"The board has CircuitPython {version}; {OLDEST_CIRCUITPYTHON} or newer is needed: see deploy.md. Nothing "
            "was changed."
        )
    if chip.upper() != firmware_files.boards()[board]["chip"].upper():
        raise BoardError(f"The board is an {chip}; {board} is another. Nothing was changed.")
    folder, built = builds.get(board, compiled=False)
    copy = Copy(place, board, folder, built, progress)
    try:
        copy.run()
    except BoardError as error:
        raise BoardError(f"{error} {copy.kept}") from error
    return DriveReport(
        board, str(drive), version, len(built), copy.copied, copy.removed, copy.bytes, firmware_digest(built), len(uf2),
        round(time.monotonic() - started_s, 1),
    )  # fmt: skip


def _drop(uf2: bytes, target: Path) -> None:
    try:
        with open(target, "wb") as file:
            file.write(uf2)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if target.parent.is_dir() and (target.parent / _BOOT_NOTE).is_file():
            raise BoardError(
                f"The boot drive {target.parent} failed: {error.strerror}. Press reset twice, repeat."
            ) from error
        # The board has taken the last block and gone: that is how it ends when all is well.


def _appeared(find: Callable[[], list[Path]], before: list[Path], seconds: float) -> Path:
    end_s = time.monotonic() + seconds
    while True:
        new = [path for path in find() if path not in before and (path / _CIRCUITPY_NOTE).is_file()]
        if len(new) == 1:
            return new[0]
        if time.monotonic() > end_s:
            raise BoardError(
                "CIRCUITPY did not appear after CircuitPython was copied. Press reset once; when the drive is there, "
                "repeat the command without --image."
            )
        time.sleep(_POLL_S)
