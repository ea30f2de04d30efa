"""Who did what when, to which token or person. Rows are added in the transaction of the deed, never changed.

No row holds a name: a person is a number, which leads nowhere once the person has been erased.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from host_tools.storage.database import Database

from .tables import audit_table


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One deed. `at_s` is Unix s, `actor` an account, "console:…" or "kiosk"; `detail` depends on the action."""

    id: int
    at_s: int
    actor: str
    action: str
    serial: bytes | None
    person_id: int | None
    detail: dict[str, Any]


def note(
    connection: sa.Connection,
    at_s: int,
    actor: str,
    action: str,
    serial: bytes | None = None,
    person_id: int | None = None,
    **detail: Any,
) -> None:
    """Add a row. What happens in the same transaction and this row stand or fall together."""
    connection.execute(audit_table.insert().values(row(at_s, actor, action, serial, person_id, **detail)))


def row(
    at_s: int, actor: str, action: str, serial: bytes | None = None, person_id: int | None = None, **detail: Any
) -> dict[str, Any]:
    """A row that `note_all` adds with others."""
    return {
        "at_s": at_s,
        "actor": actor,
        "action": action,
        "serial": None if serial is None else serial.hex(),
        "person_id": person_id,
        "detail": json.dumps(detail, ensure_ascii=False),
    }


def note_all(connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Add many rows at once."""
    if rows:
        connection.execute(audit_table.insert(), rows)


class Audit:
    """Reads the audit log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def rows(
        self,
        serial: bytes | None = None,
        person_id: int | None = None,
        actor: str | None = None,
        actions: Sequence[str] = (),
        before_id: int | None = None,
        limit: int = 50,
    ) -> list[AuditRow]:
        """The newest rows first; the next page has the last row's id as `before_id`."""
        c = audit_table.c
        query = sa.select(c.id, c.at_s, c.actor, c.action, c.serial, c.person_id, c.detail).order_by(c.id.desc())
        if serial is not None:
            query = query.where(c.serial == serial.hex())
        if person_id is not None:
            query = query.where(c.person_id == person_id)
        if actor is not None:
            query = query.where(c.actor == actor)
        if actions:
            query = query.where(c.action.in_(actions))
        if before_id is not None:
            query = query.where(c.id < before_id)
        with self._database.reading() as connection:
            return [_row(row) for row in connection.execute(query.limit(limit))]


def _row(row: Any) -> AuditRow:
    number, at_s, actor, action, serial, person_id, detail = row
    token = None if serial is None else bytes.fromhex(serial)
    return AuditRow(number, at_s, actor, action, token, person_id, json.loads(detail))
