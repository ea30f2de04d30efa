"""Alerts, in an outbox: one row for each wearer and day with an exposure, which never comes twice.

    waiting ─ claimed → sending ─ the gateway took it → sent
                                ─ it did not → waiting, later; after some attempts: hand
    told: the wearer saw it at the kiosk      hand: a person has to call      dropped: withdrawn, or erased

What can be doubled: when the kiosk dies after the gateway took a message and before that is written down, the message
goes out again after the claim has run out. Nothing can be lost.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from urllib.parse import quote

import sqlalchemy as sa

from host_tools.errors import UserError
from host_tools.storage.database import Database
from tracing import wire

from . import audit, settings
from .clock import Clock
from .people import People, PersonError
from .periods import Period
from .tables import alert_table, assignment_table
from .vault import Vault

WAITING, SENDING, SENT, TOLD, HAND, DROPPED = "waiting", "sending", "sent", "told", "hand", "dropped"
OPEN = (WAITING, SENDING, HAND)
_CLAIM_S = 300
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 60, 6 * 3600
_ATTEMPTS = 10
KINDS = ("mail", "phone")  # of addresses

Send = Callable[[str, str, str], bool]  # apprise URL, title, text → whether the gateway took it


@dataclass(frozen=True, slots=True)
class Alert:
    """A row of the outbox. `problem` says why it has not been sent."""

    id: int
    serial: bytes
    person_id: int
    day: date
    state: str
    attempts: int
    problem: str


@dataclass(frozen=True, slots=True)
class _Claim:
    numbers: tuple[int, ...]
    serial: bytes
    person_id: int
    days: tuple[date, ...]
    attempts: int


def make_in(connection: sa.Connection, period: Period, days: Iterable[date], now_s: int, state: str = WAITING) -> int:
    """Rows for days that have none yet; returns how many are new. `state` is WAITING or TOLD."""
    c = alert_table.c
    known = set(connection.scalars(sa.select(c.day).where(c.assignment_id == period.id)))
    wanted = {day.isoformat() for day in days}
    rows = [
        {"assignment_id": period.id, "day": day, "state": state, "made_s": now_s, "next_s": now_s, "attempts": 0,
         "problem": ""}
        for day in sorted(wanted - known)
    ]  # fmt: skip
    if rows:
        connection.execute(alert_table.insert(), rows)
    if state == TOLD:
        told = sa.and_(c.assignment_id == period.id, c.day.in_(sorted(wanted)), c.state.in_((WAITING, HAND)))
        connection.execute(alert_table.update().where(told).values(state=TOLD))
    else:
        again = sa.and_(c.assignment_id == period.id, c.day.in_(sorted(wanted)), c.state == DROPPED)
        connection.execute(alert_table.update().where(again).values(state=WAITING, next_s=now_s))
    return len(rows)


def withdraw_in(connection: sa.Connection, period: Period, days: Iterable[str] | None = None) -> None:
    """Days (ISO dates; None: all) on which there is no exposure any more: what has not been sent is not sent."""
    c = alert_table.c
    which = sa.and_(c.assignment_id == period.id, c.state.in_(OPEN))
    if days is not None:
        which = sa.and_(which, c.day.in_(sorted(days)))
    connection.execute(alert_table.update().where(which).values(state=DROPPED))


def message(name: str, days: Iterable[date]) -> tuple[str, str]:
    """Title and text of an alert: Vietnamese first; the wearer's own name, no other, and no case."""
    listed = ", ".join(f"{day:%d/%m/%Y}" for day in sorted(days))
    title = "Bluezone: cảnh báo tiếp xúc gần / close contact"
    text = (
        f"{name}: theo danh sách F0 mới, bạn là người có nguy cơ nhiễm (F1) do tiếp xúc gần ngày {listed}. Hãy đeo "
        "khẩu trang, hạn chế tiếp xúc và liên hệ cán bộ y tế của đơn vị.\n\n"
        f"{name}: by the new list, you had close contact (F1) on {listed}. Wear a mask, meet as few people as you can, "
        "and call your unit's health officer."
    )
    return title, text


def kind_of(address: str) -> str:
    """Of KINDS."""
    return "mail" if "@" in address else "phone"


def address_url(template: str, address: str) -> str:
    """The apprise URL that reaches an address."""
    return template.replace("{address}", quote(address.replace(" ", ""), safe="@+"))


def send_by_apprise(url: str, title: str, text: str) -> bool:
    """Hand a message to a gateway."""
    import apprise

    gateway = apprise.Apprise()
    return bool(gateway.add(url)) and bool(gateway.notify(body=text, title=title))


