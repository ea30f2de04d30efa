"""The national list of cases in Bluezone's F0 format, read with distrust.

    {"data": [{"daily_key": "64 hex digits", "time_start": 1596844800, "time_end": 1600000000, "max": 96}]}

`daily_key` is the key of the UTC day that contains `time_start`; the keys of later days follow by hashing.
A damaged entry costs that entry; a list that ends too early or is not JSON costs the list, because a
verdict from a list that lacks cases would look like one from the whole.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from host_tools.errors import UserError
from host_tools.matching.cases import Case, CaseCollection
from host_tools.matching.inputs import Rejection, reading, shown
from host_tools.matching.json_stream import COMMENT, BrokenJson, events
from tracing.keys import DAY_S, SLOTS_PER_DAY

MAX_SPAN_DAYS = 180  # no client keeps a history for longer
TIME_LIMIT_S = 1 << 32  # tokens keep Unix times in 32 bits: until 2106

KINDS = ("F0", "F1")  # infected, and close contacts of infected

_KEY = re.compile(r"[0-9A-Fa-f]{64}")
_FIELDS = ("daily_key", "time_start", "time_end", "max")


@dataclass(frozen=True, slots=True)
class NationalList:
    """A list that has been read.

    Attributes:
        rejected: what of it was not used.
        doubtful: what was used, although another entry contradicts it.
        kind: "F0" or "F1" when the list says so itself, else None.
        digests: SHA-256 of each file, in hex.
    """

    cases: list[Case]
    rejected: list[Rejection]
    doubtful: list[Rejection] = field(default_factory=list)
    kind: str | None = None
    digests: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Names the content: SHA-256 of the file, or over the digests of several, in hex."""
        if len(self.digests) == 1:
            return self.digests[0]
        return sha256("".join(self.digests).encode()).hexdigest()


def load(path: Path | str) -> NationalList:
    """Read a list of any size; memory grows with the usable cases only.

    Raises:
        UserError: the file cannot be read, is not a list, or ends too early.
    """
    return load_parts([(Path(path), str(path))])


def load_parts(parts: Sequence[tuple[Path, str]]) -> NationalList:
    """Read several files as one list.

    Args:
        parts: each file, and what messages call it.

    Raises:
        UserError: one of them cannot be read, is not a list, or ends too early.
    """
    collection = CaseCollection()
    digests: list[str] = []
    kinds: set[str] = set()
    entries = 0
    for path, name in parts:
        reader = _Reader(collection, f"{Path(name).name}: " if len(parts) > 1 else "", entries)
        with reading(path, "national list", name) as stream:
            digests.append(_read(reader, stream, name))
        entries += reader.entries
        kinds |= {reader.kind} if reader.kind else set()
    if len(kinds) > 1:
        raise UserError(
            f"The parts of the national list from {parts[0][1]} on are of several kinds: "
            f"{', '.join(sorted(kinds))}. Nothing of them was used; keep each kind in its own folder."
        )
    collection.close()
    return NationalList(
        collection.cases, collection.rejected, collection.doubtful, next(iter(kinds), None), tuple(digests)
    )


def _read(reader: "_Reader", stream: BinaryIO, name: str) -> str:
    """Feed a whole file to the reader; returns its SHA-256."""
    hashed = _Hashed(stream)
    try:
        for event, value in events(hashed):
            reader.take(event, value)
    except BrokenJson as error:
        raise UserError(
            f"The national list {name} is damaged {reader.place}: {error}. "
            "Nothing of it was used, since cases may be missing; fetch it again."
        ) from None
    except _NotAList as error:
        raise UserError(
            f"{name} is not a national list: {error}. Nothing of it was used; "
            'expected {"data": [{"daily_key": …, "time_start": …, "time_end": …, "max": …}]}.'
        ) from None
    if not reader.has_data:
        raise UserError(f'{name} is not a national list: it has no "data". Nothing of it was used; fetch it again.')
    return hashed.sha256.hexdigest()


