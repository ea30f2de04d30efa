"""Who gets in, and what every answer says to browsers."""

import json
from dataclasses import replace

import pytest
from starlette.testclient import TestClient
from web_kit import CODES, NOON_S, PASSWORD, ReleasingToken, result, serial, site_over

from host_tools.errors import UserError
from host_tools.fleet.alerts import make_in
from host_tools.fleet.periods import periods
from host_tools.matching.assessment import Judged
from host_tools.matching.day_result import by_day
from host_tools.matching.list_source import ListSource
from host_tools.storage.database import StorageError
from host_tools.web import wearer
from host_tools.web.app import build_app
from host_tools.web.cases import OLD_S, CaseList
from host_tools.web.guard import LONGEST_FORM
from host_tools.web.screen import details
from host_tools.web.site import form_token

HERE = "http://localhost:8000"
SAME_SITE = {"origin": HERE}


@pytest.fixture
def site(office):
    return site_over(office)


@pytest.fixture
def client(site):
    return TestClient(build_app(site), HERE, client=("127.0.0.1", 50000), follow_redirects=False)


def log_in(client, role):
    answer = client.post("/staff/login", data={"name": role, "password": PASSWORD}, headers=SAME_SITE)
    assert answer.status_code == 303
    return client.cookies["bluezone_session"]


@pytest.mark.parametrize(
    "path", ["/", "/staff/login", "/healthz", "/metrics", "/static/kiosk.css", "/nothing", "/cards/X"]
)
def test_every_answer_carries_the_policy(client, path):
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert "cache-control" in headers


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "[", "127.0.0.2"])
def test_other_names_get_nothing(client, host):
    assert client.get("/healthz", headers={"host": host}).status_code == 421


