"""MicroPython's image of an ESP32: checked, given a partition for the log and the firmware's files; read back.

The partition table is mp-image-tool-esp32's work, the file system littlefs's, the whole flash esptool's (merge-bin).
"""

import hashlib
import json
import re
import struct
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from host_tools.provisioning import firmware_files
from host_tools.provisioning.copying import firmware_digest
from host_tools.provisioning.firmware_files import BuiltFile
from host_tools.provisioning.image_list import ImageError, check_listed, read_file
from host_tools.provisioning.token_board import MANIFEST

OLDEST_MICROPYTHON = (1, 24, 0)

_BLOCK_BYTES = 4096
_TABLE_AT = 0x8000  # the partition table, behind the boot loader
_PROGRAM_AT = 0x10000  # MicroPython
# As MicroPython's ESP32 port makes its file system.
_LITTLEFS: dict[str, Any] = {"block_size": _BLOCK_BYTES, "read_size": 32, "prog_size": 32, "lookahead_size": 32}
_TOOL = "from mp_image_tool_esp32.main import main; import sys; sys.exit(main())"
_BANNER = re.compile(rb"MicroPython v(\d+)\.(\d+)(?:\.(\d+))?\S* on \d{4}-\d\d-\d\d")


@dataclass(frozen=True)
class ChipImage:
    """MicroPython for a kind of chip, as it is distributed.

    Attributes:
        version: three numbers; sha256: of the file, 64 hex digits.
    """

    path: Path
    data: bytes = field(repr=False)
    version: tuple[int, ...]
    sha256: str


@dataclass(frozen=True)
class FlashImage:
    """What the whole flash of a new token holds.

    Attributes:
        data: from address 0 on; the log's partition is blank.
        files: of the firmware in it.
        log_at: where the log's partition begins, bytes.
    """

    data: bytes = field(repr=False)
    files: int
    log_at: int

    @property
    def sha256(self) -> str:
        """64 hex digits."""
        return hashlib.sha256(self.data).hexdigest()


def read_image(path: Path, board: str, settings: dict, vouched: str = "") -> ChipImage:
    """An image for a board.

    Args:
        settings: the board's board.toml, parsed; `[image] sha256` lists the images that it may get.
        vouched: the SHA-256 of one that is not in the list, see image_list.check_listed.

    Raises:
        ImageError: no image, a damaged one, for another chip, too old, or not in the list.
    """
    from mp_image_tool_esp32.image_header import ImageHeader

    if "partitions" not in settings.get("image", {}):
        raise ImageError(f"The board {board} takes no such image: boards/{board}/deploy.md says how it is flashed.")
    data = read_file(path)
    try:
        chip = ImageHeader.from_bytes(data[:24]).validate().chip_name.upper()
    except ValueError:
        raise ImageError(
            f"{path} is no image for an ESP32. Nothing was changed. Take the .bin for {settings['image']['name']} from "
            "micropython.org, not the .app-bin or .uf2."
        ) from None
    if chip != settings["chip"]:
        raise ImageError(
            f"{path} is for an {chip}; {board} is an {settings['chip']}. Nothing was changed. Take the image called "
            f"{settings['image']['name']}, or name with --port the boards that this one is for."
        )
    banner = _BANNER.search(data)
    if not banner:
        raise ImageError(f"{path} is an ESP32 program, but not MicroPython. Nothing was changed.")
    version = tuple(int(number or 0) for number in banner.groups())
    if version < OLDEST_MICROPYTHON:
        raise ImageError(
            f"{path} is MicroPython {'.'.join(map(str, version))}; 1.24 or newer is needed. Nothing was changed."
        )
    if not all(_is_sound(data[at:], chip) for at in (0, _PROGRAM_AT - settings["image"]["start"])):
        raise ImageError(f"{path} is damaged or cut short. Nothing was changed. Download it again.")
    return ChipImage(path, data, version, check_listed(path, data, board, settings, vouched))


def _is_sound(program: bytes, chip: str) -> bool:
    # By its own checksum and hash, as the chip looks at it. esptool raises what comes on a file that ends too soon.
    from esptool.bin_image import ESP32FirmwareImage, LoadFirmwareImage
    from esptool.util import FatalError

    from host_tools.provisioning.esp_chip import quiet

    quiet()
    try:
        image = LoadFirmwareImage(chip.lower(), program)
        assert isinstance(image, ESP32FirmwareImage)  # which those of the later chips are, too
        hashed = image.append_digest and image.stored_digest == image.calc_digest
        return hashed and image.checksum == image.calculate_checksum()
    except (FatalError, TypeError, ValueError, IndexError, struct.error):
        return False


