"""Stored encounters in parquet, sorted for matching, and the exposures that come of them.

An archive is a folder with one file per source. Within a file, runs of at most RUN_ROWS rows are sorted by slot, then
id, as the slot index is: a lookup finds the next id near the last one. SPEC.md, "Stored encounters", has the columns.
"""

import contextlib
import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from host_tools.errors import UserError
from host_tools.matching import expansion
from host_tools.matching.expansion import Array
from host_tools.matching.listed_cases import Hits
from host_tools.matching.segment import Encounters
from host_tools.storage.database import Database, record_table
from tracing.keys import ID_BYTES, SLOT_S
from tracing.records import KIND_ENCOUNTER

SERIAL_BYTES = 8
RUN_ROWS = 4 << 20
GROUP_ROWS = 1 << 20

ENCOUNTERS = pa.schema(
    [
        ("serial", pa.binary(SERIAL_BYTES)),
        ("seq", pa.int64()),
        ("bluezone_id", pa.binary(ID_BYTES)),
        ("start_s", pa.int64()),
        ("duration_s", pa.int32()),
        ("windows", pa.int16()),
        ("sightings", pa.int16()),
        ("rssi_max_dbm", pa.int16()),
        ("rssi_mean_dbm", pa.int16()),
        ("connected", pa.bool_()),
    ]
)
EXPOSURES = pa.schema(
    [
        ("case", pa.int64()),
        ("slot_start_s", pa.int64()),
        ("slot_end_s", pa.int64()),
        *ENCOUNTERS,
    ]
)
_MATCHED = ["bluezone_id", "start_s", "duration_s"]
_DIGEST = b"digest"
_DICTIONARY = ["windows", "sightings", "rssi_max_dbm", "rssi_mean_dbm", "serial"]


def ingest(source: Path, archive: Path) -> tuple[Path, int]:
    """Bring the encounters of a source into an archive, in place of what came from that source before.

    Args:
        source: a kiosk's database, or a parquet file with the columns of ENCOUNTERS.

    Returns:
        (the file in the archive, how many encounters it has).

    Raises:
        UserError: the source cannot be read, or the archive cannot be written.
    """
    if not source.is_file():
        raise UserError(f"There is no file {source}. Nothing was stored; name a kiosk's database or a parquet file.")
    if source.stat().st_size == 0:  # SQLite would take it for a database, and make it one
        raise UserError(f"{source} is empty. Nothing was stored; name a kiosk's database or a parquet file.")
    path = archive / f"encounters-{hashlib.sha256(str(source.resolve()).encode()).hexdigest()[:16]}.parquet"
    tables = EncounterFile(source).tables() if _is_parquet(source) else _from_database(source)
    try:
        archive.mkdir(parents=True, exist_ok=True)
        return path, _write_runs(path, tables)
    except OSError as error:
        raise UserError(
            f"The archive {archive} cannot be written: {error}. What it held is kept; make room or allow this user to "
            "write there, then try again."
        ) from None


def files(archive: Path) -> list[Path]:
    """The files of an archive, or the one file that `archive` names.

    Raises:
        UserError: there are none.
    """
    found = [archive] if archive.is_file() else sorted(archive.glob("*.parquet"))
    if not found:
        raise UserError(
            f"There are no stored encounters in {archive}. Nothing was matched; `bluezone ingest` stores some."
        )
    return found


