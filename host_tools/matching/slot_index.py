"""The slot index: every id of the national list with its slot, on disk, for lookups in milliseconds.

A folder of segments. What a new list adds becomes one more segment, and only that is expanded; now and then they are
merged. `manifest.json` names the segments that count and is replaced as a whole, so a reader sees the index before an
update or after it, and whoever dies in between leaves the one before.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from host_tools.errors import UserError
from host_tools.matching import expansion, segment_file
from host_tools.matching.case_index import CaseIndex
from host_tools.matching.expansion import Array
from host_tools.matching.exposures import TOLERANCE_S
from host_tools.matching.national_list import Case
from host_tools.matching.segment import Encounters, Finds, Segment, processors
from tracing.keys import DAY_S, SLOT_S, SLOTS_PER_DAY

_MANIFEST = "manifest.json"
_VERSION = 1
_MAX_SEGMENTS = 8  # more are merged


class Hits(NamedTuple):
    """Encounters that met a case, in columns of the same length.

    Attributes:
        rows: of the encounters, int64.
        cases: index in the national list, int64.
        slot_start_ms, slot_end_ms: when the id was on the air, Unix ms, int64.
    """

    rows: Array
    cases: Array
    slot_start_ms: Array
    slot_end_ms: Array


class SlotIndex:
    """The ids of one national list. Made by `updated`; `segments` are what it reads.

    Args:
        segments: with their names; they hold every case with 96 ids a day, and may hold others.
        cases: of the list.
    """

    def __init__(self, segments: dict[str, Segment], cases: Sequence[Case]) -> None:
        self.segments = segments
        self._odd = [case for case in cases if case.max != SLOTS_PER_DAY]
        regular = [case for case in cases if case.max == SLOTS_PER_DAY]
        listed = segment_file.as_texts(expansion.entries_of(regular))
        self._order = np.argsort(listed)
        self._listed = listed[self._order]
        self._case_of = np.array([case.index for case in regular], np.int64)[self._order]

    def find(self, encounters: Encounters, tolerance_s: int = TOLERANCE_S) -> Hits:
        """All that `exposures.match_encounters` finds, by row, case and slot."""
        found = [self.hits(segment, segment.find(encounters, tolerance_s, expansion.engine()))
                 for segment in self.segments.values()]  # fmt: skip
        return in_order([*found, self.find_odd(encounters, tolerance_s)])

    def hits(self, segment: Segment, finds: Finds) -> Hits:
        """What a segment found, for the cases of the list: a retracted entry yields nothing, one listed twice two."""
        texts = segment_file.as_texts(segment.entries[finds.numbers])
        begin = np.searchsorted(self._listed, texts)
        times = np.searchsorted(self._listed, texts, side="right") - begin
        rows, slots = np.repeat(finds.rows, times), np.repeat(finds.slots, times)
        at = np.arange(len(rows)) - np.repeat(np.cumsum(times) - times, times) + np.repeat(begin, times)
        start_ms = slots * (SLOT_S * 1000)
        return Hits(rows, self._case_of[at], start_ms, start_ms + SLOT_S * 1000)

    def find_odd(self, encounters: Encounters, tolerance_s: int = TOLERANCE_S) -> Hits:
        """The hits of cases whose `max` is not 96; they have no place in slots of 15 minutes."""
        found: list[tuple[int, int, int, int]] = []
        if self._odd and len(encounters.start_s):
            first_s = encounters.start_s - tolerance_s
            last_s = encounters.start_s + encounters.duration_s + tolerance_s
            logged = [bytes(bluezone_id) for bluezone_id in encounters.bluezone_ids]
            days = range(int(first_s.min() - 1) // DAY_S, int(last_s.max()) // DAY_S + 1)
            index = CaseIndex(self._odd, days, set(logged))
            for row, bluezone_id in enumerate(logged):
                for slot in index.slots(bluezone_id):
                    if first_s[row] * 1000 <= slot.end_ms and last_s[row] * 1000 >= slot.start_ms:
                        found.append((row, slot.case, slot.start_ms, slot.end_ms))
        return Hits(*np.array(found, np.int64).reshape(-1, 4).T)


def in_order(hits: Sequence[Hits]) -> Hits:
    """Hits together, by row, case and slot."""
    rows, cases, start_ms, end_ms = (np.concatenate(columns) for columns in zip(*hits, strict=True))
    order = np.lexsort((start_ms, cases, rows))
    return Hits(rows[order], cases[order], start_ms[order], end_ms[order])


def updated(folder: Path, cases: Sequence[Case], workers: int | None = None) -> SlotIndex:
    """The index of a list, from what the folder has; what that lacks is expanded and added to it.

    Damaged or foreign files are made anew. Two processes may do this at once: one waits for the other.

    Raises:
        UserError: the folder cannot be written to, or the disk is full.
    """
    wanted = np.unique(segment_file.as_texts(expansion.entries_of(c for c in cases if c.max == SLOTS_PER_DAY)))
    workers = workers or processors()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        segments = _read(folder)
        if len(_missing(wanted, segments)) or len(segments) > _MAX_SEGMENTS:
            with _alone(folder):
                segments = _write(folder, wanted, workers)
    except OSError as error:
        raise UserError(
            f"The slot index {folder} cannot be brought up to date: {error}. The index that was there is kept; make "
            "room or allow this user to write there, then try again."
        ) from None
    return SlotIndex(segments, cases)


def _read(folder: Path) -> dict[str, Segment]:
    """The segments that the manifest names, as far as they are sound."""
    while True:
        names = _named(folder)
        segments = {}
        try:
            for name in names:
                with contextlib.suppress(segment_file.UnusableSegment):
                    segments[name] = segment_file.open_file(folder / name)
            return segments
        except FileNotFoundError:
            # Merged away since the manifest was read; one that is lost for good is made anew.
            if _named(folder) == names:
                return {name: segment for name, segment in segments.items() if (folder / name).exists()}


def _named(folder: Path) -> list[str]:
    try:
        manifest = json.loads((folder / _MANIFEST).read_text("utf-8"))
        return [str(name) for name in manifest["segments"]] if manifest["version"] == _VERSION else []
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return []


def _missing(wanted: Array, segments: dict[str, Segment]) -> Array:
    for segment in segments.values():
        wanted = wanted[~_held(wanted, segment_file.as_texts(segment.entries))]
    return wanted


def _held(sought: Array, entries: Array) -> Array:
    """Which of the texts are among the sorted entries."""
    at = np.minimum(np.searchsorted(entries, sought), max(len(entries) - 1, 0))
    return entries[at] == sought if len(entries) else np.zeros(len(sought), bool)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # let go of when the process ends, however it ends
        yield


def _write(folder: Path, wanted: Array, workers: int) -> dict[str, Segment]:
    segments = _read(folder)  # another process may have done it meanwhile
    missing = _missing(wanted, segments)
    for begin in range(0, len(missing), expansion.MAX_CASES):
        entries = missing[begin : begin + expansion.MAX_CASES].view(expansion.ENTRY)
        name = segment_file.write(folder, entries, expansion.engine(), workers)
        segments[name] = segment_file.open_file(folder / name)
    if len(segments) > _MAX_SEGMENTS and len(wanted) <= expansion.MAX_CASES:
        segments = _merged(folder, segments, wanted, workers)
    _name(folder, list(segments))
    for path in folder.iterdir():
        superseded = path.suffix == segment_file.SUFFIX and path.name not in segments
        if superseded or path.suffix == segment_file.PART_SUFFIX:
            path.unlink(missing_ok=True)
    return segments


def _merged(folder: Path, segments: dict[str, Segment], wanted: Array, workers: int) -> dict[str, Segment]:
    """One segment of the entries that the list still has."""
    kept = []
    rest = wanted
    for segment in segments.values():
        texts = segment_file.as_texts(segment.entries)
        kept.append(_held(texts, rest))
        rest = rest[~_held(rest, texts)]
    name = segment_file.merge(folder, list(segments.values()), kept, workers)
    return {name: segment_file.open_file(folder / name)}


def _name(folder: Path, names: list[str]) -> None:
    part = folder / f"{_MANIFEST}{segment_file.PART_SUFFIX}"
    with open(part, "w", encoding="utf-8") as stream:
        json.dump({"version": _VERSION, "segments": names}, stream)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(part, folder / _MANIFEST)
    segment_file.sync_folder(folder)
