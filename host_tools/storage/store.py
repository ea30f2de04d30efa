"""The kiosk's store: tokens, the records of their logs, and the sync sessions.

A record is kept as it came from the token, beside its decoded fields; serial and sequence number name it for good, for
tokens never use a number twice.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa

from tracing import records as formats
from tracing import wire

from .clock_repair import ClockReading, repair
from .database import Database, StorageError, clock_table, record_table, sync_table, token_table


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
    """A token that has been seen or registered. What is None has never been told."""

    serial: bytes
    short_code: str
    firmware: str | None
    battery_mv: int | None
    last_sync_s: int | None


def _row(serial: bytes, seq: int, raw: bytes, received_s: int) -> dict[str, Any]:
    fields = formats.unpack_record(raw) if len(raw) == formats.RECORD_BYTES else None
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


def _repair_clock(rows: list[dict[str, Any]], readings: list[ClockReading]) -> None:
    for row in rows:
        row["start_s"], row["clock_set"] = repair(readings, row["seq"], row["boot"], row["clock_set"], row["start_s"])


class Store:
    """The database.

    Args:
        place: a file, an SQLAlchemy URL, or a database that is open.

    Raises:
        StorageError: it cannot be opened, is no database of ours, or of a newer version.
    """

    def __init__(self, place: Path | str | Database) -> None:
        self._database = place if isinstance(place, Database) else Database(str(place))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def database(self) -> Database:
        """Where it all lies."""
        return self._database

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    # --- What a sync needs; see link.synchronise.RecordStorage -------------------------------------------------------

    def next_seq(self, serial: bytes) -> int:
        """One more than the highest sequence number ever stored of this token; 0 when there is none."""
        key = serial.hex()
        with self._database.reading() as connection:
            highest = connection.scalar(sa.select(sa.func.max(record_table.c.seq)).where(record_table.c.serial == key))
            kept_from = self._kept_from(connection, serial)
        return max(0 if highest is None else highest + 1, kept_from)

    def _kept_from(self, connection: sa.Connection, serial: bytes) -> int:
        query = sa.select(token_table.c.kept_from_seq).where(token_table.c.serial == serial.hex())
        return connection.scalar(query) or 0

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
        rows = [_row(serial, seq, bytes(raw), received_s) for seq, raw in records]
        numbers = [seq for seq, _ in records]
        with self._database.writing() as connection:
            self._know(connection, serial)
            _repair_clock(rows, self._clock_readings(connection, serial))
            query = sa.select(record_table.c.seq, record_table.c.raw).where(
                record_table.c.serial == serial.hex(), record_table.c.seq.between(min(numbers), max(numbers))
            )
            known: dict[int, bytes] = dict(connection.execute(query).all())
            new = []
            kept_from = self._kept_from(connection, serial)
            for seq, row in zip(numbers, rows, strict=True):
                raw = row["raw"]
                if seq < kept_from and seq not in known:
                    continue  # it was here, and has been deleted: a token may send it again
                if seq not in known:
                    known[seq] = raw
                    new.append(row)
                elif known[seq] != raw:
                    raise StoreConflict(
                        f"Record {seq} of token {wire.short_code(serial)} differs from the one stored: the token was "
                        "wiped, or its serial is used twice. Nothing of this batch was stored. Call the technician."
                    )
            if new:
                connection.execute(record_table.insert(), new)
        return len(new)

    def note_clock(self, serial: bytes, reading: ClockReading) -> None:
        """Remember how far a token's clock was off when it was set; records stored from now on are repaired by it."""
        with self._database.writing() as connection:
            self._know(connection, serial)
            connection.execute(clock_table.insert().values(serial=serial.hex(), **dataclasses.asdict(reading)))

    def _clock_readings(self, connection: sa.Connection, serial: bytes) -> list[ClockReading]:
        c = clock_table.c
        query = sa.select(c.boot, c.before_seq, c.token_s, c.true_s).where(c.serial == serial.hex()).order_by(c.id)
        return [ClockReading(*row) for row in connection.execute(query)]

    def note_sync(self, serial: bytes, info: Any, now_s: int) -> None:
        """Remember a finished sync and what the token said about itself (link.session.TokenInfo)."""
        with self._database.writing() as connection:
            self._know(connection, serial)
            connection.execute(
                token_table.update()
                .where(token_table.c.serial == serial.hex())
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
                sync_table.insert().values(
                    serial=serial.hex(), finished_s=now_s, battery_mv=info.battery_mv, next_seq=info.next_seq
                )
            )

    def _know(self, connection: sa.Connection, serial: bytes) -> None:
        key = serial.hex()
        if connection.scalar(sa.select(token_table.c.serial).where(token_table.c.serial == key)) is None:
            connection.execute(token_table.insert().values(serial=key, short_code=wire.short_code(serial)))

    # --- What the kiosk asks -------------------------------------------------------------------------------------

    def tokens(self) -> list[Token]:
        """All tokens, by short code."""
        columns = token_table.c
        query = sa.select(
            columns.serial, columns.short_code, columns.firmware, columns.battery_mv, columns.last_sync_s
        ).order_by(columns.short_code, columns.serial)
        with self._database.reading() as connection:
            return [Token(bytes.fromhex(serial), *rest) for serial, *rest in connection.execute(query)]

    def latest_sync_s(self) -> int:
        """When any kiosk of this database last finished a sync, Unix s; 0: never."""
        with self._database.reading() as connection:
            return connection.scalar(sa.select(sa.func.max(token_table.c.last_sync_s))) or 0

    def encounters(self, serial: bytes, since_s: int | None = None) -> list[Encounter]:
        """A token's encounters with known time, in the order of the log; from `since_s` (Unix s) on, if given."""
        c = record_table.c
        which = c.serial == serial.hex()
        if since_s is not None:
            which = sa.and_(which, c.start_s + c.duration_s >= since_s)
        with self._database.reading() as connection:
            return read_encounters(connection, which)


def read_encounters(connection: sa.Connection, which: sa.ColumnElement[bool]) -> list[Encounter]:
    """The encounters with known time among the records that `which` names, in the order of the log."""
    c = record_table.c
    fields = (
        c.bluezone_id, c.start_s, c.duration_s, c.windows, c.sightings, c.rssi_max_dbm, c.rssi_mean_dbm, c.connected
    )  # fmt: skip
    query = sa.select(*fields).where(which, c.kind == formats.KIND_ENCOUNTER, c.clock_set).order_by(c.serial, c.seq)
    return [Encounter(*row) for row in connection.execute(query)]
