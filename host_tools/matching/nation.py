"""A nation's encounters, matched by many workers: one task per (day, chunk of encounters), parquet in, parquet out.

A task expands the cases of its day, looks its chunk up, and writes one file. It depends on its arguments alone and may
be done twice, by anyone; nothing goes from worker to worker. A worker that dies costs the time of its task. Workers
see the same files under the same paths.
"""

import uuid
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from host_tools.errors import UserError
from host_tools.matching import encounter_files, expansion
from host_tools.matching.encounter_files import EncounterFile
from host_tools.matching.exposures import TOLERANCE_S
from host_tools.matching.listed_cases import Hits, ListedCases, in_order
from host_tools.matching.national_list import Case
from host_tools.matching.segment import Segment, expand, laid_out, processors
from tracing.keys import DAY_S, KEY_BYTES, SLOTS_PER_DAY

# Of a chunk: so many that looking them up takes longer than expanding a day of 10**6 cases.
CHUNK_ROWS = 100_000_000

CASES = pa.schema(
    [
        ("daily_key", pa.binary(KEY_BYTES)),
        ("time_start", pa.int64()),
        ("time_end", pa.int64()),
        ("max", pa.int64()),
        ("case", pa.int64()),
    ]
)
_DAY_MS = DAY_S * 1000
_TRIES = 5  # of a task whose workers die
_CONNECT_S = 20.0


class Task(NamedTuple):
    """Some row groups of a file against the cases of a day.

    Attributes:
        cases: a parquet file with the columns of CASES.
        day: days since 1970-01-01.
        encounters: a parquet file with the columns of `encounter_files.ENCOUNTERS`.
        groups: its row groups.
        tolerance_s: of the tokens' clocks.
        out: the file to write.
    """

    cases: str
    day: int
    encounters: str
    groups: tuple[int, ...]
    tolerance_s: int
    out: str


def write_cases(path: Path, cases: list[Case]) -> None:
    """Cases as a parquet file for workers."""
    columns = zip(*((c.daily_key, c.time_start, c.time_end, c.max, c.index) for c in cases), strict=True)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, CASES, strict=True)] if cases else []
    encounter_files.write_table(path, pa.table(arrays, CASES) if cases else CASES.empty_table())


