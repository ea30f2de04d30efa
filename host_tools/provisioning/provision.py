"""Makes a token of a flashed board: serial, keys, a place in the fleet's ledger; and takes all that from it again.

Whatever is interrupted, running it again ends in one consistent token. The keys are written within the transaction that
enters the token in the ledger. If this machine dies in between, the token has keys that the ledger does not know; the
next run sees by the fleet's roots that they are ours, and only enters it.
"""

import secrets
import time
from dataclasses import asdict, dataclass
from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING

import sqlalchemy as sa

from host_tools.errors import UserError
from host_tools.fleet import audit
from host_tools.fleet.people import clean
from host_tools.provisioning import escrow
from host_tools.provisioning.board_error import BoardError, BrokenOff
from host_tools.provisioning.copying import Progress
from host_tools.provisioning.token_board import TokenBoard
from host_tools.provisioning.token_keys import SERIAL_BYTES, Roots, TokenKeys, token_keys
from host_tools.provisioning.token_service import TokenIdentity, TokenService, now_s
from host_tools.storage.database import StorageError, token_table
from tracing.keys import DAY_S, KEY_BYTES
from tracing.segment import next_segment_key
from tracing.wire import short_code

if TYPE_CHECKING:
    from host_tools.fleet.office import Office

# Several boards are served at once; the ledger is written by one after the other, so that a kiosk never waits long.
_LEDGER = Lock()


@dataclass
class Provisioned:
    """A token as it is now."""

    port: str
    serial: str  # 16 hex digits
    short_code: str
    unit: str
    first_day: int  # UTC day of its first daily key, days since 1970-01-01
    how: str  # "new", "finished" an interrupted run, "renewed" for another wearer, "kept" as it was
    seconds: float = 0.0

    def as_dict(self) -> dict:
        """For JSON."""
        return asdict(self)


@dataclass
class Wiped:
    """A board that was a token."""

    port: str
    short_code: str  # "" if it had no keys
    blank: bool  # all of its store reads as ones

    def as_dict(self) -> dict:
        """For JSON."""
        return asdict(self)


class Provisioning:
    """Provisions the tokens of a fleet.

    Args:
        roots: of the fleet.
        office: with its ledger.
        actor: whom the audit names.
        unit: who gets the tokens, as an agency's name; may be "".

    Raises:
        UserError: the unit has characters that no name has, or too many.
    """

    def __init__(self, roots: Roots, office: "Office", actor: str, unit: str) -> None:
        self._roots = roots
        self._office = office
        self._actor = actor
        self._unit = clean("unit", unit, needed=False)  # before a token has keys that the ledger then refuses

    def run(
        self, port: str, progress: Progress, wipe: bool = False, patience_s: int = 4, watch_s: int = 5
    ) -> Provisioned:
        """Provision the token at a port.

        Args:
            wipe: whether a token that has keys gets new ones, and loses its log. It keeps its serial and its label.

        Raises:
            UserError: with what happened, what was kept, and what to do.
        """
        started_s = time.monotonic()
        board = TokenBoard(port, patience_s)
        try:
            service = TokenService(board)
            done = self._provision(port, service, service.identity(), progress, wipe)
            progress("watching its start", 1, 1)
            board.restart(watch_s)
        except (BrokenOff, StorageError) as error:
            raise BoardError(f"{error} Run the same command again: it ends in one token.") from error
        finally:
            board.close()
        done.seconds = round(time.monotonic() - started_s, 1)
        return done

    def _provision(
        self, port: str, service: TokenService, before: TokenIdentity, progress: Progress, wipe: bool
    ) -> Provisioned:
        if not before.provisioned:
            if not service.erase(progress, log_only=False):
                raise BoardError("The token's flash does not erase: it is worn out. Nothing was entered in the ledger.")
            keys = self._write_new(service, progress)
            return self._done(port, keys.serial, keys.first_day, "new")
        if not self._is_ours(before):
            raise BoardError(
                f"The token {short_code(before.serial)} has keys of another fleet. Nothing was changed. Name its key "
                "files; or take it over: `bluezone wipe`, which loses its log, then provision it anew."
            )
        if wipe:
            keys = self._renew(service, before, progress)
            return self._done(port, keys.serial, keys.first_day, "renewed")
        with _LEDGER, self._office.database.writing() as connection:
            if kept := _is_entered(connection, before.serial):
                self._office.ledger.register_in(connection, self._actor, before.serial, self._unit)
            else:
                self._enter(connection, before.serial)
        return self._done(port, before.serial, before.first_day, "kept" if kept else "finished")

    def _done(self, port: str, serial: bytes, first_day: int, how: str) -> Provisioned:
        return Provisioned(port, serial.hex(), short_code(serial), self._unit, first_day, how)

    # --- Keys --------------------------------------------------------------------------------------------------

    def _write_new(self, service: TokenService, progress: Progress) -> TokenKeys:
        progress("writing its keys", 1, 1)
        with _LEDGER, self._office.database.writing() as connection:
            keys = self._new_keys(_free_serial(connection))
            after = service.provision(keys, 0, keys.log_root, now_s())
            _check_written(after, keys, keys.log_root)
            self._enter(connection, keys.serial)
        return keys

    def _renew(self, service: TokenService, before: TokenIdentity, progress: Progress) -> TokenKeys:
        # The keys first: whenever the power goes, the old log cannot be opened with what the token has. The log goes on
        # in a later segment: a number that has been used never comes back under the same key.
        with self._office.database.reading() as connection:
            self._check_free(connection, before.serial)
        progress("writing its keys", 1, 1)
        keys = self._new_keys(before.serial)
        segment, log_key = before.log_segment + 2, keys.log_root
        for _ in range(segment):
            log_key = next_segment_key(log_key)
        _check_written(service.provision(keys, segment, log_key, now_s()), keys, log_key)
        if not service.erase(progress, log_only=True):
            raise BoardError(
                "The token's log does not erase: its flash is worn out. It has new keys; the ledger was not changed. "
                "Take it out of use."
            )
        with _LEDGER, self._office.database.writing() as connection:
            if self._check_free(connection, before.serial) in ("new", "returned"):
                self._office.ledger.move_in(connection, self._actor, "wipe", before.serial)
            self._enter(connection, before.serial)
        return keys

    def _check_free(self, connection: sa.Connection, serial: bytes) -> str:
        if not _is_entered(connection, serial):
            return ""
        state = self._office.ledger.standing_in(connection, serial).state
        if state not in ("new", "returned", "wiped"):
            raise UserError(
                f"Token {short_code(serial)} is {state}, says the ledger. Its keys and its log were not touched. Enter "
                "its return first."
            )
        return state

    def _new_keys(self, serial: bytes) -> TokenKeys:
        return token_keys(
            self._roots,
            serial,
            secrets.token_bytes(KEY_BYTES),
            now_s() // DAY_S,
            secrets.token_bytes(escrow.RANDOM_BYTES),
        )

    def _is_ours(self, identity: TokenIdentity) -> bool:
        sync_key = self._roots.kiosk.sync_key(short_code(identity.serial))
        code_key = self._roots.authority.code_key(identity.serial)
        if identity.fixed_keys != _digest(sync_key, code_key):
            return False
        try:
            escrow.open_escrow(self._roots.authority.escrow_keys(identity.serial), identity.escrow)
        except escrow.EscrowError:
            return False
        return True

    # --- The ledger ----------------------------------------------------------------------------------------------

    def _enter(self, connection: sa.Connection, serial: bytes) -> None:
        self._office.ledger.register_in(connection, self._actor, serial, self._unit)
        audit.note(connection, now_s(), self._actor, "provision", serial, unit=self._unit)


