"""A board that is a drive becomes a token: CircuitPython as a UF2 file, then the firmware on CIRCUITPY."""

import os
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from host_tools.errors import UserError
from host_tools.provisioning import firmware_files
from host_tools.provisioning.board_error import BoardError
from host_tools.provisioning.copying import Progress, firmware_digest
from host_tools.provisioning.drive import BOOT_NOTE, CIRCUITPY_NOTE, Drive, drives
from host_tools.provisioning.firmware_files import Builds, BuiltFile
from host_tools.provisioning.halves import HalfCopy
from host_tools.provisioning.image_list import check_listed, read_file
from host_tools.provisioning.update import UpdateReport

OLDEST_CIRCUITPYTHON = 10

# UF2 (Microsoft): blocks of 512 bytes, each with two magics at its beginning and one at its end, and the chip's family.
_UF2_BLOCK_BYTES = 512
_UF2_BEGINS = bytes.fromhex("55 46 32 0a 57 51 5d 9e")
_UF2_ENDS = bytes.fromhex("30 6f b1 0a")
_UF2_FAMILY = {"nRF52840": bytes.fromhex("42 a8 52 ad")}
_NUMBER_AT = 20  # of the block, and then how many there are
_FAMILY_AT = 28
_PAYLOAD_AT = 32
_PAYLOAD_BYTES = 256
_BANNER = re.compile(rb"Adafruit CircuitPython (\d+)\.\d+")
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


def check_uf2(path: Path, board: str, settings: dict, vouched: str = "") -> bytes:
    """A UF2 file for a board.

    Args:
        settings: the board's board.toml, parsed; `[image] sha256` lists the images that it may get.
        vouched: the SHA-256 of one that is not in the list, see image_list.check_listed.

    Raises:
        UserError: it is none, is cut short, for another chip, too old, or not in the list.
    """
    data = read_file(path)
    blocks = [data[at : at + _UF2_BLOCK_BYTES] for at in range(0, len(data), _UF2_BLOCK_BYTES)]
    ends = [number.to_bytes(4, "little") + len(blocks).to_bytes(4, "little") for number in range(len(blocks))]
    whole = blocks and all(
        len(block) == _UF2_BLOCK_BYTES
        and block.startswith(_UF2_BEGINS)
        and block.endswith(_UF2_ENDS)
        and block[_NUMBER_AT : _NUMBER_AT + len(end)] == end
        for block, end in zip(blocks, ends, strict=True)
    )
    if not whole:
        raise UserError(f"{path} is no UF2 file, or is cut short. Nothing was changed. Download it again.")
    family = _UF2_FAMILY[settings["chip"]]
    if any(block[_FAMILY_AT : _FAMILY_AT + len(family)] != family for block in blocks):
        raise UserError(f"{path} is for another chip; {board} is an {settings['chip']}. Nothing was changed.")
    banner = _BANNER.search(b"".join(block[_PAYLOAD_AT : _PAYLOAD_AT + _PAYLOAD_BYTES] for block in blocks))
    if not banner:
        raise UserError(f"{path} is not CircuitPython. Nothing was changed.")
    if int(banner[1]) < OLDEST_CIRCUITPYTHON:
        raise UserError(
            f"{path} is CircuitPython {banner[1].decode()}; {OLDEST_CIRCUITPYTHON} or newer is needed. Nothing was "
            "changed."
        )
    check_listed(path, data, board, settings, vouched)
    return data


