"""Accounts of clerks and health officers: passwords, roles, sessions, and how often a password may be tried.

Passwords are hashed with argon2. A session is a random token of which the database holds the SHA-256 only; it ends when
its account is disabled or its password changes. The first account is made with a code that the kiosk's console shows.
"""

import hashlib
import hmac
import secrets
import threading
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from host_tools.errors import UserError
from host_tools.storage.database import Database

from . import audit, settings
from .clock import Clock
from .tables import account_table, failure_table, session_table

Role = Literal["admin", "clerk", "officer", "viewer"]
Permission = Literal[
    "see fleet", "change fleet", "see people", "see results", "release", "accounts", "settings", "see audit"
]  # fmt: skip

# Nobody has everything: who keeps the accounts does not see results, who sees results does not change the ledger.
PERMISSIONS: dict[Role, frozenset[Permission]] = {
    "viewer": frozenset({"see fleet"}),
    "clerk": frozenset({"see fleet", "change fleet", "see people"}),
    "officer": frozenset({"see fleet", "see people", "see results", "release"}),
    "admin": frozenset({"see fleet", "change fleet", "see people", "accounts", "settings", "see audit"}),
}

SHORTEST_PASSWORD, LONGEST_PASSWORD = 10, 256
SESSION_IDLE_S, SESSION_S = 30 * 60, 12 * 3600
WINDOW_S = 15 * 60
FAILURES_OF_NAME, FAILURES_OF_ADDRESS = 5, 20  # within WINDOW_S
_SETUP = "setup.code"
_SETUP_NAME = "(setup)"  # what failures with the setup code are counted under; no account can be called so
_NOT_ACCOUNTS = ("kiosk", "wearer")  # what the audit calls who has none
_HASHES_AT_ONCE = 2  # each takes 64 MB: with one for every try that comes in, a small computer would run out
_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"


class LoginError(UserError):
    """Not let in. The sentence does not say whether the account exists."""


