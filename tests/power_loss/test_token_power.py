"""Power dies while a token works: nothing is lost, and the keys stay in step with the host's.

Some of the cuts and flips of log and state together; every_cut.py tries all of them (`make soak`).
"""

import pytest
from token_bench import check_cut, check_flip, cuts, flips, workload


@pytest.mark.parametrize("share", range(4))
def test_power_dies_at_any_byte(share: int) -> None:
    tried = 0
    for operation, image in cuts(workload()[share::4], 13):
        check_cut(operation, image)
        tried += 1
    assert tried > 300


def test_a_bit_flips_somewhere() -> None:
    tried = 0
    for image, bit, count in flips(61):
        check_flip(image, bit, count)
        tried += 1
    assert tried > 1000
