"""Everything that an organisation has stored, matched with the national list in one go.

What a segment of the slot index has in common with a file of the archive depends on these two alone. It is kept beside
the archive, so a list that grew by a few cases is matched with the new segment only.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from host_tools.errors import UserError
from host_tools.matching import encounter_files, expansion
from host_tools.matching.encounter_files import EncounterFile
from host_tools.matching.exposures import TOLERANCE_S
from host_tools.matching.listed_cases import Hits
from host_tools.matching.segment import Finds, Segment, processors
from host_tools.matching.slot_index import SlotIndex
from tracing.keys import SLOT_S

_MATCHED = "matched"  # folder in the archive
_NUMBER, _SLOT = "number", "slot"  # of what is kept, in place of the case and the times
_KEPT = pa.schema([(_NUMBER, pa.int64()), (_SLOT, pa.int64()), *encounter_files.ENCOUNTERS])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did.

    Attributes:
        encounters: stored.
        exposures: EXPOSURES, in order.
        matched: pairs of a file and a segment that were matched now; `kept`: that had been before.
    """

    encounters: int
    exposures: pa.Table
    matched: int
    kept: int


def match_stored(
    archive: Path, index: SlotIndex, tolerance_s: int = TOLERANCE_S, workers: int | None = None
) -> Outcome:
    """Match an archive.

    Raises:
        UserError: the archive is empty, was not made by `ingest`, or cannot be written to.
    """
    encounters, matched, kept = 0, 0, 0
    tables: list[pa.Table] = []
    current: set[Path] = set()
    try:
        for path in encounter_files.files(archive):
            file = EncounterFile(path)
            if not file.digest:
                raise UserError(
                    f"The encounters {path} are not sorted for matching. Nothing was matched; bring them into an "
                    "archive with `bluezone ingest`."
                )
            encounters += file.rows
            places = {name: _place(path.parent, name, file.digest, tolerance_s) for name in index.segments}
            todo = {name: index.segments[name] for name, place in places.items() if not place.exists()}
            matched, kept = matched + len(todo), kept + len(places) - len(todo)
            if todo:
                (path.parent / _MATCHED).mkdir(exist_ok=True)
                for name, table in _match_file(path, todo, tolerance_s, workers or processors()).items():
                    encounter_files.write_table(places[name], table)
            tables += [_of_list(index, name, pq.read_table(place)) for name, place in places.items()]
            tables += _odd(file, index, tolerance_s)
            current |= set(places.values())
        _forget(archive, current)
    except OSError as error:
        raise UserError(
            f"The archive {archive} cannot be matched: {error}. What had been matched before is kept; allow this user "
            "to write there or make room, then try again."
        ) from None
    exposures = (
        encounter_files.in_order(pa.concat_tables(tables)) if tables else encounter_files.EXPOSURES.empty_table()
    )
    return Outcome(encounters, exposures, matched, kept)


def _place(folder: Path, segment: str, digest: str, tolerance_s: int) -> Path:
    return folder / _MATCHED / f"{Path(segment).stem}-{digest}-{tolerance_s}.parquet"


def _match_file(path: Path, segments: dict[str, Segment], tolerance_s: int, workers: int) -> dict[str, pa.Table]:
    """What each segment has in common with a file, in the order of the file."""
    using = expansion.engine()

    def match_group(group: int) -> list[pa.Table]:
        file = EncounterFile(path)
        encounters = file.matched_columns(group)
        return [_kept(file, group, segment.find(encounters, tolerance_s, using)) for segment in segments.values()]

    with ThreadPoolExecutor(workers) as pool:
        groups = list(pool.map(match_group, range(EncounterFile(path).groups)))
    columns = zip(*groups, strict=True) if groups else ([] for _ in segments)
    return {
        name: pa.concat_tables([_KEPT.empty_table(), *tables]) for name, tables in zip(segments, columns, strict=True)
    }


def _kept(file: EncounterFile, group: int, finds: Finds) -> pa.Table:
    start_ms = finds.slots * (SLOT_S * 1000)
    found = file.exposures_of(group, Hits(finds.rows, finds.numbers, start_ms, start_ms))
    of_encounters = [found[name] for name in encounter_files.ENCOUNTERS.names]
    return pa.table([found["case"], pa.array(finds.slots), *of_encounters], _KEPT)


def _of_list(index: SlotIndex, segment: str, kept: pa.Table) -> pa.Table:
    """What is kept of a segment, for the cases of today's list."""
    numbers, slots = kept[_NUMBER].to_numpy(), kept[_SLOT].to_numpy()
    hits = index.listed.hits(index.segments[segment], Finds(np.arange(len(kept)), slots, numbers))
    rows = kept.take(pa.array(hits.rows))
    return pa.table(
        [hits.cases, hits.slot_start_ms // 1000, hits.slot_end_ms // 1000]
        + [rows[name] for name in encounter_files.ENCOUNTERS.names],
        encounter_files.EXPOSURES,
    )  # fmt: skip


def _odd(file: EncounterFile, index: SlotIndex, tolerance_s: int) -> Iterator[pa.Table]:
    if index.listed.has_odd:
        for group in range(file.groups):
            hits = index.listed.find_odd(file.matched_columns(group), tolerance_s)
            yield file.exposures_of(group, hits)


def _forget(archive: Path, current: set[Path]) -> None:
    """Remove what was kept of segments and files that are no more."""
    folder = (archive if archive.is_dir() else archive.parent) / _MATCHED
    for path in folder.glob("*.parquet"):
        if archive.is_dir() and path not in current:
            path.unlink(missing_ok=True)