class EncounterFile:
    """A parquet file of encounters, row group by row group. Not to be shared between threads.

    Args:
        path: the file; it has the columns of ENCOUNTERS, and may have others.

    Attributes:
        rows: how many encounters it has; groups: in how many row groups.
        digest: what its content is called if `ingest` wrote it, else "".

    Raises:
        UserError: it is damaged or lacks a column; so do the methods.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._reading():
            self._file = pq.ParquetFile(path)
        for field in ENCOUNTERS:
            if field.name not in self._file.schema_arrow.names:
                raise UserError(
                    f'The encounters {path} have no column "{field.name}". Nothing of them was used; SPEC.md, '
                    '"Stored encounters", lists the columns.'
                )
        self.metadata: pq.FileMetaData = self._file.metadata
        self.rows, self.groups = self.metadata.num_rows, self.metadata.num_row_groups
        self.digest = (self.metadata.metadata or {}).get(_DIGEST, b"").decode()

    def matched_columns(self, group: int) -> Encounters:
        """What matching needs of a row group."""
        table = self._read(group, _MATCHED)
        ids = _bytes_of(table["bluezone_id"].combine_chunks(), ID_BYTES)
        return Encounters(ids, *(_numbers(table, name) for name in _MATCHED[1:]))

    def exposures_of(self, group: int, hits: Hits) -> pa.Table:
        """The EXPOSURES of a row group, in the order of the hits; all columns are read only if there are any."""
        if not len(hits.rows):
            return EXPOSURES.empty_table()
        table = self._read(group, ENCOUNTERS.names).take(pa.array(hits.rows))
        return pa.table([hits.cases, hits.slot_start_ms // 1000, hits.slot_end_ms // 1000, *table.columns], EXPOSURES)

    def tables(self) -> Iterator[pa.Table]:
        """All of it, one row group after the other."""
        for group in range(self.groups):
            yield self._read(group, ENCOUNTERS.names)

    def _read(self, group: int, names: list[str]) -> pa.Table:
        with self._reading():
            fields = pa.schema([ENCOUNTERS.field(name) for name in names])
            table = self._file.read_row_group(group, names, use_threads=False).select(names).cast(fields)
            if any(column.null_count for column in table.columns):
                raise pa.ArrowInvalid("some of their places are empty")
            return table

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"The encounters {self.path} cannot be used: {error}. Nothing of them was used.") from None


def in_order(exposures: pa.Table) -> pa.Table:
    """Exposures in the order of `exposures.Exposure`s, then by token."""
    names = ("case", "slot_start_s", "bluezone_id", "start_s", "serial", "seq")
    return exposures.sort_by([(name, "ascending") for name in names])


def write_table(path: Path, table: pa.Table) -> None:
    """A whole file or none, the same bytes for the same table."""
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")  # a repeated task may write at the same time
    try:
        pq.write_table(table, part, compression="zstd")
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _is_parquet(path: Path) -> bool:
    with open(path, "rb") as stream:
        return stream.read(4) == b"PAR1"


def _from_database(path: Path) -> Iterator[pa.Table]:
    c = record_table.c
    columns = [c.serial, *(c[name] for name in ENCOUNTERS.names[1:])]
    query = sa.select(*columns).where(c.kind == KIND_ENCOUNTER, c.clock_set)
    database = Database(str(path))
    try:
        with database.reading() as connection:
            rows = connection.execution_options(stream_results=True).execute(query)
            for part in rows.partitions(GROUP_ROWS // 8):
                serials, *rest = zip(*part, strict=True)
                columns = [[bytes.fromhex(serial) for serial in serials], *rest]
                arrays = [pa.array(values, field.type) for values, field in zip(columns, ENCOUNTERS, strict=True)]
                yield pa.table(arrays, ENCOUNTERS)
    finally:
        database.close()


def _write_runs(path: Path, tables: Iterable[pa.Table]) -> int:
    part = path.with_suffix(".part")
    digest, rows = hashlib.sha256(), 0
    options: dict[str, Any] = {"compression": "none", "use_dictionary": _DICTIONARY}
    try:
        with pq.ParquetWriter(part, ENCOUNTERS, **options) as writer:
            for run in _runs(tables):
                ordered = _sorted(run)
                for name in ("serial", "seq", *_MATCHED):
                    for buffer in ordered[name].combine_chunks().buffers()[1:]:
                        digest.update(buffer)
                writer.write_table(ordered, row_group_size=GROUP_ROWS)
                rows += len(ordered)
            writer.add_key_value_metadata({_DIGEST: digest.hexdigest()[:32]})
        with open(part, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return rows


def _runs(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    waiting, rows = [], 0
    for table in tables:
        waiting.append(table)
        rows += len(table)
        if rows >= RUN_ROWS:
            yield pa.concat_tables(waiting)
            waiting, rows = [], 0
    if rows:
        yield pa.concat_tables(waiting)


def _sorted(run: pa.Table) -> pa.Table:
    run = run.combine_chunks()
    slots = _numbers(run, "start_s") // SLOT_S
    prefixes = expansion.prefixes_of(_bytes_of(run["bluezone_id"].combine_chunks(), ID_BYTES))
    return run.take(pa.array(np.lexsort((prefixes, slots)))).combine_chunks()


def _numbers(table: pa.Table, name: str) -> Array:
    return table[name].to_numpy().astype(np.int64)


def _bytes_of(column: Any, width: int) -> Array:
    array = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    if not len(array):
        return np.empty((0, width), "u1")
    begin = array.offset * width
    return np.frombuffer(array.buffers()[1], "u1")[begin : begin + len(array) * width].reshape(-1, width)
