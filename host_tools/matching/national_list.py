"""The national list of cases in Bluezone's F0 format, read with distrust.

    {"data": [{"daily_key": "64 hex digits", "time_start": 1596844800, "time_end": 1600000000, "max": 96}]}

`daily_key` is the key of the UTC day that contains `time_start`; the keys of later days follow by hashing.
A damaged entry costs that entry; a list that ends too early or is not JSON costs the list, because a
verdict from a list that lacks cases would look like one from the whole.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host_tools.errors import UserError
from host_tools.matching.inputs import Rejection, Rejections, reading, shown
from host_tools.matching.json_stream import COMMENT, BrokenJson, events
from tracing.keys import DAY_S, SLOTS_PER_DAY

MAX_SPAN_DAYS = 180  # no client keeps a history for longer
TIME_LIMIT_S = 1 << 32  # tokens keep Unix times in 32 bits: until 2106

_KEY = re.compile(r"[0-9A-Fa-f]{64}")
_FIELDS = ("daily_key", "time_start", "time_end", "max")


@dataclass(frozen=True, slots=True)
class Case:
    """A usable entry of the list.

    Attributes:
        index: place in the list's `data`, from 0, rejected entries included.
        daily_key: 32 bytes, of the UTC day that contains `time_start`.
        time_start: Unix s; ids that were on the air from here …
        time_end: … to here count.
        max: BluezoneIDs per day, 2..86400.
    """

    index: int
    daily_key: bytes
    time_start: int
    time_end: int
    max: int


@dataclass(frozen=True, slots=True)
class NationalList:
    cases: list[Case]
    rejected: list[Rejection]


def load(path: Path | str) -> NationalList:
    """Read a list of any size; memory grows with the usable cases only.

    Raises:
        UserError: the file cannot be read, is not a list, or ends too early.
    """
    reader = _Reader()
    with reading(Path(path), "national list") as stream:
        try:
            for event, value in events(stream):
                reader.take(event, value)
        except BrokenJson as error:
            raise UserError(
                f"The national list {path} is damaged {reader.place}: {error}. "
                "Nothing of it was used, since cases may be missing; fetch it again."
            ) from None
        except _NotAList as error:
            raise UserError(
                f"{path} is not a national list: {error}. Nothing of it was used; "
                'expected {"data": [{"daily_key": …, "time_start": …, "time_end": …, "max": …}]}.'
            ) from None
    if not reader.has_data:
        raise UserError(f'{path} is not a national list: it has no "data". Nothing of it was used; fetch it again.')
    reader.rejected.close()
    return NationalList(reader.cases, reader.rejected)


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

    def __init__(self) -> None:
        self.cases: list[Case] = []
        self.rejected = Rejections()
        self.has_data = False
        self._depth = _DOCUMENT
        self._in_data = False
        self._entries = 0  # begun so far
        self._key = ""
        self._fields: dict[str, tuple[str, Any]] = {}
        self._repeated = ""

    @property
    def place(self) -> str:
        """Where the reader stands, for a message."""
        if self._in_data and self._depth >= _ENTRY:
            return f"in data[{self._entries - 1}]"
        if self._entries:
            return f"after data[{self._entries - 1}]"
        return "at its beginning"

    def take(self, event: str, value: Any) -> None:
        """One event of the document.

        Raises:
            _NotAList: the document has another shape.
        """
        if event == COMMENT:
            inside = self._in_data and self._depth >= _ENTRY
            entry = f" (data[{self._entries - inside}])" if self._in_data else ""
            self.rejected.add(
                f"line {value}{entry}",
                "a // comment, which JSON does not have; only the comment was left out",
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
        self._entries += 1
        self._fields = {}
        self._repeated = ""
        if event != "start_map":
            self.rejected.add(f"data[{self._entries - 1}]", f"is {_KINDS[event]}, not an object")

    def _finish_entry(self) -> None:
        index = self._entries - 1
        try:
            self.cases.append(self._case(index))
        except _BadField as error:
            self.rejected.add(f"data[{index}].{error.field}", str(error))

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
        return Case(index, bytes.fromhex(key), time_start, time_end, per_day)

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
