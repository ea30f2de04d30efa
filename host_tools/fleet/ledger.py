"""The ledger: where each token is. Every deed is one transaction with its row in the audit.

    new ─ assign → assigned ─ return → returned ─ wipe → wiped ─ assign → …
    any but revoked ─ lose → lost ─ return (found) → returned
    any but revoked ─ revoke → revoked, for good

A token that nobody has entered is new. What a wearer's log held is not for the next one: a returned token is not
assigned before it has been wiped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from host_tools.errors import UserError
from host_tools.storage.database import Database, token_table
from tracing import wire

from . import audit
from .clock import Clock
from .people import clean
from .tables import assignment_table, person_table, state_table

State = Literal["new", "assigned", "returned", "lost", "revoked", "wiped"]
STATES: tuple[State, ...] = ("new", "assigned", "returned", "lost", "revoked", "wiped")
Deed = Literal["register", "assign", "return", "lose", "revoke", "wipe"]
DEEDS: tuple[Deed, ...] = ("register", "assign", "return", "lose", "revoke", "wipe")

# From which states a deed leads to which.
_WAYS: dict[Deed, tuple[tuple[State, ...], State]] = {
    "assign": (("new", "wiped"), "assigned"),
    "return": (("assigned", "lost"), "returned"),
    "lose": (("new", "assigned", "returned", "wiped"), "lost"),
    "revoke": (("new", "assigned", "returned", "lost", "wiped"), "revoked"),
    "wipe": (("new", "returned"), "wiped"),
}
_WHY_NOT: dict[State, str] = {
    "new": "it is new and with nobody",
    "assigned": "it is with a wearer",
    "returned": "it has been returned and still holds its wearer's log; wipe it first",
    "lost": "it is reported lost; if it has been found, enter its return first",
    "revoked": "it has been revoked, which is for good",
    "wiped": "it has been wiped and is with nobody",
}
_SERIAL_DIGITS = 16


class LedgerError(UserError):
    """A deed that the token's state does not allow."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a token is, since when (Unix s), and with whom (None: nobody)."""

    serial: bytes
    short_code: str
    state: State
    since_s: int
    person_id: int | None


