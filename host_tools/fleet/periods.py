"""Whose records they are: the time in which a token was with one person."""

from dataclasses import dataclass

import sqlalchemy as sa

from host_tools.storage.database import record_table, token_table

from .tables import assignment_table, person_table, state_table

FREE = ("new", "wiped")  # states of a token that is with whoever holds it


@dataclass(frozen=True, slots=True)
class Period:
    """An assignment: `since_s` ≤ time < `until_s` (Unix s; None: it goes on)."""

    id: int
    serial: bytes
    person_id: int
    since_s: int
    until_s: int | None

    def holds(self, time_s: int) -> bool:
        return self.since_s <= time_s and (self.until_s is None or time_s < self.until_s)


def periods(connection: sa.Connection, serial: bytes | None = None, person_id: int | None = None) -> list[Period]:
    """Assignments of a token, of a person, or all, oldest first; not those of persons who have been erased."""
    a = assignment_table.c
    query = (
        sa.select(a.id, a.serial, a.person_id, a.since_s, a.until_s)
        .select_from(assignment_table.join(person_table))
        .where(person_table.c.erased_s.is_(None))
        .order_by(a.id)
    )
    if serial is not None:
        query = query.where(a.serial == serial.hex())
    if person_id is not None:
        query = query.where(a.person_id == person_id)
    return [Period(row[0], bytes.fromhex(row[1]), *row[2:]) for row in connection.execute(query)]


def records_of(connection: sa.Connection, period: Period) -> sa.ColumnElement[bool]:
    """Which records belong to a period. A record whose time nobody knows belongs to whom had the token when it was
    read, or before."""
    r, a = record_table.c, assignment_table.c
    key = period.serial.hex()
    after_s = connection.scalar(sa.select(sa.func.min(a.since_s)).where(a.serial == key, a.id > period.id))
    timed = sa.and_(r.clock_set, r.start_s >= period.since_s)
    untimed = sa.and_(sa.not_(r.clock_set), r.received_s >= period.since_s)
    if period.until_s is not None:
        timed = sa.and_(timed, r.start_s < period.until_s)
    if after_s is not None:
        untimed = sa.and_(untimed, r.received_s < after_s)
    return sa.and_(r.serial == key, sa.or_(timed, untimed))


def is_nobodys(connection: sa.Connection, serial: bytes) -> bool:
    """Whether a token belongs to whoever holds it: it is with no person, nor lost, returned or revoked."""
    s = state_table.c
    return connection.scalar(sa.select(s.state).where(s.serial == serial.hex())) in (None, *FREE)


def nobodys_records(connection: sa.Connection, serial: bytes) -> sa.ColumnElement[bool]:
    """Which records belong to whoever holds a token that is with no person: not those of an earlier wearer."""
    a, r = assignment_table.c, record_table.c
    last_s = connection.scalar(sa.select(sa.func.max(a.until_s)).where(a.serial == serial.hex())) or 0
    return sa.and_(r.serial == serial.hex(), r.start_s >= last_s)


def drop_records(connection: sa.Connection, which: sa.ColumnElement[bool]) -> int:
    """Delete records for good: they are not read from their tokens again. Returns how many."""
    r = record_table.c
    highest = sa.select(r.serial, sa.func.max(r.seq)).where(which).group_by(r.serial)
    for serial, seq in connection.execute(highest).all():
        known = sa.and_(token_table.c.serial == serial, token_table.c.kept_from_seq <= seq)
        connection.execute(token_table.update().where(known).values(kept_from_seq=seq + 1))
    return connection.execute(record_table.delete().where(which)).rowcount
