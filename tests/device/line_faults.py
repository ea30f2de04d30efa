"""A serial line with somebody at its end who is no token that listens."""

import contextlib
import os
import pty
import threading
import tty
from collections.abc import Callable

Answer = Callable[[bytes], bytes]  # what the line says when the host has sent something; b"": nothing

LOOP = b"rst:0x3 (SW_RESET),boot:0x13\r\nGuru Meditation Error: Core 0 panic'ed\r\n"
FLOOD = b"sensor reading 17 18 19 20 21 22 23\r\n" * 20

# Answer, chatter, and what the technician reads.
TALKERS: list[tuple[Answer, bytes, str]] = [
    (lambda sent: b"", b"", "answers like MicroPython. Press the board's reset button"),
    (lambda sent: b"", LOOP, "starts again and again (“Guru Meditation Error"),
    (lambda sent: b"", FLOOD, "floods the line and does not listen (“sensor reading 17"),
    (lambda sent: b"", b"invalid header: 0xffffffff\r\n", "holds no program"),
    (lambda sent: b"", b"rst:0x1,boot:0x3 (DOWNLOAD_BOOT)\r\nwaiting for download\r\n", "waits in its boot loader"),
    (lambda sent: b"\r\n>>> ", b"", "refuses the raw REPL (MicroPython #16142)"),
]


class Line:
    """A serial line with somebody at its end who answers in one way, and talks unasked in another."""

    def __init__(self, answer: Answer = lambda sent: b"", chatter: bytes = b"") -> None:
        self._end, port_end = pty.openpty()
        tty.setraw(port_end)
        self.port = os.ttyname(port_end)
        self._port_end = port_end
        self._answer = answer
        self._chatter = chatter
        self._over = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._listen, self._talk)]

    def __enter__(self) -> "Line":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for end in (self._end, self._port_end):
            with contextlib.suppress(OSError):
                os.close(end)

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while sent := os.read(self._end, 1024):
                os.write(self._end, self._answer(sent))

    def _talk(self) -> None:
        with contextlib.suppress(OSError):
            while self._chatter and not self._over.wait(0.01):
                os.write(self._end, self._chatter)