def test_a_name_that_was_given_is_known(site):
    client = TestClient(build_app(site, frozenset({"kiosk.lan"})), "http://kiosk.lan:8000")
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("path", ["/", "/events", "/cards/7407NX"])
def test_the_wearers_screen_is_at_the_kiosk_only(site, client, path):
    far = TestClient(build_app(site, frozenset({"kiosk.lan"})), "http://kiosk.lan", client=("192.0.2.7", 50000))
    assert far.get(path).status_code == 403
    assert far.get("/staff/login").status_code == 200
    for header in ("x-forwarded-for", "forwarded", "via"):
        assert client.get(path, headers={header: "192.0.2.7"}).status_code == 403


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "http://localhost:8001", "http://[", HERE + ".evil"]
)
def test_forms_of_other_sites_are_not_taken(client, origin):
    headers = {} if origin is None else {"origin": origin}
    answer = client.post("/staff/login", data={"name": "clerk", "password": PASSWORD}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_bodies_are_limited(client):
    assert client.post("/staff/login", content=b"", headers={**SAME_SITE, "content-length": str(LONGEST_FORM + 1)}
                       ).status_code == 413  # fmt: skip
    assert client.post("/staff/login", content=iter([b"a"]), headers=SAME_SITE).status_code == 411


def test_a_form_needs_the_token_of_its_session(client, office):
    session = log_in(client, "admin")
    for token in ({}, {"form_token": ""}, {"form_token": form_token("another")}):
        answer = client.post("/staff/settings", data={"days": "3", **token}, headers=SAME_SITE)
        assert answer.status_code == 403
        assert office.privacy.days() == 14
    answer = client.post("/staff/settings", data={"days": "3", "form_token": form_token(session)}, headers=SAME_SITE)
    assert answer.status_code == 303
    assert office.privacy.days() == 3
    office.privacy.set_days("test", 14)


POSTS = {
    "/staff/tokens": "change fleet",
    f"/staff/tokens/{serial(1).hex()}": "change fleet",
    "/staff/people": "change fleet",
    "/staff/people/import": "change fleet",
    "/staff/people/export": "change fleet",
    "/staff/people/1": "change fleet",
    "/staff/people/find": "see people",
    "/staff/alerts/999": "see results",
    "/staff/release": "release",
    "/staff/release/999": "release",
    "/staff/release/999/file": "release",
    "/staff/accounts": "accounts",
    "/staff/accounts/1": "accounts",
    "/staff/settings": "settings",
}


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("role", ["viewer", "clerk", "officer", "admin", None])
def test_deeds_are_for_who_may(client, office, path, role):
    session = log_in(client, role) if role else "none"
    answer = client.post(path, data={"form_token": form_token(session)}, headers=SAME_SITE)
    if role is None:
        assert (answer.status_code, answer.headers["location"]) == (303, "/staff/login?ended=1")
    else:
        (account,) = (known for known in office.accounts.all() if known.name == role)
        allowed = account.may(POSTS[path])
        assert answer.status_code in ((200, 303, 409) if allowed else (403,))


@pytest.mark.parametrize(("path", "then"), [("/staff/people", "?next=/staff/people"), ("/staff", "")])
def test_who_has_to_log_in_comes_back_to_the_page(client, path, then):
    asked = client.get(path).headers["location"]
    assert asked == f"/staff/login{then}"
    answer = client.post(asked, data={"name": "clerk", "password": PASSWORD}, headers=SAME_SITE)
    assert answer.headers["location"] == path


@pytest.mark.parametrize("place", ["https://evil.example/staff/people", "//evil.example/", "/", "nonsense", "http://["])
def test_nobody_is_led_elsewhere_by_logging_in(client, place):
    form = {"name": "clerk", "password": PASSWORD}
    answer = client.post("/staff/login", params={"next": place}, data=form, headers=SAME_SITE)
    assert answer.headers["location"] in ("/staff", "/staff/people")


def test_a_form_of_a_session_that_is_over_is_not_lost_without_a_word(client):
    headers = SAME_SITE | {"referer": f"{HERE}/staff/people?done=1"}
    answer = client.post("/staff/people", data={"staff_number": "NV1"}, headers=headers)
    assert answer.headers["location"] == "/staff/login?next=/staff/people&ended=1"
    assert "Điều vừa nhập chưa được ghi" in client.get(answer.headers["location"]).text
    form = {"name": "clerk", "password": "a wrong password"}
    again = client.post(answer.headers["location"], data=form, headers=SAME_SITE).text
    assert 'value="clerk"' in again
    assert "Điều vừa nhập" not in again


def test_the_session_ends_with_the_logout(client):
    session = log_in(client, "clerk")
    client.post("/staff/logout", data={"form_token": form_token(session)}, headers=SAME_SITE)
    answer = client.get("/staff", headers={"cookie": f"bluezone_session={session}"})
    assert answer.headers["location"] == "/staff/login"


def test_wrong_passwords_are_counted(client, office):
    def attempt():
        return client.post("/staff/login", data={"name": "nobody", "password": "wrong password"}, headers=SAME_SITE)

    assert [attempt().status_code for _ in range(6)] == [403] * 5 + [429]
    assert "phút" in attempt().text


def test_a_database_that_is_away_is_told(client, office, monkeypatch):
    log_in(client, "clerk")

    def away(*_arguments, **_options):
        raise StorageError("The database cannot be used.")

    monkeypatch.setattr(office.listing, "page", away)
    answer = client.get("/staff/tokens")
    assert answer.status_code == 503
    assert "The database cannot be used." in answer.text
    monkeypatch.setattr(office.accounts, "of_session", away)
    assert client.get("/staff").status_code == 503


def test_health_tells_machines(client, site):
    assert client.get("/healthz").json() == {"ok": True, "problems": []}
    site.screen.troubles = {"radio"}
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()["ok"]) == (503, False)
    assert "Plug it in" in answer.text
    assert "bluezone_tokens " in client.get("/metrics").text


def test_a_list_that_goes_bad_leaves_the_last_good_one(tmp_path):
    path = tmp_path / "list.json"
    source = ListSource(str(path), None)
    with pytest.raises(UserError):
        CaseList(source, lambda: 0.0)
    entry = {"daily_key": "00" * 32, "time_start": NOON_S, "time_end": NOON_S, "max": 96}
    path.write_text(json.dumps({"data": [entry]}))
    now_s = 0.0
    cases = CaseList(source, lambda: now_s)
    path.write_text("{")
    now_s = 3600.0
    cases.renew()
    assert len(cases.cases.cases) == 1
    assert "damaged" in str(cases.status.problem)
    assert (cases.published_age_s, cases.fetched_age_s, cases.old) == (None, 3600, False)
    path.unlink()
    now_s = OLD_S
    cases.renew()
    assert cases.status.problem
    assert cases.old
    path.write_text(json.dumps({"data": [entry, entry | {"daily_key": "01" * 32}]}))
    cases.renew()
    assert not cases.old
    assert len(cases.cases.cases) == 2
    assert cases.status.problem is None


