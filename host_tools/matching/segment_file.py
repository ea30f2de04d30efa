"""Segments as files, mapped into memory; SPEC.md, "Slot index", has the layout.

A file is written under another name, made durable, and renamed: whoever is killed meanwhile leaves what was there.
Its name is that of its content, so a segment never changes.
"""

import contextlib
import hashlib
import mmap
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from host_tools.matching import expansion
from host_tools.matching.durable import sync_folder
from host_tools.matching.expansion import CASE_BITS, ENTRY, Array, Engine
from host_tools.matching.segment import Segment, expand, in_turn, laid_out
from tracing.keys import SLOTS_PER_DAY

SUFFIX = ".segment"
PART_SUFFIX = ".part"

_MAGIC = b"BZSLOTS\0"
_VERSION = 1
_HEADER = np.dtype(
    [
        ("magic", "V8"),
        ("version", "<u4"),
        ("checksum", "<u4"),  # CRC-32 of the rest of the header and of all tables
        ("entries", "<u8"),
        ("days", "<u8"),
        ("ids", "<u8"),
        ("source", "V32"),  # SHA-256 of the entries
        ("reserved", "V8"),
    ]
)
_CHECKED_FROM = 16  # behind the checksum


class UnusableSegment(Exception):
    """A file that is no whole segment of this version; the message says what is wrong."""


def source_of(entries: Array) -> bytes:
    """SHA-256 of entries: what a segment of them is called."""
    return hashlib.sha256(entries.tobytes()).digest()


def name_of(entries: Array) -> str:
    """The name of the file with a segment of these entries."""
    return source_of(entries).hex()[:32] + SUFFIX


def write(folder: Path, entries: Array, using: Engine, workers: int) -> str:
    """Expand entries (ENTRY, sorted, each once) into a new file; returns its name."""
    with _new_file(folder, entries) as segment:
        expand(segment, using, workers)
    return name_of(entries)


def merge(folder: Path, segments: Sequence[Segment], kept: Sequence[Array], workers: int) -> str:
    """Put segments together in a new file, without deriving an id again; returns its name.

    Args:
        kept: for each segment, which of its entries to keep, (n,) bool. No entry may be kept twice.
    """
    chosen = np.concatenate([segment.entries[keep] for segment, keep in zip(segments, kept, strict=True)])
    order = np.argsort(expansion.as_texts(chosen))
    entries = chosen[order]
    new_number = np.empty(len(chosen), np.int64)
    new_number[order] = np.arange(len(chosen))
    numbers, begin = [], 0
    for keep in kept:
        of_segment = np.full(len(keep), -1)
        of_segment[keep] = new_number[begin : begin + int(keep.sum())]
        begin += int(keep.sum())
        numbers.append(of_segment)
    with _new_file(folder, entries) as merged:
        jobs = (
            lambda row=row, day=int(day): _merge_day(merged, row, _rows_of_day(segments, numbers, day))
            for row, day in enumerate(merged.days)
        )
        in_turn(jobs, workers)
    return name_of(entries)


def open_file(path: Path) -> Segment:
    """Map a segment; its tables and its ids are checked.

    Raises:
        UnusableSegment: it is cut, damaged, or of another version.
        OSError: it cannot be read.
    """
    with open(path, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size < _HEADER.itemsize:
            raise UnusableSegment("it is too short for a header")
        content = np.frombuffer(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), "u1")
    header = content[: _HEADER.itemsize].view(_HEADER)[0]
    if bytes(header["magic"]) != _MAGIC or int(header["version"]) != _VERSION:
        raise UnusableSegment(f"it is no slot index of version {_VERSION}")
    shape = (int(header["entries"]), int(header["days"]), int(header["ids"]))
    if _size(*shape) != size:
        raise UnusableSegment(f"it has {size} bytes instead of {_size(*shape)}")
    segment = _mapped(content, *shape)
    if zlib.crc32(content[_CHECKED_FROM : size - 8 * shape[2]].data) != int(header["checksum"]):
        raise UnusableSegment("its tables are damaged")
    if not segment.sound_ids():
        raise UnusableSegment("its ids are damaged")
    return segment


def _size(entries: int, days: int, ids: int) -> int:
    tables = 8 * (days + 2 * days * SLOTS_PER_DAY + 1)
    return _HEADER.itemsize + ENTRY.itemsize * entries + tables + 8 * ids


def _mapped(content: Array, entries: int, days: int, ids: int) -> Segment:
    slots = days * SLOTS_PER_DAY
    lengths = [ENTRY.itemsize * entries, 8 * days, 8 * (slots + 1), 8 * slots, 8 * ids]
    ends = _HEADER.itemsize + np.cumsum(lengths)
    parts = [content[end - length : end] for end, length in zip(ends, lengths, strict=True)]
    kinds = (ENTRY, "<i8", "<i8", "<u8", "<u8")
    return Segment(*(part.view(kind) for part, kind in zip(parts, kinds, strict=True)))


@contextlib.contextmanager
def _new_file(folder: Path, entries: Array) -> Iterator[Segment]:
    """A segment to be filled in, which becomes a durable file when all went well."""
    if len(entries) > expansion.MAX_CASES:
        raise ValueError(f"a segment holds at most {expansion.MAX_CASES} entries")
    plan = laid_out(entries, lambda length: np.broadcast_to(np.uint64(0), length))
    shape = (len(entries), len(plan.days), len(plan.ids))
    path = folder / name_of(entries)
    part = path.with_suffix(PART_SUFFIX)
    try:
        with open(part, "w+b") as stream:
            # A mapped page for which the disk has no room ends the process; this fails in time instead.
            os.posix_fallocate(stream.fileno(), 0, _size(*shape))
            mapping = mmap.mmap(stream.fileno(), _size(*shape))
            content = np.frombuffer(mapping, "u1")
            segment = _mapped(content, *shape)
            segment.entries[:], segment.days[:], segment.offsets[:] = entries, plan.days, plan.offsets
            yield segment
            header = content[: _HEADER.itemsize].view(_HEADER)
            header["magic"], header["version"] = np.void(_MAGIC), _VERSION
            header["entries"], header["days"], header["ids"] = shape
            header["source"] = np.void(source_of(entries))
            tables_end = _size(*shape[:2], 0)
            header["checksum"] = zlib.crc32(content[_CHECKED_FROM:tables_end].data)
            mapping.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
        sync_folder(folder)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _rows_of_day(segments: Sequence[Segment], numbers: Sequence[Array], day: int) -> list[tuple[Segment, Array, int]]:
    found = []
    for segment, of_segment in zip(segments, numbers, strict=True):
        row = int(np.searchsorted(segment.days, day))
        if row < len(segment.days) and segment.days[row] == day:
            found.append((segment, of_segment, row))
    return found


def _merge_day(merged: Segment, row: int, parts: list[tuple[Segment, Array, int]]) -> None:
    case_mask = np.uint64((1 << CASE_BITS) - 1)
    for slot in range(SLOTS_PER_DAY):
        place = row * SLOTS_PER_DAY + slot
        at = int(merged.offsets[place])
        for segment, numbers, segment_row in parts:
            ids = segment.slot(segment_row * SLOTS_PER_DAY + slot)
            renumbered = numbers[(ids & case_mask).astype(np.int64)]
            kept = renumbered >= 0
            packed = (ids[kept] & ~case_mask) | renumbered[kept].astype(np.uint64)
            merged.ids[at : at + len(packed)] = packed
            at += len(packed)
        merged.close_slot(place)
