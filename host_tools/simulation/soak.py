"""Weeks of tokens in minutes: `make soak`. The unmodified firmware in CPython, on a radio that is computed per window.

What the tokens log is compared with the ground truth. A meeting that the channel did not let through (packets are lost
by chance) cannot be in a log: how many of those there are is compared with what the loss model makes likely. Every
other meeting must be there.
"""

import math
import statistics
import sys
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

from .soak_office import Meeting, Office
from .soak_token import SETTINGS

MEETING_S = 300  # from so long together on, both tokens must have it
UNLIKELY = 0.001  # of the tests of the channel so many may fail by chance
SCAN_PERIOD_S = SETTINGS.RADIO_SCAN_PERIOD_MS / 1000
START_S = 1_597_017_600
FIRMWARE = str(Path(__file__).parents[2] / "firmware" / "*")


@dataclass(frozen=True)
class SoakResult:
    """What came of it. Every meeting counts twice, once for each as the hearer.

    Attributes:
        meetings: times two people were within 2 m for MEETING_S or more.
        missed: hearer, heard, from and to in Unix s of those that came through and are not in the hearer's log.
        unheard: those of which the channel let too little through: never two windows of one id close together.
        unheard_expected: how many of those the loss model makes likely; unheard_limit: … and at most, but for one
            time in a thousand.
        duration_errors_s: estimated minus true duration, of each meeting in each log.
        broken_identities: addresses that were on the air with two ids, or ids with two addresses.
        memory_growth: bytes that the firmware holds more after the last day than after the second.
        records: in all logs.
    """

    meetings: int
    missed: list[tuple[int, int, float, float]]
    unheard: int
    unheard_expected: float
    duration_errors_s: list[float]
    broken_identities: int
    memory_growth: int
    records: int

    @property
    def unheard_limit(self) -> int:
        return poisson_limit(self.unheard_expected)

    @property
    def duration_sd_s(self) -> float:
        """Standard deviation of the duration errors, in seconds."""
        return statistics.pstdev(self.duration_errors_s)


def soak(days: int, tokens: int, seed: int = 1, on_day=lambda day: None) -> SoakResult:
    """Run the soak and judge it."""
    office = Office(tokens, seed, START_S)
    sizes: list[int] = []
    tracemalloc.start()

    def day_over(day: int) -> None:
        # The truth grows with time; what counts is what the firmware has allocated and still holds.
        own = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, FIRMWARE)])
        sizes.append(sum(trace.size for trace in own.traces))
        on_day(day)

    office.live(days, day_over)
    tracemalloc.stop()
    return judge(office, sizes[-1] - sizes[min(1, len(sizes) - 1)])


def judge(office: Office, memory_growth: int) -> SoakResult:
    """Compare logs with the truth."""
    owner = {payload[-12:]: token.number for token in office.tokens for _, payload in token.radio.pairs}
    spans: dict[tuple[int, int], list[tuple]] = {}
    for token in office.tokens:
        for record in token.encounters():
            spans.setdefault((token.number, owner[record[8]]), []).append(record)
    missed, errors = [], []
    unheard, expected = 0, 0.0
    long_meetings = [m for m in office.meetings if m.to_ms - m.from_ms >= MEETING_S * 1000]
    for meeting in long_meetings:
        from_s, to_s = office.start_s + meeting.from_ms / 1000, office.start_s + meeting.to_ms / 1000
        for way, (hearer, heard) in enumerate(((meeting.a, meeting.b), (meeting.b, meeting.a))):
            expected += meeting.odds_against[way]
            unheard += not meeting.certain[way]
            inside = [r for r in spans.get((hearer, heard), []) if r[2] < to_s + 60 and r[2] + r[3] > from_s - 60]
            if inside and _alone(office, meeting):
                errors.append(estimated_duration_s(inside) - (to_s - from_s))
            if not inside and meeting.certain[way]:
                missed.append((hearer, heard, from_s, to_s))
    broken = 0
    for token in office.tokens:
        pairs = set(token.radio.pairs)
        broken += len(pairs) - min(len({p[0] for p in pairs}), len({p[1] for p in pairs}))
    count = sum(map(len, spans.values()))
    return SoakResult(len(long_meetings), missed, unheard, expected, errors, broken, memory_growth, count)


def estimated_duration_s(found: list[tuple]) -> float:
    """Duration of a meeting from its records: last - first + T (2/p - 1), with p the share of windows that heard it."""
    first_s, last_s = min(r[2] for r in found), max(r[2] + r[3] for r in found)
    windows = sum(r[4] for r in found)
    share = min(1.0, windows / ((last_s - first_s) / SCAN_PERIOD_S + 1))
    return last_s - first_s + SCAN_PERIOD_S * (2 / share - 1)


def poisson_limit(expected: float) -> int:
    """The number that a Poisson variable of this mean exceeds less than once in a thousand times."""
    number = 0
    chance = left = math.exp(-expected)
    while 1 - left > UNLIKELY:
        number += 1
        chance *= expected / number
        left += chance
    return number


def _alone(office: Office, meeting: Meeting) -> bool:
    """Whether the pair met at no other time close to this meeting, so that its records are its own."""
    return not any(
        (m.a, m.b) == (meeting.a, meeting.b) and m is not meeting
        and m.from_ms < meeting.to_ms + 1_200_000 and m.to_ms > meeting.from_ms - 1_200_000
        for m in office.meetings
    )  # fmt: skip


def main() -> int:
    """`make soak`: 14 days of 20 tokens; prints the figures, and returns 1 when one of them is beyond its limit."""
    days, tokens = 14, 20
    result = soak(days, tokens, on_day=lambda day: print(f"day {day + 1} of {days}", flush=True))
    ways = 2 * result.meetings
    checks = [
        (
            f"meetings of 5 minutes within 2 m that came through and are not in the log, of {ways}",
            len(result.missed),
            0,
        ),
        (
            f"meetings that the channel did not let through, {result.unheard_expected:.1f} expected of {ways}",
            result.unheard,
            result.unheard_limit,
        ),
        ("identities broken", result.broken_identities, 0),
        ("SD of the duration error in s", result.duration_sd_s, 45),
        ("growth of the firmware's memory in bytes after day 2", result.memory_growth, 4096),
    ]
    failed = False
    for what, value, limit in checks:
        good = value <= limit  # not so of nan
        failed |= not good
        print(f"{'PASS' if good else 'FAIL'}  {what}: {value:.1f}, limit {limit}")
    for hearer, heard, from_s, to_s in result.missed:
        print(f"missed: token {hearer} did not log token {heard} from {from_s:.0f} to {to_s:.0f} (Unix s)")
    print(f"{result.records} records in {tokens} logs")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
