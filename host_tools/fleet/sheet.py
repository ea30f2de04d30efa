"""CSV for spreadsheets, which take cells that begin in certain ways for formulas, and know UTF-8 by a mark."""

import csv
import io
import re
from collections.abc import Iterable, Sequence

# What begins a formula, in either width. A spreadsheet whose numbers have a decimal comma, as in Vietnamese, cuts lines
# at semicolons, whatever the quotes of a CSV with commas say: behind one a cell begins, too.
_BEGINS = r"""(?=[\s"]*[=+\-@＝＋－＠]|[\t\r\n])"""
_FORMULA, _TAMED = re.compile(f"(^|;){_BEGINS}"), re.compile(f"(^|;)'{_BEGINS}")


def sheet(columns: Sequence[str], rows: Iterable[Iterable[str | int]]) -> str:
    """A table with its head; text that would be a formula has an apostrophe before it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_FORMULA.sub(r"\1'", cell) if isinstance(cell, str) else cell for cell in row])
    return "\ufeff" + out.getvalue()


def plain(cell: str) -> str:
    """What a cell of `sheet` held, whether a spreadsheet has kept the apostrophe or not."""
    return _TAMED.sub(r"\1", cell.strip())
