"""Cuts the power at every byte that a token writes in three laps of its log, and flips every bit: python every_cut.py.

The tests try a part of it. Exits with an AssertionError at the first loss.
"""

import time
from collections.abc import Iterator

import test_log_power
import test_state
from other_stores import file_cuts, over_partition
from token_bench import check_cut, check_flip, cuts, flips, workload


def token_cuts(step: int, **store) -> int:
    """Cut log and state short in every `step`th way; how many that were."""
    tried = 0
    for operation, image in cuts(workload(), step):
        check_cut(operation, image, **store)
        tried += 1
    return tried


def token_flips() -> int:
    """Flip every bit of log and state; how many that were."""
    tried = 0
    for image, bit, count in flips(1):
        check_flip(image, bit, count)
        tried += 1
    return tried


def figures() -> Iterator[str]:
    """Try everything; what was tried."""
    log_cuts = sum(test_log_power.cut_everywhere(blocks, laps) for blocks, laps in test_log_power.RINGS)
    yield f"log: cut in {log_cuts} ways: nothing lost, nothing invented"
    yield f"state: cut in {test_state.cut(40, 1)} ways: no key lost, no old one left"
    yield f"log and state: cut in {token_cuts(1)} ways: nothing lost, keys in step with the host's"
    yield f"the same in a partition of an ESP32: cut in {token_cuts(4, store=over_partition)} ways"
    yield f"the same in a file under CircuitPython: cut in {sum(file_cuts(phase, 1) for phase in range(8))} ways"
    yield f"log and state: {token_flips()} single bits flipped: one record or one block each, never a key"
    state_flips = sum(test_state.flip_bits(count, 1) for count in test_state.COUNTS)
    yield f"state: {state_flips} single bits flipped: no key lost"


if __name__ == "__main__":
    began_s = time.monotonic()
    for line in figures():
        print(line, flush=True)
    print(f"{time.monotonic() - began_s:.0f} s")
