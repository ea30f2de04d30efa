"""What strangers and clever clerks send instead of what the pages' own forms would: each gets an answer, no more."""

import asyncio
import traceback

import pytest
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from web_kit import PASSWORD, site_over

from host_tools.errors import UserError
from host_tools.fleet.tables import unit_table
from host_tools.storage.database import StorageError
from host_tools.web import staff_people
from host_tools.web.app import build_app
from host_tools.web.guard import LONGEST_FORM
from host_tools.web.site import STAFF, form_token

HERE = "http://localhost:8000"
SAME_SITE = {"origin": HERE}
IMPORT = f"{STAFF}{staff_people.IMPORT}"


@pytest.fixture
def site(office):
    return site_over(office)


@pytest.fixture
def client(site):
    app = build_app(site)
    return TestClient(app, HERE, client=("127.0.0.1", 50000), follow_redirects=False, raise_server_exceptions=False)


def log_in(client, role):
    client.post("/staff/login", data={"name": role, "password": PASSWORD}, headers=SAME_SITE)
    return {"form_token": form_token(client.cookies["bluezone_session"])}


def staff_paths(site, method):
    """The paths of the staff's pages that take a method, as they are written in the routes."""
    (staff,) = (route for route in build_app(site).routes if isinstance(route, Mount) and route.path == STAFF)
    own = (route for route in staff.routes if isinstance(route, Route))
    return sorted({STAFF + route.path for route in own if method in (route.methods or ())})


@pytest.mark.parametrize("digits", [10, 25, 5000])
@pytest.mark.parametrize("role", ["admin", "officer", None])
def test_no_number_is_too_long_for_the_database_behind_a_page(client, site, role, digits):
    form = log_in(client, role) if role else {}
    paths = [path for path in staff_paths(site, "POST") if ":int" in path or ":number" in path]
    assert len(paths) >= 5
    for path in paths:
        before, _, rest = path.partition("{")
        hostile = before + "9" * digits + rest.partition("}")[2]
        assert client.get(hostile).status_code == 404, path
        assert client.post(hostile, data={**form, "what": "all"}, headers=SAME_SITE).status_code == 404, path


def body_in(charset, name, value):
    text = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n--x--\r\n' % (name, value)
    return text, SAME_SITE | {"content-type": f"multipart/form-data; boundary=x; charset={charset}"}


@pytest.mark.parametrize("charset", ["punycode", "idna", "unicode_escape", "utf-7", "utf-16", "UTF_7", "'", ""])
@pytest.mark.parametrize("field", [b"name", b"password"])
def test_forms_are_in_one_encoding(site, charset, field):
    client = TestClient(build_app(site), HERE, client=("192.0.2.50", 50000))  # whose tries are counted apart
    content, headers = body_in(charset, field, rb"\ud800")
    assert client.post("/staff/login", content=content, headers=headers).status_code == 415
    content, headers = body_in("UTF-8", field, "Đà Nẵng".encode())
    assert client.post("/staff/login", content=content, headers=headers).status_code in (403, 429)


@pytest.mark.parametrize("given", ["é", "\x00", "ｆ" * 64, "9" * 5000])
def test_any_text_may_stand_where_a_form_has_its_token(client, given):
    log_in(client, "admin")
    answer = client.post("/staff/settings", data={"days": "3", "form_token": given}, headers=SAME_SITE)
    assert answer.status_code == 403


def test_only_the_page_for_staff_lists_takes_much(client, site):
    posts = staff_paths(site, "POST")
    assert IMPORT in posts
    for path in posts:
        length = {"content-length": str(LONGEST_FORM + 1)}
        answer = client.post(path, content=b"", headers=SAME_SITE | length)
        assert (answer.status_code == 413) == (path != IMPORT), path


@pytest.mark.parametrize("role", ["viewer", "officer", None])
def test_what_nobody_may_send_is_not_read(client, monkeypatch, role):
    if role:
        log_in(client, role)
    monkeypatch.setattr("starlette.requests.Request.form", None)
    files = {"list": ("list.csv", b"staff_number,name\r\n" * 1000)}
    answer = client.post(IMPORT, files=files, headers=SAME_SITE)
    assert answer.status_code == (403 if role else 303)


def test_who_is_shut_out_while_a_form_comes_in_does_nothing(client, office, monkeypatch):
    form = log_in(client, "admin")
    session = client.cookies["bluezone_session"]
    asked = []

    def of_session(token):
        asked.append(token)
        return known(token) if len(asked) == 1 else None

    known = office.accounts.of_session
    monkeypatch.setattr(office.accounts, "of_session", of_session)
    answer = client.post("/staff/settings", data=form | {"days": "3"}, headers=SAME_SITE)
    assert answer.headers["location"].startswith("/staff/login")
    assert asked == [session, session]
    assert office.privacy.days() == 14


