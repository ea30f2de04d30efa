"""Whether a flash, as bytes, holds a token's keys: by the firmware's own reading of them."""

from typing import TYPE_CHECKING

from host_tools.provisioning.board_error import BoardError
from tracing import records
from tracing.state import State, StateStore
from tracing.wire import short_code

if TYPE_CHECKING:
    from host_tools.provisioning.esp_chip import EspChip

BLOCK_BYTES = 4096
_STATE_BLOCKS = 2


class BytesStore:
    """The store port of ring.py over bytes in memory."""

    block_bytes = BLOCK_BYTES

    def __init__(self, data: bytes) -> None:
        self._data = bytearray(data)
        self.blocks = len(data) // BLOCK_BYTES

    def read(self, offset: int, buf: bytearray | memoryview) -> None:
        """Fill `buf` from `offset`."""
        buf[:] = self._data[offset : offset + len(buf)]

    def program(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Clear the bits that are 0 in `data`."""
        for at, byte in enumerate(data, offset):
            self._data[at] &= byte

    def erase(self, block: int) -> None:
        """Set a block to ones."""
        self._data[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES] = b"\xff" * BLOCK_BYTES


def state_in(store_bytes: bytes) -> State | None:
    """The state in the first two blocks of a store; None if there is none."""
    state = State()
    found = StateStore(BytesStore(store_bytes[: _STATE_BLOCKS * BLOCK_BYTES]), 0, 1).load(state)
    return state if found else None


def refuse_provisioned(chip: "EspChip", log_at: int) -> None:
    """Check that nobody's keys are lost when the whole flash is written.

    Args:
        log_at: where the store begins, bytes from the beginning of the flash.

    Raises:
        BoardError: the board is a provisioned token.
    """
    state = state_in(chip.read(log_at, _STATE_BLOCKS * BLOCK_BYTES))
    if state and state.flags & records.STATE_PROVISIONED:
        raise BoardError(
            f"The board is the token {short_code(state.serial)}, with keys and perhaps a log. Read it at a kiosk, then "
            "repeat with --wipe to lose both; or leave out --image, which keeps them. Nothing was changed."
        )