def flash_drive(
    board: str,
    drive: Path,
    progress: Progress,
    builds: Builds,
    image: Path | None = None,
    find: Callable[[], list[Path]] = drives,
    appears_s: float = _APPEARS_S,
    vouched: str = "",
) -> DriveReport:
    """Put CircuitPython on a boot drive if an image is given, then the firmware on CIRCUITPY.

    Args:
        drive: the boot drive when there is an image, else CIRCUITPY.
        find: lists the drives there are; appears_s: how long CIRCUITPY may take to appear after the image.
        vouched: see `check_uf2`.

    Raises:
        UserError: with what happened, what was kept, and what to do.
    """
    started_s = time.monotonic()
    uf2 = b""
    if image is not None:
        uf2 = check_uf2(image, board, firmware_files.boards()[board], vouched)
        if not (drive / BOOT_NOTE).is_file():
            raise BoardError(f"{drive} is no boot drive. Press reset twice, quickly, then repeat. Nothing was changed.")
        before = find()
        progress("copying CircuitPython", 0, len(uf2))
        _drop(uf2, drive / "circuitpython.uf2")
        progress("waiting for CIRCUITPY", len(uf2), len(uf2))
        drive = _appeared(find, before, appears_s)
    place = Drive(drive)
    version = _check_board(place, board)
    copy, built = _prepared(place, board, builds, progress)
    _run(copy)
    return DriveReport(
        board, str(drive), version, copy.files, copy.copied, copy.removed, copy.bytes, firmware_digest(built), len(uf2),
        round(time.monotonic() - started_s, 1),
    )  # fmt: skip


def update_drive(board: str, drive: Path, progress: Progress, builds: Builds) -> UpdateReport:
    """Put another firmware beside the one on CIRCUITPY; power lost meanwhile: the token starts with one of them.

    Raises:
        UserError: with what happened, what was kept, and what to do.
    """
    started_s = time.monotonic()
    place = Drive(drive)
    _check_board(place, board)
    copy, built = _prepared(place, board, builds, progress)
    if not copy.runs:
        raise BoardError(
            "The board has no whole firmware, or its start programs are to be changed too: use `bluezone flash`. "
            "Nothing was changed."
        )
    _run(copy)
    return UpdateReport(
        board, str(drive), firmware_digest(built), copy.before, copy.copied, copy.removed, copy.bytes,
        round(time.monotonic() - started_s, 1),
    )  # fmt: skip


def _check_board(place: Drive, board: str) -> str:
    version, chip = place.version()
    if not version.split(".")[0].isdigit() or int(version.split(".")[0]) < OLDEST_CIRCUITPYTHON:
        raise BoardError(
            f"The board has CircuitPython {version}; {OLDEST_CIRCUITPYTHON} or newer is needed: see deploy.md. Nothing "
            "was changed."
        )
    if chip.upper() != firmware_files.boards()[board]["chip"].upper():
        raise BoardError(f"The board is an {chip}; {board} is another. Nothing was changed.")
    return version


def _prepared(place: Drive, board: str, builds: Builds, progress: Progress) -> tuple[HalfCopy, list[BuiltFile]]:
    # As source: CircuitPython cannot load what MicroPython's compiler makes, and its own is in no package index.
    folder, built = builds.get(board, compiled=False)
    return HalfCopy(place, board, folder, built, builds.start_programs(board), progress), built


def _run(copy: HalfCopy) -> None:
    try:
        copy.run()
    except BoardError as error:
        raise BoardError(f"{error} {copy.kept}") from error
    except KeyboardInterrupt as error:
        raise BoardError(f"Stopped. {copy.kept}") from error


def _drop(uf2: bytes, target: Path) -> None:
    try:
        with open(target, "wb") as file:
            file.write(uf2)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if target.parent.is_dir() and (target.parent / BOOT_NOTE).is_file():
            raise BoardError(
                f"The boot drive {target.parent} failed: {error.strerror}. Press reset twice, repeat."
            ) from error
        # The board has taken the last block and gone: that is how it ends when all is well.


def _appeared(find: Callable[[], list[Path]], before: list[Path], seconds: float) -> Path:
    end_s = time.monotonic() + seconds
    while True:
        new = [path for path in find() if path not in before and (path / CIRCUITPY_NOTE).is_file()]
        if len(new) == 1:
            return new[0]
        if time.monotonic() > end_s:
            raise BoardError(
                "CIRCUITPY did not appear after CircuitPython was copied. Press reset once; when the drive is there, "
                "repeat the command without --image."
            )
        time.sleep(_POLL_S)
