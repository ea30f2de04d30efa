"""`make bench-fleet`: how long a new list takes against a million stored encounters, beside a bare scan of them.

The scan reads the same columns of the same rows with Python's own sqlite3 and does nothing with them: whoever looks at
every encounter cannot be quicker.
"""

import random
import resource
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from host_tools.matching.case_finder import CaseFinder
from host_tools.matching.case_index import case_slots
from host_tools.matching.national_list import Case, NationalList
from host_tools.matching.rules import load_rules
from tracing.keys import DAY_S, ID_BYTES, KEY_BYTES, SLOTS_PER_DAY, day_of
from tracing.records import KIND_ENCOUNTER, RECORD_BYTES

from .office import Office

TOKENS, A_TOKEN = 10_000, 100  # encounters
LISTS = (1_000, 100_000)  # cases of DAYS whole days
DAYS = 14
MOST_TIMES_SCAN = 20.0
_FROM_S = 18482 * DAY_S  # 2020-08-08
_MET = 500  # encounters with a case of the shortest list
_ROW = (
    "INSERT INTO record (serial, seq, raw, kind, clock_set, connected, boot, start_s, duration_s, windows, sightings, "
    "rssi_max_dbm, rssi_mean_dbm, bluezone_id, received_s) VALUES (?, ?, ?, ?, 1, 0, 1, ?, 880, 20, 40, -50, -55, ?, ?)"
)
_SCAN = f"SELECT serial, seq, bluezone_id, start_s, duration_s FROM record WHERE kind = {KIND_ENCOUNTER} AND clock_set"


def cases_of(count: int) -> NationalList:
    """The same ones every time; a longer list has those of a shorter one."""
    chance = random.Random(1)
    keys = (chance.randbytes(KEY_BYTES) for _ in range(count))
    return NationalList(
        [Case(n, key, _FROM_S, _FROM_S + DAYS * DAY_S, SLOTS_PER_DAY) for n, key in enumerate(keys)], []
    )


def fill(file: Path, cases: NationalList) -> None:
    """Store encounters of TOKENS tokens at any time of the days; _MET of them are with a case, in its slot."""
    connection = sqlite3.connect(file)
    with connection:
        connection.executemany("INSERT INTO token (serial, short_code) VALUES (?, '222222')", _serials())
        connection.executemany(_ROW, _rows(cases))
    connection.close()


def _serials() -> Iterator[tuple[str]]:
    return ((f"{number:016x}",) for number in range(TOKENS))


def _rows(cases: NationalList) -> Iterator[tuple[object, ...]]:
    chance = random.Random(2)
    every = TOKENS * A_TOKEN // _MET
    end_s = _FROM_S + DAYS * DAY_S
    for number in range(TOKENS * A_TOKEN):
        ident, start_s = chance.randbytes(ID_BYTES), chance.randrange(_FROM_S, end_s)
        if number % every == 0:
            slots = case_slots(cases.cases[number // every], [day_of(start_s)])
            ident, (_, start_ms, _) = next(slots)
            start_s = start_ms // 1000
        serial = f"{number // A_TOKEN:016x}"
        yield serial, number % A_TOKEN, bytes(RECORD_BYTES), KIND_ENCOUNTER, start_s, ident, end_s


def _bare_scan(file: Path) -> None:
    connection = sqlite3.connect(file)
    assert sum(1 for _ in connection.execute(_SCAN)) == TOKENS * A_TOKEN
    connection.close()


def _seconds(work: Callable[[], Any]) -> tuple[Any, float]:
    begun = time.process_time()  # of all threads; other programs do not count
    done = work()
    return done, time.process_time() - begun


def main() -> int:
    """Prints a line a list; returns 1 when the shortest takes more than MOST_TIMES_SCAN times as long as the scan."""
    slow = 0
    rules = load_rules()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kiosk.sqlite"
        with Office(file) as office:
            fill(file, cases_of(LISTS[0]))
            scan_s = min(_seconds(lambda: _bare_scan(file))[1] for _ in range(3))
            print(f"{TOKENS * A_TOKEN} encounters of {TOKENS} tokens; a bare scan: {scan_s:.2f} s of CPU")
            for count in LISTS:
                cases = cases_of(count)
                finder, index_s = _seconds(lambda cases=cases: CaseFinder(cases.cases, office.index))
                for what in ("new", "again"):
                    found, match_s = _seconds(
                        lambda cases=cases, finder=finder: office.results.rematch(cases, rules, finder)
                    )
                    times = match_s / scan_s
                    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
                    print(
                        f"{count} cases, {what}: index {index_s:.1f} s, match {match_s:.2f} s = {times:.1f} bare "
                        f"scans; {found.tokens} tokens; peak {peak_mib} MiB"
                    )
                    index_s = 0.0
                    slow += count == LISTS[0] and times > MOST_TIMES_SCAN
    return int(slow > 0)


if __name__ == "__main__":
    raise SystemExit(main())
