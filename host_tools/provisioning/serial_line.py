"""An open serial port, through mpremote's transport."""

import time
from collections.abc import Callable
from typing import Any

from mpremote import transport_serial
from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport

from host_tools.provisioning.board_error import BoardError
from host_tools.provisioning.diagnosis import why_closed

_SERIAL_TIMEOUT_S = 1
_OPEN_ATTEMPTS, _OPEN_PAUSE_S = 4, 0.1

# mpremote prints what it got instead of a prompt. Standard output cannot be redirected for it: boards are served by
# several threads at once.
setattr(transport_serial, "print", lambda *_words, **_how: None)  # noqa: B010  pyright knows no such name there


class SerialLine(SerialTransport):
    """mpremote's transport; a board that talks without end does not hold it."""

    def read_until(
        self,
        min_num_bytes: int,
        ending: bytes,
        timeout: float | None = 10,
        data_consumer: Callable[[bytes], None] | None = None,
        timeout_overall: float | None = None,
    ) -> bytes:
        """What comes until `ending`, or until a timeout (s) of silence or over all; the caller cannot tell which."""
        # mpremote's own looks at the clock only while the line is silent: a board that floods it is read for ever.
        line: Any = self.serial
        data = b""
        begin_s = heard_s = time.monotonic()
        while not data.endswith(ending):
            new = line.read(1) if self.is_pty or line.in_waiting else b""
            now_s = time.monotonic()
            if new:
                heard_s = now_s
                data = new if data_consumer else data + new
                if data_consumer:
                    data_consumer(new)
            elif timeout is not None and now_s >= heard_s + timeout:
                break
            if timeout_overall is not None and now_s >= begin_s + timeout_overall:
                break
            if not new:
                time.sleep(0.01)
        return data


def opened(port: str) -> SerialLine:
    """An open line to a port.

    Raises:
        BoardError: it cannot be opened; the message says why.
    """
    # A program that this process starts meanwhile (a compiler) holds our own lock on a port until it runs itself.
    for attempt in range(_OPEN_ATTEMPTS):
        try:
            return SerialLine(port, timeout=_SERIAL_TIMEOUT_S)
        except TransportError as error:
            if attempt == _OPEN_ATTEMPTS - 1:
                raise BoardError(why_closed(port)) from error
            time.sleep(_OPEN_PAUSE_S)
    raise AssertionError("unreachable")
