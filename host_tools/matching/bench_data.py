"""Made-up cases and encounters for the benchmark of matching; the same ones every time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from host_tools.matching import encounter_files, expansion, nation
from host_tools.matching.expansion import Array
from tracing.keys import DAY_S, ID_BYTES, KEY_BYTES, SLOT_S, SLOTS_PER_DAY

FIRST_DAY = 18482  # 2020-08-08
DAYS = 14
HIT_EVERY = 200  # one encounter of so many is with a case

_BATCH = 1 << 20
_OFF_S = 1800


def cases_file(folder: Path, cases: int) -> Path:
    """Cases of 14 whole days each, with the columns of `nation.CASES`."""
    path = folder / f"cases-{cases}.parquet"
    if not path.exists():
        random = np.random.default_rng(cases)
        keys = _binary(random.integers(0, 256, (cases, KEY_BYTES), np.uint8))
        begin, end = FIRST_DAY * DAY_S, (FIRST_DAY + DAYS) * DAY_S
        columns = [keys, np.full(cases, begin), np.full(cases, end), np.full(cases, SLOTS_PER_DAY), np.arange(cases)]
        encounter_files.write_table(path, pa.table(columns, nation.CASES))
    return path


def entries_of(cases: Path) -> Array:
    """The ENTRY of each case of a file of `cases_file`, in its order."""
    table = pq.read_table(cases)
    keys = np.frombuffer(b"".join(table["daily_key"].to_pylist()), "u1").reshape(-1, KEY_BYTES)
    return expansion.entries_of(keys, table["time_start"].to_numpy(), table["time_end"].to_numpy())


def encounters_file(folder: Path, cases: int, encounters: int) -> Path:
    """Encounters at any time of the 14 days, for up to 15 minutes. Of those with a case every second one is up to half
    an hour off, so that engines which see times otherwise find otherwise."""
    path = folder / f"encounters-{cases}-{encounters}.parquet"
    if not path.exists():
        random = np.random.default_rng(encounters)
        entries = entries_of(cases_file(folder, cases))
        part = path.with_suffix(".part")
        with pq.ParquetWriter(part, encounter_files.ENCOUNTERS, compression="none") as writer:
            for begin in range(0, encounters, _BATCH):
                size = min(_BATCH, encounters - begin)
                ids = random.integers(0, 256, (size, ID_BYTES), np.uint8)
                start_s = FIRST_DAY * DAY_S + random.integers(0, DAYS * DAY_S, size)
                met = slice(0, size, HIT_EVERY)
                with_cases = entries[random.integers(0, cases, len(start_s[met]))]
                ids[met] = expansion.ids_at(expansion.engine(), with_cases, start_s[met] // SLOT_S)
                off = slice(0, size, 2 * HIT_EVERY)
                start_s[off] += random.integers(-_OFF_S, _OFF_S, len(start_s[off]))
                small = [random.integers(1, 60, size).astype(np.int16) for _ in range(2)]
                dbm = [-random.integers(40, 90, size).astype(np.int16) for _ in range(2)]
                serials = random.integers(0, 2000, size).astype(">u8").view("u1").reshape(-1, 8)
                columns = [
                    _binary(serials), np.arange(begin, begin + size), _binary(ids), start_s,
                    random.integers(0, 900, size).astype(np.int32), *small, *dbm, random.random(size) < 0.5,
                ]  # fmt: skip
                writer.write_table(pa.table(columns, encounter_files.ENCOUNTERS))
        part.rename(path)
    return path


def plain_ids_file(folder: Path, cases: int) -> Path:
    """Every id of every case, for engines that know no key chains: `high`, `low` (8 + 4 bytes), slot, case."""
    path = folder / f"ids-{cases}.parquet"
    if not path.exists():
        part = path.with_suffix(".part")
        options: dict[str, Any] = {"compression": "none", "use_dictionary": ["slot"]}
        with pq.ParquetWriter(part, _PLAIN_IDS, **options) as writer:
            for slot, ids in _ids_by_slot(entries_of(cases_file(folder, cases))):
                columns = [*_halves(ids), np.full(cases, slot, np.uint32), np.arange(cases, dtype=np.uint32)]
                writer.write_table(pa.table(columns, _PLAIN_IDS))
        part.rename(path)
    return path


def plain_encounters_file(folder: Path, cases: int, encounters: int) -> Path:
    """The encounters for these engines, sorted by time: `high`, `low`, start_s, duration_s, seq."""
    path = folder / f"plain-{cases}-{encounters}.parquet"
    if not path.exists():
        source = pq.read_table(encounters_file(folder, cases, encounters)).sort_by("start_s").combine_chunks()
        ids = np.frombuffer(source["bluezone_id"].combine_chunks().buffers()[1], "u1").reshape(-1, ID_BYTES)
        high, low = _halves(ids)
        table = source.select(["start_s", "duration_s", "seq"])
        table = table.append_column("high", pa.array(high)).append_column("low", pa.array(low))
        pq.write_table(table, path, compression="none")
    return path


_PLAIN_IDS = pa.schema([("high", pa.uint64()), ("low", pa.uint32()), ("slot", pa.uint32()), ("case", pa.uint32())])


def _ids_by_slot(entries: Array) -> Iterator[tuple[int, Array]]:
    using = expansion.engine()
    daily_keys = expansion.states_of(entries)
    once = np.ones(len(entries), np.int64)
    for day in range(FIRST_DAY, FIRST_DAY + DAYS):
        states = daily_keys.copy()
        using.first_sub_keys(states)
        for slot in range(SLOTS_PER_DAY):
            yield day * SLOTS_PER_DAY + slot, expansion.ids_in(states)
            using.advance(states, once)
        using.advance(daily_keys, once)


def _halves(ids: Array) -> tuple[Array, Array]:
    high = np.ascontiguousarray(ids[:, :8]).view(">u8").ravel().astype(np.uint64)
    return high, np.ascontiguousarray(ids[:, 8:]).view(">u4").ravel().astype(np.uint32)


def _binary(rows: Array) -> pa.Array:
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(rows.shape[1]), len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows).tobytes())]
    )
