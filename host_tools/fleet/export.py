"""Contacts of one token as a file: Bluezone's own format, CSV or parquet.

A kiosk does not know a token's own ids, so that column of Bluezone's format is all zeros, and an encounter is two
lines: its first and its last moment, both with the mean strength.
"""

import csv
import io
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from host_tools.errors import UserError
from host_tools.matching.verdict import VIETNAM_TIME
from host_tools.storage.store import Encounter

_NO_ID = "0" * 24
COLUMNS = ("bluezone_id", "start", "duration_s", "windows", "sightings", "rssi_max_dbm", "rssi_mean_dbm", "connected")


SUFFIXES = {"bluezone": ".txt", "csv": ".csv", "parquet": ".parquet"}


def write(path: Path | None, form: str, encounters: list[Encounter]) -> None:
    """Write a file, for its owner's eyes alone; an earlier one is replaced.

    Args:
        path: the file; its folder is made when missing. None: to stdout.
        form: one of FORMATS.

    Raises:
        UserError: no such format, or the file cannot be written.
    """
    if form not in FORMATS:
        raise UserError(f"A format is one of {', '.join(FORMATS)}, not {form!r}. Nothing was written.")
    data = FORMATS[form](encounters)
    try:
        if path is None:
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(data)
    except OSError as error:
        name = path or "to stdout"
        raise UserError(f"The export {name} cannot be written: {error}. The database is as it was.") from error


def _bluezone(encounters: list[Encounter]) -> bytes:
    lines = []
    for e in encounters:
        moments = {e.start_s, e.start_s + e.duration_s}
        lines += [f"{_NO_ID}\t{e.bluezone_id.hex().upper()}\t{e.rssi_mean_dbm}\t{s * 1000}\n" for s in sorted(moments)]
    return "".join(lines).encode()


def _rows(encounters: list[Encounter]) -> Iterator[tuple]:
    for e in encounters:
        start = datetime.fromtimestamp(e.start_s, VIETNAM_TIME)
        yield (
            e.bluezone_id.hex().upper(), start, e.duration_s, e.windows, e.sightings, e.rssi_max_dbm, e.rssi_mean_dbm,
            e.connected,
        )  # fmt: skip


def _csv(encounters: list[Encounter]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for ident, start, *rest, connected in _rows(encounters):
        writer.writerow([ident, start.isoformat(), *rest, int(connected)])
    return out.getvalue().encode()


def _parquet(encounters: list[Encounter]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = (pa.string(), pa.timestamp("s", "+07:00"), *[pa.int32()] * 5, pa.bool_())
    columns = list(zip(*_rows(encounters), strict=True)) or [()] * len(COLUMNS)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    out = io.BytesIO()
    pq.write_table(pa.table(dict(zip(COLUMNS, arrays, strict=True))), out)
    return out.getvalue()


FORMATS: dict[str, Callable[[list[Encounter]], bytes]] = {"bluezone": _bluezone, "csv": _csv, "parquet": _parquet}