@pytest.mark.parametrize(("lang", "words"), [("vi", "trong vòng 2 m, từ 15 phút"), ("en", "within 2 m for 15 minutes")])
def test_an_officer_sees_why_a_day_counts_and_a_clerk_does_not(client, office, lang, words):
    told = result(3, exposed=True)
    with office.database.writing() as connection:
        (period,) = periods(connection, serial(3))
        office.results.keep_in(connection, serial(3), period, Judged(told.encounters, told.verdict))
    assert period.person_id
    path = f"/staff/people/{period.person_id}?lang={lang}"
    log_in(client, "officer")
    page = client.get(path).text
    assert {"vi": "gần 88 + xa 38 phút", "en": "near 88 + far 38 min"}[lang] in page
    assert words in page
    log_in(client, "clerk")
    assert words not in client.get(path).text


@pytest.mark.parametrize(("lang", "words"), [("vi", "gần 88 + xa 38 phút"), ("en", "near 88 + far 38 min")])
def test_an_alert_says_why(client, office, lang, words):
    told = result(3, exposed=True)
    with office.database.writing() as connection:
        (period,) = periods(connection, serial(3))
        office.results.keep_in(connection, serial(3), period, Judged(told.encounters, told.verdict, told.list_version))
        make_in(connection, period, [found.day for found in told.verdict.days], NOON_S)
    log_in(client, "officer")
    page = client.get(f"/staff/alerts?lang={lang}").text
    assert words in page
    assert told.list_version is not None
    assert told.list_version.digest[:12] in page


def test_what_was_found_before_is_explained_when_its_encounters_are_gone(site):
    before = result(3, exposed=True)
    kept = by_day(before.verdict, before.list_version)
    assert wearer._earlier(site, details(before, site.rules), kept) is None
    earlier = wearer._earlier(site, details(result(3), site.rules), kept)
    assert earlier is not None
    assert earlier.en[0] == "F1: you were in close contact with an infected person."
    assert "near 88 + far 38 min" in earlier.en[1]


def test_the_overview_tells_age_and_signature_of_the_list(client, site):
    log_in(client, "viewer")
    page = client.get("/staff?lang=en").text
    assert "✓ valid, version 7" in page
    assert "60 minutes" in page
    cases, status = site.cases.newest
    site.cases.newest = cases, replace(status, signed=False, version=None, published_s=None)
    page = client.get("/staff?lang=en").text
    assert "unknown" in page
    assert "valid" not in page


def test_a_release_is_looked_at_again_by_itself_but_not_while_somebody_types(site):
    releases = site.releases
    token = ReleasingToken(8)
    with TestClient(build_app(site), HERE, client=("127.0.0.1", 50000), follow_redirects=False) as client:
        session = log_in(client, "officer")
        form = {"form_token": form_token(session), "token": serial(8).hex()}
        begun = client.post("/staff/release", data=form, headers=SAME_SITE)
        path = begun.headers["location"]
        assert client.get(path).headers["refresh"] == f"5; url={path}"
        assert client.portal is not None
        visit = client.portal.start_task_soon(releases.serve, CODES[8], token.session())
        while "refresh" in (answer := client.get(path)).headers and "autofocus" not in answer.text:
            pass
        assert int(answer.headers["refresh"].partition(";")[0]) > 200
        assert "E0E1 E2E3 E4" in answer.text
        assert "Mô phỏng" not in answer.text, "outside of a simulation the authority alone has the code"
        answer = client.post(path, data={**form, "what": "cancel"}, headers=SAME_SITE)
        assert answer.headers["location"].startswith("/staff/release?")
        visit.result(30)
        answer = client.get(path)
        assert answer.status_code == 409
        assert "refresh" not in answer.headers
