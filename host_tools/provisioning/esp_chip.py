"""The boot loader of an ESP32, through esptool: which chip it is, and a new flash for it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import serial
from esp_pylib.logger import EspLog, EspLogBase
from esptool.cmds import (
    attach_flash,
    detect_chip,
    detect_flash_size,
    erase_flash,
    read_flash,
    reset_chip,
    run_stub,
    write_flash,
)
from esptool.loader import ESPLoader
from esptool.util import FatalError

from host_tools.provisioning.board_error import BoardError
from host_tools.provisioning.diagnosis import broke, why_closed

_BAUD = 460_800
_ROM_BAUD = 115_200
_ATTEMPTS = 3

Progress = Callable[[str, int, int], None]  # what is being done, bytes done, bytes in all


class _Log(EspLogBase):
    # esptool has one log for all threads: each board's progress goes to the thread that serves it, words go nowhere.
    def __init__(self) -> None:
        self.here = threading.local()

    def print(self, *args: Any, **kwargs: Any) -> None:
        pass

    warn = err = note = hint = debug = warning = error = print

    def stage(self, finish: bool = False) -> None:
        pass

    def set_verbosity(self, mode: int | str) -> None:
        pass

    def progress_bar(self, cur_iter: int, total_iters: int, *_args: Any, **_kwargs: Any) -> None:
        report = getattr(self.here, "report", None)
        if report:
            report(cur_iter, total_iters)


_log = _Log()


def quiet() -> None:
    """From now on esptool prints nothing."""
    EspLog.instance = _log


class EspChip:
    """An open connection to a boot loader; use it as a context manager. The chip is reset when it ends.

    Args:
        before: how to get into the boot loader, as for esptool's --before.

    Attributes:
        name: as in board.toml, "ESP32C3".

    Raises:
        BoardError: the port cannot be opened, or no boot loader answers.
    """

    def __init__(self, port: str, before: str = "default-reset") -> None:
        quiet()
        self.port = port
        self._flash_size: str | None = None
        with self._doing("looking for the chip"):
            self._chip: ESPLoader = detect_chip(port, _ROM_BAUD, before, connect_attempts=_ATTEMPTS)
        self.name = self._chip.CHIP_NAME.replace("-", "").upper()

    def __enter__(self) -> "EspChip":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            reset_chip(self._chip, "hard-reset")
        except (FatalError, OSError):
            pass  # it is reset by hand then; what was to be done has been done or reported
        finally:
            self._chip._port.close()

    def read(self, address: int, size: int) -> bytes:
        """What is in the flash.

        Raises:
            BoardError: the line failed.
        """
        self._open_flash()
        with self._doing("reading its flash"):
            return bytes(read_flash(self._chip, address, size) or b"")

    def flash(self, data: bytes, progress: Progress) -> None:
        """Erase the whole flash and write `data` from address 0 on; esptool compares the MD5 afterwards.

        Raises:
            BoardError: too little flash, or the line failed; the board then holds no program.
        """
        size = self._open_flash()
        room = _bytes(size)
        if room and room < len(data):
            raise BoardError(
                f"The board has {size} of flash; the image needs {len(data) >> 20}MB. Nothing was changed."
            )
        with self._doing("erasing its flash"):
            progress("erasing the flash", 0, len(data))
            erase_flash(self._chip)
        _log.here.report = lambda done, total: progress("writing MicroPython and the firmware", done, total)
        try:
            with self._doing("writing its flash"):
                write_flash(self._chip, [(0, data)])
        finally:
            _log.here.report = None

    def _open_flash(self) -> str:
        with self._doing("preparing its flash"):
            if self._flash_size is None:
                self._chip = run_stub(self._chip)
                self._chip.change_baud(_BAUD)
                attach_flash(self._chip)
                self._flash_size = detect_flash_size(self._chip) or ""
        return self._flash_size or ""

    @contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        try:
            yield
        except serial.SerialException as error:
            if what == "looking for the chip":
                raise BoardError(why_closed(self.port)) from error
            raise BoardError(f"The connection broke while {what}: {broke(self.port, error)}") from error
        except OSError as error:
            raise BoardError(f"The connection broke while {what}: {broke(self.port, error)}") from error
        except FatalError as error:
            reason = str(error).strip().splitlines()[0]
            raise BoardError(
                f"The boot loader at {self.port} failed while {what}: {reason.rstrip('.')}. Hold BOOT, press reset, "
                "let BOOT go, then repeat; a cable without data lines shows no port at all."
            ) from error


def _bytes(size: str) -> int:
    return int(size[:-2]) << 20 if size.endswith("MB") else 0