class _Hashed:
    """A stream that adds up the digest of what is read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.sha256 = sha256()

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self.sha256.update(data)
        return data


class _NotAList(Exception):
    """JSON, but of another shape."""


# How the events of `json_stream` are called in a message.
_KINDS = {
    "null": "null", "boolean": "a truth value", "number": "a number", "string": "text",
    "start_map": "an object", "start_array": "an array",
}  # fmt: skip
# Depth at which things stand: the document, the fields of its object, the entries of "data", the fields of
# an entry.
_DOCUMENT, _TOP, _ENTRIES, _ENTRY = range(4)


class _Reader:
    """Puts entries together from JSON events."""

    def __init__(self, collection: CaseCollection, prefix: str, first_index: int) -> None:
        self.has_data = False
        self.kind: str | None = None
        self.entries = 0  # begun so far
        self._collection = collection
        self._prefix = prefix
        self._first_index = first_index
        self._depth = _DOCUMENT
        self._in_data = False
        self._key = ""
        self._fields: dict[str, tuple[str, Any]] = {}
        self._repeated = ""

    @property
    def place(self) -> str:
        """Where the reader stands, for a message."""
        if self._in_data and self._depth >= _ENTRY:
            return f"in data[{self.entries - 1}]"
        if self.entries:
            return f"after data[{self.entries - 1}]"
        return "at its beginning"

    def take(self, event: str, value: Any) -> None:
        """One event of the document.

        Raises:
            _NotAList: the document has another shape.
        """
        if event == COMMENT:
            inside = self._in_data and self._depth >= _ENTRY
            entry = f" (data[{self.entries - inside}])" if self._in_data else ""
            self._reject(
                f"line {value}{entry}", "a // comment, which JSON does not have; only the comment was left out"
            )
            return
        if event in ("end_map", "end_array"):
            self._depth -= 1
            if self._in_data and self._depth == _ENTRIES and event == "end_map":
                self._finish_entry()
            elif self._depth == _TOP:
                self._in_data = False
            return
        if self._depth == _DOCUMENT:
            if event != "start_map":
                raise _NotAList(f"it is {_KINDS[event]}, not an object")
        elif event == "map_key":
            self._key = value
        elif self._depth == _TOP:
            if self._key == "data":
                self._begin_data(event)
            elif self._key == "kind" and event == "string":
                self.kind = value if value in KINDS else shown(value)
        elif self._in_data and self._depth == _ENTRIES:
            self._begin_entry(event)
        elif self._in_data and self._depth == _ENTRY and self._key in _FIELDS:
            if self._key in self._fields and not self._repeated:
                self._repeated = self._key
            self._fields[self._key] = (event, value)
        if event in ("start_map", "start_array"):
            self._depth += 1

    def _begin_data(self, event: str) -> None:
        if event != "start_array":
            raise _NotAList(f'its "data" is {_KINDS[event]}, not an array')
        if self.has_data:
            raise _NotAList('it has "data" twice, and one may be false')
        self.has_data = self._in_data = True

    def _begin_entry(self, event: str) -> None:
        self.entries += 1
        self._fields = {}
        self._repeated = ""
        if event != "start_map":
            self._reject(f"data[{self.entries - 1}]", f"is {_KINDS[event]}, not an object")

    def _finish_entry(self) -> None:
        index = self.entries - 1
        try:
            self._collection.add(self._case(index), f"{self._prefix}data[{index}]")
        except _BadField as error:
            self._reject(f"data[{index}].{error.field}", str(error))

    def _reject(self, where: str, why: str) -> None:
        self._collection.rejected.add(f"{self._prefix}{where}", why)

    def _case(self, index: int) -> Case:
        if self._repeated:
            raise _BadField(self._repeated, "stands there twice, and one may be false")
        event, key = self._fields.get("daily_key", ("", None))
        if event != "string" or not _KEY.fullmatch(key):
            raise _BadField("daily_key", f"must be 64 hex digits, {self._found('daily_key')}")
        time_start = self._integer("time_start", 0, TIME_LIMIT_S - 1)
        time_end = self._integer("time_end", 0, TIME_LIMIT_S - 1)
        if time_end < time_start:
            raise _BadField("time_end", f"lies before time_start ({time_end} < {time_start})")
        if time_end - time_start > MAX_SPAN_DAYS * DAY_S:
            raise _BadField("time_end", f"lies more than {MAX_SPAN_DAYS} days after time_start")
        per_day = self._integer("max", 2, DAY_S) if "max" in self._fields else SLOTS_PER_DAY
        return Case(self._first_index + index, bytes.fromhex(key), time_start, time_end, per_day)

    def _integer(self, field: str, lowest: int, highest: int) -> int:
        event, value = self._fields.get(field, ("", None))
        if event != "number" or type(value) is not int or not lowest <= value <= highest:
            raise _BadField(field, f"must be an integer from {lowest} to {highest}, {self._found(field)}")
        return value

    def _found(self, field: str) -> str:
        if field not in self._fields:
            return "but is missing"
        event, value = self._fields[field]
        if event == "string":
            return f"not the text {shown(value)}" + (f" of {len(value)} characters" if len(value) > 36 else "")
        return f"not {value}" if event == "number" else f"not {_KINDS[event]}"


class _BadField(Exception):
    """A field of an entry that makes the entry unusable."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(why)
        self.field = field
