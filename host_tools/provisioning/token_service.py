"""The host's end of firmware/service.py: questions and orders to a token that stands at its REPL."""

import re
import time
from dataclasses import dataclass

from host_tools.provisioning.board_error import BoardError, BrokenOff
from host_tools.provisioning.copying import Progress
from host_tools.provisioning.token_board import TokenBoard
from host_tools.provisioning.token_keys import TokenKeys

_STATE_BLOCKS = 2
_BLOCKS_AT_ONCE = 16  # an ESP32 takes about 50 ms for each
_SLOW_S = 30
_KEYS_S = 8  # the ledger is held meanwhile; a kiosk that wants to write waits 10 s (storage.database)
# A board that holds its firmware twice has to be asked first which copy it runs.
START_SERVICE = """
folder = ""
try:
    import half
    if half.enter():
        import sys
        folder = sys.path[0]
except ImportError:
    pass
import service
t = service.Service()
"""


@dataclass(frozen=True)
class TokenIdentity:
    """Who a token is; see service.Service.identity.

    Attributes:
        serial: 8 bytes; escrow: 64 bytes. fixed_keys, moving_keys: digests, hex.
    """

    known: bool
    provisioned: bool
    serial: bytes
    first_day: int
    escrow: bytes
    log_segment: int
    fixed_keys: str
    moving_keys: str


class TokenService:
    """A token with the project's firmware.

    Attributes:
        folder: where on the board the copy of the firmware lies that it runs; "" is the root.

    Raises:
        BoardError: it has none, or no place for the log.
    """

    def __init__(self, board: TokenBoard) -> None:
        self._board = board
        try:
            self.folder: str = board.ask("starting its service", "folder", START_SERVICE, _SLOW_S)
        except BrokenOff as error:
            if "no module named" in str(error):
                raise BoardError(
                    f"The board at {board.port} has no firmware of this project, or an older one: run `bluezone flash` "
                    "first. Nothing was changed."
                ) from error
            if re.search(r"OSError: (\[Errno )?30\b", str(error)):  # a read-only file system
                raise BoardError(
                    f"The board at {board.port} was started with its button held: its drive is the PC's now, and the "
                    "token cannot reach its log. Eject the drive, press reset, then repeat. Nothing was changed."
                ) from error
            raise

    def identity(self) -> TokenIdentity:
        """Who it is."""
        return _identity(self._board.ask("reading its keys", "t.identity()"))

    def provision(self, keys: TokenKeys, log_segment: int, log_key: bytes, now_s: int) -> TokenIdentity:
        """Replace its keys; what it answers was read back from its flash.

        Args:
            log_segment, log_key: where its log goes on, and the key of that segment.
        """
        words = [keys.serial, keys.daily_key, keys.sync_key, log_key, keys.code_key, keys.escrow]
        given = ", ".join([str(now_s), str(keys.first_day), str(log_segment), *(repr(word.hex()) for word in words)])
        return _identity(self._board.ask("writing its keys", f"t.provision({given})", timeout_s=_KEYS_S))

    def erase(self, progress: Progress, log_only: bool) -> bool:
        """Erase log and keys, the keys last; whether all of it reads as ones.

        Args:
            log_only: the keys stay.
        """
        blocks = self._board.ask("asking for the size of its log", "t.blocks()")
        blank = True
        for first in range(_STATE_BLOCKS, blocks, _BLOCKS_AT_ONCE):
            progress("erasing the log", first, blocks)
            blank &= self._erase(first, min(_BLOCKS_AT_ONCE, blocks - first))
        if not log_only:
            progress("erasing the keys", blocks, blocks)
            blank &= self._erase(0, _STATE_BLOCKS)
        return blank

    def _erase(self, first: int, count: int) -> bool:
        return self._board.ask("erasing", f"t.erase({first}, {count})", timeout_s=_SLOW_S)

    def diagnostics(self) -> dict[str, int | str]:
        """Numbers of how it has fared, none about whom it has met."""
        return self._board.ask("reading its diagnostics", "t.diagnostics()", timeout_s=_SLOW_S)

    def self_test(self, button_s: int = 0) -> dict[str, str]:
        """Part → "" when it works, else what is wrong.

        Args:
            button_s: how long it waits for a press of the button; 0: the button is not tried.
        """
        return self._board.ask("testing itself", f"t.self_test({button_s * 1000})", timeout_s=_SLOW_S + button_s)

    def beckon(self, wait_s: int) -> bool:
        """Let it blink until its button is pressed, or for so long; whether it was pressed."""
        return self._board.ask("waiting for its button", f"t.beckon({wait_s * 1000})", timeout_s=_SLOW_S + wait_s)


def faults(self_test: dict[str, str]) -> list[str]:
    """What a self-test found, in sentences."""
    return [f"The self-test of its {part} failed: {reason}." for part, reason in self_test.items() if reason]


def now_s() -> int:
    """This machine's time, Unix s."""
    return int(time.time())


def _identity(answer: dict) -> TokenIdentity:
    return TokenIdentity(
        **{**answer, "serial": bytes.fromhex(answer["serial"]), "escrow": bytes.fromhex(answer["escrow"])}
    )
