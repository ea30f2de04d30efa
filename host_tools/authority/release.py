"""The health authority's side of a release: the one-time code, and Bluezone's files out of what the kiosk wrote.

The files have the forms in which a Bluezone phone sends its history (tests/vectors has a real one): `infof.json` with
the daily key from which on the person is traced, `data_trace.txt` with whom the person met.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from host_tools.errors import UserError
from host_tools.provisioning.escrow import open_escrow
from host_tools.provisioning.token_keys import AuthorityRoot
from host_tools.storage.store import Encounter
from tracing import keys
from tracing.messages import CHALLENGE_BYTES, release_code

from .release_bundle import Release

INFO_NAME = "infof.json"
TRACE_NAME = "data_trace.txt"
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Traced:
    """A person to be traced.

    Attributes:
        daily_key: 32 bytes, of the UTC day `first_day` (days since 1970-01-01); later days follow by hashing, so it
            cannot be limited to `last_day`, the last day whose history counts.
        encounters: those of these days.
    """

    daily_key: bytes
    first_day: int
    last_day: int
    encounters: list[Encounter]

    @property
    def list_entry(self) -> dict[str, object]:
        """The person as an entry of the national list."""
        return {
            "daily_key": self.daily_key.hex().upper(),
            "time_start": self.first_day * keys.DAY_S,
            "time_end": (self.last_day + 1) * keys.DAY_S,
            "max": keys.SLOTS_PER_DAY,
        }


def code_for(root: AuthorityRoot, serial: bytes, challenge: bytes) -> str:
    """The one-time code for a challenge (5 bytes) that a kiosk has read out: 8 letters."""
    if len(challenge) != CHALLENGE_BYTES:
        raise ValueError(f"a challenge has {CHALLENGE_BYTES} bytes, not {len(challenge)}")
    return release_code(root.code_key(serial), challenge).decode()


def trace(root: AuthorityRoot, release: Release, from_day: date, to_day: date | None = None) -> Traced:
    """Open a release: keys and history from `from_day` to `to_day`, both UTC days and included; None: to the release.

    A token that is younger than `from_day` is traced from its first day on.

    Raises:
        UserError: the escrow does not open, or the days are none of the token's.
    """
    first_key = open_escrow(root.escrow_keys(release.serial), release.escrow)
    released_day = keys.day_of(release.released_s)
    first_day = max((from_day - _EPOCH).days, release.first_day)
    last_day = released_day if to_day is None else min((to_day - _EPOCH).days, released_day)
    if first_day > last_day:
        raise UserError(
            f"No day from {from_day} to {to_day or _as_date(released_day)} is one of this token's, which has keys from "
            f"{_as_date(release.first_day)} and was read on {_as_date(released_day)}. Nothing was written."
        )
    begin_s, end_s = first_day * keys.DAY_S, (last_day + 1) * keys.DAY_S
    return Traced(
        keys.daily_key_after(first_key, first_day - release.first_day),
        first_day,
        last_day,
        [encounter for encounter in release.encounters if begin_s <= encounter.start_s < end_s],
    )


def write(traced: Traced, folder: Path) -> None:
    """Write both files into a folder, which is made; neither may exist. Only their owner may read them.

    Raises:
        UserError: a file exists, or cannot be written.
    """
    start_s = traced.first_day * keys.DAY_S
    key = traced.daily_key.hex().upper()
    info = {"base_id": key, "time": start_s, "daily_key": key, "time_start": start_s}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_new(folder / INFO_NAME, json.dumps(info, separators=(",", ":")) + "\n")
        _write_new(folder / TRACE_NAME, "".join(_lines(traced)))
    except OSError as error:
        raise UserError(
            f"The traced person's files cannot be written to {folder}: {error}. Name an empty folder."
        ) from error


def _write_new(path: Path, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _lines(traced: Traced) -> Iterator[str]:
    # A phone logs every sighting, a token an encounter: each window that heard the other becomes a line, evenly from
    # the first to the last, at the encounter's mean strength; the one in the middle has the maximum.
    own_ids: dict[int, list[bytes]] = {}
    for encounter in traced.encounters:
        windows = max(encounter.windows, 1)
        for i in range(windows):
            time_s = encounter.start_s + (encounter.duration_s * i // (windows - 1) if windows > 1 else 0)
            day = keys.day_of(time_s)
            if day not in own_ids:
                key = keys.daily_key_after(traced.daily_key, day - traced.first_day)
                own_ids[day] = list(keys.day_ids(key))
            own = own_ids[day][keys.slot_of(time_s)].hex().upper()
            rssi_dbm = encounter.rssi_max_dbm if i == windows // 2 else encounter.rssi_mean_dbm
            yield f"{own}\t{encounter.bluezone_id.hex().upper()}\t{rssi_dbm}\t{time_s * 1000}\n"


def _as_date(day: int) -> date:
    return datetime(1970, 1, 1, tzinfo=UTC).date() + timedelta(days=day)
