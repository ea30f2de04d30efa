"""Alerts, in an outbox: one row for each wearer and day with an exposure, which never comes twice.

    waiting ─ claimed → sending ─ the gateway took it → sent
                                ─ it did not → waiting, later; after some attempts: hand
    told: the wearer saw it at the kiosk      hand: a person has to call      dropped: withdrawn, or erased

A message goes out at least once, and as a rule once: one kiosk of a database sends at a time. It goes out again when
the gateway took it and, before that is written down, the kiosk dies or the time for an answer runs out. Every claim
counts as an attempt, so a message that ends the kiosk each time comes to a person in the end. Nothing can be lost.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from host_tools.errors import UserError
from host_tools.matching.day_result import DayResult
from host_tools.storage.database import Database
from tracing import wire

from . import audit, days, settings
from .clock import Clock
from .gateway import SAMPLES, NoWay, Send, TooSlow, known, send_by_apprise, within
from .people import People, PersonError
from .periods import Period
from .tables import alert_table, assignment_table, result_table
from .vault import Vault

WAITING, SENDING, SENT, TOLD, HAND, DROPPED = "waiting", "sending", "sent", "told", "hand", "dropped"
OPEN = (WAITING, SENDING, HAND)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 60, 6 * 3600
_ATTEMPTS = 10
ANSWER_S = 60.0  # for so long a gateway may take
_FAILURES = 3  # in a row: what is left waits for the next round, or for another kiosk
_SENDERS = 0x414C  # PostgreSQL's name of the lock that who sends holds
KINDS = tuple(SAMPLES)  # of addresses
_FOUND = [column.label(f"found_{column.name}") for column in days.COLUMNS]
_ALERT_CELLS = 7  # before _FOUND


@dataclass(frozen=True, slots=True)
class Alert:
    """A row of the outbox. `problem` says why it has not been sent, `found` why there is an alert at all."""

    id: int
    serial: bytes
    person_id: int
    day: date
    state: str
    attempts: int
    problem: str
    found: DayResult | None = None


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
        told = sa.and_(c.assignment_id == period.id, c.day.in_(sorted(wanted)), c.state.in_((WAITING, HAND, DROPPED)))
        connection.execute(alert_table.update().where(told).values(state=TOLD))
    else:
        again = sa.and_(c.assignment_id == period.id, c.day.in_(sorted(wanted)), c.state == DROPPED)
        connection.execute(alert_table.update().where(again).values(state=WAITING, next_s=now_s, attempts=0))
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
            UserError: no such kind, no `{address}` in it, or apprise does not know what to do with it.
        """
        if kind not in KINDS:
            raise UserError(f"Addresses are of kind {' or '.join(KINDS)}, not {kind!r}. Nothing was changed.")
        if template and "{address}" not in template:
            raise UserError("A gateway's URL needs {address} where the wearer's goes. Nothing was changed.")
        if template and not known(address_url(template, SAMPLES[kind])):
            raise UserError(
                f"apprise knows no gateway like this one, with the address {SAMPLES[kind]}. Nothing was changed. See "
                "https://appriseit.com for the URL of yours."
            )
        sealed = self._vault.seal("gateway", template) if template else None  # it holds the gateway's password
        with self._database.writing() as connection:
            settings.put(connection, f"gateway.{kind}", sealed)
            audit.note(connection, self._now(), actor, "gateway", kind=kind, on=bool(template))

    def open_ones(self, limit: int = 200) -> list[Alert]:
        """What has not reached its wearer, oldest first; those in state "hand" wait for a person."""
        a, g, r = alert_table.c, assignment_table.c, result_table.c
        its_result = sa.and_(r.serial == g.serial, r.assignment_id == g.id, r.day == a.day)
        query = (
            sa.select(a.id, g.serial, g.person_id, a.day, a.state, a.attempts, a.problem, *_FOUND)
            .select_from(alert_table.join(assignment_table).outerjoin(result_table, its_result))
            .where(a.state.in_(OPEN))
            .order_by(a.id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [_alert(row, tuple(row)[_ALERT_CELLS:]) for row in connection.execute(query)]

    def look_at(self, actor: str) -> list[Alert]:
        """As `open_ones`; the look is in the audit, for it says whom somebody infected was near."""
        found = self.open_ones()
        with self._database.writing() as connection:
            audit.note(connection, self._now(), actor, "look at alerts", shown=len(found))
        return found

    def told_by_hand(self, actor: str, alert_id: int) -> None:
        """Somebody has told the wearer."""
        c = alert_table.c
        with self._database.writing() as connection:
            query = alert_table.update().where(c.id == alert_id, c.state.in_(OPEN)).values(state=TOLD)
            told = connection.execute(query.returning(c.assignment_id)).scalar_one_or_none()
            if told is None:
                raise UserError(
                    f"There is no open alert {alert_id}: somebody else has seen to it. Nothing was changed."
                )
            a = assignment_table.c
            serial, person_id = connection.execute(sa.select(a.serial, a.person_id).where(a.id == told)).one()
            audit.note(connection, self._now(), actor, "told by hand", bytes.fromhex(serial), person_id, alert=alert_id)

    def deliver(self, send: Send = send_by_apprise) -> int:
        """Send what is due; returns how many messages gateways took. While another kiosk is at it, nothing happens."""
        taken = failures = 0
        with self._database.alone("sending", _SENDERS) as alone:
            while alone and failures < _FAILURES and (claim := self._claim()):
                sent = self._one(claim, send)
                taken += sent
                failures = 0 if sent else failures + 1
        return taken

    def _claim(self) -> _Claim | None:
        a, g = alert_table.c, assignment_table.c
        now_s = self._now()
        # A time that lies farther ahead than any pause is of a clock that was wrong. And who left a message in SENDING
        # has died, for nobody else sends now.
        pause_over = sa.or_(a.next_s <= now_s, a.next_s > now_s + _LONGEST_PAUSE_S)
        due = sa.or_(sa.and_(a.state == WAITING, pause_over), a.state == SENDING)
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
            attempts = max(row.attempts for row in rows) + 1
            claimed = {"state": SENDING, "next_s": now_s, "attempts": attempts}
            connection.execute(alert_table.update().where(a.id.in_(numbers)).values(claimed))
        on_days = tuple(date.fromisoformat(row.day) for row in rows)
        return _Claim(numbers, bytes.fromhex(first.serial), first.person_id, on_days, attempts)

    def _one(self, claim: _Claim, send: Send) -> bool:
        if claim.attempts > _ATTEMPTS:
            self._settle(claim, HAND, 0, "the kiosk ended while it was being sent; it may have arrived")
            return False
        url, name, problem = self._way(claim)
        if not url:
            self._settle(claim, HAND, 0, problem)
            return False
        try:
            taken = within(ANSWER_S, send, url, *message(name, claim.days))
        except NoWay:
            self._settle(claim, HAND, 0, "the gateway does not know such an address")
            return False
        except TooSlow:
            taken, problem = False, "the gateway did not answer in time; it may have taken it"
        except Exception as error:  # whatever a gateway's library does, the alert stays in the outbox
            taken, problem = False, f"the gateway failed ({type(error).__name__})"
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
        # Who has been told meanwhile stays told; what was withdrawn meanwhile stays so, unless it has gone out.
        replaced = (SENDING, DROPPED) if state == SENT else (SENDING,)
        c = alert_table.c
        mine = sa.and_(c.id.in_(claim.numbers), c.state.in_(replaced), c.attempts == claim.attempts)
        with self._database.writing() as connection:
            connection.execute(alert_table.update().where(mine).values(values))
            audit.note(
                connection, self._now(), "kiosk", f"alert {state}", claim.serial, claim.person_id,
                code=wire.short_code(claim.serial), attempts=claim.attempts,
            )  # fmt: skip


def _alert(row: sa.Row, found: tuple[Any, ...]) -> Alert:
    return Alert(
        row.id,
        bytes.fromhex(row.serial),
        row.person_id,
        date.fromisoformat(row.day),
        row.state,
        row.attempts,
        row.problem,
        days.from_row(found) if found[0] else None,
    )
