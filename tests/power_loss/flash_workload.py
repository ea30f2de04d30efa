"""Log and state on the virtual board's flash file, a morning's worth; runs on CPython and on the MicroPython VM.

python flash_workload.py IMAGE
"""

import sys

from nor_flash import NorFlash  # pyright: ignore[reportMissingImports]  boards/virtual, by PYTHONPATH or MICROPYPATH

from tracing.log import Log
from tracing.state import State, StateStore

BLOCKS = 6
BLOCK_BYTES = 1024
STARTS = 7
RECORDS = 97  # a start: more than a lap in all


def work(path):
    """Start so many times; each time find everything again, log, and change the key."""
    found = []
    buf = bytearray(28)
    for start in range(STARTS):
        store = NorFlash(path, BLOCKS, BLOCK_BYTES)
        state = State()
        keeper = StateStore(store, 0, 1)
        known = keeper.load(state)
        log = Log(store, 2, BLOCKS - 2, state)
        log.mount()
        sound = sum(log.read(seq, buf, 0) for seq in range(log.oldest_seq, log.next_seq))
        found.append((known, state.boot, bytes(state.daily_key[:2]), log.oldest_seq, log.next_seq, sound, log.damaged))
        state.boot += 1
        state.key_day = 18000 + start // 2
        state.daily_key = bytes([start // 2 + 1]) * 32
        state.serial = b"serial 8"
        for number in range(RECORDS):
            ident = bytes([start, number, 0, 255]) * 3
            state.watermark = log.append(0x11, state.boot, 1600000000 + number, number, 1, 2, -40, -60 - number, ident)
            if number % 9 == 0:
                keeper.save(state)
    return found


if __name__ == "__main__":
    for line in work(sys.argv[1]):
        print(line)
