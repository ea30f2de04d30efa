"""What is plugged in: serial ports that may be boards, and which board each of them is."""

import os
import time

from serial.tools.list_ports import comports
from serial.tools.list_ports_common import ListPortInfo

from host_tools.errors import UserError
from host_tools.provisioning import firmware_files
from host_tools.provisioning.board_error import BoardError
from host_tools.provisioning.token_board import Identity, TokenBoard

# USB vendors of the boards' own USB and of the serial converters on them.
_VENDORS = {
    0x303A: "Espressif",
    0x10C4: "Silicon Labs CP210x",
    0x1A86: "WCH CH34x",
    0x0403: "FTDI",
    0x239A: "Adafruit",
    0x2886: "Seeed",
    0x1915: "Nordic",
}
_DRIVE_VENDORS = (0x239A, 0x2886, 0x1915)  # of nRF52840 boards; the ESP32s of boards/ have none of these
_POLL_S = 0.1
_SETTLE_S = 1


def chosen(ports: list[str]) -> list[str]:
    """The ports that were named; if none was, all that look like boards.

    Raises:
        UserError: a port is not there, was named twice, or nothing is plugged in.
    """
    found = {info.device: info for info in comports()}
    for port in ports:
        if port not in found and not os.path.exists(port):
            raise UserError(f'There is no serial port "{port}". {listing(list(found.values()))}')
        if ports.count(port) > 1:
            raise UserError(f"The port {port} was named twice. Nothing was changed.")
    boards = ports or sorted(port for port, info in found.items() if info.vid in _VENDORS)
    if not boards:
        raise UserError(f"PORT is missing, and no board was found. {listing(list(found.values()))}")
    return boards


def check_boot_loader(port: str) -> None:
    """Before a boot loader is looked for: it would not be found at a board that takes its firmware as a drive.

    Raises:
        BoardError: this is one, by its USB vendor.
    """
    if any(info.device in (port, os.path.realpath(port)) and info.vid in _DRIVE_VENDORS for info in comports()):
        raise BoardError(
            "The board is no ESP32: it takes CircuitPython and its firmware as a drive. Nothing was changed. Press its "
            "reset twice, quickly, then repeat with --board nrf52840_circuitpython, without --port."
        )


def listing(found: list[ListPortInfo]) -> str:
    """The ports of this PC in a sentence."""
    if not found:
        return "No serial port was found: plug the board in, with a cable that carries data and not only power."
    words = [
        info.device if info.description in (None, "", "n/a") else f"{info.device} ({info.description})"
        for info in sorted(found, key=lambda info: info.device)
    ]
    return f"Serial ports here: {', '.join(words)}."


def board_of(identity: Identity) -> str:
    """The board in boards/ that a running MicroPython or CircuitPython is for.

    Raises:
        BoardError: there is none.
    """
    circuit = identity.implementation == "circuitpython"
    chip = identity.machine.split(" with ")[-1]
    for name, settings in firmware_files.boards().items():
        if settings.get("method") == ("uf2" if circuit else "mpremote") and settings["chip"] == chip:
            return name
    raise BoardError(f"There is no board in boards/ for {identity.machine} with {identity.implementation}.")


def board_for_chip(chip: str) -> str:
    """The board for a chip that its boot loader has named.

    Raises:
        BoardError: there is none.
    """
    for name, settings in firmware_files.boards().items():
        if settings.get("method") == "mpremote" and settings["chip"] == chip:
            return name
    raise BoardError(f"There is no board in boards/ for an {chip}. Nothing was changed.")


def detect(port: str, patience_s: int = 4) -> str:
    """Which board is at a port; what runs on it is started again.

    Raises:
        BoardError: nothing answers, or it is no board of ours.
    """
    board = TokenBoard(port, patience_s)
    try:
        return board_of(board.identity())
    finally:
        board.close()


def wait_for(port: str, seconds: int) -> None:
    """Wait for a port that a reset takes off USB, for a moment and a little after the reset.

    Raises:
        BoardError: it does not come back.
    """
    time.sleep(min(_SETTLE_S, seconds))
    end_s = time.monotonic() + seconds
    while not os.path.exists(port):
        if time.monotonic() > end_s:
            raise BoardError(
                f"{port} did not come back after the reset. Unplug the board, plug it in and run the same command "
                "without --image: what was written stays."
            )
        time.sleep(_POLL_S)
