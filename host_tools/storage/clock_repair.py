"""True times for what a token logged by a clock that was off.

At every sync the kiosk notes what the token's clock said and what the time really was. A record of the same boot from
before that moment has its time moved: by the whole error if the clock had never been set in that boot, otherwise in
proportion to the time since it was last set, for clocks drift evenly. No clock drifts by more than a tenth: then the
kiosk that set it last was wrong, and the whole error counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

_SKEW_MOST_SHARE = 10  # a tenth, as for the token's own clock
BOOT_MASK = 0xFF  # records carry the low eight bits of the boot count


@dataclass(frozen=True, slots=True)
class ClockReading:
    """What a kiosk saw when it set a token's clock.

    Attributes:
        boot: the token's boot count.
        before_seq: records with a lower sequence number were made before.
        token_s: what the token's clock said, Unix s; true_s: what it was.
    """

    boot: int
    before_seq: int
    token_s: int
    true_s: int


def repair(readings: Sequence[ClockReading], seq: int, boot: int, clock_set: bool, start_s: int) -> tuple[int, bool]:
    """The true time of a record, as far as the readings tell.

    Args:
        readings: of this token, in the order in which they were taken.
        seq, boot, clock_set, start_s: of the record.

    Returns:
        (Unix s, whether it can be relied upon).
    """
    same_boot = [reading for reading in readings if reading.boot & BOOT_MASK == boot]
    after = next((reading for reading in same_boot if seq < reading.before_seq), None)
    if after is None:
        return start_s, clock_set
    error_s = after.true_s - after.token_s
    before = next((reading for reading in reversed(same_boot) if reading.before_seq <= seq), None)
    if before is None and not clock_set:
        return start_s + error_s, True
    if before is None or after.token_s <= before.true_s:
        return start_s, clock_set
    passed_s = after.token_s - before.true_s
    if abs(error_s) * _SKEW_MOST_SHARE > passed_s:
        return start_s + error_s, True
    share = (start_s - before.true_s) / passed_s
    return start_s + round(error_s * min(max(share, 0.0), 1.0)), True
