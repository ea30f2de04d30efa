"""Accounts: who gets in, how often they may try, and when they are out again."""

import threading
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import PasswordHasher
from fleet_kit import CLERK

from host_tools.errors import UserError
from host_tools.fleet.accounts import (
    FAILURES_OF_ADDRESS,
    FAILURES_OF_NAME,
    PERMISSIONS,
    SESSION_IDLE_S,
    SESSION_S,
    WINDOW_S,
    Accounts,
    LoginError,
    TooManyTries,
)
from host_tools.fleet.tables import account_table, session_table

PASSWORD = "một hai ba bốn"
HERE = "127.0.0.1"


@pytest.fixture
def accounts(office):
    return office.accounts


@pytest.fixture
def clerk(accounts):
    return accounts.add("admin", "Hà.Trần", "clerk", PASSWORD)


def test_the_first_account_needs_the_code_on_the_console(accounts):
    stale = accounts.setup_code()
    code = accounts.setup_code()
    for wrong in (stale, "", "AAAAAAAAAA"):
        with pytest.raises(LoginError, match="console"):
            accounts.set_up(wrong, "admin", PASSWORD)
    with pytest.raises(UserError, match="10 to 256 characters"):
        accounts.set_up(code, "admin", "short")
    assert accounts.set_up(f" {code.lower()} ", "Admin", PASSWORD).role == "admin"
    assert accounts.setup_code() is None
    with pytest.raises(LoginError):
        accounts.set_up(code, "second", PASSWORD)
    assert [account.name for account in accounts.all()] == ["admin"]


def test_the_code_cannot_be_guessed(accounts):
    code = accounts.setup_code()
    for _ in range(FAILURES_OF_NAME):
        with pytest.raises(LoginError, match="console"):
            accounts.set_up("AAAAAAAAAA", "admin", PASSWORD)
    with pytest.raises(TooManyTries):
        accounts.set_up(code, "admin", PASSWORD)


def test_in_and_out(accounts, clerk, office):
    account, token = accounts.log_in(" hà.trần ", PASSWORD, HERE)
    assert account == clerk
    assert accounts.of_session(token) == clerk
    accounts.log_out(token)
    assert accounts.of_session(token) is None
    assert [row.action for row in office.audit.rows(actor="hà.trần")] == ["login"]


@pytest.mark.parametrize(("name", "password"), [("hà.trần", PASSWORD + "x"), ("nobody", PASSWORD), ("", "")])
def test_refusals_are_alike(accounts, clerk, name, password):
    with pytest.raises(LoginError) as caught:
        accounts.log_in(name, password, HERE)
    assert str(caught.value) == "Name or password is wrong."


def test_the_database_holds_neither_password_nor_session(accounts, clerk, office):
    _, token = accounts.log_in("hà.trần", PASSWORD, HERE)
    with office.database.reading() as connection:
        (row,) = connection.execute(account_table.select())
        (session,) = connection.execute(session_table.select())
    assert row.password_hash.startswith("$argon2id$")
    assert token not in repr(session)


def test_a_session_ends_when_it_is_idle_or_old(accounts, clerk, hands):
    _, token = accounts.log_in("hà.trần", PASSWORD, HERE)
    begun_s = hands.at_s
    while hands.at_s - begun_s < SESSION_S - SESSION_IDLE_S + 60:
        hands.at_s += SESSION_IDLE_S - 60
        assert accounts.of_session(token) == clerk
    hands.at_s = begun_s + SESSION_S
    assert accounts.of_session(token) is None
    _, token = accounts.log_in("hà.trần", PASSWORD, HERE)
    hands.at_s += SESSION_IDLE_S
    assert accounts.of_session(token) is None


def test_sessions_end_with_the_password_and_with_the_account(accounts, clerk):
    accounts.add("admin", "boss", "admin", PASSWORD)
    _, token = accounts.log_in("hà.trần", PASSWORD, HERE)
    accounts.set_password(CLERK, clerk.id, PASSWORD + "!")
    assert accounts.of_session(token) is None
    with pytest.raises(LoginError):
        accounts.log_in("hà.trần", PASSWORD, HERE)
    _, token = accounts.log_in("hà.trần", PASSWORD + "!", HERE)
    accounts.disable(CLERK, clerk.id)
    assert accounts.of_session(token) is None
    with pytest.raises(LoginError):
        accounts.log_in("hà.trần", PASSWORD + "!", HERE)
    accounts.disable(CLERK, clerk.id, False)
    accounts.log_in("hà.trần", PASSWORD + "!", HERE)


