"""A board at a serial port, through mpremote's transport: what `flash` needs of it, with errors in sentences.

Paths are relative to the root of the board's file system, where MicroPython stands after a reset.
"""

import ast
import base64
import contextlib
import json
import struct
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from mpremote.transport import TransportError, TransportExecError

from host_tools.provisioning.board_error import BoardError, BrokenOff
from host_tools.provisioning.diagnosis import broke, why_silent
from host_tools.provisioning.serial_line import opened

MANIFEST = "version.json"  # which firmware the board has, and whether all of it

_ATTEMPTS = 3
_PROMPT_TIMEOUT_S = 2
_RESTART_TIMEOUT_S = 5
_CHUNK_BYTES = 768  # 1024 characters in base64; repr() would send 2.3 per byte of compiled code
_BLOCK_BYTES = 4096
_STAT_DIRECTORY = 0x4000
_KNOCK_S = 0.3


class Identity(NamedTuple):
    """What a board says about itself."""

    implementation: str  # "micropython", "circuitpython"
    version: tuple[int, ...]  # three numbers
    mpy: int  # version of compiled files it can load, 0 for none
    machine: str
    platform: str  # "esp32" on every chip of that family


class TokenBoard:
    """An open connection to a board in raw REPL.

    Args:
        port: a serial port, such as /dev/ttyUSB0.
        patience_s: how long to wait for the REPL, in each of three attempts.

    Raises:
        BoardError: no access to the port, or nothing that answers like MicroPython.
    """

    def __init__(self, port: str, patience_s: int = 4) -> None:
        self.port = port
        self.where = f"mpremote connect {port} fs ls"
        self._stopped = False
        self._transport = opened(port)
        try:
            self._enter_raw_repl(patience_s)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the port. A board that was stopped for nothing is started again: it may be a token at work."""
        with contextlib.suppress(OSError, TransportError):
            if self._stopped:
                self._transport.serial.write(b"\r\x03")
                self._soft_reset()
        with contextlib.suppress(OSError):
            self._transport.close()

    def leave(self) -> None:
        """Let go of the port, the board standing at its prompt."""
        with self._doing("leaving it at its prompt"):
            self._transport.exit_raw_repl()
            self._stopped = False
        self.close()

    def _soft_reset(self) -> None:
        # Only from the friendly REPL does it run main.py.
        self._transport.exit_raw_repl()
        self._transport.read_until(1, b">>> ", timeout_overall=_PROMPT_TIMEOUT_S)
        self._transport.serial.write(b"\x04")
        self._stopped = False

    def _enter_raw_repl(self, patience_s: int) -> None:
        # Opening the port resets many boards: a Ctrl-C sent while the boot loader talks is lost, hence attempts.
        try:
            for _ in range(_ATTEMPTS):
                try:
                    self._knock(patience_s)
                    self._transport.enter_raw_repl(soft_reset=True, timeout_overall=patience_s)
                    self._stopped = True
                    return
                except TransportError:
                    continue
            raise BoardError(why_silent(self.port, self._transport.serial))
        except OSError as error:
            raise BoardError(broke(self.port, error)) from error

    def _knock(self, patience_s: int) -> None:
        # A token that starts again and again listens only in the first seconds of each start.
        end_s = time.monotonic() + patience_s
        while time.monotonic() < end_s:
            self._transport.serial.write(b"\r\x03\x02")
            if self._transport.read_until(1, b">>> ", timeout_overall=_KNOCK_S).endswith(b">>> "):
                return

    @contextlib.contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        try:
            yield
        except TransportExecError as error:
            last = (error.error_output.strip() or "no reason given").splitlines()[-1]
            if "ENOSPC" in last or last == "OSError: 28":
                raise BrokenOff(f"The board's file system is full (while {what}).") from error
            raise BrokenOff(f"The board failed while {what}: {last}.") from error
        except OSError as error:
            raise BrokenOff(f"The connection broke while {what}: {broke(self.port, error)}") from error
        except (TransportError, struct.error) as error:
            raise BrokenOff(f"The board stopped answering while {what}.") from error

    def _value(self, expression: str) -> Any:
        return self._transport.eval(expression)

    def ask(self, what: str, expression: str, setup: str = "", timeout_s: int = 10) -> Any:
        """The value of an expression of plain values, after the statements in `setup`.

        Args:
            what: what is being done, for the error.
            timeout_s: how long the board may be silent.
        """
        with self._doing(what):
            if setup:
                self._transport.exec(setup)
            out, error = self._transport.exec_raw(f"print(repr({expression}))", timeout=timeout_s)
            if error:
                raise TransportExecError(out, error.decode(errors="replace"))
            return ast.literal_eval(out.decode().strip())

    # --- Questions -------------------------------------------------------------------------------------------

    def identity(self) -> Identity:
        """What it is."""
        with self._doing("asking what it is"):
            self._transport.exec("import sys\ni = sys.implementation")
            name, version, mpy, machine, platform = self._value(
                "(i[0], tuple(i[1])[:3], getattr(i, '_mpy', 0) & 255, getattr(i, '_machine', ''), sys.platform)"
            )
        return Identity(name, version, mpy, machine, platform)

    def partition_blocks(self, label: str) -> int:
        """Size of a data partition of an ESP32, in blocks of 4096 bytes; 0 if it does not exist."""
        with self._doing("looking at its partitions"):
            self._transport.exec(f"import esp32\np = esp32.Partition.find(esp32.Partition.TYPE_DATA, label={label!r})")
            return self._value("p[0].info()[3] if p else 0") // _BLOCK_BYTES

    def free_bytes(self) -> int:
        """Free space of its file system."""
        with self._doing("asking for its free space"):
            self._transport.exec("import os\ns = os.statvfs('.')")
            return self._value("s[0] * s[3]")

    def files(self, folder: str) -> dict[str, int]:
        """Files of a folder ("" is the root): path → bytes. Empty if there is no such folder."""
        with self._doing("listing its files"):
            try:
                entries = self._transport.fs_listdir(folder)
            except FileNotFoundError:
                return {}
        prefix = f"{folder}/" if folder else ""
        return {prefix + entry.name: entry.st_size for entry in entries if not entry.st_mode & _STAT_DIRECTORY}

    def sha256(self, path: str) -> str:
        """SHA-256 of a file, computed on the board: 64 hex digits."""
        with self._doing(f"checking {path}"):
            return bytes(self._transport.fs_hashfile(path, "sha256", chunk_size=512)).hex()

    def manifest(self) -> dict:
        """What `write_manifest` wrote; empty if there is none, or a broken one."""
        with self._doing("reading which firmware it has"):
            try:
                manifest = json.loads(self._transport.fs_readfile(MANIFEST))
            except (FileNotFoundError, ValueError):
                return {}
        return manifest if isinstance(manifest, dict) else {}

    # --- Changes ---------------------------------------------------------------------------------------------

    def write_manifest(self, manifest: dict) -> None:
        """Replace the note of which firmware the board has."""
        self.write(MANIFEST, json.dumps(manifest).encode())

    def write(self, path: str, data: bytes) -> None:
        """Create or replace a file; its folder must exist."""
        with self._doing(f"copying {path}"):
            self._transport.exec(f"from binascii import a2b_base64 as d\nf = open({path!r}, 'wb')\nw = f.write")
            for start in range(0, len(data), _CHUNK_BYTES):
                self._transport.exec(f"w(d({base64.b64encode(data[start : start + _CHUNK_BYTES])!r}))")
            self._transport.exec("f.close()")

    def make_folder(self, folder: str) -> None:
        """Make a folder unless it is there."""
        with self._doing(f"making the folder {folder}"), contextlib.suppress(FileExistsError):
            self._transport.fs_mkdir(folder)

    def remove(self, path: str) -> None:
        """Remove a file."""
        with self._doing(f"removing {path}"):
            self._transport.fs_rmfile(path)

    def clock(self) -> datetime | None:
        """What its clock says, UTC; None if it has none."""
        with self._doing("reading its clock"):
            self._transport.exec("import machine\nr = getattr(machine, 'RTC', None)")
            if not self._value("r is not None"):
                return None
            year, month, day, _, hour, minute, second, _ = self._value("r().datetime()")
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)

    def set_clock(self, now: datetime) -> bool:
        """Set its clock to the wall time in `now`, which must be UTC; False if it has no clock."""
        fields = (now.year, now.month, now.day, now.weekday(), now.hour, now.minute, now.second, now.microsecond)
        with self._doing("setting its clock"):
            self._transport.exec("import machine\nr = getattr(machine, 'RTC', None)")
            if not self._value("r is not None"):
                return False
            self._transport.exec(f"r().datetime({fields})")
        return True

    def restart(self, watch_s: int) -> None:
        """Soft-reset, so that boot.py and main.py run, and watch for `watch_s` whether they fail.

        Raises:
            BoardError: it did not restart, or main.py ended with an exception.
        """
        transport = self._transport
        with self._doing("starting"):
            self._soft_reset()
            if not transport.read_until(1, b"soft reboot", timeout_overall=_RESTART_TIMEOUT_S).endswith(b"reboot"):
                raise BoardError("The board did not restart by itself: press its reset button.")
            if not watch_s:
                return
            if transport.read_until(1, b"Traceback", timeout_overall=watch_s).endswith(b"Traceback"):
                shown = transport.read_until(1, b"\0", timeout=1, timeout_overall=2).decode(errors="replace")
                reason = next((line for line in shown.splitlines()[1:] if line[:1].isalpha()), "no reason given")
                raise BoardError(f"The board started and failed: {reason}.")
