"""Persons who wear tokens, and the units that they belong to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from host_tools.errors import UserError
from host_tools.storage.database import Database

from . import audit
from .clock import Clock
from .tables import person_table, unit_table
from .vault import Vault

KINDS = ("health", "government", "police", "school", "company", "other")
_LONGEST = 200  # characters of any text that a clerk enters
_LOOKED_UP = 500  # persons a query


class PersonError(UserError):
    """A person or unit that cannot be entered or is not there."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of an agency, as the province counts them. `kind` is one of KINDS."""

    agency: str
    district: str
    kind: str = "other"


@dataclass(frozen=True, slots=True)
class Person:
    """A wearer. `address` is an e-mail address, a telephone number, or empty: there is no way to alert then."""

    id: int
    staff_number: str
    name: str
    address: str
    unit: Unit | None


def clean(what: str, text: str, needed: bool = True) -> str:
    """A text as it is kept: no spaces around it, no control characters.

    Raises:
        PersonError: empty though needed, too long, or with control characters.
    """
    kept = " ".join(text.split())
    if needed and not kept:
        raise PersonError(f"The {what} is missing. Nothing was changed.")
    if len(kept) > _LONGEST:
        raise PersonError(f"The {what} has {len(kept)} characters; {_LONGEST} at most. Nothing was changed.")
    if not kept.isprintable():
        raise PersonError(f"The {what} has characters that cannot be printed. Nothing was changed.")
    return kept


@dataclass(frozen=True, slots=True)
class Entry:
    """A person as the database keeps them, checked and sealed. `key` is what the staff number is found by."""

    key: bytes
    sealed: dict[str, bytes]
    unit: Unit | None


def staff_key(vault: Vault, staff_number: str) -> bytes:
    """What a staff number is found by; capitals and spaces do not matter."""
    return vault.mac("staff number", "".join(staff_number.split()).casefold())


def checked_unit(unit: Unit) -> Unit:
    """A unit as it is kept.

    Raises:
        PersonError: its agency is missing, or it is of a kind that there is not.
    """
    kept = replace(unit, agency=clean("agency", unit.agency), district=clean("district", unit.district, needed=False))
    if unit.kind not in KINDS:
        raise PersonError(f"The kind of a unit is one of {', '.join(KINDS)}. Nothing was changed.")
    return kept


