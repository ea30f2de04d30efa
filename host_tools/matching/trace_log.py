"""A phone's contact log in Bluezone's export format, `data_trace.txt`.

One sighting per line: own id, peer id (24 hex digits each), RSSI in dBm, Unix time in ms; tabs between, a
line feed at the end. Carriage returns, spaces around fields and blank lines are tolerated.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from host_tools.errors import UserError
from host_tools.matching.inputs import Rejection, Rejections, reading, shown
from host_tools.matching.national_list import TIME_LIMIT_S

# The clients keep 100,000 rows. Ten times as many still fit in memory with ease.
MAX_SIGHTINGS = 1_000_000

_LINE_LIMIT_BYTES = 1024
_EARLIEST_MS = 1_577_836_800_000  # 2020-01-01 UTC: there was no Bluezone before
_ID = re.compile(rb"[0-9A-Fa-f]{24}")
_NUMBER = re.compile(rb"-?[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Sighting:
    """One reception of another phone. Ids are 12 bytes, the time is Unix ms."""

    own_id: bytes
    peer_id: bytes
    rssi_dbm: int
    time_ms: int


@dataclass(frozen=True, slots=True)
class TraceLog:
    sightings: list[Sighting]
    rejected: list[Rejection]


def load(path: Path | str, peer_view: bool = False) -> TraceLog:
    """Read a log; lines that do not follow the format are rejected one by one.

    Args:
        peer_view: exchange the two ids: the log that the other side of every meeting would have.

    Raises:
        UserError: the file cannot be read, or has more than a million sightings.
    """
    sightings: list[Sighting] = []
    rejected = Rejections()
    line_number = 0
    with reading(Path(path), "contact log") as stream:
        while line := _next_line(stream):
            line_number += 1
            if len(line) <= _LINE_LIMIT_BYTES and not line.strip():
                continue
            try:
                sightings.append(_sighting(line, peer_view))
            except _BadLine as error:
                rejected.add(f"line {line_number}", str(error))
            if len(sightings) > MAX_SIGHTINGS:
                raise UserError(
                    f"The contact log {path} has more than {MAX_SIGHTINGS} sightings; a phone keeps 100000. "
                    "Nothing of it was used; split it into several files."
                )
    if not line_number:
        rejected.add("line 1", "the log is empty")
    rejected.close()
    return TraceLog(sightings, rejected)


def load_usable(path: Path, peer_view: bool = False) -> TraceLog:
    """The same for a verdict, which nobody should get from a file that is no log.

    Raises:
        UserError: as `load`, or no line follows the format. A file without any line is the log of nobody met.
    """
    trace = load(path, peer_view)
    if trace.rejected and not trace.sightings and path.stat().st_size:
        first = trace.rejected[0]
        raise UserError(
            f"The contact log {path} has no line that can be used; the first one, {first.where}, {first.why}. Nothing "
            "was compared; check the path."
        )
    return trace


class _BadLine(Exception):
    """A line that does not follow the format; the message says why."""


def _next_line(stream: BinaryIO) -> bytes:
    """The next line, or b"" at the end. Of a line that is too long, only the beginning is kept."""
    line = rest = stream.readline(_LINE_LIMIT_BYTES + 1)
    while len(rest) > _LINE_LIMIT_BYTES and not rest.endswith(b"\n"):
        rest = stream.readline(_LINE_LIMIT_BYTES + 1)
    return line


def _sighting(line: bytes, peer_view: bool) -> Sighting:
    if len(line) > _LINE_LIMIT_BYTES:
        raise _BadLine(f"longer than {_LINE_LIMIT_BYTES} bytes")
    fields = [field.strip() for field in line.rstrip().split(b"\t")]
    if len(fields) != 4:
        raise _BadLine(f"has {len(fields)} fields between tabs, not 4 (own id, peer id, RSSI, time)")
    for name, field in zip(("own id", "peer id"), fields[:2], strict=True):
        if not _ID.fullmatch(field):
            raise _BadLine(f"{name} must be 24 hex digits, not {_text(field)}")
    rssi_dbm = _integer("RSSI", fields[2], -128, 20)
    time_ms = _integer("time in ms", fields[3], _EARLIEST_MS, TIME_LIMIT_S * 1000 - 1)
    own_id, peer_id = bytes.fromhex(fields[0].decode()), bytes.fromhex(fields[1].decode())
    if peer_view:
        own_id, peer_id = peer_id, own_id
    return Sighting(own_id, peer_id, rssi_dbm, time_ms)


def _integer(name: str, field: bytes, lowest: int, highest: int) -> int:
    if not _NUMBER.fullmatch(field) or not lowest <= int(field) <= highest:
        raise _BadLine(f"{name} must be an integer from {lowest} to {highest}, not {_text(field)}")
    return int(field)


def _text(field: bytes) -> str:
    return shown(field.decode("ascii", "replace"))
