"""What lies in the flash of a virtual token."""

from host_tools.simulation.flash import flash_blocks, open_flash
from host_tools.simulation.world import World
from tracing import log, records


def read_log(world: World, name: str) -> list[tuple]:
    """Every sound record of a token's log, as records.unpack_record gives it."""
    book = log.Log(
        open_flash(world.folder / f"token-{world.boards[name].controller.number}.flash"), 2, flash_blocks() - 2
    )
    book.mount()
    buf = bytearray(records.RECORD_BYTES)
    found = []
    for seq in range(book.oldest_seq, book.next_seq):
        if book.read(seq, buf, 0):
            record = records.unpack_record(buf)
            assert record is not None
            found.append(record)
    return found