class People:
    """Enters, finds and shows persons and units; every look at a name is in the audit."""

    def __init__(self, database: Database, vault: Vault, now: Clock) -> None:
        self._database = database
        self._vault = vault
        self._now = now

    # --- Units -------------------------------------------------------------------------------------------------

    def add_unit(self, actor: str, unit: Unit) -> int:
        """Enter a unit, or change the kind of the one with this agency and district; returns its number."""
        with self._database.writing() as connection:
            return self.unit_in(connection, actor, unit)

    def unit_in(self, connection: sa.Connection, actor: str, unit: Unit) -> int:
        """The same within a transaction."""
        unit = checked_unit(unit)
        agency, district = unit.agency, unit.district
        c = unit_table.c
        known = connection.execute(
            sa.select(c.id, c.kind).where(c.agency == agency, c.district == district)
        ).one_or_none()
        if known is None:
            query = unit_table.insert().values(agency=agency, district=district, kind=unit.kind).returning(c.id)
            number = connection.execute(query).scalar_one()
        elif known.kind != unit.kind:
            number = known.id
            connection.execute(unit_table.update().where(c.id == number).values(kind=unit.kind))
        else:
            return known.id
        audit.note(connection, self._now(), actor, "unit", agency=agency, district=district, kind=unit.kind)
        return number

    def units(self) -> dict[int, Unit]:
        """All units by number, in the order of their names."""
        c = unit_table.c
        query = sa.select(c.id, c.agency, c.district, c.kind).order_by(c.agency, c.district)
        with self._database.reading() as connection:
            return {row.id: Unit(row.agency, row.district, row.kind) for row in connection.execute(query)}

    # --- Persons -----------------------------------------------------------------------------------------------

    def enter(self, actor: str, staff_number: str, name: str, unit: Unit | None = None, address: str = "") -> int:
        """Enter a person, or change the one with this staff number; returns the person's number.

        Raises:
            PersonError: a text is missing, too long, or the address is neither e-mail nor telephone.
        """
        entry = self.entry(staff_number, name, unit, address)
        with self._database.writing() as connection:
            return self.enter_in(connection, actor, [entry])[0]

    def entry(self, staff_number: str, name: str, unit: Unit | None, address: str) -> Entry:
        """A person, ready to be entered: the part that takes time and needs no database. Raises as `enter` does."""
        staff_number = clean("staff number", staff_number)
        address = clean("address", address, needed=False)
        if address and "@" not in address and not address.replace(" ", "").removeprefix("+").isdecimal():
            raise PersonError("The address is neither an e-mail address nor a telephone number. Nothing was changed.")
        sealed = {
            "staff_sealed": self._vault.seal("staff number", staff_number),
            "name_sealed": self._vault.seal("name", clean("name", name)),
            "address_sealed": self._vault.seal("address", address),
        }
        return Entry(staff_key(self._vault, staff_number), sealed, None if unit is None else checked_unit(unit))

    def enter_in(self, connection: sa.Connection, actor: str, entries: Sequence[Entry]) -> list[int]:
        """Enter or change persons within a transaction, each only once; returns their numbers in this order."""
        last_first = dict.fromkeys(each.unit for each in reversed(entries) if each.unit is not None)
        units = {unit: self.unit_in(connection, actor, unit) for unit in reversed(last_first)}  # the last kind stays
        known = self._numbers(connection, entries)
        new, changed = [], []
        for entry in entries:
            values = entry.sealed | {"staff_mac": entry.key, "unit_id": entry.unit and units[entry.unit]}
            if entry.key in known:
                changed.append(values | {"number": known[entry.key]})
            else:
                new.append(values)
        if new:
            connection.execute(person_table.insert(), new)
        if changed:
            columns = {name: sa.bindparam(name) for name in changed[0] if name != "number"}
            which = person_table.c.id == sa.bindparam("number")
            connection.execute(person_table.update().where(which).values(columns), changed)
        numbers = self._numbers(connection, entries)
        now_s = self._now()
        audit.note_all(connection, [
            audit.row(now_s, actor, "change person" if each.key in known else "enter person", None, numbers[each.key])
            for each in entries
        ])  # fmt: skip
        return [numbers[each.key] for each in entries]

    def _numbers(self, connection: sa.Connection, entries: Sequence[Entry]) -> dict[bytes, int]:
        c = person_table.c
        numbers: dict[bytes, int] = {}
        for at in range(0, len(entries), _LOOKED_UP):
            keys = [each.key for each in entries[at : at + _LOOKED_UP]]
            rows = connection.execute(sa.select(c.staff_mac, c.id).where(c.staff_mac.in_(keys)))
            numbers.update({bytes(key): number for key, number in rows})
        return numbers

    def find(self, staff_number: str) -> int | None:
        """The number of the person with this staff number."""
        with self._database.reading() as connection:
            return self.find_in(connection, staff_number)

    def find_in(self, connection: sa.Connection, staff_number: str) -> int | None:
        """The same within a transaction."""
        key = staff_key(self._vault, staff_number)
        return connection.scalar(sa.select(person_table.c.id).where(person_table.c.staff_mac == key))

    def look_at(self, actor: str, person_id: int) -> Person:
        """A person by number; the look is in the audit.

        Raises:
            PersonError: there is none, or the person has been erased.
        """
        with self._database.writing() as connection:
            person = self.person_in(connection, person_id)
            audit.note(connection, self._now(), actor, "look at person", person_id=person_id)
        return person

    def person_in(self, connection: sa.Connection, person_id: int) -> Person:
        """A person within a transaction, with no word in the audit: for the machine's own use."""
        p, u = person_table.c, unit_table.c
        query = (
            sa.select(p.staff_sealed, p.name_sealed, p.address_sealed, u.agency, u.district, u.kind)
            .select_from(person_table.outerjoin(unit_table))
            .where(p.id == person_id, p.erased_s.is_(None))
        )
        row = connection.execute(query).one_or_none()
        if row is None:
            raise PersonError(f"There is no person {person_id}, or nothing is held of them any more.")
        return Person(
            person_id,
            self._vault.open("staff number", row.staff_sealed),
            self._vault.open("name", row.name_sealed),
            self._vault.open("address", row.address_sealed),
            None if row.agency is None else Unit(row.agency, row.district, row.kind),
        )
