"""The benchmark's steps, each in a process of its own, so that time and memory are its own.

    python -m host_tools.matching.bench_steps STEP FOLDER CASES ENCOUNTERS

prints one JSON object. `digest` stands for the hits, (case, slot, encounter): equal for all who are right.
"""

import hashlib
import json
import re
import shutil
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from host_tools.matching import bench_data, encounter_files, expansion, nation, organisation, slot_index
from host_tools.matching.case_index import CaseIndex
from host_tools.matching.exposures import TOLERANCE_S
from host_tools.matching.national_list import Case
from tracing.keys import SLOT_S

_REPEATS = 5
_SECONDS = 2.0  # of a measurement of speed


def expand(folder: Path, cases: int, _encounters: int) -> dict[str, Any]:
    """Ids per second of one core, by engine, and of the same rounds with nothing else to do."""
    from host_tools.matching import sha_kernels

    entries = bench_data.entries_of(bench_data.cases_file(folder, cases))
    first, last = np.zeros(cases, np.int64), np.full(cases, 95, np.int64)
    numbers, begins = np.arange(cases, dtype=np.uint64), np.arange(96) * cases
    ids = np.empty(96 * cases, np.uint64)
    found = {}
    units = {"sha": sha_kernels.ShaUnit(), "vector": sha_kernels.VectorUnit()}
    for engine in expansion.engines():
        unit = units.get(engine.name)
        size = cases if unit else cases // 50
        states = expansion.states_of(entries[:size])
        engine.first_sub_keys(states)

        def fill(engine: expansion.Engine = engine, states: Any = states) -> None:
            n = len(states)
            engine.fill(states, first[:n], last[:n], numbers[:n], ids, begins.copy())

        hashes = 96 * size
        limit = _speed(partial(sha_kernels.straight_line, unit, hashes), hashes) if unit else 0.0
        found[engine.name] = {"per_s": _speed(fill, hashes), "limit_per_s": limit}
    return found


def build(folder: Path, cases: int, _encounters: int) -> dict[str, Any]:
    """The slot index from nothing, durable on the disk."""
    listed = _cases(folder, cases)
    place = folder / f"index-{cases}"
    shutil.rmtree(place, ignore_errors=True)
    expansion.engine().fill(*_nothing())
    index, measured = _measured(lambda: slot_index.updated(place, listed))
    ids = sum(len(segment.ids) for segment in index.segments.values())
    size = sum(path.stat().st_size for path in place.iterdir())
    return {**measured, "ids": ids, "bytes_per_id": size / ids}


