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
from host_tools.matching.durable import sync_folder
from host_tools.matching.expansion import Array
from host_tools.matching.exposures import TOLERANCE_S
from host_tools.matching.listed_cases import Hits, ListedCases, in_order
from host_tools.matching.national_list import Case
from host_tools.matching.segment import Encounters, Segment, processors

_MANIFEST = "manifest.json"
_VERSION = 1
_MAX_SEGMENTS = 8  # more are merged


class SlotIndex(NamedTuple):
    """The ids of one national list.

    Attributes:
        segments: by name; they hold every case with 96 ids a day, and may hold others.
        listed: the cases of the list.
    """

    segments: dict[str, Segment]
    listed: ListedCases

    def find(self, encounters: Encounters, tolerance_s: int = TOLERANCE_S) -> Hits:
        """All that `exposures.match_encounters` finds, by row, case and slot."""
        engine = expansion.engine()
        found = [
            self.listed.hits(segment, segment.find(encounters, tolerance_s, engine))
            for segment in self.segments.values()
        ]
        return in_order([*found, self.listed.find_odd(encounters, tolerance_s)])


def updated(folder: Path, cases: Sequence[Case], workers: int | None = None) -> SlotIndex:
    """The index of a list, from what the folder has; what that lacks is expanded and added to it.

    Damaged or foreign files are made anew. Two processes may do this at once: one waits for the other.

    Raises:
        UserError: the folder cannot be written to, or the disk is full.
    """
    listed = ListedCases.of(cases)
    wanted = np.unique(listed.texts)
    workers = workers or processors()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        segments = _read(folder, {})
        if len(_missing(wanted, segments)) or len(segments) > _MAX_SEGMENTS:
            with _alone(folder):
                segments = _write(folder, wanted, workers, segments)
    except OSError as error:
        raise UserError(
            f"The slot index {folder} cannot be brought up to date: {error}. The index that was there is kept; make "
            "room or allow this user to write there, then try again."
        ) from None
    return SlotIndex(segments, listed)


def _read(folder: Path, known: dict[str, Segment]) -> dict[str, Segment]:
    """The segments that the manifest names, as far as they are sound; those already open are not opened again."""
    while True:
        names = _named(folder)
        segments = {}
        try:
            for name in names:
                with contextlib.suppress(segment_file.UnusableSegment):
                    segments[name] = known[name] if name in known else segment_file.open_file(folder / name)
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
        wanted = wanted[~_held(wanted, expansion.as_texts(segment.entries))]
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


def _write(folder: Path, wanted: Array, workers: int, known: dict[str, Segment]) -> dict[str, Segment]:
    segments = _read(folder, known)  # another process may have done it meanwhile
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
        texts = expansion.as_texts(segment.entries)
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
    sync_folder(folder)
