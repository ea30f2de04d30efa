"""Staff lists as CSV, in and out. A list comes in whole or not at all: half of one would look like all of it.

Columns: staff_number, name, agency, district, kind, address, token. The first two are needed; `token` is a short code
or serial, which is assigned unless the person has it already. A list that comes in may have its columns and kinds in
Vietnamese, as the pages call them; one that goes out has these names.
"""

import csv
import io
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from host_tools.errors import UserError
from host_tools.storage.database import Database, token_table

from . import audit
from .clock import Clock
from .handing_out import HandingOut
from .ledger import LedgerError
from .people import PERSON, Entry, People, PersonError, Unit
from .sheet import plain, sheet
from .tables import assignment_table, person_table, unit_table

COLUMNS = ("staff_number", "name", "agency", "district", "kind", "address", "token")
_NEEDED = {"staff_number", "name"}
VIETNAMESE = {
    "staff_number": "Mã nhân viên", "name": "Họ tên", "agency": "Cơ quan", "district": "Quận, huyện", "kind": "Loại",
    "address": "Liên hệ", "token": "Thẻ",
}  # fmt: skip
VIETNAMESE_KINDS = {
    "health": "y tế", "government": "cơ quan nhà nước", "police": "công an", "school": "trường học",
    "company": "doanh nghiệp", "other": "khác",
}  # fmt: skip
_MOST_BYTES = 20_000_000
_NAMED = 20  # faults that a sentence lists


def _key(text: str) -> str:
    """What a heading or a kind is recognised by; a spreadsheet may write an accented letter as two."""
    return " ".join(unicodedata.normalize("NFC", text).split()).casefold()


_HEADINGS = {_key(said): name for name, said in VIETNAMESE.items()}
_KINDS = {_key(said): kind for kind, said in VIETNAMESE_KINDS.items()}


def template(vietnamese: bool) -> str:
    """A list of nobody, to be filled in: its first line alone."""
    return sheet(tuple(VIETNAMESE.values()) if vietnamese else COLUMNS, ())


@dataclass(frozen=True, slots=True)
class Imported:
    """How many persons were entered or changed, and how many tokens were assigned."""

    persons: int
    assigned: int


class StaffCsv:
    """Imports and exports."""

    def __init__(self, database: Database, people: People, now: Clock) -> None:
        self._database = database
        self._people = people
        self._now = now

    def bring_in(self, actor: str, data: bytes) -> Imported:
        """Enter every line.

        Raises:
            UserError: something is wrong; it names the lines. Nothing was changed.
        """
        rows = list(_lines(data))
        faults: dict[int, str] = {}  # by line
        entries = self._entries(rows, faults)  # before the transaction: others write meanwhile
        with self._database.writing() as connection:
            numbers = self._people.enter_in(connection, actor, list(entries.values()))
            tokens = HandingOut(connection)
            wanted = {line: row["token"] for line, row in rows if row["token"]}
            for line, number in zip(entries, numbers, strict=True):
                try:
                    if line in wanted:
                        tokens.assign(wanted[line], number)
                except LedgerError as error:
                    faults[line] = _fault(error)
            if faults:
                raise UserError(_sentence(faults))
            tokens.write(actor, self._now())
            audit.note(connection, self._now(), actor, "import", persons=len(rows), assigned=tokens.count)
        return Imported(len(rows), tokens.count)

    def _entries(self, rows: list[tuple[int, dict[str, str]]], faults: dict[int, str]) -> dict[int, Entry]:
        """Each person's line, sealed; what cannot be one becomes a fault."""
        seen: dict[str, int] = {}
        entries: dict[int, Entry] = {}
        for line, row in rows:
            key = "".join(row["staff_number"].split()).casefold()
            if key in seen:
                faults[line] = f"staff number {row['staff_number']!r} stands in line {seen[key]} too"
                continue
            seen[key] = line
            try:
                kind = _KINDS.get(_key(row["kind"]), row["kind"] or "other")
                unit = Unit(row["agency"], row["district"], kind) if row["agency"] else None
                if unit is None and (row["district"] or row["kind"]):
                    raise PersonError("a unit needs its agency.")
                entries[line] = self._people.entry(row["staff_number"], row["name"], unit, row["address"])
            except PersonError as error:
                faults[line] = _fault(error)
        return entries

    def bring_out(self, actor: str) -> str:
        """All persons with their tokens, in the columns of an import."""
        a, p = assignment_table.c, person_table.c
        holds = sa.and_(a.person_id == p.id, a.until_s.is_(None))
        query = (
            sa.select(*PERSON, token_table.c.short_code)
            .select_from(person_table.outerjoin(unit_table).outerjoin(assignment_table, holds).outerjoin(token_table))
            .where(p.erased_s.is_(None))
            .order_by(p.id)
        )
        with self._database.writing() as connection:
            audit.note(connection, self._now(), actor, "export staff")
            rows = connection.execute(query).all()
        return sheet(COLUMNS, map(self._cells, rows))

    def _cells(self, row: sa.Row) -> tuple[str, ...]:
        person = self._people.opened(row)
        unit = person.unit or Unit("", "", "")
        return (
            person.staff_number, person.name, unit.agency, unit.district, unit.kind, person.address,
            row.short_code or "",
        )  # fmt: skip


def _lines(data: bytes) -> Iterator[tuple[int, dict[str, str]]]:
    if len(data) > _MOST_BYTES:
        raise UserError(f"The list has more than {_MOST_BYTES // 1_000_000} MB. Nothing was changed. Split it.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"The list is not in UTF-8 (line {line}). Nothing was changed. Save it as “CSV UTF-8”."
        ) from None
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in first else ",", strict=True)
    try:
        head = [_HEADINGS.get(_key(cell), _key(cell)) for cell in next(reader, [])]
        unknown = [cell for cell in head if cell not in COLUMNS]
        if unknown or len(set(head)) < len(head) or not set(head) >= _NEEDED:
            raise UserError(
                f"The first line must name columns among {', '.join(COLUMNS)}; staff_number and name are needed. "
                "Nothing was changed."
            )
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(head):
                raise UserError(f"Line {reader.line_num} has {len(row)} cells, not {len(head)}. Nothing was changed.")
            cells = dict.fromkeys(COLUMNS, "") | dict(zip(head, map(plain, row), strict=True))
            yield reader.line_num, cells
    except csv.Error as error:
        raise UserError(f"Line {reader.line_num} is no CSV: {error}. Nothing was changed.") from None


def _fault(error: UserError) -> str:
    return str(error).replace(" Nothing was changed.", "").rstrip(".")


def _sentence(faults: dict[int, str]) -> str:
    shown = "; ".join(f"line {line}: {faults[line]}" for line in sorted(faults)[:_NAMED])
    more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
    return f"The list was not taken in, nothing was changed. Correct {shown}{more}."
