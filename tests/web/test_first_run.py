"""A fleet that has nothing yet: each page says what to do first; units and their shares; pages that are not there."""

import csv
import io

import pytest
from argon2 import PasswordHasher
from starlette.testclient import TestClient
from web_kit import NOON_S, PASSWORD, populate, serial, site_over

from host_tools.fleet.accounts import Accounts
from host_tools.fleet.beginning import begun
from host_tools.fleet.listing import Share
from host_tools.fleet.office import Office
from host_tools.fleet.people import Unit
from host_tools.web.app import build_app
from host_tools.web.site import form_token
from host_tools.web.staff_units import COLUMNS, by_district

HERE = "http://localhost:8000"


@pytest.fixture
def empty(tmp_path):
    """A fleet with its first account alone."""
    with Office(tmp_path / "kiosk.sqlite", now=lambda: NOON_S) as office:
        office.accounts = Accounts(office.database, office.now, PasswordHasher(1, 8, 1))
        office.accounts.add("test", "first", "admin", PASSWORD)
        yield office


def client_of(office, role="admin", name="first"):
    client = TestClient(build_app(site_over(office)), HERE, client=("127.0.0.1", 50000), follow_redirects=False)
    _, session = office.accounts.log_in(name, PASSWORD, "test")
    client.cookies.set("bluezone_session", session, path="/staff")
    client.cookies.set("bluezone_language", "en", path="/staff")
    return client, session


def test_the_first_steps_are_told_and_ticked(empty):
    client, _ = client_of(empty)
    assert client.get("/staff").text.count("✓ <a") == 0
    empty.accounts.add("test", "clerk", "clerk", PASSWORD)
    empty.ledger.register("test", serial(1))
    assert client.get("/staff").text.count("✓ <a") == 2
    person = empty.people.enter("test", "NV1", "Lê Thị Một", Unit("Sở Y tế", "Hải Châu", "health"))
    empty.ledger.assign("test", serial(1), person)
    page = client.get("/staff").text
    assert page.count("✓ <a") == 4
    assert "What to do first" in page
    assert not begun(empty.database).done


def test_a_fleet_at_work_is_told_nothing(empty):
    populate(empty)
    assert begun(empty.database).done
    assert "What to do first" not in client_of(empty)[0].get("/staff").text


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/tokens", "There are no tokens yet."),
        ("/tokens?q=7407NX", "There is no such token."),
        ("/units", "No unit has tokens yet."),
        ("", "No unit has tokens yet."),
    ],
)
def test_what_is_empty_says_so(empty, path, words):
    assert words in client_of(empty)[0].get(f"/staff{path}").text


def test_units_as_csv(empty):
    for number, agency in ((1, "Sở Y tế"), (2, "=SUM(A1)")):
        empty.ledger.register("test", serial(number))
        person = empty.people.enter("test", f"NV{number}", "Lê Thị Một", Unit(agency, "Hải Châu", "health"))
        empty.ledger.assign("test", serial(number), person)
    answer = client_of(empty)[0].get("/staff/units.csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="units.csv"'
    head, *rows = csv.reader(io.StringIO(answer.content.decode("utf-8-sig")))
    assert tuple(head) == COLUMNS
    assert rows == [
        ["'=SUM(A1)", "Hải Châu", "health", "1", "0", "0", "0"],
        ["Sở Y tế", "Hải Châu", "health", "1", "0", "0", "0"],
    ]


def test_districts_sum_their_units_up():
    shares = [
        Share(Unit("A", "Thanh Khê", "health"), 8, 2, 5),
        Share(Unit("B", "Hải Châu", "school"), 3, 3),
        Share(Unit("C", "Thanh Khê", "school"), 2, 2),
    ]
    sums = [
        (share.unit.district, share.tokens, share.recent, share.percent, share.spare) for share in by_district(shares)
    ]
    assert sums == [("Hải Châu", 3, 3, 100, 0), ("Thanh Khê", 10, 4, 40, 5)]


def test_after_an_error_back_leads_to_the_page_of_the_form(empty):
    client, session = client_of(empty)
    form = {"form_token": form_token(session), "staff_number": "nobody"}
    headers = {"origin": HERE, "referer": f"{HERE}/staff/people"}
    page = client.post("/staff/people/find", data=form, headers=headers).text
    assert '<a href="/staff/people">' in page.partition('role="alert"')[2]
    for referer in ("https://evil.example/staff/people", "nonsense", "http://[", ""):
        page = client.post("/staff/people/find", data=form, headers=headers | {"referer": referer}).text
        assert '<a href="/staff">Back</a>' in page


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/people/find", 405), ("/people/x", 404)])
def test_a_page_that_is_not_there_leads_to_one_that_is(empty, path, status):
    answer = client_of(empty)[0].get(f"/staff{path}")
    assert answer.status_code == status
    assert '<a href="/staff">To the overview</a>' in answer.text