def test_an_error_of_the_kiosk_tells_nothing_and_carries_the_policy(client, office, monkeypatch):
    log_in(client, "clerk")

    def broken(*_arguments, **_options):
        raise RuntimeError("Nguyễn Thị 1")

    monkeypatch.setattr(office.listing, "page", broken)
    answer = client.get("/staff/tokens")
    assert answer.status_code == 500
    assert "Nguyễn" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


def test_what_was_being_stored_does_not_reach_the_log(office):
    agency = str(7**20)  # nowhere in this file, of which a traceback shows lines
    with pytest.raises(StorageError) as failed, office.database.writing() as connection:
        connection.execute(unit_table.insert(), [{"agency": agency, "district": "", "kind": None}])
    assert agency not in "".join(traceback.format_exception(failed.value))


def test_a_browser_that_leaves_while_it_sends_is_no_error(site):
    scope = {
        "type": "http", "method": "POST", "path": "/staff/login", "query_string": b"", "client": ("192.0.2.7", 5),
        "headers": [(b"host", b"localhost:8000"), (b"origin", HERE.encode()), (b"content-length", b"9"),
                    (b"content-type", b"application/x-www-form-urlencoded")],
    }  # fmt: skip
    parts = [{"type": "http.request", "body": b"name=", "more_body": True}, {"type": "http.disconnect"}]
    told = []

    async def receive():
        return parts.pop(0)

    async def send(message):
        told.append(message)

    asyncio.run(build_app(site)(scope, receive, send))
    assert parts == told == []


def test_strangers_learn_whether_the_kiosk_is_well_and_nothing_else(site, client):
    site.screen.troubles = {"radio"}
    far = TestClient(build_app(site, frozenset({"kiosk.lan"})), "http://kiosk.lan", client=("192.0.2.7", 50000))
    for headers, browser in (({}, far), ({"x-forwarded-for": "192.0.2.7"}, client)):
        answer = browser.get("/healthz", headers=headers)
        assert (answer.status_code, answer.json()) == (503, {"ok": False, "problems": []})
        assert browser.get("/metrics", headers=headers).status_code == 403
    assert client.get("/metrics").status_code == 200


def test_strangers_do_not_learn_where_the_database_is(site, office, client, monkeypatch):
    def away():
        raise StorageError("The database postgresql://clerk@db.lan cannot be used.")

    monkeypatch.setattr(office.accounts, "all", away)
    far = TestClient(client.app, HERE, client=("192.0.2.7", 50000))
    assert "db.lan" in client.get("/staff/login").text
    for answer in (far.get("/staff/login"), client.get("/staff/login", headers={"x-forwarded-for": "192.0.2.7"})):
        assert answer.status_code == 503
        assert "Cơ sở dữ liệu không trả lời" in answer.text
        assert "db.lan" not in answer.text


def test_tries_behind_a_proxy_are_counted_by_browser(client, office, monkeypatch):
    addresses = []

    def refuse(_name, _password, address):
        addresses.append(address)
        raise UserError("Name or password is wrong.")

    monkeypatch.setattr(office.accounts, "log_in", refuse)
    far = TestClient(client.app, HERE, client=("192.0.2.7", 50000))
    for browser, said in (
        (client, "203.0.113.9, 192.0.2.8"),
        (client, "2001:db8::1"),
        (client, None),
        (far, "192.0.2.9"),
    ):
        headers = SAME_SITE | ({"x-forwarded-for": said} if said else {})
        browser.post("/staff/login", data={"name": "clerk"}, headers=headers)
    assert addresses == ["192.0.2.8", "2001:db8::1", "127.0.0.1", "192.0.2.7"]


@pytest.mark.parametrize(("proto", "secure"), [("https", True), ("http", False), (None, False)])
def test_a_session_that_came_encrypted_never_goes_otherwise(client, proto, secure):
    headers = SAME_SITE | ({"x-forwarded-proto": proto} if proto else {})
    answer = client.post("/staff/login", data={"name": "clerk", "password": PASSWORD}, headers=headers)
    cookie = answer.headers["set-cookie"]
    assert ("Secure" in cookie) == secure
    for flag in ("HttpOnly", "Path=/staff", "SameSite=strict"):
        assert flag in cookie


def test_who_logs_in_anew_leaves_no_session_behind(client, office):
    log_in(client, "officer")
    before = client.cookies["bluezone_session"]
    log_in(client, "clerk")
    assert client.cookies["bluezone_session"] != before
    assert office.accounts.of_session(before) is None


def test_nobody_brings_a_session_along(client, office):
    """A session that somebody else has put into the browser does not become that of who logs in."""
    headers = SAME_SITE | {"cookie": "bluezone_session=chosen"}
    answer = client.post("/staff/login", data={"name": "clerk", "password": PASSWORD}, headers=headers)
    assert answer.status_code == 303
    assert office.accounts.of_session("chosen") is None