class Alerts:
    """Sends what is waiting."""

    def __init__(self, database: Database, vault: Vault, people: People, now: Clock) -> None:
        self._database = database
        self._vault = vault
        self._people = people
        self._now = now

    def set_gateway(self, actor: str, kind: str, template: str) -> None:
        """How to reach addresses of a kind: an apprise URL with `{address}` in it; empty: not at all.

        Raises:
            UserError: no such kind, or no `{address}` in it.
        """
        if kind not in KINDS:
            raise UserError(f"Addresses are of kind {' or '.join(KINDS)}, not {kind!r}. Nothing was changed.")
        if template and "{address}" not in template:
            raise UserError("A gateway's URL needs {address} where the wearer's goes. Nothing was changed.")
        sealed = self._vault.seal("gateway", template) if template else None  # it holds the gateway's password
        with self._database.writing() as connection:
            settings.put(connection, f"gateway.{kind}", sealed)
            audit.note(connection, self._now(), actor, "gateway", kind=kind, on=bool(template))

    def open_ones(self, limit: int = 200) -> list[Alert]:
        """What has not reached its wearer, oldest first; those in state "hand" wait for a person."""
        a, g = alert_table.c, assignment_table.c
        query = (
            sa.select(a.id, g.serial, g.person_id, a.day, a.state, a.attempts, a.problem)
            .select_from(alert_table.join(assignment_table))
            .where(a.state.in_(OPEN))
            .order_by(a.id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [
                Alert(number, bytes.fromhex(serial), person, date.fromisoformat(day), *rest)
                for number, serial, person, day, *rest in connection.execute(query)
            ]

    def told_by_hand(self, actor: str, alert_id: int) -> None:
        """Somebody has told the wearer."""
        c = alert_table.c
        with self._database.writing() as connection:
            query = alert_table.update().where(c.id == alert_id, c.state.in_(OPEN)).values(state=TOLD)
            if not connection.execute(query).rowcount:
                raise UserError(
                    f"There is no open alert {alert_id}: somebody else has seen to it. Nothing was changed."
                )
            audit.note(connection, self._now(), actor, "told by hand", alert=alert_id)

    def deliver(self, send: Send = send_by_apprise) -> int:
        """Send everything that is due; returns how many messages gateways took. Several kiosks may do it at once."""
        taken = 0
        while claim := self._claim():
            taken += self._one(claim, send)
        return taken

    def _claim(self) -> _Claim | None:
        a, g = alert_table.c, assignment_table.c
        due = sa.and_(a.state.in_((WAITING, SENDING)), a.next_s <= self._now())
        with self._database.writing() as connection:
            first = connection.execute(
                sa.select(a.assignment_id, g.serial, g.person_id)
                .select_from(alert_table.join(assignment_table))
                .where(due)
                .order_by(a.next_s, a.id)
                .limit(1)
            ).one_or_none()
            if first is None:
                return None
            mine = sa.select(a.id, a.day, a.attempts).where(due, a.assignment_id == first.assignment_id).order_by(a.day)
            rows = connection.execute(mine).all()
            numbers = tuple(row.id for row in rows)
            claimed = {"state": SENDING, "next_s": self._now() + _CLAIM_S}
            connection.execute(alert_table.update().where(a.id.in_(numbers)).values(claimed))
        days = tuple(date.fromisoformat(row.day) for row in rows)
        attempts = max(row.attempts for row in rows) + 1
        return _Claim(numbers, bytes.fromhex(first.serial), first.person_id, days, attempts)

    def _one(self, claim: _Claim, send: Send) -> bool:
        url, name, problem = self._way(claim)
        if not url:
            self._settle(claim, HAND, 0, problem)
            return False
        try:
            taken = send(url, *message(name, claim.days))
        except Exception as error:  # whatever a gateway's library does, the alert stays in the outbox
            taken, problem = False, type(error).__name__
        if taken:
            self._settle(claim, SENT, 0, "")
        else:
            pause_s = min(_FIRST_PAUSE_S << (claim.attempts - 1), _LONGEST_PAUSE_S)
            state = WAITING if claim.attempts < _ATTEMPTS else HAND
            self._settle(claim, state, pause_s, problem or "the gateway did not take it")
        return taken

    def _way(self, claim: _Claim) -> tuple[str, str, str]:
        """(URL, name, why there is none)."""
        with self._database.reading() as connection:
            try:
                person = self._people.person_in(connection, claim.person_id)
            except PersonError as error:
                return "", "", str(error)
            kind = kind_of(person.address)
            sealed = settings.get(connection, f"gateway.{kind}")
        if not person.address:
            return "", "", "no address is known"
        if sealed is None:
            return "", "", f"no gateway for addresses of kind {kind} is set"
        template = self._vault.open("gateway", sealed)
        return address_url(template, person.address), person.name, ""

    def _settle(self, claim: _Claim, state: str, pause_s: int, problem: str) -> None:
        values = {"state": state, "attempts": claim.attempts, "problem": problem, "next_s": self._now() + pause_s}
        # Who has been told meanwhile stays told.
        mine = sa.and_(alert_table.c.id.in_(claim.numbers), alert_table.c.state == SENDING)
        with self._database.writing() as connection:
            connection.execute(alert_table.update().where(mine).values(values))
            audit.note(
                connection, self._now(), "kiosk", f"alert {state}", claim.serial, claim.person_id,
                code=wire.short_code(claim.serial), attempts=claim.attempts,
            )  # fmt: skip