def tasks(cases: Path, encounters: Path, out: Path, tolerance_s: int, chunk_rows: int = CHUNK_ROWS) -> list[Task]:
    """All that can have hits, by day."""
    spans = pq.read_table(cases, columns=["time_start", "time_end"])
    if not len(spans):
        return []
    first_days = spans["time_start"].to_numpy() // DAY_S
    last_days = np.maximum((spans["time_end"].to_numpy() - 1) // DAY_S, first_days)
    days = np.unique(np.concatenate([np.arange(a, b + 1) for a, b in set(zip(first_days, last_days, strict=True))]))
    found = []
    for path in encounter_files.files(encounters):
        file = EncounterFile(path)
        touched = [_days_touched(file, group, tolerance_s) for group in range(file.groups)]
        for day in days.tolist():
            groups = [group for group, (first, last) in enumerate(touched) if first <= day <= last]
            for chunk in _chunks(file, groups, chunk_rows):
                name = f"exposures-{day}-{path.stem}-{chunk[0]}.parquet"
                found.append(Task(str(cases), day, str(path), chunk, tolerance_s, str(out / name)))
    return sorted(found, key=lambda task: task.day)


def run(task: Task) -> int:
    """Do a task; returns how many exposures it wrote."""
    listed, segment = _day_of_cases(task.cases, Path(task.cases).stat().st_mtime_ns, task.day)
    using = expansion.engine()
    file = EncounterFile(Path(task.encounters))
    tables = [encounter_files.EXPOSURES.empty_table()]
    for group in task.groups:
        encounters = file.matched_columns(group)
        odd = listed.find_odd(encounters, task.tolerance_s)
        of_day = odd.slot_start_ms // _DAY_MS == task.day
        hits = listed.hits(segment, segment.find(encounters, task.tolerance_s, using))
        both = in_order([hits, Hits(*(column[of_day] for column in odd))])
        tables.append(file.exposures_of(group, both))
    exposures = encounter_files.in_order(pa.concat_tables(tables))
    encounter_files.write_table(Path(task.out), exposures)
    return len(exposures)


def match_nation(
    cases: Path,
    encounters: Path,
    out: Path,
    scheduler: str | None = None,
    tolerance_s: int = TOLERANCE_S,
    chunk_rows: int = CHUNK_ROWS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, int]:
    """Match on a Dask cluster.

    Args:
        cases: a parquet file with the columns of CASES.
        encounters: a parquet file or a folder of them.
        out: folder; receives one file per task.
        scheduler: address of a Dask scheduler, such as "tcp://10.0.0.1:8786"; None: workers on this machine.
        progress: is told (tasks done, tasks in all).

    Returns:
        {"tasks": …, "exposures": …}.

    Raises:
        UserError: files cannot be used, the scheduler cannot be reached, or workers die again and again.
    """
    from dask import config
    from distributed import Client, KilledWorker, LocalCluster, as_completed

    out.mkdir(parents=True, exist_ok=True)
    todo = tasks(cases.resolve(), encounters.resolve(), out.resolve(), tolerance_s, chunk_rows)
    progress(0, len(todo))
    total = done = 0
    with config.set({"distributed.scheduler.allowed-failures": _TRIES}):
        local = None if scheduler else LocalCluster(
            n_workers=processors(), threads_per_worker=1, dashboard_address=":0", silence_logs=50
        )  # fmt: skip
        try:
            with Client(scheduler or local, timeout=_CONNECT_S) as client:
                # By falling priority: workers that do one day after the other expand each day once.
                futures = [
                    client.submit(run, task, pure=False, priority=-place, key=f"{Path(task.out).stem}-{uuid.uuid4()}")
                    for place, task in enumerate(todo)
                ]
                for _, exposures in as_completed(futures, with_results=True):
                    total, done = total + int(exposures), done + 1
                    progress(done, len(todo))
        except KilledWorker as error:
            raise UserError(
                f"A task was given up after {_TRIES} workers had died at it: {error.task}. The results of {done} of "
                f"{len(todo)} tasks are in {out}; give the workers more memory and start again."
            ) from None
        except (OSError, TimeoutError) as error:
            raise UserError(
                f"The cluster {scheduler or 'on this machine'} failed: {error}. The results of {done} of {len(todo)} "
                f"tasks are in {out}; check the scheduler and start again."
            ) from None
        finally:
            if local is not None:
                local.close()
    for part in out.glob("*.part"):  # of workers that died while they wrote
        part.unlink(missing_ok=True)
    return {"tasks": len(todo), "exposures": total}


@lru_cache(maxsize=1)
def _cases(path: str, _changed_ns: int) -> tuple[ListedCases, Any]:
    table = pq.read_table(path, schema=CASES)
    is_odd = table["max"].to_numpy() != SLOTS_PER_DAY
    odd_rows = table.filter(pa.array(is_odd)).to_pylist()
    odd = [Case(row["case"], row["daily_key"], row["time_start"], row["time_end"], row["max"]) for row in odd_rows]
    regular = table.filter(pa.array(~is_odd))
    keys = np.frombuffer(b"".join(regular["daily_key"].to_pylist()), "u1").reshape(-1, KEY_BYTES)
    start, end, index = (regular[name].to_numpy() for name in ("time_start", "time_end", "case"))
    listed = ListedCases(keys, start, end, index, odd)
    return listed, np.unique(listed.texts).view(expansion.ENTRY)


@lru_cache(maxsize=1)  # tasks of one day follow each other
def _day_of_cases(path: str, changed_ns: int, day: int) -> tuple[ListedCases, Segment]:
    listed, entries = _cases(path, changed_ns)
    first, last = entries["first"].astype(np.int64), entries["last"].astype(np.int64)
    of_day = entries[(first // SLOTS_PER_DAY <= day) & (last // SLOTS_PER_DAY >= day)]
    segment = laid_out(of_day, lambda length: np.empty(length, np.uint64), only_day=day)
    expand(segment, expansion.engine(), workers=1)
    return listed, segment


def _days_touched(file: EncounterFile, group: int, tolerance_s: int) -> tuple[int, int]:
    """First and last day that a row group can touch; from its statistics, or else from its rows."""
    metadata = file.metadata.row_group(group)
    names = [metadata.column(column).path_in_schema for column in range(metadata.num_columns)]
    start, duration = (metadata.column(names.index(name)).statistics for name in ("start_s", "duration_s"))
    if start is not None and start.has_min_max and duration is not None and duration.has_min_max:
        first_s, last_s = start.min, start.max + max(duration.max, 0)
    else:
        encounters = file.matched_columns(group)
        if not len(encounters.start_s):
            return 0, -1
        first_s, last_s = encounters.start_s.min(), (encounters.start_s + encounters.duration_s).max()
    return int(first_s - tolerance_s - 1) // DAY_S, int(last_s + tolerance_s) // DAY_S


def _chunks(file: EncounterFile, groups: list[int], chunk_rows: int) -> Iterator[tuple[int, ...]]:
    """Row groups, put together up to `chunk_rows`."""
    chunk: list[int] = []
    rows = 0
    for group in groups:
        size = file.metadata.row_group(group).num_rows
        if chunk and rows + size > chunk_rows:
            yield tuple(chunk)
            chunk, rows = [], 0
        chunk.append(group)
        rows += size
    if chunk:
        yield tuple(chunk)