class TooManyTries(LoginError):
    """`wait_s`: when to try again."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"Too many wrong passwords. Try again in {-(-wait_s // 60)} minutes.")
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Account:
    """An account. `disabled` ones cannot log in; they stay, for the audit names them."""

    id: int
    name: str
    role: Role
    disabled: bool

    def may(self, permission: Permission) -> bool:
        return not self.disabled and permission in PERMISSIONS[self.role]


class Accounts:
    """Makes accounts, lets them in and out.

    Args:
        hasher: of passwords; by default argon2 as its library advises.
    """

    def __init__(self, database: Database, now: Clock, hasher: PasswordHasher | None = None) -> None:
        self._database = database
        self._now = now
        self._hasher = hasher or PasswordHasher()
        self._hashing = threading.BoundedSemaphore(_HASHES_AT_ONCE)

    @cached_property
    def _nobody(self) -> str:
        """Takes as long to verify as anybody's."""
        with self._hashing:
            return self._hasher.hash(secrets.token_hex(16))

    # --- Setting up --------------------------------------------------------------------------------------------

    def setup_code(self) -> str | None:
        """A fresh one-time code for the first account, to be shown on the console; None when there is an account."""
        code = "".join(secrets.choice(_LETTERS) for _ in range(10))
        with self._database.writing() as connection:
            if connection.scalar(sa.select(account_table.c.id).limit(1)) is not None:
                return None
            settings.put(connection, _SETUP, hashlib.sha256(code.encode()).digest())
        return code

    def set_up(self, code: str, name: str, password: str, address: str = "") -> Account:
        """Make the first account, an admin.

        Raises:
            LoginError: the code is wrong or has been used.
            UserError: the name or password cannot be used; the code stays good.
        """
        name, hashed = _name(name), self._hash(password)
        self._count(_SETUP_NAME, address)
        given = hashlib.sha256(code.strip().upper().encode()).digest()
        with self._database.writing() as connection:
            expected = settings.get(connection, _SETUP)
            if expected is None or not hmac.compare_digest(given, expected):
                raise LoginError("This is not the code on the kiosk's console. Read it again, or start the kiosk anew.")
            settings.put(connection, _SETUP, None)
            self._forgive(connection, _SETUP_NAME, address)
            return self._insert(connection, name, name, "admin", hashed)

    # --- Keeping accounts --------------------------------------------------------------------------------------

    def add(self, actor: str, name: str, role: Role, password: str) -> Account:
        """Make an account.

        Raises:
            UserError: the name is taken or cannot be used, the role is none, the password is too short.
        """
        if role not in PERMISSIONS:
            raise UserError(f"A role is one of {', '.join(PERMISSIONS)}. Nothing was changed.")
        name, hashed = _name(name), self._hash(password)
        with self._database.writing() as connection:
            if connection.scalar(sa.select(account_table.c.id).where(account_table.c.name == name)) is not None:
                raise UserError(f"There is an account {name} already. Nothing was changed. Choose another name.")
            return self._insert(connection, actor, name, role, hashed)

    def set_password(self, actor: str, account_id: int, password: str) -> None:
        """Change a password; all sessions of the account end."""
        hashed = self._hash(password)
        with self._database.writing() as connection:
            self._update(connection, account_id, password_hash=hashed)
            audit.note(connection, self._now(), actor, "set password", account=account_id)

    def disable(self, actor: str, account_id: int, disabled: bool = True) -> None:
        """Shut an account out, its sessions included, or let it in again.

        Raises:
            UserError: it is the last admin: nobody could let anybody in again.
        """
        c = account_table.c
        with self._database.writing() as connection:
            admins = set(connection.scalars(sa.select(c.id).where(c.role == "admin", c.disabled.is_(False))))
            if disabled and admins == {account_id}:
                raise UserError("This is the last admin. Nothing was changed. Make another one first.")
            self._update(connection, account_id, disabled=disabled)
            audit.note(connection, self._now(), actor, "disable account" if disabled else "enable account",
                       account=account_id)  # fmt: skip

    def all(self) -> list[Account]:
        """All accounts, by name."""
        with self._database.reading() as connection:
            return [Account(*row) for row in connection.execute(_ACCOUNTS.order_by(account_table.c.name))]

    def _insert(self, connection: sa.Connection, actor: str, name: str, role: Role, hashed: str) -> Account:
        values = {"name": name, "role": role, "password_hash": hashed, "disabled": False}
        query = account_table.insert().values(values).returning(account_table.c.id)
        number = connection.execute(query).scalar_one()
        audit.note(connection, self._now(), actor, "add account", account=number, name=name, role=role)
        return Account(number, name, role, False)

    def _update(self, connection: sa.Connection, account_id: int, **values: object) -> None:
        query = account_table.update().where(account_table.c.id == account_id).values(values)
        if not connection.execute(query).rowcount:
            raise UserError(f"There is no account {account_id}. Nothing was changed.")
        connection.execute(session_table.delete().where(session_table.c.account_id == account_id))

    def _hash(self, password: str) -> str:
        if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
            raise UserError(
                f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters, not {len(password)}. "
                "Nothing was changed."
            )
        with self._hashing:
            return self._hasher.hash(password)

    # --- In and out --------------------------------------------------------------------------------------------

    def log_in(self, name: str, password: str, address: str) -> tuple[Account, str]:
        """Returns the account and the session's token, for the cookie.

        Args:
            address: of the browser: tries are counted by it and by name.

        Raises:
            TooManyTries: wait.
            LoginError: name or password is wrong, or the account is disabled.
        """
        name = _key(name[:256])[:64]
        self._count(name, address)
        c = account_table.c
        with self._database.reading() as connection:
            query = sa.select(c.id, c.name, c.role, c.disabled, c.password_hash).where(c.name == name)
            row = connection.execute(query).one_or_none()
        known = self._fits(self._nobody if row is None else row.password_hash, password[: LONGEST_PASSWORD + 1])
        if row is None or row.disabled or not known:
            with self._database.writing() as connection:
                audit.note(connection, self._now(), row.name if row else "(unknown)", "login refused", address=address)
            raise LoginError("Name or password is wrong.")
        token = secrets.token_urlsafe(32)
        now_s = self._now()
        with self._database.writing() as connection:
            self._forgive(connection, name, address)
            connection.execute(session_table.delete().where(session_table.c.begun_s < now_s - SESSION_S))
            connection.execute(
                session_table.insert().values(token_hash=_hashed(token), account_id=row.id, begun_s=now_s, seen_s=now_s)
            )
            audit.note(connection, now_s, row.name, "login", address=address)
        return Account(*row[:4]), token

    def of_session(self, token: str) -> Account | None:
        """Whose session this is; None when it has ended."""
        now_s = self._now()
        c = session_table.c
        query = (
            _ACCOUNTS.add_columns(c.seen_s)
            .join_from(account_table, session_table)
            .where(c.token_hash == _hashed(token), c.seen_s > now_s - SESSION_IDLE_S, c.begun_s > now_s - SESSION_S)
            .where(account_table.c.disabled.is_(False))
        )
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        if now_s - row.seen_s >= 60:  # a minute more or less does not matter, a write for every page does
            with self._database.writing() as connection:
                connection.execute(session_table.update().where(c.token_hash == _hashed(token)).values(seen_s=now_s))
        return Account(*row[:4])

    def log_out(self, token: str) -> None:
        """End a session."""
        with self._database.writing() as connection:
            connection.execute(session_table.delete().where(session_table.c.token_hash == _hashed(token)))

    def _fits(self, hashed: str, password: str) -> bool:
        try:
            with self._hashing:
                return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False

    def _count(self, name: str, address: str) -> None:
        # A try counts as a failure from its beginning, so that tries made at once are all counted.
        now_s = self._now()
        c = failure_table.c
        with self._database.writing() as connection:
            connection.execute(failure_table.delete().where(c.at_s <= now_s - WINDOW_S))
            for column, value, allowed in ((c.name, name, FAILURES_OF_NAME), (c.address, address, FAILURES_OF_ADDRESS)):
                recent = sa.select(c.at_s).where(column == value).order_by(c.at_s.desc()).limit(allowed)
                times = list(connection.scalars(recent))
                if len(times) == allowed:
                    raise TooManyTries(max(times[-1] + WINDOW_S - now_s, 1))
            connection.execute(failure_table.insert().values(at_s=now_s, name=name, address=address[:64]))

    def _forgive(self, connection: sa.Connection, name: str, address: str) -> None:
        c = failure_table.c
        connection.execute(failure_table.delete().where(c.name == name, c.address == address[:64]))


_ACCOUNTS = sa.select(
    account_table.c.id, account_table.c.name, account_table.c.role, account_table.c.disabled
)  # fmt: skip


def _hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _name(text: str) -> str:
    name = _key(text)
    if not 2 <= len(name) <= 64 or not all(letter.isalnum() or letter in "._-" for letter in name):
        raise UserError("An account's name has 2 to 64 letters, digits, dots or hyphens. Nothing was changed.")
    if name in _NOT_ACCOUNTS:
        raise UserError(f"No account may be called {name}: the audit calls others so. Nothing was changed.")
    return name


def _key(text: str) -> str:
    """A name as it is kept; what looks alike in another width, or comes from another keyboard, is the same."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).strip().casefold())