class Ledger:
    """The deeds. `actor` is the account's name; a serial has 8 bytes."""

    def __init__(self, database: Database, now: Clock) -> None:
        self._database = database
        self._now = now

    def register(self, actor: str, serial: bytes, unit: str = "") -> None:
        """Enter a token before any kiosk has seen it; one that is known stays as it is.

        Args:
            unit: who gets it, as an agency's name; one that is known moves there, unless it is empty.
        """
        with self._database.writing() as connection:
            self.register_in(connection, actor, serial, unit)

    def register_in(self, connection: sa.Connection, actor: str, serial: bytes, unit: str = "") -> None:
        """The same within a transaction."""
        key = serial.hex()
        if len(key) != _SERIAL_DIGITS:
            raise LedgerError(f"A serial has {_SERIAL_DIGITS} hex digits, not {len(key)}. Nothing was changed.")
        unit = clean("unit", unit, needed=False)
        t = token_table.c
        before = connection.scalar(sa.select(t.unit).where(t.serial == key))
        if before is None:
            connection.execute(token_table.insert().values(serial=key, short_code=wire.short_code(serial), unit=unit))
        elif unit and unit != before:
            connection.execute(token_table.update().where(t.serial == key).values(unit=unit))
        else:
            return
        audit.note(connection, self._now(), actor, "register", serial, unit=unit)

    def serial(self, text: str) -> bytes:
        """The token that a clerk means: a short code from a label, or a serial's 16 hex digits.

        Raises:
            LedgerError: there is none, or two tokens have the same short code.
        """
        with self._database.reading() as connection:
            return self.serial_in(connection, text)

    def serial_in(self, connection: sa.Connection, text: str) -> bytes:
        """The same within a transaction."""
        c = token_table.c
        wanted = text.strip()
        query = sa.select(c.serial).where(sa.or_(c.short_code == wanted.upper(), c.serial == wanted.lower()))
        return the_one(wanted, [bytes.fromhex(serial) for serial in connection.scalars(query.order_by(c.serial))])

    # --- Deeds -------------------------------------------------------------------------------------------------

    def assign(self, actor: str, serial: bytes, person_id: int) -> None:
        """Give a new or wiped token to a person who has none.

        Raises:
            LedgerError: the token is not free, or the person has one already or is not there.
        """
        with self._database.writing() as connection:
            self.assign_in(connection, actor, serial, person_id)

    def assign_in(self, connection: sa.Connection, actor: str, serial: bytes, person_id: int) -> None:
        """The same within a transaction."""
        self._move(connection, actor, "assign", serial, person_id)
        p, a = person_table.c, assignment_table.c
        if connection.scalar(sa.select(p.id).where(p.id == person_id, p.erased_s.is_(None))) is None:
            raise LedgerError(f"There is no person {person_id}. Nothing was changed. Enter the person first.")
        other = connection.scalar(sa.select(a.serial).where(a.person_id == person_id, a.until_s.is_(None)))
        if other is not None:
            raise has_token(bytes.fromhex(other))
        connection.execute(
            assignment_table.insert().values(serial=serial.hex(), person_id=person_id, since_s=self._now())
        )

    def take_back(self, actor: str, serial: bytes) -> None:
        """A wearer has returned a token, or a lost one has been found."""
        self._do(actor, "return", serial)

    def lose(self, actor: str, serial: bytes) -> None:
        """A token is reported lost: whoever brings it to a kiosk is sent to the clerk."""
        self._do(actor, "lose", serial)

    def revoke(self, actor: str, serial: bytes) -> None:
        """A token is out of use for good."""
        self._do(actor, "revoke", serial)

    def wipe(self, actor: str, serial: bytes) -> None:
        """The technician says that a token's log has been wiped: it may be assigned again."""
        self._do(actor, "wipe", serial)

    def replace(self, actor: str, old: bytes, new: bytes, why: Literal["return", "lose", "revoke"]) -> None:
        """Give the wearer of `old` the token `new`; `why` says what becomes of the old one.

        Raises:
            LedgerError: nobody has the old one, or the new one is not free. Neither has moved then.
        """
        with self._database.writing() as connection:
            person_id = self.standing_in(connection, old).person_id
            if person_id is None:
                raise LedgerError(
                    f"Token {wire.short_code(old)} is with nobody. Nothing was changed. Assign the new one instead."
                )
            self._move(connection, actor, why, old)
            self.assign_in(connection, actor, new, person_id)

    def _do(self, actor: str, deed: Deed, serial: bytes) -> None:
        with self._database.writing() as connection:
            self._move(connection, actor, deed, serial)

    def move_in(self, connection: sa.Connection, actor: str, deed: Deed, serial: bytes) -> None:
        """A deed other than assign, within a transaction."""
        self._move(connection, actor, deed, serial)

    def _move(
        self, connection: sa.Connection, actor: str, deed: Deed, serial: bytes, person_id: int | None = None
    ) -> None:
        standing = self.standing_in(connection, serial)
        after = way(standing, deed)
        key, now_s = serial.hex(), self._now()
        if standing.person_id is not None:
            a = assignment_table.c
            until_s = max(now_s, standing.since_s)
            connection.execute(
                assignment_table.update().where(a.serial == key, a.until_s.is_(None)).values(until_s=until_s)
            )
        connection.execute(state_table.delete().where(state_table.c.serial == key))
        connection.execute(state_table.insert().values(serial=key, state=after, since_s=now_s))
        whom = person_id if person_id is not None else standing.person_id
        audit.note(connection, now_s, actor, deed, serial, whom, before=standing.state)

    # --- Questions ---------------------------------------------------------------------------------------------

    def standing(self, serial: bytes) -> Standing:
        """Where a token is.

        Raises:
            LedgerError: it is not in the ledger.
        """
        with self._database.reading() as connection:
            return self.standing_in(connection, serial)

    def standing_in(self, connection: sa.Connection, serial: bytes) -> Standing:
        """The same within a transaction."""
        found = standings(connection, token_table.c.serial == serial.hex())
        if not found:
            raise LedgerError(
                f"Token {serial.hex()} is not in the ledger. Nothing was changed. Register it, or let a kiosk read it."
            )
        return found[0]


def standings(connection: sa.Connection, which: sa.ColumnElement[bool] | None = None) -> list[Standing]:
    """Where tokens are, by serial: those that `which` names, or all."""
    t, s, a = token_table.c, state_table.c, assignment_table.c
    holds = sa.and_(a.serial == t.serial, a.until_s.is_(None))
    query = (
        sa.select(t.serial, t.short_code, s.state, s.since_s, a.person_id)
        .select_from(token_table.outerjoin(state_table).outerjoin(assignment_table, holds))
        .order_by(t.serial)
    )
    return [
        Standing(bytes.fromhex(serial), code, state or "new", since_s or 0, person_id)
        for serial, code, state, since_s, person_id in connection.execute(
            query if which is None else query.where(which)
        )
    ]


def way(standing: Standing, deed: Deed) -> State:
    """Where a deed leads.

    Raises:
        LedgerError: nowhere, from this state.
    """
    allowed, after = _WAYS[deed]
    if standing.state not in allowed:
        raise LedgerError(
            f"Token {standing.short_code}: {deed} is not possible, since {_WHY_NOT[standing.state]}. "
            "Nothing was changed."
        )
    return after


def the_one(wanted: str, found: Sequence[bytes]) -> bytes:
    """The only serial that fits what a clerk has written.

    Raises:
        LedgerError: there is none, or more than one.
    """
    if not found:
        raise LedgerError(
            f"There is no token {wanted!r} in the ledger. Nothing was changed. Read the six letters on its label "
            "again, or register it by its serial."
        )
    if len(found) > 1:
        raise LedgerError(
            f"{len(found)} tokens have the short code {wanted!r}. Nothing was changed. Name one by its serial: "
            f"{', '.join(serial.hex() for serial in found)}."
        )
    return found[0]


def has_token(serial: bytes) -> LedgerError:
    """Why a person gets no second one."""
    return LedgerError(
        f"This person has token {wire.short_code(serial)} already. Nothing was changed. Enter its return or loss "
        "first, or replace it."
    )