def lookup(folder: Path, cases: int, encounters: int) -> dict[str, Any]:
    """One log in the slot index, hot."""
    index = slot_index.updated(folder / f"index-{cases}", _cases(folder, cases))
    columns = _columns(folder, cases, encounters)
    index.find(columns)
    hits, measured = min(
        (_measured(lambda: index.find(columns)) for _ in range(_REPEATS)), key=lambda run: run[1]["wall_s"]
    )
    seqs = pq.read_table(bench_data.encounters_file(folder, cases, encounters), columns=["seq"])["seq"].to_numpy()
    return {**measured, **_digest(hits.cases, hits.slot_start_ms // (SLOT_S * 1000), seqs[hits.rows])}


def plain_hashlib(folder: Path, cases: int, encounters: int) -> dict[str, Any]:
    """The same by hashlib, as a short list is matched."""
    listed = _cases(folder, cases)
    columns = _columns(folder, cases, encounters)
    ids = [bytes(row) for row in columns.bluezone_ids]
    index, measured = _measured(lambda: CaseIndex(listed, None, set(ids)))
    hits = [
        (slot.case, slot.start_ms // (SLOT_S * 1000), seq)
        for seq, (bluezone_id, start_s, duration_s) in enumerate(
            zip(ids, columns.start_s.tolist(), columns.duration_s.tolist(), strict=True)
        )
        for slot in index.slots(bluezone_id)
        if (start_s - TOLERANCE_S) * 1000 <= slot.end_ms
        and (start_s + duration_s + TOLERANCE_S) * 1000 >= slot.start_ms
    ]
    return {**measured, **_digest(*np.array(hits, np.int64).reshape(-1, 3).T)}


def duckdb(folder: Path, cases: int, encounters: int) -> dict[str, Any]:
    """DuckDB's join over parquet files in which every id stands ready."""
    import duckdb

    query = f"""
        SELECT i."case", i.slot, e.seq
        FROM '{bench_data.plain_ids_file(folder, cases)}' i
        JOIN '{bench_data.plain_encounters_file(folder, cases, encounters)}' e ON i.high = e.high AND i.low = e.low
        WHERE e.start_s - {TOLERANCE_S} <= (i.slot::BIGINT + 1) * {SLOT_S}
          AND e.start_s + e.duration_s + {TOLERANCE_S} >= i.slot::BIGINT * {SLOT_S}"""
    found, measured = _measured(lambda: duckdb.execute(query).fetchnumpy())
    return {**measured, **_digest(*(found[name] for name in ("case", "slot", "seq")))}


def polars(folder: Path, cases: int, encounters: int) -> dict[str, Any]:
    """The join of polars' streaming engine over the same files."""
    import polars as pl

    ids = pl.scan_parquet(bench_data.plain_ids_file(folder, cases))
    log = pl.scan_parquet(bench_data.plain_encounters_file(folder, cases, encounters))
    slot = pl.col("slot").cast(pl.Int64)
    query = (
        ids.join(log, on=["high", "low"])
        .filter(
            (pl.col("start_s") - TOLERANCE_S <= (slot + 1) * SLOT_S)
            & (pl.col("start_s") + pl.col("duration_s") + TOLERANCE_S >= slot * SLOT_S)
        )
        .select("case", "slot", "seq")
    )
    found, measured = _measured(lambda: query.collect(engine="streaming"))
    return {**measured, **_digest(*(found[name].to_numpy() for name in ("case", "slot", "seq")))}


def ingest(folder: Path, cases: int, encounters: int) -> dict[str, Any]:
    """Stored encounters into an archive."""
    source = bench_data.encounters_file(folder, cases, encounters)
    return _measured(lambda: encounter_files.ingest(source, folder / f"archive-{cases}-{encounters}"))[1]


def stored(folder: Path, cases: int, encounters: int) -> dict[str, Any]:
    """The archive against the slot index."""
    archive = folder / f"archive-{cases}-{encounters}"
    shutil.rmtree(archive / "matched", ignore_errors=True)
    index = slot_index.updated(folder / f"index-{cases}", _cases(folder, cases))
    outcome, measured = _measured(lambda: organisation.match_stored(archive, index))
    return {**measured, **_exposures_digest(outcome.exposures)}


def stored_again(folder: Path, cases: int, encounters: int) -> dict[str, Any]:
    """The archive when a hundredth of the cases are new, and the rest has been matched: index included."""
    archive = folder / f"archive-{cases}-{encounters}"
    listed = _cases(folder, cases)
    random = np.random.default_rng(1)
    new = [Case(cases + n, random.bytes(32), c.time_start, c.time_end, c.max) for n, c in enumerate(listed[::100])]
    place = folder / f"index-{cases}"
    outcome, measured = _measured(lambda: organisation.match_stored(archive, slot_index.updated(place, listed + new)))
    return {**measured, "matched": outcome.matched, **_exposures_digest(outcome.exposures)}


def cluster(folder: Path, cases: int, encounters: int) -> dict[str, Any]:
    """The same files through Dask, on workers of this machine."""
    out = folder / "cluster"
    shutil.rmtree(out, ignore_errors=True)
    archive = folder / f"archive-{cases}-{encounters}"
    answer, measured = _measured(lambda: nation.match_nation(bench_data.cases_file(folder, cases), archive, out))
    return {"wall_s": measured["wall_s"], **answer, **_exposures_digest(pq.read_table(out))}


def tasks_alone(folder: Path, cases: int, encounters: int) -> dict[str, Any]:
    """The cluster's tasks one after the other in one process: what they cost without the cluster."""
    out = folder / "alone"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    archive = folder / f"archive-{cases}-{encounters}"
    todo = nation.tasks(bench_data.cases_file(folder, cases), archive, out, TOLERANCE_S)
    nation.run(todo[0])
    nation._day_of_cases.cache_clear()
    _, measured = _measured(lambda: [nation.run(task) for task in todo])
    return {**measured, "tasks": len(todo), **_exposures_digest(pq.read_table(out))}


def _speed(work: Callable[[], object], size: int) -> float:
    """The best of many runs, per second of this thread: another process on the core costs nothing."""
    best = 0.0
    work()
    end_s = time.thread_time() + _SECONDS
    while time.thread_time() < end_s:
        begin_s = time.thread_time()
        work()
        best = max(best, size / (time.thread_time() - begin_s))
    return best


def _measured(work: Callable[[], Any]) -> tuple[Any, dict[str, Any]]:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    result = work()
    measured = {"wall_s": time.perf_counter() - wall_s, "cpu_s": time.process_time() - cpu_s}
    (peak_kb,) = re.findall(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return result, {**measured, "peak_gib": int(peak_kb) / (1 << 20)}


def _cases(folder: Path, cases: int) -> list[Case]:
    columns = pq.read_table(bench_data.cases_file(folder, cases)).to_pydict()
    names = ("case", "daily_key", "time_start", "time_end", "max")
    return [Case(*row) for row in zip(*(columns[name] for name in names), strict=True)]


def _columns(folder: Path, cases: int, encounters: int) -> slot_index.Encounters:
    file = encounter_files.EncounterFile(bench_data.encounters_file(folder, cases, encounters))
    return slot_index.Encounters(*map(np.concatenate, zip(*map(file.matched_columns, range(file.groups)), strict=True)))


def _nothing() -> tuple[Any, ...]:
    """Arguments of `fill` without a case: the kernel is loaded, as in a kiosk that has been running."""
    none = np.empty(0, np.int64)
    return (
        np.empty((0, 8), np.uint32),
        none,
        none,
        none.astype(np.uint64),
        none.astype(np.uint64),
        np.zeros(96, np.int64),
    )


def _exposures_digest(exposures: Any) -> dict[str, Any]:
    case, start_s, seq = (exposures[name].to_numpy() for name in ("case", "slot_start_s", "seq"))
    return _digest(case, start_s // SLOT_S, seq)


def _digest(cases: Any, slots: Any, seqs: Any) -> dict[str, Any]:
    rows = np.array([cases, slots, seqs], np.int64)
    rows = rows[:, np.lexsort(rows)]
    return {"hits": rows.shape[1], "digest": hashlib.sha256(rows.tobytes()).hexdigest()}


STEPS = [
    expand, build, lookup, plain_hashlib, duckdb, polars, ingest, stored, stored_again, cluster, tasks_alone,
]  # fmt: skip

if __name__ == "__main__":
    step, place, *numbers = sys.argv[1:]
    (chosen,) = (each for each in STEPS if each.__name__ == step)
    print(json.dumps(chosen(Path(place), *map(int, numbers))))
