"""Flash of simulated tokens from the host's side: the virtual board's file, one in memory, and what lies in them."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tracing.log import Log
from tracing.records import FLAG_CLOCK_SET, KIND_ENCOUNTER, RECORD_BYTES, unpack_record
from tracing.state import State, StateStore

from ..link.log_opener import LogOpener
from ..provisioning.firmware_files import boards, store_blocks

VIRTUAL_BOARD = Path(__file__).parents[2] / "boards" / "virtual"
STATE_BLOCKS = 2  # as in app.py


class MemoryFlash:
    """NOR flash in memory.

    Args:
        blocks: of 4096 bytes, all erased.

    Attributes:
        image: its content; erases, programmed_bytes: how much has been done to it.
    """

    block_bytes = 4096

    def __init__(self, blocks: int) -> None:
        self.blocks = blocks
        self.image = bytearray(b"\xff" * (blocks * self.block_bytes))
        self.erases = 0
        self.programmed_bytes = 0

    def read(self, offset: int, buf) -> None:
        """Fill `buf`."""
        buf[:] = self.image[offset : offset + len(buf)]

    def program(self, offset: int, data) -> None:
        """Clear bits."""
        self.programmed_bytes += len(data)
        for i, byte in enumerate(bytes(data)):
            self.image[offset + i] &= byte

    def erase(self, block: int) -> None:
        """Set a block to ones."""
        self.erases += 1
        self.image[block * self.block_bytes : (block + 1) * self.block_bytes] = b"\xff" * self.block_bytes


def _nor_flash():
    spec = importlib.util.spec_from_file_location("nor_flash", VIRTUAL_BOARD / "nor_flash.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.NorFlash


def flash_blocks() -> int:
    """Erase blocks of the virtual board's flash: state and log."""
    return store_blocks(boards()["virtual"])


def open_flash(path: Path, blocks: int | None = None):
    """The flash image at `path` as a store; made, all erased, when it does not exist. `blocks`: if not the board's."""
    return _nor_flash()(str(path), blocks or flash_blocks())


def open_token(store: Any) -> tuple[State, Log]:
    """State and log in a provisioned token's flash, mounted as the token does: what is unfinished is finished."""
    state = State()
    StateStore(store, 0, 1).load(state)
    log = Log(store, STATE_BLOCKS, store.blocks - STATE_BLOCKS, state)
    log.mount()
    return state, log


def fill_log(path: Path, count: int, start_s: int) -> None:
    """Append encounters to the log in the flash image of a token that has no power, one a minute from `start_s` on."""
    image = path.read_bytes()
    copy = MemoryFlash(len(image) // MemoryFlash.block_bytes)
    copy.image[:] = image
    _, log = open_token(copy)
    for number in range(count):
        log.append(
            KIND_ENCOUNTER | FLAG_CLOCK_SET, 1, start_s + 60 * number, 300, 8, 20, -60, -70,
            f"{number:012d}".encode(),
        )  # fmt: skip
    path.write_bytes(copy.image)


def logged(image: bytes, log_root: bytes) -> Iterator[tuple]:
    """Every record in a copy of a flash that opens, as records.unpack_record gives it.

    Args:
        log_root: the key of segment 0 of this token's log.
    """
    copy = MemoryFlash(len(image) // MemoryFlash.block_bytes)
    copy.image[:] = image
    _, log = open_token(copy)
    opener = LogOpener(log_root, log.segment_records)
    buf = bytearray(RECORD_BYTES)
    for seq in range(log.oldest_seq, log.next_seq):
        opened = opener.open(seq, buf) if log.read(seq, buf, 0) else None
        record = unpack_record(opened) if opened else None
        if record is not None:
            yield record
