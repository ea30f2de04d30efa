"""Why a port or the board behind it does not answer, in sentences: what people meet at the bench."""

import errno
import os
import re
import time
from typing import Any

import serial
from serial.tools.list_ports import comports

_LISTEN_S = 2
_FLOOD_BYTES = 4000  # in that time; a prompt and a traceback have less
_UDEV_FILE = "/etc/udev/rules.d/70-bluezone.rules"
_WINDOW = "a running token can be interrupted in the first 3 seconds"


def udev_rule(port: str) -> str:
    """The line that gives whoever sits at a Linux PC access to boards like the one at `port`."""
    vendor = next((info.vid for info in comports() if info.device == port), None)
    which = f'ATTRS{{idVendor}}=="{vendor:04x}"' if vendor else 'KERNEL=="ttyUSB*|ttyACM*"'
    return f'SUBSYSTEM=="tty", {which}, TAG+="uaccess"'


def why_closed(port: str) -> str:
    """Why a port cannot be opened: by opening it once more, for mpremote and esptool say only that they failed."""
    try:
        serial.Serial(port, exclusive=True).close()
    except serial.SerialException as error:
        if error.errno in (errno.EACCES, errno.EPERM) or "PermissionError" in str(error):
            return (
                f"No permission for {port}, or another program has it. On Linux: sudo usermod -a -G dialout $USER, "
                f"then log in again; or write {udev_rule(port)} into {_UDEV_FILE}, then plug the board in again."
            )
        if error.errno in (errno.EBUSY, errno.EAGAIN) or "lock" in str(error):
            return f"{port} is in use by another program: close its serial monitor or mpremote, then repeat."
        if error.errno == errno.ENOENT:
            return gone(port)
        return f"{port} cannot be opened ({error}). Plug the board in again, then repeat."
    return f"{port} could not be opened at first but can be now: repeat the command."


def gone(port: str) -> str:
    """What to say when a port is no longer there."""
    return (
        f"{port} is not on USB any more: the board was unplugged, or it sleeps, which switches USB off. Press its "
        f"reset button and repeat the command at once: {_WINDOW}."
    )


def broke(port: str, error: OSError) -> str:
    """What to say when the line to a board fails in the middle."""
    return gone(port) if not os.path.exists(port) else f"{port} broke off ({error}). Plug the board in again."


def why_silent(port: str, line: Any) -> str:
    """Why nothing at an open port takes orders like MicroPython, from what it says; `line`: pyserial's."""
    said = _listen(line)
    if re.search(rb"invalid header: 0xffffffff|No bootable app", said):
        return (
            f"The board at {port} holds no program. Flash MicroPython with it: `bluezone flash --image …` "
            "(boards/*/deploy.md)."
        )
    if b"waiting for download" in said:
        return f"The board at {port} waits in its boot loader. Press its reset button without BOOT, then repeat."
    if len(re.findall(rb"rst:0x|Guru Meditation|Brownout detector", said)) > 1:
        return (
            f"The board at {port} starts again and again ({_last_words(said)}). Try another cable and USB port, which "
            "may give too little power; then flash it anew with `bluezone flash --image …`."
        )
    if len(said) > _FLOOD_BYTES:
        return (
            f"The board at {port} floods the line and does not listen ({_last_words(said)}). Press its reset button "
            f"and repeat the command at once: {_WINDOW}; if it goes on, flash it anew with --image."
        )
    if said.rstrip().endswith(b">>>"):
        return (
            f"The board at {port} shows its prompt but refuses the raw REPL (MicroPython #16142). Unplug it for five "
            "seconds, plug it in again and repeat; close every other program that may talk to it."
        )
    return (
        f"Nothing at {port} answers like MicroPython. Press the board's reset button and repeat the command "
        "within 3 seconds: a running token can be interrupted in that time. A board that has never had "
        "MicroPython needs it first (boards/*/deploy.md)."
    )


def _listen(line: Any) -> bytes:
    said = b""
    end_s = time.monotonic() + _LISTEN_S
    try:
        line.write(b"\r\x03\x02")
        while time.monotonic() < end_s and len(said) <= _FLOOD_BYTES:
            said += line.read(max(line.in_waiting, 1))
    except (OSError, serial.SerialException):
        pass  # then what it has said until now must do
    return said


def _last_words(said: bytes) -> str:
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if re.search("rst:0x|Guru|Brownout|Error", line)] or lines or ["nothing readable"]
    return f"“{telling[-1][:60]}”"
