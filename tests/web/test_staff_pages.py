"""The clerk's and officer's pages in a browser: they work, by keyboard too, at every width, and axe-core agrees."""

import asyncio
import contextlib
import json

import pytest
from playwright.sync_api import Page, expect
from test_wearer_screen import serious
from web_kit import AUTHORITY, CHALLENGE, CODES, PASSWORD, ROLES, ReleasingToken, keep, serial

from host_tools.authority.release import code_for

pytestmark = pytest.mark.xdist_group("chromium")

WIDTHS = {400: 800, 1024: 600, 1920: 1080}
SHOWN = (("vi", 400), ("vi", 1024), ("en", 1024))  # of which the documents keep a picture
PAGES = {
    "admin": ("", "/tokens", f"/tokens/{serial(1).hex()}", "/units", "/people", "/people/1", "/audit", "/accounts",
              "/settings", "/password"),
    "officer": ("/alerts", "/people/2", "/release"),
}  # fmt: skip


@pytest.fixture
def open_as(browser, kiosk):
    """Opens a page logged in as a role, without the login page."""
    contexts = []

    def open_page(role: str, path: str = "", lang: str = "vi", width: int = 1024) -> Page:
        context = browser.new_context(viewport={"width": width, "height": WIDTHS[width]})
        contexts.append(context)
        _, session = kiosk.site.office.accounts.log_in(role, PASSWORD, "test")
        where = {"domain": "127.0.0.1", "path": "/staff"}
        cookies = {"bluezone_session": session, "bluezone_language": lang}
        context.add_cookies([{"name": name, "value": value, **where} for name, value in cookies.items()])
        page = context.new_page()
        page.goto(f"{kiosk.address}/staff{path}")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("lang", ["vi", "en"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("role", "path"), [(role, path) for role, paths in PAGES.items() for path in paths])
def test_every_page(open_as, role, path, width, lang, pictures):
    page = open_as(role, path, lang, width)
    assert page.locator("html").get_attribute("lang") == lang
    expect(page.get_by_role("alert")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than its window"
    assert serious(page) == []
    if pictures is not None and (lang, width) in SHOWN:
        name = path.strip("/").partition("/")
        what = (
            "overview" if not name[0] else name[0] if not name[2] else name[0].rstrip("s").replace("people", "person")
        )
        keep(page.screenshot(full_page=True), pictures / f"staff-{what}-{lang}-{width}.png")


@pytest.mark.parametrize("width", WIDTHS)
def test_login_and_out_by_keyboard(browser, kiosk, width, pictures):
    page = browser.new_page(viewport={"width": width, "height": WIDTHS[width]})
    page.goto(f"{kiosk.address}/staff")
    assert page.url.endswith("/staff/login")
    assert serious(page) == []
    if pictures is not None and ("vi", width) in SHOWN:
        keep(page.screenshot(), pictures / f"staff-login-vi-{width}.png")
    expect(page.locator("#name")).to_be_focused()
    page.keyboard.type("clerk")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Tổng quan")
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/staff")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.get_by_role("button", name="Đăng xuất").press("Enter")
    expect(page.locator("#password")).to_be_visible()
    page.goto(f"{kiosk.address}/staff/tokens")
    assert page.url.endswith("/staff/login?next=/staff/tokens")
    page.close()


def test_a_tokens_life(open_as):
    """Assigned, replaced, found wrong twice, returned, wiped: each deed is told and stands in the history."""
    page = open_as("clerk", f"/tokens/{serial(6).hex()}", "en")
    page.get_by_label("Give it to staff number").fill("nobody")
    page.get_by_role("button", name="Assign").click()
    expect(page.get_by_role("alert")).to_contain_text("Nobody has staff number 'nobody'. Nothing was changed.")
    page.goto(page.url.partition("?")[0])
    page.get_by_label("Give it to staff number").fill("NV000")
    page.get_by_role("button", name="Assign").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page = open_as("clerk", "/people", "en")
    page.get_by_label("Staff number", exact=True).fill("NV999")
    page.get_by_label("Name").fill("Trần Văn Mới")
    page.get_by_label("Agency").fill("Sở Y tế")
    page.get_by_role("button", name="Enter").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Trần Văn Mới")
    page = open_as("clerk", f"/tokens/{serial(6).hex()}", "en")
    page.get_by_label("Give it to staff number").fill("nv 999")
    page.get_by_role("button", name="Assign").click()
    expect(page.get_by_role("status")).to_contain_text("Done")
    page.get_by_label("Replace it by the token labelled").fill(CODES[12].lower())
    page.get_by_label("The old token is").select_option("return")
    page.get_by_role("button", name="Replace").click()
    expect(page.locator(".state").first).to_have_text("returned, not wiped")
    expect(page.get_by_role("button", name="Assign")).to_have_count(0)
    page.get_by_role("button", name="Its log was wiped").click()
    expect(page.locator(".state").first).to_have_text("wiped, ready")
    expect(page.locator("tbody tr")).to_have_count(4)


def test_what_cannot_be_undone_asks_first(open_as, kiosk):
    page = open_as("clerk", f"/tokens/{serial(18).hex()}", "en")
    expect(page.get_by_role("button", name="Yes: Revoke for good")).to_be_hidden()
    page.get_by_text("Revoke for good…").click()
    page.get_by_role("button", name="Yes: Revoke for good").click()
    expect(page.locator(".state").first).to_have_text("revoked")
    assert kiosk.site.office.ledger.standing(serial(18)).state == "revoked"


@pytest.mark.parametrize("path", ["/units", "/people/1", f"/tokens/{serial(1).hex()}"])
def test_paper_shows_no_forms_and_no_buttons(open_as, path):
    page = open_as("admin", path)
    page.emulate_media(media="print")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    for unwanted in ("header", "form", "button", "nav"):
        for found in page.locator(unwanted).all():
            expect(found).to_be_hidden()


def test_units_are_printed_by_a_button(open_as):
    page = open_as("viewer", "/units", "en")
    page.evaluate("window.print = () => { document.title = 'printed' }")
    page.get_by_role("button", name="Print this page").press("Enter")
    expect(page).to_have_title("printed")


def test_a_button_pressed_twice_does_its_deed_once(open_as):
    page = open_as("clerk", "/people", "en")
    page.get_by_label("Staff number", exact=True).fill("NV998")
    page.get_by_label("Name").fill("Trần Thị Nhanh")
    sent = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    # Both presses come before the browser has left the page.
    page.get_by_role("button", name="Enter").evaluate("button => { button.click(); button.click() }")
    expect(page.get_by_role("heading", level=1)).to_have_text("Trần Thị Nhanh")
    assert len(sent) == 1


def test_search_and_pages(open_as):
    page = open_as("viewer", "/tokens", "en")
    expect(page.get_by_role("columnheader", name="Wearer")).to_have_count(0)
    page.get_by_label("Label, serial or staff number").fill(CODES[3])
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody th")).to_have_text(CODES[3])
    page.goto(f"{page.url.partition('?')[0]}?from=20")
    expect(page.get_by_role("link", name="Before")).to_be_visible()


def test_a_list_comes_in_whole_or_not(open_as, tmp_path):
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("staff_number,name\nA1,Lê Thị Một\nA2,\n", encoding="utf-8")
    page = open_as("clerk", "/people", "en")
    page.get_by_label("File to import").set_input_files(wrong)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("line 3")
    right = tmp_path / "right.csv"
    right.write_text("staff_number,name\nA1,Lê Thị Một\n", encoding="utf-8")
    page = open_as("clerk", "/people", "en")
    page.get_by_label("File to import").set_input_files(right)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("1 people")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export all").click()
    assert "Lê Thị Một" in download.value.path().read_text(encoding="utf-8-sig")


def test_an_alert_is_told_in_person_once(open_as):
    told = f"The wearer was told: {CODES[5]}"
    page, again = (open_as("officer", "/alerts", "en") for _ in range(2))
    expect(page.locator("tbody th .code", has_text=CODES[5])).to_be_visible()
    page.get_by_role("button", name=told).click()
    expect(page.get_by_role("status")).to_contain_text("Done")
    expect(page.get_by_role("button", name=told)).to_have_count(0)
    again.get_by_role("button", name=told).click()
    expect(again.get_by_role("alert")).to_contain_text("somebody else has seen to it")


@pytest.mark.parametrize("role", ROLES)
def test_each_role_sees_its_pages_alone(open_as, role, kiosk):
    page = open_as(role)
    expected = {
        "viewer": ["", "/tokens", "/units"],
        "clerk": ["", "/tokens", "/units", "/people"],
        "officer": ["", "/tokens", "/units", "/people", "/alerts", "/release"],
        "admin": ["", "/tokens", "/units", "/people", "/audit", "/accounts", "/settings"],
    }[role]
    shown = [link.get_attribute("href") for link in page.locator("header nav a").all()]
    assert shown == [f"/staff{path}" for path in expected]
    for path in ("/tokens", "/units", "/people", "/alerts", "/release", "/audit", "/accounts", "/settings"):
        answer = page.request.get(f"{kiosk.address}/staff{path}")
        assert answer.status == (200 if path in expected else 403), path


# --- Somebody was found positive -------------------------------------------------------------------------------


@pytest.fixture
def served(kiosk):
    """Serves a token that comes for a release, until its code is wanted or the visit is over."""
    releases = kiosk.site.releases
    visits = []

    def serve(token: ReleasingToken) -> None:
        code = CODES[7]
        visits.append(asyncio.run_coroutine_threadsafe(releases.serve(code, token.session()), kiosk.loop))

        async def asked() -> None:
            while any(each.code == code and each.state == "reading" for each in releases.all()):
                await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(asked(), kiosk.loop).result(30)

    yield serve
    for each in releases.all():
        kiosk.call(lambda number=each.number: releases.cancel("test", number))
    for visit in visits:
        visit.result(30)


@pytest.mark.parametrize("lang", ["vi", "en"])
@pytest.mark.parametrize("width", WIDTHS)
def test_a_release_from_consent_to_the_file(open_as, kiosk, served, width, lang, pictures):
    def button(vietnamese: str, english: str):
        return page.get_by_role("button", name=vietnamese if lang == "vi" else english)

    def look(what: str) -> None:
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than its window"
        assert serious(page) == []
        if pictures is not None and (lang, width) in SHOWN:
            keep(page.screenshot(full_page=True), pictures / f"staff-release-{what}-{lang}-{width}.png")

    page = open_as("officer", f"/tokens/{serial(7).hex()}", lang, width)
    page.get_by_role("link", name="Báo cáo F0 với thẻ này" if lang == "vi" else "F0 report with this token").click()
    button("Người đeo đồng ý", "The wearer agrees").click()
    expect(page.locator(".state")).to_have_text("chờ người đeo giữ nút" if lang == "vi" else "waiting for the button")
    look("waiting")
    served(ReleasingToken(7))
    page.reload()
    digits = [serial(7).hex().upper(), CHALLENGE.hex().upper()]
    assert ["".join(text.split()) for text in page.locator(".aloud dd").all_inner_texts()] == digits
    look("code")
    code = code_for(AUTHORITY, serial(7), CHALLENGE)
    assert "".join(page.locator(".notice .code").inner_text().split()) == code, "one can practise"
    expect(page.get_by_role("textbox")).to_be_focused()
    page.keyboard.type(f"{code[:4].lower()} {code[4:]}")
    page.keyboard.press("Enter")
    expect(page.locator(".state")).to_have_text("xong, chờ tải về" if lang == "vi" else "done, to be fetched")
    look("done")
    with page.expect_download() as download:
        button("Tải tệp", "Fetch the file").click()
    assert download.value.suggested_filename == f"release-{CODES[7]}.json"
    bundle = json.loads(download.value.path().read_text(encoding="utf-8"))
    assert (bundle["serial"], len(bundle["encounters"])) == (serial(7).hex(), 3)
    assert bundle.keys().isdisjoint({"name", "staff_number"})
    page.reload()
    expect(page.locator(".state")).to_have_text("đã tải về" if lang == "vi" else "fetched")


def test_a_wrong_code_is_told_and_a_release_can_be_cancelled(open_as, kiosk, served):
    page = open_as("officer", "/release", "en")
    page.get_by_label("Token").fill("nv 007")
    page.get_by_role("button", name="The wearer agrees").click()
    served(token := ReleasingToken(7))
    page.reload()
    page.get_by_label("The authority's code").fill("22222222")
    page.get_by_role("button", name="Enter the code").click()
    expect(page.get_by_role("alert")).to_contain_text("does not accept this code")
    expect(page.get_by_text("2 tries left")).to_be_visible()
    assert serious(page) == []
    other = open_as("officer", "/release", "vi")
    other.get_by_role("link", name=CODES[7]).click()
    expect(other.get_by_role("alert")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("status")).to_contain_text("Done")
    other.get_by_role("button", name="Hủy").click()
    expect(other.get_by_role("alert")).to_contain_text("đã xong")
    assert "bye" not in token.served


def test_a_token_that_cannot_come_is_told_at_once(open_as):
    page = open_as("officer", "/release", "en")
    for text, words in ((CODES[23], "this token is lost"), ("7407NX", "no token"), ("  ", "no token")):
        page.goto(page.url.partition("?")[0])
        page.get_by_label("Token").fill(text)
        page.get_by_role("button", name="The wearer agrees").click()
        expect(page.get_by_role("alert")).to_contain_text(words)


def test_the_wearer_sees_a_release_and_no_verdict(browser, kiosk, pictures):
    """The card of the token says so in both languages, for as long as it takes, and that it has gone out."""
    screen = kiosk.site.screen
    with contextlib.closing(browser.new_page(viewport={"width": 1024, "height": 600})) as page:
        for lang, during, after in (
            ("vi", "Đang chuyển dữ liệu cho cơ quan y tế", "Đã chuyển dữ liệu"),
            ("en", "Handing over to the health authority", "Handed over"),
        ):
            page.goto(f"{kiosk.address}/?lang={lang}")
            kiosk.call(lambda: screen.handing_over(CODES[7]))
            expect(page.get_by_text(during)).to_be_visible()
            assert serious(page) == []
            if pictures is not None:
                keep(page.screenshot(), pictures / f"wearer-release-{lang}-1024x600.png")
            kiosk.call(lambda: screen.handed_over(CODES[7], True))
            expect(page.locator(".card.released .word")).to_have_text(after)
            assert serious(page) == []
            kiosk.call(lambda: screen.clear(CODES[7]))
            expect(page.locator(".card")).to_have_count(0)
