"""A fleet that has nothing yet: each page says what to do first; units and their shares; pages that are not there."""

import csv
import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from argon2 import PasswordHasher
from starlette.testclient import TestClient
from web_kit import NOON_S, PASSWORD, populate, serial, shown_in_documents, site_over

from host_tools.fleet.accounts import Accounts
from host_tools.fleet.beginning import begun
from host_tools.fleet.listing import Share
from host_tools.fleet.office import Office
from host_tools.fleet.people import Unit
from host_tools.web.app import build_app
from host_tools.web.site import form_token
from host_tools.web.staff_units import COLUMNS, by_district
from tracing.wire import short_code

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


def test_units_are_those_of_the_specification(empty):
    spec = (Path(__file__).parents[2] / "SPEC.md").read_text(encoding="utf-8")
    expected = spec.partition("```text units.csv\n")[2].partition("```")[0]
    for number in (1, 2):
        empty.ledger.register("test", serial(number))
        person = empty.people.enter("test", f"NV{number}", "Lê Thị Một", Unit("Sở Y tế", "Hải Châu", "health"))
        empty.ledger.assign("test", serial(number), person)
    told = {"firmware": (1, 2, 3), "battery_mv": 2950, "boot": 4, "next_seq": 17, "damaged": 0, "dropped": 0}
    empty.store.note_sync(serial(1), SimpleNamespace(**told), NOON_S)
    empty.ledger.register("test", serial(3), "Sở Y tế")
    assert client_of(empty)[0].get("/staff/units.csv").content.decode("utf-8-sig").splitlines() == expected.splitlines()


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


PERSON = {"staff_number": "NV1", "name": "Lê Thị Một", "agency": "Sở Y tế", "district": "Hải Châu", "kind": "health",
          "address": "0905 123 456"}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "form", "words"),
    [
        ("/people", PERSON | {"address": "none"}, "neither an e-mail address"),
        ("/people/find", {"staff_number": "nobody"}, "Nobody has this staff number"),
        ("/people/1", PERSON | {"what": "change", "name": ""}, "The name is missing"),
        ("/people/1", {"what": "assign", "token": "ZZZZZZ"}, "There is no token"),
        ("/tokens", {"serial": "0102"}, "16 hex digits"),
        (f"/tokens/{serial(1).hex()}", {"deed": "assign", "staff_number": "nobody"}, "Nobody has staff number"),
        (f"/tokens/{serial(1).hex()}", {"deed": "replace", "new": "ZZZZZZ", "why": "lose"}, "There is no token"),
        ("/accounts", {"name": "two words", "role": "officer", "password": PASSWORD}, "letters, digits"),
        ("/settings", {"days": "999"}, "from 0 to"),
        ("/settings", {"gateway": "mail", "url": "mailto://x"}, "needs {address}"),
    ],
)
def test_after_an_error_nothing_has_to_be_typed_again(empty, path, form, words):
    empty.people.enter("test", "NV1", "Lê Thị Một")
    empty.ledger.register("test", serial(1))
    if "new" in form:
        empty.ledger.assign("test", serial(1), 1)
    client, session = client_of(empty)
    told = client.post(
        f"/staff{path}?done=1", data={"form_token": form_token(session), **form}, headers={"origin": HERE}
    )
    assert told.status_code == 409
    assert words in told.text
    assert "Done, and written down" not in told.text
    for name, typed in form.items():
        if name not in ("what", "deed", "password", "gateway"):
            assert f'value="{typed}"' in told.text, name
    assert PASSWORD not in told.text


def test_a_page_that_was_open_for_too_long_keeps_what_was_typed(empty):
    client, _ = client_of(empty)
    form = PERSON | {"form_token": form_token("the session of before")}
    told = client.post("/staff/people", data=form, headers={"origin": HERE})
    assert told.status_code == 403
    assert "open for too long" in told.text
    assert 'value="0905 123 456"' in told.text
    assert empty.people.find("NV1") is None


def test_where_a_form_stands_on_no_page_there_is_a_way_back(empty):
    client, session = client_of(empty)
    form = {"form_token": form_token(session)}
    page = client.post("/staff/people/77", data=form, headers={"origin": HERE, "referer": f"{HERE}/staff/people"}).text
    assert '<a href="/staff/people">Back</a>' in page
    for referer in ("https://evil.example/staff/people", "nonsense", "http://[", ""):
        page = client.post("/staff/people/77", data=form, headers={"origin": HERE, "referer": referer}).text
        assert '<a href="/staff">Back</a>' in page


def test_a_person_is_changed_and_given_a_token_on_their_page(empty):
    person = empty.people.enter("test", "NV1", "Lê Thị Một")
    empty.ledger.register("test", serial(1))
    client, session = client_of(empty)
    headers, guard = {"origin": HERE}, {"form_token": form_token(session)}
    path = f"/staff/people/{person}"
    client.post(path, data=PERSON | guard | {"what": "change", "name": "Lê Thị Mới"}, headers=headers)
    assert empty.people.look_at("test", person).name == "Lê Thị Mới"
    assert "Assign the token labelled" in client.get(path).text
    client.post(path, data=guard | {"what": "assign", "token": short_code(serial(1))}, headers=headers)
    assert empty.ledger.standing(serial(1)).person_id == person
    assert "Assign the token labelled" not in client.get(path).text


@pytest.mark.parametrize("lang", ["vi", "en"])
def test_the_template_of_a_staff_list_comes_in_again(empty, lang):
    client, session = client_of(empty)
    client.cookies.set("bluezone_language", lang, path="/staff")
    head = client.get("/staff/people/template.csv").content
    kind = {"vi": "Cơ quan nhà nước", "en": "government"}[lang]
    line = f"NV1,Lê Thị Một,UBND phường,Hải Châu,{kind},0905123456,\r\n".encode()
    guard = {"form_token": form_token(session)}
    sent = client.post(
        "/staff/people/import", data=guard, files={"list": ("list.csv", head + line)}, headers={"origin": HERE}
    )
    assert sent.headers["location"] == "/staff/people?done=&persons=1&assigned=0"
    assert empty.people.look_at("test", 1).unit == Unit("UBND phường", "Hải Châu", "government")


@pytest.mark.parametrize("path", ["/people", "/units", "/tokens/" + "00" * 8])
def test_another_language_is_of_the_same_page(empty, path):
    client, _ = client_of(empty)
    answer = client.get("/staff/language/vi", headers={"referer": f"{HERE}/staff{path}?done=1"})
    assert answer.headers["location"] == f"/staff{path}"
    assert client.get("/staff/language/vi").headers["location"] == "/staff"


@pytest.mark.parametrize(
    ("path", "above"), [("/people/find", "/people"), ("/alerts/3", "/alerts"), ("/release/3/file", "/release/3")]
)
def test_where_only_forms_go_a_reader_is_led_to_the_page_above(empty, path, above):
    answer = client_of(empty)[0].get(f"/staff{path}")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/staff{above}")


@pytest.mark.parametrize("path", ["/nowhere", "/people/x"])
def test_a_page_that_is_not_there_leads_to_one_that_is(empty, path):
    answer = client_of(empty)[0].get(f"/staff{path}")
    assert answer.status_code == 404
    assert '<a href="/staff">To the overview</a>' in answer.text


def test_pictures_of_the_kiosk_are_those_that_documents_show():
    kept = {path.name for path in (Path(__file__).parents[2] / "docs/img/kiosk").iterdir()}
    assert kept == shown_in_documents()
