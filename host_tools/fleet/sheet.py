"""CSV for spreadsheets, which take cells that begin in certain ways for formulas, and know UTF-8 by a mark."""

import csv
import io
from collections.abc import Iterable, Sequence

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def sheet(columns: Sequence[str], rows: Iterable[Iterable[str | int]]) -> str:
    """A table with its head; text that would be a formula has an apostrophe before it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell for cell in row])
    return "\ufeff" + out.getvalue()


def plain(cell: str) -> str:
    """What a cell of `sheet` held, whether a spreadsheet has kept the apostrophe or not."""
    cell = cell.strip()
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell
