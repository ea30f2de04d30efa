"""Kept results as rows of the database."""

from dataclasses import asdict, fields
from datetime import date
from typing import Any

import sqlalchemy as sa

from host_tools.matching.day_result import DayResult

from .periods import Period
from .tables import result_table

COLUMNS = tuple(result_table.c[field.name] for field in fields(DayResult))


def from_row(cells: Any) -> DayResult:
    """The result in the cells of COLUMNS."""
    day, *rest = cells
    return DayResult(date.fromisoformat(day), *rest)


def as_row(result: DayResult) -> dict[str, Any]:
    """The cells by column."""
    return asdict(result) | {"day": result.day.isoformat()}


def results_of(serial: bytes, period: Period | None) -> sa.ColumnElement[bool]:
    """Which rows are those of a token with one wearer (None: while it was with nobody)."""
    c = result_table.c
    return sa.and_(c.serial == serial.hex(), c.assignment_id == number(period))


def results_in(connection: sa.Connection, serial: bytes, period: Period | None) -> list[DayResult]:
    """What was found of a token with one wearer, oldest first."""
    query = sa.select(*COLUMNS).where(results_of(serial, period)).order_by(result_table.c.day)
    return [from_row(row) for row in connection.execute(query)]


def number(period: Period | None) -> int:
    """What stands for a wearer in a row; 0: nobody."""
    return 0 if period is None else period.id
