"""What a person found positive releases at a kiosk, as a file: the token's escrow and its history. SPEC.md, "Release".

The kiosk writes it; only the health authority, with its root, can make anything of the escrow.
"""

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from host_tools.errors import UserError
from host_tools.matching.inputs import reading
from host_tools.provisioning.escrow import ESCROW_BYTES
from host_tools.provisioning.token_keys import SERIAL_BYTES
from host_tools.storage.store import Encounter

VERSION = 1
_ID_BYTES = 12
_DAY_LIMIT = 1 << 16


@dataclass(frozen=True)
class Release:
    """A release.

    Attributes:
        released_s: when, Unix s.
        first_day: UTC day (days since 1970-01-01) of the key in the escrow; escrow: 64 bytes.
        encounters: the token's history as the kiosk has it, with known times.
    """

    serial: bytes
    released_s: int
    first_day: int
    escrow: bytes
    encounters: list[Encounter]


def encoded(release: Release) -> bytes:
    """A release as the content of its file."""
    data = {
        "bluezone_release": VERSION,
        "serial": release.serial.hex(),
        "released": release.released_s,
        "first_day": release.first_day,
        "escrow": release.escrow.hex(),
        "encounters": [
            asdict(encounter) | {"bluezone_id": encounter.bluezone_id.hex().upper()} for encounter in release.encounters
        ],
    }
    return json.dumps(data, indent=1).encode() + b"\n"


def write(path: Path, release: Release) -> None:
    """Write a release into a new file that only its owner may read.

    Raises:
        UserError: there is a file already, or the place cannot be written.
    """
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(encoded(release))
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise UserError(f"{path} exists already and was left as it is. Name another file and release again.") from None
    except OSError as error:
        raise UserError(
            f"The release cannot be written to {path}: {error.strerror}. The token's log is stored; nothing was "
            "released. Name another place and release again."
        ) from error


def load(path: Path) -> Release:
    """Read a release.

    Raises:
        UserError: the file cannot be read, or is no release.
    """
    with reading(path, "release") as stream:
        content = stream.read()
    try:
        data = json.loads(content)
        version = data["bluezone_release"]
        if version != VERSION:
            raise UserError(
                f"The release {path} has version {version}; this program knows version {VERSION}. Nothing was done. "
                "Update the program."
            )
        release = Release(
            serial=_exactly(data["serial"], SERIAL_BYTES),
            released_s=_whole(data["released"], 1 << 32),
            first_day=_whole(data["first_day"], _DAY_LIMIT),
            escrow=_exactly(data["escrow"], ESCROW_BYTES),
            encounters=[_encounter(entry) for entry in data["encounters"]],
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is not a release, or it is damaged ({error}). Nothing was done. Ask the kiosk for the file again."
        ) from error
    return release


def _encounter(entry: dict[str, Any]) -> Encounter:
    if set(entry) != {field.name for field in fields(Encounter)}:
        raise ValueError("an encounter with other fields")
    numbers = {name: value for name, value in entry.items() if name not in ("bluezone_id", "connected")}
    if any(type(value) is not int for value in numbers.values()):
        raise ValueError("an encounter with other than whole numbers")
    return Encounter(
        bluezone_id=_exactly(entry["bluezone_id"], _ID_BYTES), connected=bool(entry["connected"]), **numbers
    )


def _exactly(text: str, length: int) -> bytes:
    data = bytes.fromhex(text)
    if len(data) != length:
        raise ValueError(f"{len(data)} bytes in place of {length}")
    return data


def _whole(number: Any, limit: int) -> int:
    if type(number) is not int or not 0 <= number < limit:
        raise ValueError(f"{number!r} in place of a number below {limit}")
    return number
