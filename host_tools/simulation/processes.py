"""Starts the MicroPython processes of virtual boards and joins each to its VirtualBoard."""

import asyncio
import ctypes
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ..errors import UserError
from .board import VirtualBoard

MAIN = Path(__file__).parents[2] / "boards" / "virtual" / "main.py"
HEAP = "64k"  # of a token: what an ESP32 begins with


def micropython() -> str:
    """Path of the MicroPython VM that the lock file pins.

    Raises:
        UserError: it is not installed, which on anything but Linux x86-64 it never is.
    """
    beside = Path(sys.executable).with_name("micropython")
    found = str(beside) if beside.exists() else shutil.which("micropython")
    if not found:
        raise UserError(
            "The MicroPython VM is missing: it exists for Linux on x86-64 only. Nothing was started. "
            "On such a machine run `make setup` again."
        )
    return found


class BoardProcesses:
    """The socket on which boards say hello, and their processes.

    Args:
        folder: for the boards' output (`NAME.out`).
        rom: ROMFS image of the firmware (`rom_image`).
    """

    def __init__(self, folder: Path, rom: bytes) -> None:
        self.folder = folder
        self.rom = rom
        self.processes: dict[str, subprocess.Popen] = {}
        self._boards: dict[str, VirtualBoard] = {}
        self._hello: dict[str, asyncio.Future] = {}
        self._server: asyncio.Server | None = None
        # sockaddr_un holds 107 bytes: neither `folder` nor a TMPDIR, of any depth, may be part of the name.
        self._socket_folder = tempfile.TemporaryDirectory(prefix="bluezone-", dir="/tmp")
        self._socket = f"{self._socket_folder.name}/boards.sock"

    async def open(self) -> None:
        """Listen for boards."""
        self.folder.mkdir(parents=True, exist_ok=True)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Line(self), self._socket)

    async def start(self, board: VirtualBoard, flash: Path, **environment: str) -> None:
        """Start a board's process and wait until it has said hello: one after the other, for a repeatable order.

        Args:
            flash: its flash image; made, all erased, when it does not exist.
        """
        await board.device.power_on()
        board.join()
        self._boards[board.name] = board
        self._hello[board.name] = asyncio.get_running_loop().create_future()
        settings = {
            "BOARD_SOCKET": self._socket,
            "BOARD_NAME": board.name,
            "BOARD_FLASH": str(flash),
        } | environment
        command = [micropython(), "-X", f"heapsize={HEAP}", str(MAIN)]
        with open(self.folder / f"{board.name}.out", "ab") as output:
            self.processes[board.name] = subprocess.Popen(
                command,
                preexec_fn=_execute(command, self.rom, settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        loop = asyncio.get_running_loop()
        # A process that ends before it has said hello would be waited for in vain.
        ended = os.pidfd_open(self.processes[board.name].pid)
        loop.add_reader(ended, self._ended, board)
        try:
            await self._hello[board.name]
            await asyncio.wait([board.settled, board.gone], return_when=asyncio.FIRST_COMPLETED)
        finally:
            loop.remove_reader(ended)
            os.close(ended)

    def _ended(self, board: VirtualBoard) -> None:
        hello = self._hello[board.name]
        if not hello.done():
            hello.set_exception(RuntimeError(f"{board.name} did not start:\n{self.output(board.name)}"))
            board.hung_up()

    def kill(self, board: VirtualBoard) -> None:
        """Power off, at once."""
        process = self.processes.pop(board.name)
        process.kill()
        process.wait()
        board.hung_up()

    async def close(self) -> None:
        """End every board and stop listening."""
        for board in list(self._boards.values()):
            if board.name in self.processes:
                self.kill(board)
        if self._server:
            self._server.close()
        self._socket_folder.cleanup()

    def output(self, name: str) -> str:
        """What a board has printed: nothing, unless something failed."""
        return (self.folder / f"{name}.out").read_text(errors="replace")

    def hello(self, name: str, transport: asyncio.Transport) -> VirtualBoard:
        """A process has connected."""
        board = self._boards[name]
        board.attach(transport)
        self._hello[name].set_result(None)
        return board


def _execute(command: list[str], rom: bytes, settings: dict[str, str]):
    """A function that becomes `command` in the forked child, with the ROM image at the head of its environment.

    The kernel lays the environment's strings out one after the other, each closed by a zero byte: an image cut at its
    zero bytes comes out whole. Python's own calls insist on NAME=VALUE, hence the C library's.
    """
    c_library = ctypes.CDLL(None)
    entries = rom.split(b"\0") + [f"{name}={value}".encode() for name, value in settings.items()]
    words = [word.encode() for word in command]
    arguments = (ctypes.c_char_p * (len(words) + 1))(*words, None)
    environment = (ctypes.c_char_p * (len(entries) + 1))(*entries, None)

    def execute() -> None:
        c_library.execve(words[0], arguments, environment)
        os._exit(127)

    return execute


class _Line(asyncio.Protocol):
    """One connection; it belongs to nobody until the board has told its name."""

    def __init__(self, processes: BoardProcesses) -> None:
        self._processes = processes
        self._board: VirtualBoard | None = None
        self._head = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._board is not None:
            self._board.feed(data)
            return
        self._head += data
        length = struct.unpack_from("<H", self._head)[0] if len(self._head) >= 3 else 1 << 16
        if len(self._head) >= 3 + length:
            self._board = self._processes.hello(self._head[3 : 3 + length].decode(), self._transport)

    def connection_lost(self, exc) -> None:
        if self._board is not None:
            self._board.hung_up()
