"""The kiosk's database: tokens, the records of their logs, and the sync sessions.

SQLite by default. A record is kept as it came from the token, beside its decoded fields; serial and sequence number
name it for good, for tokens never use a number twice.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa
import sqlalchemy.event
from sqlalchemy.exc import DBAPIError

from host_tools.errors import UserError
from tracing import records as formats
from tracing import wire

SCHEMA_VERSION = 1

_metadata = sa.MetaData()
_schema = sa.Table("schema", _metadata, sa.Column("version", sa.Integer, nullable=False))
_tokens = sa.Table(
    "token",
    _metadata,
    sa.Column("serial", sa.String(16), primary_key=True),
    sa.Column("short_code", sa.String(6), nullable=False, index=True),
    sa.Column("label", sa.String),
    sa.Column("firmware", sa.String),
    sa.Column("battery_mv", sa.Integer),
    sa.Column("boot", sa.Integer),
    sa.Column("last_sync_s", sa.BigInteger),
    sa.Column("damaged", sa.Integer),
    sa.Column("dropped", sa.Integer),
)
_records = sa.Table(
    "record",
    _metadata,
    sa.Column("serial", sa.String(16), sa.ForeignKey("token.serial"), primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True),
    sa.Column("raw", sa.LargeBinary(formats.RECORD_BYTES), nullable=False),
    sa.Column("kind", sa.Integer, nullable=False),
    sa.Column("clock_set", sa.Boolean, nullable=False),
    sa.Column("connected", sa.Boolean, nullable=False),
    sa.Column("boot", sa.Integer, nullable=False),
    sa.Column("start_s", sa.BigInteger, nullable=False),
    sa.Column("duration_s", sa.Integer, nullable=False),
    sa.Column("windows", sa.Integer, nullable=False),
    sa.Column("sightings", sa.Integer, nullable=False),
    sa.Column("rssi_max_dbm", sa.Integer, nullable=False),
    sa.Column("rssi_mean_dbm", sa.Integer, nullable=False),
    sa.Column("bluezone_id", sa.LargeBinary(12), nullable=False),
    sa.Column("received_s", sa.BigInteger, nullable=False),
)
_syncs = sa.Table(
    "sync",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("serial", sa.String(16), sa.ForeignKey("token.serial"), nullable=False),
    sa.Column("finished_s", sa.BigInteger, nullable=False),
    sa.Column("battery_mv", sa.Integer, nullable=False),
    sa.Column("next_seq", sa.BigInteger, nullable=False),
)


class StorageError(UserError):
    """The database cannot be used. The message says what was kept and what to do."""


class StoreConflict(StorageError):
    """A record comes with other content than the one stored under its number: nothing of the batch was stored."""


@dataclass(frozen=True, slots=True)
class Encounter:
    """An encounter as the token logged it; see SPEC.md, "Log record". Times are Unix s, strengths dBm."""

    bluezone_id: bytes
    start_s: int
    duration_s: int
    windows: int
    sightings: int
    rssi_max_dbm: int
    rssi_mean_dbm: int
    connected: bool


@dataclass(frozen=True, slots=True)
class Token:
    """A token that has been seen or named. What is None has never been told."""

    serial: bytes
    short_code: str
    label: str | None
    firmware: str | None
    battery_mv: int | None
    last_sync_s: int | None


def _row(serial: bytes, seq: int, raw: bytes, received_s: int) -> dict[str, Any]:
    fields = formats.unpack_record(raw)
    if fields is None:
        raise StorageError(f"Record {seq} of token {serial.hex()} is damaged. Nothing of its batch was stored.")
    kind_flags, boot, start_s, duration_s, windows, sightings, rssi_max_dbm, rssi_mean_dbm, ident = fields
    return {
        "serial": serial.hex(),
        "seq": seq,
        "raw": raw,
        "kind": kind_flags & 0x0F,
        "clock_set": bool(kind_flags & formats.FLAG_CLOCK_SET),
        "connected": bool(kind_flags & formats.FLAG_CONNECTED),
        "boot": boot,
        "start_s": start_s,
        "duration_s": duration_s,
        "windows": windows,
        "sightings": sightings,
        "rssi_max_dbm": rssi_max_dbm,
        "rssi_mean_dbm": rssi_mean_dbm,
        "bluezone_id": ident,
        "received_s": received_s,
    }


class Store:
    """The database.

    Args:
        place: a file, or an SQLAlchemy URL.

    Raises:
        StorageError: it cannot be opened, is no database of ours, or of a newer version.
    """

    def __init__(self, place: Path | str) -> None:
        self._place = str(place)
        url = self._place if "://" in self._place else f"sqlite:///{self._place}"
        self._engine = sa.create_engine(url)
        if self._engine.dialect.name == "sqlite":
            sqlalchemy.event.listen(self._engine, "connect", _prepare_sqlite)
        with self._transaction() as connection:
            _metadata.create_all(connection)
            version = connection.scalar(sa.select(_schema.c.version))
            if version is None:
                connection.execute(_schema.insert().values(version=SCHEMA_VERSION))
            elif version != SCHEMA_VERSION:
                raise StorageError(
                    f"The database {self._place} has version {version}; this kiosk knows version {SCHEMA_VERSION}. "
                    "Nothing was changed. Update the kiosk's software."
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise StorageError(
                f"The database {self._place} cannot be used: {error.orig}. What had been stored before is kept, and "
                "the token keeps its log until it is stored. Check the disk and the file, then try again."
            ) from error

    # --- What a sync needs; see link.session.RecordStorage -------------------------------------------------------

    def next_seq(self, serial: bytes) -> int:
        """One more than the highest sequence number stored of this token; 0 when there is none."""
        with self._transaction() as connection:
            query = sa.select(sa.func.max(_records.c.seq)).where(_records.c.serial == serial.hex())
            highest = connection.scalar(query)
        return 0 if highest is None else highest + 1

    def store_records(self, serial: bytes, records: list[tuple[int, bytes]], received_s: int) -> int:
        """Store records in one transaction: all or none.

        Returns:
            How many were new; those that are there already with the same content are left alone.

        Raises:
            StoreConflict: one is there with other content.
            StorageError: the database failed, or a record's checksum does not fit.
        """
        if not records:
            return 0
        rows = {seq: _row(serial, seq, bytes(raw), received_s) for seq, raw in records}
        with self._transaction() as connection:
            self._know(connection, serial)
            query = sa.select(_records.c.seq, _records.c.raw).where(
                _records.c.serial == serial.hex(), _records.c.seq.between(min(rows), max(rows))
            )
            for seq, raw in connection.execute(query):
                row = rows.pop(seq, None)
                if row is not None and row["raw"] != raw:
                    raise StoreConflict(
                        f"Record {seq} of token {wire.short_code(serial)} differs from the one stored: the token was "
                        "wiped, or its serial is used twice. Nothing of this batch was stored. Call the technician."
                    )
            if rows:
                connection.execute(_records.insert(), list(rows.values()))
        return len(rows)

    def note_sync(self, serial: bytes, info: Any, now_s: int) -> None:
        """Remember a finished sync and what the token said about itself (link.session.TokenInfo)."""
        with self._transaction() as connection:
            self._know(connection, serial)
            connection.execute(
                _tokens.update()
                .where(_tokens.c.serial == serial.hex())
                .values(
                    firmware=".".join(str(part) for part in info.firmware),
                    battery_mv=info.battery_mv,
                    boot=info.boot,
                    last_sync_s=now_s,
                    damaged=info.damaged,
                    dropped=info.dropped,
                )
            )
            connection.execute(
                _syncs.insert().values(
                    serial=serial.hex(), finished_s=now_s, battery_mv=info.battery_mv, next_seq=info.next_seq
                )
            )

    # --- What the kiosk asks -------------------------------------------------------------------------------------

    def _know(self, connection: sa.Connection, serial: bytes) -> None:
        key = serial.hex()
        if connection.scalar(sa.select(_tokens.c.serial).where(_tokens.c.serial == key)) is None:
            connection.execute(_tokens.insert().values(serial=key, short_code=wire.short_code(serial)))

    def name_token(self, serial: bytes, label: str) -> None:
        """Say whose token it is."""
        with self._transaction() as connection:
            self._know(connection, serial)
            connection.execute(_tokens.update().where(_tokens.c.serial == serial.hex()).values(label=label))

    def tokens(self) -> list[Token]:
        """All tokens, by short code."""
        columns = _tokens.c
        query = sa.select(
            columns.serial, columns.short_code, columns.label, columns.firmware, columns.battery_mv, columns.last_sync_s
        ).order_by(columns.short_code, columns.serial)
        with self._transaction() as connection:
            return [Token(bytes.fromhex(serial), *rest) for serial, *rest in connection.execute(query)]

    def encounters(self, serial: bytes, since_s: int | None = None) -> list[Encounter]:
        """A token's encounters with known time, in the order of the log; from `since_s` (Unix s) on, if given."""
        c = _records.c
        query = (
            sa.select(
                c.bluezone_id,
                c.start_s,
                c.duration_s,
                c.windows,
                c.sightings,
                c.rssi_max_dbm,
                c.rssi_mean_dbm,
                c.connected,
            )
            .where(c.serial == serial.hex(), c.kind == formats.KIND_ENCOUNTER, c.clock_set)
            .order_by(c.seq)
        )
        if since_s is not None:
            query = query.where(c.start_s + c.duration_s >= since_s)
        with self._transaction() as connection:
            return [Encounter(*row) for row in connection.execute(query)]


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # an acknowledged record survives a loss of power
    cursor.close()
