"""Stored encounters: from a kiosk's database or parquet into an archive, and matched there as one by one."""

import hashlib
import json
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host_tools import cli
from host_tools.errors import UserError
from host_tools.matching import encounter_files, nation, organisation, slot_index
from host_tools.matching.case_index import CaseIndex, case_slots
from host_tools.matching.exposures import match_encounters
from host_tools.matching.national_list import Case
from host_tools.storage.store import Encounter, Store
from tracing import keys, records

DAY_S = 86400
DAY = 18482 * DAY_S  # 2020-08-08
SERIALS = [bytes([n] * 8) for n in range(3)]


def key(n: int) -> bytes:
    return hashlib.sha256(b"%d" % n).digest()


def case(index: int, per_day: int = 96) -> Case:
    return Case(index, key(index), DAY, DAY + 2 * DAY_S, per_day)


CASES = [case(0), case(1), case(2, per_day=100), case(3)]


def log(seed: int, size: int = 120) -> list[Encounter]:
    """Encounters of two days, every second one with a case, some of them at the wrong time."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(size):
        start_s = DAY + int(random.integers(-1000, 2 * DAY_S + 1000))
        met = CASES[random.integers(len(CASES))]
        day = max((start_s - DAY) // DAY_S, 0)
        ids = list(keys.day_ids(keys.daily_key_after(met.daily_key, day), met.max))
        bluezone_id = ids[start_s % DAY_S * met.max // DAY_S] if random.random() < 0.5 else random.bytes(12)
        start_s += int(random.choice([0, -900, 900, 300]))
        rssi_dbm = -int(random.integers(40, 90))
        found.append(
            Encounter(
                bluezone_id, start_s, int(random.integers(0, 1500)), 2, int(random.integers(1, 9)), rssi_dbm,
                rssi_dbm - 3, bool(random.integers(2)),
            )
        )  # fmt: skip
    return found


LOGS = {serial: log(n) for n, serial in enumerate(SERIALS)}


@pytest.fixture(autouse=True)
def small_runs(monkeypatch):
    """Several runs, and several row groups in each."""
    monkeypatch.setattr(encounter_files, "RUN_ROWS", 100)
    monkeypatch.setattr(encounter_files, "GROUP_ROWS", 40)


def write_database(path: Path, logs: dict[bytes, list[Encounter]] = LOGS) -> Path:
    with Store(path) as store:
        for serial, encounters in logs.items():
            packed = []
            for seq, e in enumerate(encounters):
                flags = records.FLAG_CLOCK_SET | (records.FLAG_CONNECTED if e.connected else 0)
                buf = bytearray(records.RECORD_BYTES)
                records.pack_record(
                    buf, records.KIND_ENCOUNTER | flags, 1, e.start_s, e.duration_s, e.windows, e.sightings,
                    e.rssi_max_dbm, e.rssi_mean_dbm, e.bluezone_id,
                )  # fmt: skip
                packed.append((seq, bytes(buf)))
            store.store_records(serial, packed, 0)
            unset = bytearray(records.RECORD_BYTES)
            records.pack_record(unset, records.KIND_ENCOUNTER, 1, DAY, 0, 1, 1, -60, -60, bytes(12))
            store.store_records(serial, [(len(encounters), bytes(unset))], 0)  # its time is not known
    return path


def one_by_one(listed: list[Case], logs: dict[bytes, list[Encounter]] = LOGS) -> list[tuple]:
    found = []
    for serial, encounters in logs.items():
        for e in match_encounters(encounters, CaseIndex(listed)):
            found.append(
                (e.case, e.slot_start_s, e.slot_end_s, serial, e.bluezone_id, e.first_s, e.last_s - e.first_s,
                 e.sightings, e.rssi_max_dbm, e.rssi_mean_dbm, e.pair)
            )  # fmt: skip
    return sorted(found)


def as_rows(exposures: pa.Table) -> list[tuple]:
    names = (
        "case", "slot_start_s", "slot_end_s", "serial", "bluezone_id", "start_s", "duration_s", "sightings",
        "rssi_max_dbm", "rssi_mean_dbm",
    )  # fmt: skip
    pairs = ["token-ios" if connected else "token-android" for connected in exposures["connected"].to_pylist()]
    return sorted(zip(*(exposures[name].to_pylist() for name in names), pairs, strict=True))


@pytest.fixture
def archive(tmp_path) -> Path:
    encounter_files.ingest(write_database(tmp_path / "kiosk.sqlite"), tmp_path / "archive")
    return tmp_path / "archive"


def matched(archive: Path, listed: list[Case] = CASES) -> organisation.Outcome:
    return organisation.match_stored(archive, slot_index.updated(archive.parent / "index", listed))


def test_the_same_exposures_as_one_by_one(archive):
    outcome = matched(archive)
    expected = one_by_one(CASES)
    assert as_rows(outcome.exposures) == expected
    assert {row[0] for row in expected} == {0, 1, 2, 3}
    assert outcome.encounters == 360
    assert outcome.exposures.equals(encounter_files.in_order(outcome.exposures))


def test_the_same_exposures_as_from_duckdb(archive, tmp_path):
    ids = [(c.index, i, s.start_ms // 1000, s.end_ms // 1000) for c in CASES if c.max == 96 for i, s in case_slots(c)]
    columns = zip(*ids, strict=True)
    pq.write_table(pa.table(dict(zip(("c", "id", "a", "b"), columns, strict=True))), tmp_path / "ids.parquet")
    rows = duckdb.execute(
        f"SELECT c, a, serial, seq FROM '{tmp_path}/ids.parquet' JOIN '{archive}/*.parquet' ON id = bluezone_id "
        "WHERE start_s - 120 <= b AND start_s + duration_s + 120 >= a"
    ).fetchall()
    found = matched(archive, [c for c in CASES if c.max == 96]).exposures
    names = ("case", "slot_start_s", "serial", "seq")
    assert sorted(zip(*(found[name].to_pylist() for name in names), strict=True)) == sorted(rows)
    assert len(rows) > 50


def test_a_new_case_is_matched_with_its_own_segment_only(archive, monkeypatch):
    before = matched(archive, CASES[:2])
    assert (before.matched, before.kept) == (1, 0)
    after = matched(archive, [case(0), case(3), case(1)])
    assert (after.matched, after.kept) == (1, 1)
    assert as_rows(after.exposures) == one_by_one([case(0), case(1), case(3)])
    monkeypatch.setattr(organisation, "_match_file", None)
    again = matched(archive, [case(1)])  # two cases have left the list
    assert (again.matched, again.kept) == (0, 2)
    assert as_rows(again.exposures) == one_by_one([case(1)])


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1) | st.sampled_from([DAY, -(2**63), 2**63 - 1, 0, -1]),
            st.integers(-(2**31), 2**31 - 1) | st.sampled_from([0, -1]),
        ),
        max_size=6,
    ),
    st.sampled_from([0, 120, 86400]),
)
def test_times_of_every_size_cost_nobody_else_anything(tmp_path_factory, times, tolerance_s):
    """Parquet from elsewhere may hold any number; the two encounters that are true are found beside it, and once."""
    folder = tmp_path_factory.mktemp("odd")
    odd = [
        (SERIALS[1], n, b"odd" * 4, start_s, lasts_s, 1, 1, -50, -50, False)
        for n, (start_s, lasts_s) in enumerate(times)
    ]
    met = [next(keys.day_ids(each.daily_key, each.max)) for each in (CASES[0], CASES[2])]  # with 96 and 100 ids a day
    true = [(SERIALS[0], 100 + n, ident, DAY + 60, 30, 1, 1, -50, -50, False) for n, ident in enumerate(met)]
    rows = [*odd, *true]
    columns = zip(zip(*rows, strict=True), encounter_files.ENCOUNTERS, strict=True)
    table = pa.table([pa.array(values, field.type) for values, field in columns], encounter_files.ENCOUNTERS)
    encounter_files.write_table(folder / "source.parquet", table)
    encounter_files.ingest(folder / "source.parquet", folder / "archive")
    index = slot_index.updated(folder / "index", CASES)
    found = organisation.match_stored(folder / "archive", index, tolerance_s).exposures
    assert found["seq"].to_pylist() == [100, 101]
    nation.write_cases(folder / "cases.parquet", CASES)
    todo = nation.tasks(folder / "cases.parquet", folder / "archive", folder, tolerance_s)
    assert sum(map(nation.run, todo)) == 2


def test_another_tolerance_is_another_match(archive):
    index = slot_index.updated(archive.parent / "index", CASES)
    assert len(organisation.match_stored(archive, index, 0).exposures) < len(matched(archive).exposures)


def test_a_source_that_comes_again_replaces_what_it_brought(archive, tmp_path):
    matched(archive)
    for path in tmp_path.glob("kiosk.sqlite*"):
        path.unlink()
    logs = {SERIALS[0]: log(7, 30)}
    encounter_files.ingest(write_database(tmp_path / "kiosk.sqlite", logs), archive)
    assert as_rows(matched(archive).exposures) == one_by_one(CASES, logs)
    assert len(list((archive / "matched").iterdir())) == 1  # what was kept of the old file is gone


def test_parquet_in_is_parquet_out(archive, tmp_path):
    (stored,) = archive.glob("*.parquet")
    table = pq.read_table(stored)
    shuffled = table.take(pa.array(np.random.default_rng(0).permutation(len(table))))
    wide = shuffled.append_column("note", pa.array(["…"] * len(table))).set_column(3, "start_s", shuffled["start_s"])
    pq.write_table(wide, tmp_path / "other.parquet")
    _, rows = encounter_files.ingest(tmp_path / "other.parquet", tmp_path / "other")
    assert rows == len(table)
    assert as_rows(matched(tmp_path / "other").exposures) == one_by_one(CASES)


def test_runs_are_sorted_by_slot_and_id(archive):
    (stored,) = archive.glob("*.parquet")
    rows = pq.read_table(stored)
    times_and_ids = zip(rows["start_s"].to_pylist(), rows["bluezone_id"].to_pylist(), strict=True)
    order = [(start_s // 900, bluezone_id[:5]) for start_s, bluezone_id in times_and_ids]
    runs = [order[begin : begin + 100] for begin in range(0, len(order), 100)]
    assert runs == [sorted(run) for run in runs]
    assert order != sorted(order)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table.drop_columns(["duration_s"]), 'no column "duration_s"'),
        (lambda table: table.set_column(4, "duration_s", pa.nulls(len(table), pa.int32())), "places are empty"),
        (lambda table: table.set_column(2, "bluezone_id", pa.array([b"short"] * len(table))), "cannot be used"),
        (lambda table: table.set_column(3, "start_s", pa.array(["noon"] * len(table))), "cannot be used"),
    ],
)
def test_other_columns_are_refused(archive, tmp_path, change, words):
    (stored,) = archive.glob("*.parquet")
    pq.write_table(change(pq.read_table(stored)), tmp_path / "other.parquet")
    with pytest.raises(UserError, match=words):
        encounter_files.ingest(tmp_path / "other.parquet", archive)
    assert as_rows(matched(archive).exposures) == one_by_one(CASES)
    assert not list(archive.glob("*.part"))


def test_what_cannot_be_matched_is_told(archive, tmp_path):
    (stored,) = archive.glob("*.parquet")
    with pytest.raises(UserError, match="no stored encounters"):
        matched(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no file"):
        encounter_files.ingest(tmp_path / "nowhere", archive)
    pq.write_table(pq.read_table(stored), tmp_path / "unsorted.parquet")
    with pytest.raises(UserError, match="not sorted"):
        matched(tmp_path / "unsorted.parquet")
    stored.write_bytes(b"PAR1" + bytes(50))
    with pytest.raises(UserError, match="cannot be used"):
        matched(archive)


def run(*args: object) -> dict:
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()):
        assert cli.run(cli.build_app(), [*map(str, args), "--json"]) == 0
    return json.loads(out.getvalue())


def test_the_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_database(tmp_path / "kiosk.sqlite")
    entries = [
        {"daily_key": c.daily_key.hex(), "time_start": c.time_start, "time_end": c.time_end, "max": c.max}
        for c in CASES
    ]
    Path("list.json").write_text(json.dumps({"data": [*entries, {"daily_key": "x"}]}))
    assert run("ingest", "--source", "kiosk.sqlite")["encounters"] == 360
    answer = run("match-stored", "--cases", "list.json")
    expected = one_by_one(CASES)
    assert as_rows(pq.read_table("exposures.parquet")) == expected
    assert answer.pop("list")["kind"] == "F0"
    assert answer == {
        "encounters": 360, "cases": 4, "exposures": len(expected), "tokens": 3, "matched": 1, "kept": 0,
        "rejected": answer["rejected"], "out": "exposures.parquet",
    }  # fmt: skip
    assert [rejection["where"] for rejection in answer["rejected"]] == ["data[4].daily_key"]