def test_wrong_passwords_are_counted_by_name(accounts, clerk, hands):
    for n in range(FAILURES_OF_NAME):
        with pytest.raises(LoginError, match="wrong"):
            accounts.log_in("hà.trần", "guess number n", f"10.0.0.{n}")
    with pytest.raises(TooManyTries, match="15 minutes") as caught:
        accounts.log_in("hà.trần", PASSWORD, HERE)
    hands.at_s += caught.value.wait_s
    accounts.log_in("hà.trần", PASSWORD, HERE)


def test_wrong_passwords_are_counted_by_address(accounts, clerk, hands):
    for n in range(FAILURES_OF_ADDRESS):
        with pytest.raises(LoginError, match="wrong"):
            accounts.log_in(f"guess{n}", PASSWORD, "10.0.0.1")
    with pytest.raises(TooManyTries):
        accounts.log_in("hà.trần", PASSWORD, "10.0.0.1")
    accounts.log_in("hà.trần", PASSWORD, HERE)
    hands.at_s += WINDOW_S
    accounts.log_in("hà.trần", PASSWORD, "10.0.0.1")


def test_who_is_no_admin_can_be_shut_out_while_there_is_none(accounts, clerk):
    accounts.disable("console:hà", clerk.id)
    assert [each.disabled for each in accounts.all()] == [True]


def test_the_last_admin_cannot_shut_everybody_out(accounts, clerk):
    admin = accounts.add("admin", "boss", "admin", PASSWORD)
    with pytest.raises(UserError, match="last admin"):
        accounts.disable("boss", admin.id)
    other = accounts.add("boss", "boss2", "admin", PASSWORD)
    accounts.disable("boss2", admin.id)
    with pytest.raises(UserError, match="last admin"):
        accounts.disable("boss2", other.id)


@pytest.mark.parametrize(
    ("name", "role", "words"),
    [("hà.trần", "clerk", "already"), ("x", "clerk", "2 to 64"), ("a b", "clerk", "2 to 64"), ("an", "king", "role")],
)
def test_accounts_that_cannot_be_made(accounts, clerk, name, role, words):
    with pytest.raises(UserError, match=words):
        accounts.add("admin", name, role, PASSWORD)
    assert len(accounts.all()) == 1


def test_nobody_may_do_everything():
    everything = frozenset().union(*PERMISSIONS.values())
    assert all(permissions < everything for permissions in PERMISSIONS.values())
    assert "see results" not in PERMISSIONS["admin"]
    assert "accounts" not in PERMISSIONS["officer"]


@pytest.mark.parametrize("name", ["kiosk", "Wearer", "ｋiosk", " KIOSK "])
def test_nobody_can_be_called_what_the_audit_calls_others(accounts, name):
    with pytest.raises(UserError, match="audit"):
        accounts.add("admin", name, "officer", PASSWORD)


def test_a_name_is_one_name_however_it_is_typed(accounts, clerk):
    decomposed = unicodedata.normalize("NFD", "hà.trần")
    assert decomposed != clerk.name
    for typed in (decomposed, "ｈà．Trần", f"  {decomposed.upper()} "):
        assert accounts.log_in(typed, PASSWORD, HERE)[0] == clerk
        with pytest.raises(UserError, match="already"):
            accounts.add("admin", typed, "viewer", PASSWORD)


def test_many_tries_at_once_do_not_take_the_memory_of_all_of_them(office, clerk):
    """Each hash waits until too many would be at it, or nobody else comes."""
    at_once = 0
    crowded = threading.Event()
    lock = threading.Lock()

    class Hasher(PasswordHasher):
        def verify(self, hash, password):  # its argument's name is argon2's
            nonlocal at_once
            with lock:
                at_once += 1
                if at_once > 2:
                    crowded.set()
            crowded.wait(0.05)
            with lock:
                at_once -= 1
            return super().verify(hash, password)

    accounts = Accounts(office.database, office.now, Hasher(1, 8, 1))

    def attempt(number):
        with pytest.raises(LoginError):
            accounts.log_in(f"name{number}", "wrong password", f"192.0.2.{number}")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(attempt, range(8)))
    assert not crowded.is_set()
