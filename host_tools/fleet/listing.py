"""The fleet as a list, a page at a time, and each unit's share of tokens that have synced."""

from dataclasses import dataclass, replace

import sqlalchemy as sa

from host_tools.storage.database import Database, token_table

from . import alerts, audit
from .clock import Clock
from .ledger import DEEDS, State
from .people import Unit, staff_key
from .tables import alert_table, assignment_table, person_table, state_table, unit_table
from .vault import Vault

PAGE = 50
_SPARE: tuple[State, ...] = ("new", "returned", "wiped")
RECENT_S = 7 * 86400  # what units are asked for: synced within the last 7 days


@dataclass(frozen=True, slots=True)
class Row:
    """A token in the list. `name` and `staff_number` are empty when nobody has it, or who looks may not know.

    `alerts` are open ones. `unit` is its wearer's; of a token that is with nobody, the one that got it.
    """

    serial: bytes
    short_code: str
    state: State
    since_s: int
    person_id: int | None
    name: str
    staff_number: str
    unit: Unit | None
    battery_mv: int | None
    last_sync_s: int | None
    alerts: int


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of `total`, from `offset` on."""

    rows: list[Row]
    total: int
    offset: int


@dataclass(frozen=True, slots=True)
class Share:
    """Of one unit: tokens with its people, and how many of them have synced within the last 7 days.

    `spare` are tokens that the unit got and that are with nobody: new, returned or wiped.
    """

    unit: Unit
    tokens: int
    recent: int
    spare: int = 0

    @property
    def percent(self) -> int:
        return 100 * self.recent // self.tokens if self.tokens else 0


class Listing:
    """Lists for clerks; that somebody looked is in the audit."""

    def __init__(self, database: Database, vault: Vault, now: Clock) -> None:
        self._database = database
        self._vault = vault
        self._now = now

    def page(
        self,
        actor: str,
        search: str = "",
        state: State | None = None,
        unit_id: int | None = None,
        offset: int = 0,
        limit: int = PAGE,
        people: bool = True,
    ) -> Page:
        """Tokens in the order of their short codes.

        Args:
            search: the beginning of a short code or serial, or a whole staff number. Names are sealed and not searched.
            people: without, no row says whose it is, and staff numbers are not searched.
        """
        t, s, a, p, u = token_table.c, state_table.c, assignment_table.c, person_table.c, unit_table.c
        holds = sa.and_(a.serial == t.serial, a.until_s.is_(None))
        where: list[sa.ColumnElement[bool]] = []
        wanted = search.strip()
        own = p.staff_mac == staff_key(self._vault, wanted)
        if wanted:
            found = [
                t.short_code.startswith(wanted.upper(), autoescape=True),
                t.serial.startswith(wanted.lower(), autoescape=True),
            ]
            where.append(sa.or_(*found, own) if people else sa.or_(*found))
        if state is not None:
            where.append(sa.or_(s.state == state, s.state.is_(None)) if state == "new" else s.state == state)
        if unit_id is not None:
            got = sa.select(u.agency).where(u.id == unit_id, u.district == "").scalar_subquery()
            where.append(sa.or_(p.unit_id == unit_id, sa.and_(a.id.is_(None), t.unit == got)))
        joined = token_table.outerjoin(state_table).outerjoin(assignment_table, holds).outerjoin(person_table)
        count = sa.select(sa.func.count()).select_from(joined).where(*where)
        open_alerts = (
            sa.select(sa.func.count())
            .where(alert_table.c.assignment_id == a.id, alert_table.c.state.in_(alerts.OPEN))
            .scalar_subquery()
        )
        query = (
            sa.select(
                t.serial, t.short_code, s.state, s.since_s, a.person_id, p.name_sealed, p.staff_sealed,
                t.unit, u.agency, u.district, u.kind, t.battery_mv, t.last_sync_s, open_alerts.label("alerts"),
            )
            .select_from(joined.outerjoin(unit_table))
            .where(*where)
            .order_by(t.short_code, t.serial)
            .offset(offset)
            .limit(limit)
        )  # fmt: skip
        with self._database.writing() as connection:
            total = connection.scalar(count) or 0
            rows = [self._row(row, people) for row in connection.execute(query)]
            person_id = connection.scalar(sa.select(p.id).where(own)) if wanted and people else None
            told = wanted[:20] if any(_begins(row, wanted) for row in rows) and person_id is None else ""
            audit.note(
                connection, self._now(), actor, "look at fleet", person_id=person_id, search=told, shown=len(rows)
            )
        return Page(rows, total, offset)

    def _row(self, row: sa.Row, people: bool) -> Row:
        name, staff_number = (row.name_sealed, row.staff_sealed) if people else (None, None)
        return Row(
            bytes.fromhex(row.serial), row.short_code, row.state or "new", row.since_s or 0,
            row.person_id if people else None, self._opened("name", name), self._opened("staff number", staff_number),
            _unit(row), row.battery_mv, row.last_sync_s, row.alerts,
        )  # fmt: skip

    def _opened(self, field: str, sealed: bytes | None) -> str:
        return "" if sealed is None else self._vault.open(field, sealed)

    def history(self, actor: str, serial: bytes) -> list[audit.AuditRow]:
        """All deeds of a token, oldest first; the look is in the audit."""
        with self._database.writing() as connection:
            audit.note(connection, self._now(), actor, "look at history", serial)
        deeds = audit.Audit(self._database).rows(serial=serial, actions=DEEDS, limit=100_000)
        return deeds[::-1]

    def shares(self) -> list[Share]:
        """Every unit that has tokens, with its people or in its store, in the order of their names."""
        t, s, a, p, u = token_table.c, state_table.c, assignment_table.c, person_table.c, unit_table.c
        recent = sa.func.sum(sa.case((t.last_sync_s >= self._now() - RECENT_S, 1), else_=0))
        query = (
            sa.select(u.agency, u.district, u.kind, sa.func.count(), recent)
            .select_from(assignment_table.join(token_table).join(person_table).join(unit_table))
            .where(a.until_s.is_(None), p.unit_id == u.id)
            .group_by(u.id, u.agency, u.district, u.kind)
        )
        whole = u.district == ""  # boxes go to an agency
        held = sa.exists().where(a.serial == t.serial, a.until_s.is_(None))
        stored = (
            sa.select(t.unit, u.kind, sa.func.count())
            .select_from(token_table.outerjoin(state_table).outerjoin(unit_table, sa.and_(u.agency == t.unit, whole)))
            .where(t.unit != "", ~held, sa.or_(s.state.is_(None), s.state.in_(_SPARE)))
            .group_by(t.unit, u.kind)
        )
        with self._database.reading() as connection:
            found = {row[:2]: Share(Unit(*row[:3]), row[3], int(row[4])) for row in connection.execute(query)}
            for agency, kind, spare in connection.execute(stored):
                share = found.get((agency, ""), Share(Unit(agency, "", kind or "other"), 0, 0))
                found[agency, ""] = replace(share, spare=spare)
        return [found[key] for key in sorted(found)]


def _begins(row: Row, text: str) -> bool:
    # What is no token's code may be a staff number, mistyped or of somebody erased: the audit does not keep it.
    return row.short_code.startswith(text.upper()) or row.serial.hex().startswith(text.lower())


def _unit(row: sa.Row) -> Unit | None:
    if row.agency is not None:
        return Unit(row.agency, row.district, row.kind)
    return Unit(row.unit, "") if row.unit and row.person_id is None else None