def flash_image(image: ChipImage, board: str, settings: dict, folder: Path, built: list[BuiltFile]) -> FlashImage:
    """Everything for a new board in one piece, and read back.

    Args:
        folder, built: the board's firmware, from firmware_files.build.

    Raises:
        ImageError: the image or the firmware does not fit, or a file does not come back as it went in.
    """
    from esptool.cmds import merge_bin

    from host_tools.provisioning.esp_chip import quiet

    quiet()
    data, place = _partitioned(image, settings)
    parts = [
        (settings["image"]["start"], data),
        (place["vfs"][0], _file_system(board, place["vfs"][1], folder, built)),
    ]
    whole = merge_bin(parts, settings["chip"].lower(), output=None)
    if whole is None:
        raise ImageError("esptool made no image. Nothing was written.")
    whole = whole.ljust(settings["image"]["flash_bytes"], b"\xff")
    start = settings["image"]["start"]
    given = bytes(start) + image.data
    if any(whole[at:end] != given[at:end] for at, end in ((start, _TABLE_AT), (_PROGRAM_AT, len(given)))):
        raise ImageError(
            f"MicroPython does not come back from the image as it is in {image.path}. Nothing was written."
        )
    came_back = files_in(whole, place["vfs"])
    for file in built:
        if hashlib.sha256(came_back.get(file.device_path, b"")).hexdigest() != file.sha256:
            raise ImageError(
                f"{file.device_path} does not come back from the image as it went in. Nothing was written."
            )
    return FlashImage(whole, len(built), place[settings["log"]["partition"]][0])


def files_in(flash: bytes, place: tuple[int, int]) -> dict[str, bytes]:
    """The files of a file system in a flash image: path → contents.

    Args:
        place: its offset and size, bytes.

    Raises:
        ImageError: there is none.
    """
    from littlefs import LittleFS, LittleFSError

    offset, size = place
    system = LittleFS(block_count=size // _BLOCK_BYTES, mount=False, **_LITTLEFS)
    system.context.buffer = bytearray(flash[offset : offset + size])
    try:
        system.mount()
        found = {}
        for folder, _, names in system.walk("/"):
            for name in names:
                path = f"{folder.rstrip('/')}/{name}"
                with system.open(path, "rb") as file:
                    found[path.lstrip("/")] = file.read()
        return found
    except LittleFSError as error:
        raise ImageError(f"The image holds no file system that can be read: {error}.") from error


def partitions(image: bytes, start: int) -> dict[str, tuple[int, int]]:
    """The partition table of an image that begins at the address `start`: name → (offset, size), bytes."""
    from mp_image_tool_esp32.partition_table import PartitionTable

    at = PartitionTable.PART_TABLE_OFFSET - start
    table = PartitionTable.from_bytes(image[at : at + PartitionTable.PART_TABLE_SIZE])
    return {entry.name: (entry.offset, entry.size) for entry in table}


def _partitioned(image: ChipImage, settings: dict) -> tuple[bytes, dict[str, tuple[int, int]]]:
    wanted = settings["image"]
    with TemporaryDirectory() as folder:
        given, made = Path(folder) / "given.bin", Path(folder) / "made.bin"
        given.write_bytes(image.data)
        done = subprocess.run(
            [
                sys.executable, "-c", _TOOL, "-q", "-f", f"{wanted['flash_bytes'] >> 20}M",
                "--table", wanted["partitions"], "-o", str(made), str(given),
            ],
            capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode or not made.exists():
            last = ((done.stderr + done.stdout).strip() or "no reason given").splitlines()[-1].strip()
            raise ImageError(f"The partitions do not fit {image.path}: {last}. Nothing was changed.")
        data = made.read_bytes()
    place = partitions(data, wanted["start"])
    log_bytes = firmware_files.store_blocks(settings) * _BLOCK_BYTES
    if place.get(settings["log"]["partition"], (0, 0))[1] < log_bytes:
        raise ImageError(f"board.toml: [image] partitions has no place of {log_bytes} bytes for the log.")
    return data, place


def _file_system(board: str, size: int, folder: Path, built: list[BuiltFile]) -> bytes:
    from littlefs import LittleFS, LittleFSError

    system = LittleFS(block_count=size // _BLOCK_BYTES, **_LITTLEFS)
    manifest = {
        "state": "complete",
        "board": board,
        "firmware": firmware_digest(built),
        "files": [file.device_path for file in built],
    }
    contents = {file.device_path: (folder / file.device_path).read_bytes() for file in built}
    try:
        for path, data in {**contents, MANIFEST: json.dumps(manifest).encode()}.items():
            above = path.rpartition("/")[0]
            if above:
                system.makedirs(above, exist_ok=True)
            with system.open(path, "wb") as file:
                file.write(data)
    except LittleFSError as error:
        raise ImageError(f"The firmware does not fit into {size // 1024} KB: {error}. Nothing was changed.") from error
    return bytes(system.context.buffer)
