"""The authority's lists: entries are only added; every publication is a signed version, as a part and as a whole.

    public/F0.json  public/F0.json.sig    the whole list, for whoever fetches it from the server
    public/F0/000001.json  ….json.sig     what each version added, for whoever gets it day by day on a stick

The parts are what counts. The whole is made from them, anew if the power went while it was written.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from host_tools.errors import UserError
from host_tools.matching import national_list
from host_tools.matching.cases import Case, difference
from host_tools.matching.durable import replacing
from host_tools.matching.list_statement import LIMIT_BYTES, SUFFIX, NotSigned, Statement, verified

PUBLIC = "public"


@dataclass(frozen=True, slots=True)
class Publication:
    """What a call of `publish` has done.

    Attributes:
        version: of the list now.
        added: entries that it did not have before.
        entries: all of them.
        path: of the whole list; its signature lies beside it.
    """

    kind: str
    version: int
    added: int
    entries: int
    path: Path


def publish(folder: Path, kind: str, new: Sequence[Case], key: Ed25519PrivateKey, now_s: int) -> Publication:
    """Add entries to a list and sign it.

    Entries that the list has already are not added again. When none is new, the version stays; version 1 may be empty.

    Args:
        folder: the authority's.
        kind: "F0" or "F1".
        now_s: Unix s, the time of publication.

    Raises:
        UserError: what was published before is not whole, or this key did not sign it.
    """
    public = folder / PUBLIC
    (public / kind).mkdir(parents=True, exist_ok=True)
    parts = _parts(public, kind, key)
    before = national_list.load_parts([(path, str(path)) for path, _ in parts]).cases if parts else []
    added = difference(before, new).added
    if added or not parts:
        version = len(parts) + 1
        path = public / kind / f"{version:06}.json"
        statement = _write(path, kind, version, version, added, key, now_s)
        parts.append((path, statement))
    newest = parts[-1][1]
    whole = public / f"{kind}.json"
    data = list_bytes(kind, [*before, *added])
    if not _is_signed(whole, Statement(kind, 1, newest.version, newest.published_s, _digest(data)), key):
        _write(whole, kind, 1, newest.version, [*before, *added], key, newest.published_s)
    return Publication(kind, newest.version, len(added), len(before) + len(added), whole)


def read_entries(path: Path) -> list[Case]:
    """Entries to be published, in the format of the national list.

    Raises:
        UserError: one of them cannot be used; an authority does not publish what nobody can read.
    """
    listed = national_list.load(path)
    for problem in (*listed.rejected, *listed.doubtful):
        raise UserError(
            f"{path} cannot be published: {problem.where} {problem.why}. Nothing was signed; correct the file."
        )
    return listed.cases


def list_bytes(kind: str, cases: Iterable[Case]) -> bytes:
    """A list in the national list's format, one entry a line."""
    entries = (
        json.dumps(
            {
                "daily_key": case.daily_key.hex().upper(),
                "time_start": case.time_start,
                "time_end": case.time_end,
                "max": case.max,
            }
        )
        for case in cases
    )
    return f'{{"kind": "{kind}", "data": [\n'.encode() + ",\n".join(entries).encode() + b"\n]}\n"


def _write(
    path: Path, kind: str, first: int, version: int, cases: Iterable[Case], key: Ed25519PrivateKey, now_s: int
) -> Statement:
    data = list_bytes(kind, cases)
    statement = Statement(kind, first, version, now_s, _digest(data))
    with replacing(path) as stream:
        stream.write(data)
    with replacing(_beside(path)) as stream:
        stream.write(statement.signed(key))
    return statement


def _parts(public: Path, kind: str, key: Ed25519PrivateKey) -> list[tuple[Path, Statement]]:
    """The versions published so far, in order. One that was written without its signature was never published."""
    found: list[tuple[Path, Statement]] = []
    while _beside(path := public / kind / f"{len(found) + 1:06}.json").exists():
        statement = _statement(path, key)
        if not statement or (statement.kind, statement.version) != (kind, len(found) + 1):
            raise UserError(
                f"{path} is not as this key signed it. Nothing was published; restore {public / kind} from a copy."
            )
        found.append((path, statement))
    return found


def _is_signed(path: Path, wanted: Statement, key: Ed25519PrivateKey) -> bool:
    return _statement(path, key) == wanted


def _statement(path: Path, key: Ed25519PrivateKey) -> Statement | None:
    """What the key says of a file, if it is true."""
    try:
        with open(_beside(path), "rb") as stream:
            statement = verified(stream.read(LIMIT_BYTES + 1), key.public_key())
        data = path.read_bytes()
    except (OSError, NotSigned):
        return None
    return statement if statement.sha256 == _digest(data) else None


def _beside(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()
