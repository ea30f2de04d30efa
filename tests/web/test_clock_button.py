"""An admin says on the settings page that this machine's clock is right."""

from dataclasses import replace

import pytest
from argon2 import PasswordHasher
from starlette.testclient import TestClient
from web_kit import DAY_S, NOON_S, PASSWORD, populate, serial, site_over

from host_tools.fleet.accounts import Accounts
from host_tools.fleet.clock import ClockWrong
from host_tools.fleet.office import Office
from host_tools.storage.database import token_table
from host_tools.web.app import build_app
from host_tools.web.site import SESSION_COOKIE, STAFF, form_token

HERE = "http://localhost:8000"
BUTTON = {"vi": "Đồng hồ của máy này đúng", "en": "clock is right</button>"}


@pytest.fixture
def office(tmp_path):
    """A token of it was read by a kiosk that is a day ahead."""
    with Office(tmp_path / "kiosk.sqlite", now=lambda: NOON_S) as office:
        office.accounts = Accounts(office.database, office.now, PasswordHasher(1, 8, 1))  # quick, for tests only
        populate(office)
        with office.database.writing() as connection:
            known = token_table.c.serial == serial(1).hex()
            connection.execute(token_table.update().where(known).values(last_sync_s=NOON_S + DAY_S))
        yield office


@pytest.fixture
def believed():
    return []


@pytest.fixture
def send(office, believed):
    """Asks for the settings, or sends their form."""
    site = replace(site_over(office), believe_clock=lambda: believed.append(1))

    def ask(role, form=None, lang="vi"):
        client = TestClient(build_app(site), HERE, client=("127.0.0.1", 50000), follow_redirects=False)
        _, session = office.accounts.log_in(role, PASSWORD, "test")
        client.cookies.set(SESSION_COOKIE, session, path=STAFF)
        client.cookies.set("bluezone_language", lang, path=STAFF)
        if form is None:
            return client.get(f"{STAFF}/settings")
        form = {**form, "form_token": form_token(session)}
        return client.post(f"{STAFF}/settings", data=form, headers={"origin": HERE})

    return ask


@pytest.mark.parametrize("lang", BUTTON)
def test_the_button_is_there_while_something_speaks_against_the_clock(office, send, believed, lang):
    page = send("admin", lang=lang).text
    assert BUTTON[lang] in page
    assert "11/08/2020" in page
    with pytest.raises(ClockWrong):
        office.desk.check_clock(NOON_S)
    assert send("admin", {"clock": "right"}).status_code == 303
    office.desk.check_clock(NOON_S)
    assert believed == [1]
    assert BUTTON[lang] not in send("admin", lang=lang).text
    (row,) = office.audit.rows(actions=["trust clock"])
    assert row.actor == "admin"


@pytest.mark.parametrize("role", ["clerk", "officer", "viewer"])
def test_nobody_else_may(office, send, believed, role):
    assert send(role, {"clock": "right"}).status_code == 403
    assert believed == []
    assert office.clock.found().syncs == 1
