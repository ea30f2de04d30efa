"""Which role gets which page: every route of the kiosk, with every role, as written down here.

A new route fails until somebody has decided here whose it is.
"""

import contextlib

import pytest
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from web_kit import PASSWORD, ROLES, serial, site_over

from host_tools.web.app import build_app
from host_tools.web.site import STAFF, form_token

HERE = "http://localhost:8000"
EVERYBODY, NOBODY = "everybody", ""
ALL = "admin clerk officer viewer"
FLEET, PEOPLE, RESULTS, ADMIN = "admin clerk", "admin clerk officer", "officer", "admin"

# Who gets in: EVERYBODY is without a login, in the wearer's case at the kiosk only.
WHO = {
    "GET /": EVERYBODY,
    "GET /events": EVERYBODY,
    "GET /cards/{code}": EVERYBODY,
    "DELETE /cards/{code}": EVERYBODY,
    "GET /cards/{code}/held": EVERYBODY,
    "DELETE /cards/{code}/held": EVERYBODY,
    "GET /healthz": EVERYBODY,
    "GET /metrics": EVERYBODY,
    "GET /staff": ALL,
    "GET /staff/login": EVERYBODY,
    "POST /staff/login": EVERYBODY,
    "GET /staff/setup": EVERYBODY,
    "POST /staff/setup": EVERYBODY,
    "GET /staff/language/{lang}": EVERYBODY,
    "GET /staff/password": ALL,
    "POST /staff/password": ALL,
    "POST /staff/logout": ALL,
    "GET /staff/tokens": ALL,
    "POST /staff/tokens": FLEET,
    "GET /staff/tokens/{serial}": ALL,
    "POST /staff/tokens/{serial}": FLEET,
    "GET /staff/tokens/{serial}/label.svg": ALL,
    "GET /staff/units": ALL,
    "GET /staff/units.csv": ALL,
    "GET /staff/people": PEOPLE,
    "POST /staff/people": FLEET,
    "POST /staff/people/find": PEOPLE,
    "POST /staff/people/import": FLEET,
    "GET /staff/people/template.csv": FLEET,
    "POST /staff/people/export": FLEET,
    "GET /staff/people/{person:number}": PEOPLE,
    "POST /staff/people/{person:number}": FLEET,
    "GET /staff/release": RESULTS,
    "POST /staff/release": RESULTS,
    "GET /staff/release/{number:number}": RESULTS,
    "POST /staff/release/{number:number}": RESULTS,
    "POST /staff/release/{number:number}/file": RESULTS,
    "GET /staff/alerts": RESULTS,
    "POST /staff/alerts/{alert:number}": RESULTS,
    "GET /staff/audit": ADMIN,
    "GET /staff/accounts": ADMIN,
    "POST /staff/accounts": ADMIN,
    "POST /staff/accounts/{account:number}": ADMIN,
    "GET /staff/settings": ADMIN,
    "POST /staff/settings": ADMIN,
}
AT_THE_KIOSK = {deed for deed in WHO if deed.split("/")[1] in ("", "events", "cards", "metrics")}
_FILLED = {
    "{code}": "7407NX", "{lang}": "en", "{serial}": serial(1).hex(), "{person:number}": "1", "{number:number}": "999",
    "{alert:number}": "999", "{account:number}": "999",
}  # fmt: skip
_DEEDS = [deed for deed in WHO if deed not in ("GET /events", "POST /staff/login")]  # no end; tries are counted


@pytest.fixture(scope="module")
def app(office):
    return build_app(site_over(office))


@pytest.fixture
def client(app):
    with TestClient(app, HERE, client=("127.0.0.1", 50000), follow_redirects=False) as client:
        yield client


def routes(app):
    """Every method and path, as in WHO."""
    for route in app.routes:
        inner = route.routes if isinstance(route, Mount) else [route]
        for own in inner:
            assert isinstance(own, Route), own
            path = (route.path if isinstance(route, Mount) else "") + own.path
            yield from (f"{method} {path}" for method in own.methods or () if method != "HEAD")


def answer(client, deed, session=""):
    """The kiosk's answer to a deed with a form of this session."""
    method, path = deed.split()
    for name, value in _FILLED.items():
        path = path.replace(name, value)
    form = {"form_token": form_token(session)} if method == "POST" else None
    return client.request(method, path, data=form, headers={"origin": HERE})


def test_every_route_is_somebodys(app):
    assert sorted(routes(app)) == sorted(WHO)


@pytest.mark.parametrize("role", ROLES)
def test_every_role_gets_its_own_pages_and_no_other(client, role):
    form = {"name": role, "password": PASSWORD}
    client.post(f"{STAFF}/login", data=form, headers={"origin": HERE})
    for deed in sorted(_DEEDS, key="POST /staff/logout".__eq__):  # it comes last
        got = answer(client, deed, client.cookies["bluezone_session"])
        mine = WHO[deed] == EVERYBODY or role in WHO[deed].split()
        assert (got.status_code == 403) == (not mine), deed
        assert "login" not in got.headers.get("location", "") or deed.endswith(("/logout", "/setup")), deed


@pytest.mark.parametrize("session", ["", "made up"])
def test_who_is_not_logged_in_gets_the_login(client, session):
    for deed in _DEEDS:
        if session:
            client.cookies.set("bluezone_session", session, path=STAFF)
        got = answer(client, deed, session)
        if WHO[deed] != EVERYBODY:
            assert (got.status_code, got.headers["location"][:12]) == (303, f"{STAFF}/login"), deed


def test_the_wearers_screen_is_for_nobody_elsewhere(app):
    with contextlib.ExitStack() as stack:
        far = stack.enter_context(TestClient(app, HERE, client=("192.0.2.7", 50000), follow_redirects=False))
        for deed in AT_THE_KIOSK:
            assert answer(far, deed).status_code == 403, deed
        assert answer(far, "GET /healthz").status_code == 200
