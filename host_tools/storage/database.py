"""The database behind the store: its tables, its transactions, and its failures in sentences."""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from typing import Any, TypeGuard

import sqlalchemy as sa
import sqlalchemy.event
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection

from host_tools.errors import UserError
from tracing import records as formats

from .migrate import WrongDatabase, migrate

metadata = sa.MetaData()
schema_table = sa.Table("schema", metadata, sa.Column("version", sa.Integer, nullable=False))
token_table = sa.Table(
    "token",
    metadata,
    sa.Column("serial", sa.String(16), primary_key=True),
    sa.Column("short_code", sa.String(6), nullable=False, index=True),
    sa.Column("firmware", sa.String),
    sa.Column("battery_mv", sa.Integer),
    sa.Column("boot", sa.Integer),
    sa.Column("last_sync_s", sa.BigInteger),
    sa.Column("damaged", sa.Integer),
    sa.Column("dropped", sa.Integer),
    sa.Column("kept_from_seq", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("unit", sa.String, nullable=False, server_default="", index=True),  # who got it before anybody wore it
)
record_table = sa.Table(
    "record",
    metadata,
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
    sa.Column("bluezone_id", sa.LargeBinary(12), nullable=False, index=True),
    sa.Column("received_s", sa.BigInteger, nullable=False, index=True),
)
sync_table = sa.Table(
    "sync",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("serial", sa.String(16), sa.ForeignKey("token.serial"), nullable=False),
    sa.Column("finished_s", sa.BigInteger, nullable=False),
    sa.Column("battery_mv", sa.Integer, nullable=False),
    sa.Column("next_seq", sa.BigInteger, nullable=False),
)
clock_table = sa.Table(
    "clock",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("serial", sa.String(16), sa.ForeignKey("token.serial"), nullable=False, index=True),
    sa.Column("boot", sa.Integer, nullable=False),
    sa.Column("before_seq", sa.BigInteger, nullable=False),
    sa.Column("token_s", sa.BigInteger, nullable=False),
    sa.Column("true_s", sa.BigInteger, nullable=False),
)


# What to do, by SQLite's name of the failure or the first letters of PostgreSQL's SQLSTATE.
_BUSY = "Another program is writing to it: wait until it has finished, then try again."
_ROOM = "Make room on the disk, then try again."
_AWAY = "Start the database's server, or mend the network to it; the kiosk goes on by itself when it is back."
_ADVICE = {
    "SQLITE_BUSY": _BUSY,
    "SQLITE_FULL": _ROOM,
    "SQLITE_NOTADB": "The file is no database: name another one.",
    "SQLITE_CORRUPT": "The file is damaged: put it aside for the technician and begin a new one.",
    "SQLITE_READONLY": "Allow this user to write to the file and its folder, then try again.",
    "55P03": _BUSY,
    "53100": _ROOM,
    "57P": _AWAY,
    "08": _AWAY,
    "28": "Correct the user's name or password in its address, then try again.",
    "3D": "Create the database on its server, or correct its name in the address, then try again.",
}
_GENERAL_ADVICE = "Check the disk and the file, then try again."

_WRITERS = 0x4D53  # PostgreSQL's name of the lock that writers take; any number that is always the same
_PATIENCE_S = 10


class StorageError(UserError):
    """The database cannot be used. The message says what was kept and what to do."""


class Database:
    """An open database with the tables above; new ones are made in an empty place. A new file is its owner's alone.

    Args:
        place: a file, or an SQLAlchemy URL.

    Attributes:
        failed: it has, since whoever asks last put this to False.

    Raises:
        StorageError: it cannot be opened, belongs to another program, or is of another version.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self.failed = False
        try:
            url = _url(place)
            self._place = place if "://" not in place else url.render_as_string(hide_password=True)
            self._engine = sa.create_engine(url, pool_pre_ping=url.get_backend_name() != "sqlite", hide_parameters=True)
        except (ArgumentError, ImportError) as error:
            raise StorageError(
                f"The database {self._place} cannot be used: {error}. Nothing was changed. Correct its address, or "
                "install the driver that it names."
            ) from error
        self._writer = self._engine.execution_options(writes=True)
        self.sqlite_file = url.database if self.is_sqlite else None
        if self.is_sqlite:
            _make_private(self.sqlite_file)
            sqlalchemy.event.listen(self._engine, "connect", _prepare_sqlite)
            sqlalchemy.event.listen(self._engine, "begin", _begin_sqlite)
        else:
            sqlalchemy.event.listen(self._engine, "begin", _begin_postgresql)
        try:
            with self.writing() as connection:
                self._migrate(connection)
            if self.is_sqlite:
                self._write_ahead()
        except StorageError:
            self.close()
            raise

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of SQLite (or in memory), else a server of PostgreSQL."""
        return self._engine.dialect.name == "sqlite"

    def close(self) -> None:
        """Let go of it."""
        self._engine.dispose()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state of the database.

        Raises:
            StorageError: the database failed.
        """
        with self._failures(), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that has the database to itself: all of it happens, or nothing when an error leaves it.

        Raises:
            StorageError: the database failed, or another writer kept it for too long.
        """
        with self._failures(), self._writer.begin() as connection:
            yield connection

    def forget(self) -> None:
        """After a deletion: what was deleted does not stay in SQLite's journal either, unless somebody reads just now.

        A server sees to its own (VACUUM); what the disk keeps of an overwritten block is beyond a program.
        """
        if self.is_sqlite:
            # Whoever is in the way is no error: it is done after the next deletion.
            with self._failures(), self._engine.connect() as connection, contextlib.suppress(sqlite3.Error):
                connection.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").close()

    @contextlib.contextmanager
    def alone(self, deed: str, number: int) -> Iterator[bool]:
        """Whether nobody else who has this database open is at a deed now. Who dies has ended it, whatever the clocks.

        Args:
            deed: its name; a file `<database>.<deed>` beside a database that is a file.
            number: its name on PostgreSQL, of advisory locks; not _WRITERS.

        Raises:
            StorageError: the database failed, or the file cannot be written.
        """
        with contextlib.ExitStack() as stack:
            if not self.is_sqlite:
                with self._failures():
                    connection = stack.enter_context(self._engine.connect())
                    stack.callback(_let_go, connection, number)
                    taken = connection.scalar(sa.select(sa.func.pg_try_advisory_lock(number)))
                    connection.commit()
                yield bool(taken)
            elif _is_file(self.sqlite_file):
                yield self._locked(stack, f"{self.sqlite_file}.{deed}")
            else:
                yield True

    def _locked(self, stack: contextlib.ExitStack, path: str) -> bool:
        try:
            file = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
            stack.callback(os.close, file)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise StorageError(
                f"The file {path} cannot be used: {error}. Nothing was changed. {_GENERAL_ADVICE}"
            ) from error
        return True

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, NoConnection, sqlite3.Error) as error:  # NoConnection: all wait for the same lock
            cause = error.orig if isinstance(error, DBAPIError) else error
            self.failed = True
            raise StorageError(
                f"The database {self._place} cannot be used: {cause}. Nothing of this step was stored; what was there "
                f"before is untouched, and the token keeps its log until it is stored. {_advice(cause)}"
            ) from error

    def _migrate(self, connection: sa.Connection) -> None:
        try:
            migrate(connection)
        except WrongDatabase as error:
            raise StorageError(f"The database {self._place} {error}") from None

    def _write_ahead(self) -> None:
        # Readers and the writer then do not wait for each other. The file remembers it. Only who is alone can change
        # it: two who make the database together leave it to the next one.
        with self._failures(), contextlib.closing(self._engine.raw_connection()) as connection:
            try:
                connection.cursor().execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                    raise


