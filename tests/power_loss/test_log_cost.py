"""What log and state cost in flash, wear, reading and RAM."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from emulated_flash import EmulatedFlash
from log_bench import BEGAN_S, SIZE, Keys, fields, pulled

from tracing import records
from tracing.log import Log
from tracing.state import State, StateStore

BLOCK_BYTES = 4096
PER_BLOCK = 145
BLOCKS = 6


def full(count: int) -> tuple[EmulatedFlash, Log]:
    flash = EmulatedFlash(BLOCKS, BLOCK_BYTES)
    log = Log(flash, 0, BLOCKS, Keys())
    log.mount()
    for number in range(count):
        log.append(*fields(number))
    return flash, log


def test_each_block_is_erased_once_a_lap_and_hardly_more_is_written_than_records() -> None:
    laps = 3
    flash, log = full(laps * BLOCKS * PER_BLOCK)
    assert log.capacity_records == BLOCKS * PER_BLOCK
    assert flash.erases == [laps] * BLOCKS
    counts = [
        records.unpack_block_header(flash.image[at : at + records.BLOCK_HEADER_BYTES])
        for at in range(0, len(flash.image), BLOCK_BYTES)
    ]
    assert [header[1] if header else None for header in counts] == [laps] * BLOCKS
    amplification = flash.programmed_bytes / (log.next_seq * SIZE)
    assert amplification == pytest.approx(1 + records.BLOCK_HEADER_BYTES / (PER_BLOCK * SIZE))


@pytest.mark.parametrize("count", [0, 1, 100, PER_BLOCK, PER_BLOCK + 1, BLOCKS * PER_BLOCK, BLOCKS * PER_BLOCK + 77])
@pytest.mark.parametrize("next_block", ["as it is", "noise", "lost its header"])
def test_mounting_reads_a_header_a_block_and_one_block(count: int, next_block: str) -> None:
    flash, log = full(count)
    at = -(-log.next_seq // PER_BLOCK) % BLOCKS * BLOCK_BYTES
    if next_block == "noise":
        flash.image[at : at + BLOCK_BYTES] = bytes(i * 151 & 0xFF for i in range(BLOCK_BYTES))
    elif next_block == "lost its header":
        flash.image[at] ^= 1
    flash.read_bytes = 0
    Log(flash, 0, BLOCKS, Keys()).mount()
    assert flash.read_bytes <= BLOCKS * records.BLOCK_HEADER_BYTES + BLOCK_BYTES


def test_a_mebibyte_holds_25_days_of_a_thousand_encounters(capsys) -> None:
    """A token's month: the time saved every hour, a new key every day, a sync and a start a day."""
    blocks, days, a_day = (1 << 20) // BLOCK_BYTES, 30, 1000
    flash = EmulatedFlash(blocks, BLOCK_BYTES)
    state, keeper = State(), StateStore(flash, 0, 1)
    keeper.load(state)
    state.log_key = Keys().log_key
    state.last_time_s = BEGAN_S
    keeper.save(state)
    log = Log(flash, 2, blocks - 2, state)
    log.mount()
    flash.programmed_bytes = 0
    number = 0
    for hour in range(days * 24):
        now_s = BEGAN_S + hour * 3600
        state.key_day, state.daily_key = hour // 24, hashlib.sha256(b"%d" % (hour // 24)).digest()
        state.last_time_s = now_s
        if hour % 24 == 8:
            state.boot += 1
        if hour % 24 == 9:
            state.watermark, state.last_sync_s = log.next_seq, now_s
        keeper.save(state)
        log.expire(now_s, 25)
        while number < (hour + 1) * a_day // 24:
            log.append(0x11, state.boot, now_s + number % 3600, 300, 8, 9, -60, -70, b"%012d" % number)
            number += 1
    amplification = flash.programmed_bytes / (number * SIZE)
    held = pulled(log)
    idents = {int(record[12:24]) for record in held.values() if record}
    wanted = set(range((days - 25) * a_day, days * a_day))
    with capsys.disabled():
        print(
            f"\n{len(wanted & idents)} of {len(wanted)} records of 25 days; log and state: {amplification:.3f} bytes "
            f"programmed per byte of records, {BLOCK_BYTES / PER_BLOCK:.1f} bytes per encounter, "
            f"erases of a log block {max(flash.erases[2:])}, of the state's {max(flash.erases[:2])}"
        )
    assert wanted <= idents
    assert amplification <= 1.10
    assert BLOCK_BYTES / PER_BLOCK <= 32
    assert max(flash.erases[2:]) == 2  # before its first use, and for its age: it goes into its second one as it is
    assert max(flash.erases[:2]) <= days // 4


RAM = """
import gc, sys
sys.path[:] = ["%s"]
from tracing.log import Log
from tracing.state import State
class Blank:
    block_bytes, blocks = 4096, 256
    most = 0
    def read(self, offset, buf):
        for i in range(len(buf)):
            buf[i] = 0xFF
        gc.collect()
        self.most = max(self.most, gc.mem_alloc() - before)
    def program(self, offset, data):
        pass
state = State()
state.keeper = type("Keeper", (), {"save": lambda self, state: None})()
store = Blank()
gc.collect()
before = gc.mem_alloc()
log = Log(store, 2, 254, state)
log.mount()
mounting = store.most
log._begin_seq = 0
log._turn_key()
gc.collect()
print(mounting, gc.mem_alloc() - before)
"""


@pytest.mark.vm
def test_a_log_of_254_blocks_takes_little_ram(capsys) -> None:
    """On the 64-bit VM, whose objects take twice the room of a board's."""
    vm = Path(sys.executable).parent / "micropython"
    code = RAM % (Path(__file__).parents[2] / "firmware")
    done = subprocess.run([vm, "-X", "heapsize=1m", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    mounting, then = map(int, done.stdout.split())
    with capsys.disabled():
        print(f"\nRAM of a log of 254 blocks: {mounting} bytes at most while it is mounted, {then} from then on")
    assert max(mounting, then) <= 2048