class Wiping:
    """Takes keys and log from a token; it is then a board like a new one, and its short code is of no use any more."""

    def __init__(self, office: "Office", actor: str) -> None:
        self._office = office
        self._actor = actor

    def run(self, port: str, progress: Progress, patience_s: int = 4) -> Wiped:
        """Wipe the token at a port.

        Raises:
            UserError: it is with a wearer, or the board failed.
        """
        board = TokenBoard(port, patience_s)
        try:
            service = TokenService(board)
            before = service.identity()
            # The ledger first: a wiped token cannot tell any more who it was.
            with _LEDGER, self._office.database.writing() as connection:
                if before.provisioned and _is_entered(connection, before.serial):
                    self._revoke(connection, before.serial)
            if not service.erase(progress, log_only=False):
                raise BoardError("Some of the token's flash does not erase: it is worn out. Destroy the board.")
            board.restart(0)
        except BrokenOff as error:
            raise BoardError(f"{error} Its keys or its log may still be there: run the same command again.") from error
        finally:
            board.close()
        return Wiped(port, short_code(before.serial) if before.provisioned else "", blank=True)

    def _revoke(self, connection: sa.Connection, serial: bytes) -> None:
        standing = self._office.ledger.standing_in(connection, serial)
        if standing.person_id is not None:
            raise UserError(
                f"Token {standing.short_code} is with a wearer. Nothing was changed. Read it at a kiosk and enter its "
                "return first."
            )
        if standing.state != "revoked":
            self._office.ledger.move_in(connection, self._actor, "revoke", serial)


def _is_entered(connection: sa.Connection, serial: bytes) -> bool:
    found = sa.select(token_table.c.serial).where(token_table.c.serial == serial.hex())
    return connection.scalar(found) is not None


def _free_serial(connection: sa.Connection) -> bytes:
    # A kiosk knows a token by its short code before it knows anything else.
    while True:
        serial = secrets.token_bytes(SERIAL_BYTES)
        taken = sa.select(token_table.c.serial).where(token_table.c.short_code == short_code(serial))
        if connection.scalar(taken) is None:
            return serial


def _check_written(after: TokenIdentity, keys: TokenKeys, log_key: bytes) -> None:
    wanted = (
        True, keys.serial, keys.first_day, keys.escrow, _digest(keys.sync_key, keys.code_key),
        _digest(keys.daily_key, log_key),
    )  # fmt: skip
    found = (
        after.provisioned, after.serial, after.first_day, after.escrow, after.fixed_keys, after.moving_keys
    )  # fmt: skip
    if found != wanted:
        raise BoardError(
            "The token's flash does not hold its keys as they were written. The ledger was not changed. Run the same "
            "command again; twice for one board: its flash is worn out."
        )


def _digest(*keys: bytes) -> str:
    return sha256(b"".join(keys)).hexdigest()