def _let_go(connection: sa.Connection, number: int) -> None:
    """Give an advisory lock back at once: a server takes its time to notice that a connection has ended."""
    with contextlib.suppress(DBAPIError):  # it is away, and the lock with it
        connection.execute(sa.select(sa.func.pg_advisory_unlock(number)))
    connection.invalidate()


def _is_file(file: str | None) -> TypeGuard[str]:
    return bool(file) and file != ":memory:" and not file.startswith("file:")


def _make_private(file: str | None) -> None:
    # It says who met whom. SQLite gives its journals the mode of the file; what it cannot open it tells itself.
    if _is_file(file):
        with contextlib.suppress(OSError):
            os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))


def _url(place: str) -> sa.URL:
    if "://" not in place:
        return sa.URL.create("sqlite", database=place)
    url = sa.make_url(place)
    # The names by which servers are known, with the driver that comes with the kiosk.
    return url.set(drivername="postgresql+psycopg") if url.drivername in ("postgres", "postgresql") else url


def _advice(cause: BaseException | None) -> str:
    if isinstance(cause, NoConnection):
        return _BUSY
    # Extended names, such as SQLITE_READONLY_DIRECTORY, begin with the plain one.
    name = "_".join(getattr(cause, "sqlite_errorname", "").split("_")[:2])
    state = getattr(cause, "sqlstate", "") or ""
    if not name and not state:
        return _AWAY  # the server did not even answer
    known = (_ADVICE[part] for part in (name, state, state[:3], state[:2]) if part in _ADVICE)
    return next(known, _GENERAL_ADVICE)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where `_begin_sqlite` says, for reading and schema too
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA secure_delete = ON")  # what is deleted does not stay in the file's free pages
    cursor.execute("PRAGMA synchronous = FULL")  # an acknowledged record survives a loss of power
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    # A writer waits for its turn before it looks: what it finds is still true when it writes.
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _begin_postgresql(connection: sa.Connection) -> None:
    # As with SQLite: one writer at a time, and readers see one state.
    if connection.get_execution_options().get("writes"):
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(_PATIENCE_S * 1000)}")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS})")
    else:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
