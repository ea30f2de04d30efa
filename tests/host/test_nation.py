"""Matching on a cluster: the same exposures whatever the chunks are, and whoever dies."""

import hashlib
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from distributed import Client, LocalCluster

from host_tools.errors import UserError
from host_tools.matching import encounter_files, nation, organisation, slot_index
from host_tools.matching.national_list import Case
from tracing import keys

DAY_S = 86400
DAY = 18482 * DAY_S  # 2020-08-08
DAYS = 4
TOLERANCE_S = 120


def key(n: int) -> bytes:
    return hashlib.sha256(b"%d" % n).digest()


CASES = [Case(n, key(n), DAY + n * 5000, DAY + (DAYS - 1) * DAY_S + n * 9000, 96) for n in range(6)] + [
    Case(6, key(6), DAY, DAY + DAYS * DAY_S, 50),  # its ids do not keep to slots
    Case(7, key(0), DAY, DAY + DAY_S, 96),  # listed twice
]


def encounters(size: int = 600) -> pa.Table:
    """Of all days and around midnight, half of them with a case."""
    random = np.random.default_rng(3)
    rows = []
    for seq in range(size):
        start_s = DAY + int(random.integers(-500, DAYS * DAY_S))
        if random.random() < 0.3:
            start_s = DAY + int(random.integers(1, DAYS)) * DAY_S + int(random.integers(-700, 200))
        met = CASES[random.integers(len(CASES))]
        day = max((start_s - DAY) // DAY_S, 0)
        ids = list(keys.day_ids(keys.daily_key_after(met.daily_key, day), met.max))
        bluezone_id = ids[start_s % DAY_S * met.max // DAY_S] if random.random() < 0.5 else random.bytes(12)
        rows.append((bytes(8), seq, bluezone_id, start_s, int(random.integers(0, 1500)), 2, 3, -60, -65, False))
    columns = zip(*rows, strict=True)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, encounter_files.ENCOUNTERS, strict=True)]
    return pa.table(arrays, encounter_files.ENCOUNTERS)


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Path:
    """Cases and encounters, sorted in one file and as they came in another; and what there is to find."""
    folder = tmp_path_factory.mktemp("nation")
    (folder / "encounters").mkdir()
    nation.write_cases(folder / "cases.parquet", CASES)
    table = encounters()
    half = len(table) // 2
    pq.write_table(table[:half].sort_by("start_s"), folder / "encounters" / "a.parquet", row_group_size=50)
    pq.write_table(table[half:], folder / "encounters" / "b.parquet", row_group_size=70, write_statistics=False)
    pq.write_table(table, folder / "all.parquet")
    return folder


@pytest.fixture(scope="module")
def expected(given) -> pa.Table:
    encounter_files.ingest(given / "all.parquet", given / "archive")
    index = slot_index.updated(given / "index", CASES)
    return organisation.match_stored(given / "archive", index, TOLERANCE_S).exposures


def tasks(given: Path, out: Path, chunk_rows: int = 100) -> list[nation.Task]:
    return nation.tasks(given / "cases.parquet", given / "encounters", out, TOLERANCE_S, chunk_rows)


def together(out: Path) -> pa.Table:
    return encounter_files.in_order(pa.concat_tables(pq.read_table(path) for path in sorted(out.glob("*.parquet"))))


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.mark.parametrize("chunk_rows", [1, 100, 10**9])
def test_the_same_exposures_as_in_one_go(given, expected, tmp_path, chunk_rows):
    found = [nation.run(task) for task in tasks(given, tmp_path, chunk_rows)]
    assert together(tmp_path).equals(expected)
    assert sum(found) == len(expected) > 100
    assert {6, 7} <= set(expected["case"].to_pylist())


def test_a_task_done_twice_leaves_the_same_bytes(given, tmp_path):
    todo = tasks(given, tmp_path)
    for task in todo:
        nation.run(task)
    first = contents(tmp_path)
    for task in reversed(todo):
        nation.run(task)
    assert contents(tmp_path) == first
    assert len(first) == len(todo)


def test_row_groups_go_only_to_the_days_that_they_touch(given, tmp_path):
    of_sorted = [task for task in tasks(given, tmp_path, 1) if task.encounters.endswith("a.parquet")]
    groups = pq.ParquetFile(given / "encounters" / "a.parquet").num_row_groups
    assert groups < len(of_sorted) < groups * 2
    days = {task.day for task in of_sorted}
    assert days == set(range(DAY // DAY_S, DAY // DAY_S + DAYS))


def test_a_list_without_cases_is_no_work(given, tmp_path):
    nation.write_cases(tmp_path / "cases.parquet", [])
    assert nation.tasks(tmp_path / "cases.parquet", given / "encounters", tmp_path, TOLERANCE_S) == []


@pytest.fixture(scope="module")
def cluster():
    local: Any = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50)
    with local, Client(local) as client:
        yield client, local.scheduler_address


def test_a_worker_that_is_killed_changes_nothing(given, expected, cluster, tmp_path):
    client, address = cluster
    (tmp_path / "alone").mkdir()
    for task in tasks(given, tmp_path / "alone", 20):
        nation.run(task)
    victim, *_ = client.run(os.getpid).values()
    told = []

    def progress(done: int, total: int) -> None:
        told.append((done, total))
        if done == 1:
            os.kill(victim, signal.SIGKILL)

    answer = nation.match_nation(
        given / "cases.parquet", given / "encounters", tmp_path / "killed", address, TOLERANCE_S, 20, progress
    )
    count = answer["tasks"]
    assert told == [(done, count) for done in range(count + 1)]
    assert victim not in client.run(os.getpid).values()
    assert together(tmp_path / "killed").equals(expected)
    assert contents(tmp_path / "killed") == contents(tmp_path / "alone")


def test_a_scheduler_that_is_not_there_is_told(given, tmp_path, monkeypatch):
    monkeypatch.setattr(nation, "_CONNECT_S", 0.1)
    with pytest.raises(UserError, match=r"cluster tcp://127\.0\.0\.1:9 failed"):
        nation.match_nation(given / "cases.parquet", given / "encounters", tmp_path, "tcp://127.0.0.1:9")


def test_damaged_encounters_are_told_by_the_worker(given, cluster, tmp_path):
    _, address = cluster
    (tmp_path / "encounters").mkdir()
    source = given / "encounters" / "a.parquet"
    damaged = bytearray(source.read_bytes())
    damaged[4:2000] = bytes(1996)  # the footer is whole, the pages are not
    (tmp_path / "encounters" / "a.parquet").write_bytes(damaged)
    with pytest.raises(UserError, match=r"a\.parquet cannot be used"):
        nation.match_nation(given / "cases.parquet", tmp_path / "encounters", tmp_path / "out", address)
