"""How the kiosk is, for machines: /healthz and Prometheus."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from host_tools.storage.database import Database, StorageError, record_table, token_table

from . import alerts, clock, settings
from .clock import Clock, ClockWrong
from .clock_evidence import believed
from .tables import alert_table, session_table, state_table

LITTLE_ROOM_BYTES = 200_000_000
_ROOM_NAME, _ROOM_BYTES = "health.room", 16_384  # a batch of records needs no less

Trouble = Literal["clock", "database"]


@dataclass(frozen=True, slots=True)
class Health:
    """`troubles` keep wearers from being served; `problems` are sentences for the technician, also of lesser things."""

    troubles: frozenset[Trouble]
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.troubles

    def as_dict(self) -> dict[str, object]:
        return {"ok": self.ok, "problems": self.problems}


def health(database: Database, now: Clock, published_s: int | None = None) -> Health:
    """Whether the database answers and takes what it is given, there is room on its disk, and the clock can be right.

    Args:
        published_s: of the list in use, see clock.check.
    """
    problems: list[str] = []
    try:
        with database.reading() as connection:
            latest_s = connection.scalar(sa.select(sa.func.max(token_table.c.last_sync_s))) or 0
            published_s = believed(connection, published_s)
        if database.failed:
            _try_writing(database)
    except StorageError as error:
        return Health(frozenset({"database"}), (str(error),))
    troubles: set[Trouble] = set()
    try:
        clock.check(now(), latest_s, published_s)
    except ClockWrong as error:
        troubles.add("clock")
        problems.append(str(error))
    if database.sqlite_file:
        free = shutil.disk_usage(Path(database.sqlite_file).resolve().parent).free
        if free < LITTLE_ROOM_BYTES:
            problems.append(f"The disk has {free // 1_000_000} MB left. Make room.")
    return Health(frozenset(troubles), tuple(problems))


def _try_writing(database: Database) -> None:
    # After a failure only: whether as much as a wearer brings can be kept again.
    for value in (os.urandom(_ROOM_BYTES), None):
        with database.writing() as connection:
            settings.put(connection, _ROOM_NAME, value)
    database.failed = False


def metrics(database: Database, now: Clock) -> bytes:
    """What the database tells, in Prometheus' text format. Numbers only: no token, no person.

    Raises:
        StorageError: the database is away.
    """
    registry = CollectorRegistry()

    def gauge(name: str, what: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(f"bluezone_{name}", what, labels, registry=registry)

    with database.reading() as connection:
        t = token_table.c
        count = sa.func.count()
        gauge("tokens", "Tokens known").set(connection.scalar(sa.select(count).select_from(token_table)) or 0)
        recent = sa.select(count).where(t.last_sync_s >= now() - 7 * 86400)
        gauge("tokens_synced_7d", "Tokens that synced within 7 days").set(connection.scalar(recent) or 0)
        latest_s = connection.scalar(sa.select(sa.func.max(t.last_sync_s))) or 0
        gauge("last_sync_timestamp_seconds", "When any token last synced").set(latest_s)
        gauge("records", "Log records stored").set(connection.scalar(sa.select(count).select_from(record_table)) or 0)
        gauge("sessions", "Logged in").set(connection.scalar(sa.select(count).select_from(session_table)) or 0)
        for name, column, what in (
            ("tokens_in_state", state_table.c.state, "Tokens in the ledger by state"),
            ("alerts", alert_table.c.state, "Alerts by state"),
        ):
            by_state = gauge(name, what, ("state",))
            if name == "alerts":
                for state in alerts.OPEN:
                    by_state.labels(state).set(0)
            for state, number in connection.execute(sa.select(column, count).group_by(column)):
                by_state.labels(state).set(number)
    return generate_latest(registry)
