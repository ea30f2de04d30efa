"""A board at a serial port for tests: the MicroPython VM's REPL behind a pseudo terminal.

It behaves like a board where mpremote can tell: raw REPL, Ctrl-C, soft reset (which runs main.py from the friendly REPL
and does not from the raw one), and a file system that outlives resets.
"""

import contextlib
import os
import pty
import select
import subprocess
import sys
import termios
import threading
import tty
from pathlib import Path

_VM = Path(sys.executable).with_name("micropython")
_HEAP = "160k"  # as an ESP32 gives, whose modules and the fakes lie in RAM here too
_CIRCUIT_HEAP = "512k"  # a computer's words are twice as long as a chip's, and this firmware comes as source
_SOFT_REBOOT = b"\r\nMPY: soft reboot\r\n"
_INTERRUPT, _RAW, _FRIENDLY = b"\x03", b"\x01", b"\x02"
_WAIT_S = 20


class PtyBoard:
    """A plugged-in board; use it as a context manager.

    Args:
        folder: its file system.
        fakes: Python source run before anything else at every reset: makes the VM say it is something else.
        circuit: starts as CircuitPython does: code.py, and nothing before the raw REPL.
        unplug_after_bytes: the line dies when the host has sent so much.
        unplug_after_answers: the line dies when the board begins its next answer after so many.

    Attributes:
        heard_bytes: what the host has sent. said_bytes: what the board has sent.
        answers: how often the board has spoken after the host.
    """

    def __init__(
        self,
        folder: Path,
        fakes: str = "",
        unplug_after_bytes: int | None = None,
        unplug_after_answers: int | None = None,
        circuit: bool = False,
    ) -> None:
        self.folder = folder
        self._fakes = folder.parent / f"{folder.name}_fakes.py"
        self._fakes.write_text(fakes)
        self._circuit = circuit
        self._left_bytes = unplug_after_bytes
        self._left_answers = unplug_after_answers
        self.heard_bytes = self.said_bytes = self.answers = 0
        self._is_asked = False
        self._raw = False
        self._said = b""
        self._news = threading.Condition()
        self._line, self._port_end = pty.openpty()
        tty.setraw(self._port_end)
        self.port = os.ttyname(self._port_end)
        self._stop, self._stopped = os.pipe()
        self._start_vm(run_main=True)
        self._thread = threading.Thread(target=self._pump, daemon=True)

    def __enter__(self) -> "PtyBoard":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._stopped)
        self._thread.join(_WAIT_S)
        self._end_vm()
        for end in (self._line, self._port_end, self._stop):
            with contextlib.suppress(OSError):
                os.close(end)

    def wait_for(self, text: bytes, times: int = 1) -> None:
        """Return when the board has said `text` so often since it was made; AssertionError when not within 20 s."""
        with self._news:
            assert self._news.wait_for(lambda: self._said.count(text) >= times, _WAIT_S), self._said[-500:]

    def _start_vm(self, run_main: bool) -> None:
        # Ctrl-C must interrupt a running program, so the VM's terminal turns it into a signal; the REPL itself
        # switches that off while it reads. `-i` goes on to the REPL when main.py has ended.
        self._console, terminal = pty.openpty()
        tty.setraw(terminal)
        modes = termios.tcgetattr(terminal)
        modes[3] |= termios.ISIG
        termios.tcsetattr(terminal, termios.TCSANOW, modes)
        start = f"exec(open({str(self._fakes)!r}).read())\n"
        if self._circuit and run_main:
            start += "exec(open('code.py').read(), {'__name__': '__main__'})\n"
        for name in () if self._circuit else ("boot", "main") if run_main else ("boot",):
            start += f"try:\n open('{name}.py').close()\nexcept OSError:\n pass\nelse:\n import {name}\n"
        script = self._fakes.with_suffix(".start.py")
        script.write_text("import sys\nsys.path[0] = ''\n" + start)
        self._vm = subprocess.Popen(
            [str(_VM), "-X", f"heapsize={_CIRCUIT_HEAP if self._circuit else _HEAP}", "-i", str(script)],
            cwd=self.folder,
            preexec_fn=lambda: os.login_tty(terminal),
        )
        os.close(terminal)

    def _end_vm(self) -> None:
        os.close(self._console)
        self._vm.kill()
        self._vm.wait()

    def _pump(self) -> None:
        while True:
            readable, _, _ = select.select([self._console, self._line, self._stop], [], [])
            if self._stop in readable:
                return
            if self._line in readable and not self._from_host(os.read(self._line, 4096)):
                return
            if self._console in readable:
                self._from_vm()
                if self._line < 0:
                    return

    def _unplug(self) -> None:
        os.close(self._line)  # the host sees the port go
        self._line = -1

    def _from_host(self, data: bytes) -> bool:
        self.heard_bytes += len(data)
        self._is_asked = True
        if self._left_bytes is not None:
            self._left_bytes -= len(data)
            if self._left_bytes < 0:
                self._unplug()
                return False
        if _RAW in data:
            self._raw = True
        if _FRIENDLY in data:
            self._raw = False
        with contextlib.suppress(OSError):  # the VM has just ended: what was typed is lost, as on a board
            os.write(self._console, data)
        return True

    def _from_vm(self) -> None:
        try:
            data = os.read(self._console, 4096)
        except OSError:
            data = b""
        if data:
            self._say(data)
            return
        # Ctrl-D has ended the VM: that is its soft reset.
        raw = self._raw
        self._end_vm()
        self._say(_SOFT_REBOOT)
        self._start_vm(run_main=not raw)
        if raw:
            banner = b""
            while not banner.endswith(b">>> "):
                banner += os.read(self._console, 4096)
            os.write(self._console, _RAW)

    def _say(self, data: bytes) -> None:
        with self._news:
            self._said += data
            self._news.notify_all()
        if self._is_asked:
            self._is_asked = False
            if self.answers == self._left_answers:
                self._unplug()
                return
            self.answers += 1
        self.said_bytes += len(data)
        os.write(self._line, data)
