"""The wearer's screen in a browser: both languages and sizes, by keyboard alone, and that it forgets."""

import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from web_kit import CODES, NOON_S, any_time, keep, record, result, serial

from host_tools.errors import UserError
from host_tools.fleet.desk import TurnedAway
from host_tools.link.bluetooth import AdapterMissing
from host_tools.link.errors import AnswerTimeout, LinkLost, LogRestarted, SessionRefused, StrangeToken
from host_tools.storage.database import StorageError
from host_tools.web.failures import WORDS, failure_of
from host_tools.web.screen import TROUBLES, ShowingDesk
from tracing.kiosk_messages import ERROR_BUSY, ERROR_RANGE

pytestmark = pytest.mark.xdist_group("chromium")

FAILURES = {
    "lost": (LinkLost(), "Mất kết nối với thẻ", "The connection was lost"),
    "silent": (AnswerTimeout(10), "Thẻ chưa trả lời", "The token did not answer"),
    "elsewhere": (SessionRefused(ERROR_BUSY), "quầy khác đang đọc", "Another kiosk is reading"),
    "foreign": (StrangeToken(), "không thuộc đơn vị", "does not belong"),
    "clock": (SessionRefused(ERROR_RANGE), "Đồng hồ của quầy", "kiosk's clock"),
    "database": (StorageError("away"), "không lưu được", "cannot store"),
    "radio": (AdapterMissing("gone"), "Bluetooth của quầy", "kiosk's Bluetooth"),
    "token": (LogRestarted(), "cần được kiểm tra", "has to be checked"),
    "kiosk": (UserError("?"), "chưa đọc xong", "did not finish"),
}
SIZES = {"1024x600": (1024, 600), "1920x1080": (1920, 1080)}


# Letters below 20 px and targets below 48 px, as they are on the screen; a chart's letters grow with it.
SMALL_LETTERS = """() => [...document.querySelectorAll("body *")].filter((element) => {
  const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  const svg = element.closest("svg");
  const grown = svg ? svg.getScreenCTM().a : 1;
  return own && element.checkVisibility() && parseFloat(getComputedStyle(element).fontSize) * grown < 20;
}).map((element) => element.outerHTML)"""
SMALL_TARGETS = """() => [...document.querySelectorAll("a, button, summary")].filter((element) => {
  const box = element.getBoundingClientRect();
  return element.checkVisibility() && Math.min(box.width, box.height) < 48;
}).map((element) => element.outerHTML)"""


def serious(page: Page) -> list[str]:
    """What axe-core holds against a page, from serious on."""
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found if each["impact"] in ("serious", "critical")]


@pytest.fixture(params=["vi", "en"])
def lang(request: pytest.FixtureRequest) -> str:
    return request.param


def empty(kiosk) -> None:
    """Nobody is at the kiosk, whatever another test has left on its screen."""
    for trouble in TROUBLES:
        kiosk.call(lambda trouble=trouble: kiosk.site.screen.set_trouble(trouble, False))
    for code in list(kiosk.site.screen.cards):
        kiosk.call(lambda code=code: kiosk.site.screen.failed(code, LinkLost(), False))
        kiosk.call(lambda code=code: kiosk.site.screen.clear(code))


@pytest.fixture(params=SIZES)
def page(request: pytest.FixtureRequest, browser, kiosk, lang):
    empty(kiosk)
    width, height = SIZES[request.param]
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(f"{kiosk.address}/?lang={lang}")
    expect(page.locator("#near")).to_have_text("0")
    yield page
    page.close()
    empty(kiosk)


@pytest.fixture
def shot(request, page, lang, pictures):
    size = f"{page.viewport_size['width']}x{page.viewport_size['height']}"

    def take(name: str) -> None:
        assert serious(page) == []
        assert page.evaluate(SMALL_LETTERS) == []
        assert page.evaluate(SMALL_TARGETS) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than the screen"
        assert page.evaluate("document.documentElement.scrollHeight <= innerHeight"), "higher than the screen"
        if pictures is not None:
            keep(page.screenshot(), pictures / f"wearer-{name}-{lang}-{size}.png")

    return take


def test_it_invites(page, lang, shot):
    words = {"vi": "Giữ nút trên thẻ hai giây", "en": "Hold your token's button for two seconds"}
    expect(page.get_by_role("heading", level=1)).to_have_text(words[lang])
    assert page.locator("html").get_attribute("lang") == lang
    shot("idle")


def test_progress_then_safe(page, kiosk, lang, shot):
    screen = kiosk.site.screen
    kiosk.call(lambda: screen.found(CODES[1]))
    kiosk.call(lambda: screen.progress(CODES[1], 450, 900))
    expect(page.get_by_role("heading", name=CODES[1])).to_be_visible()
    expect(page.get_by_role("progressbar")).to_have_js_property("value", 0.5)
    expect(page.locator("#idle")).to_be_hidden()
    shot("reading")
    kiosk.call(lambda: screen.finished(CODES[1], result(1)))
    expect(page.locator(".card.safe .word")).to_have_text({"vi": "An toàn", "en": "Safe"}[lang])
    expect(page.locator(".card.safe .verdict svg")).to_be_visible()
    assert {"vi": "Tổng lượt tiếp xúc", "en": "Total contacts"}[lang] in page.locator(".card").inner_text()
    expect(page.locator(".card svg.history text")).to_have_count(27)
    shot("safe")


def test_exposed_says_when_and_what_to_do(page, kiosk, lang, shot):
    kiosk.call(lambda: kiosk.site.screen.finished(CODES[2], result(2, exposed=True, battery_mv=2500)))
    card = page.locator(".card.exposed")
    expect(card).to_contain_text("F1")
    expect(card.locator(".say")).to_contain_text("08/08/2020: gần 88" if lang == "vi" else "08/08/2020: near 88")
    expect(card.locator(".next li")).to_have_count(3)
    expect(card.locator("dd.low")).to_contain_text("▼")
    shot("exposed")


def test_who_comes_next_is_told_what_to_do(page, kiosk, lang):
    """Cards take the invitation's place; it stays in the header, unless nobody can be served."""
    invited = page.locator(".next-one")
    expect(invited).to_be_hidden()
    kiosk.call(lambda: kiosk.site.screen.finished(CODES[20], result(20)))
    expect(invited).to_be_visible()
    expect(invited).to_contain_text({"vi": "giữ nút thẻ hai giây", "en": "hold your button for two seconds"}[lang])
    kiosk.call(lambda: kiosk.site.screen.set_trouble("radio", True))
    expect(invited).to_be_hidden()


def test_two_side_by_side(page, kiosk, shot):
    kiosk.call(lambda: kiosk.site.screen.finished(CODES[3], result(3)))
    kiosk.call(lambda: kiosk.site.screen.finished(CODES[4], result(4, exposed=True)))
    expect(page.locator(".card.safe")).to_be_visible()
    expect(page.locator(".card.exposed")).to_be_visible()
    first, second = page.locator(".card.safe").bounding_box(), page.locator(".card.exposed").bounding_box()
    assert first["y"] == second["y"]
    assert first["x"] + first["width"] <= second["x"]
    shot("two")


def test_ten_at_once(page, kiosk, shot):
    screen = kiosk.site.screen
    for number in range(5, 15):
        kiosk.call(lambda number=number: screen.found(CODES[number]))
    kiosk.call(lambda: screen.progress(CODES[6], 700, 900))
    kiosk.call(lambda: screen.finished(CODES[7], result(7)))
    kiosk.call(lambda: screen.finished(CODES[8], result(8, exposed=True)))
    kiosk.call(lambda: screen.failed(CODES[9], LinkLost(), False))
    kiosk.call(lambda: screen.failed(CODES[10], LinkLost(), True))
    expect(page.locator(".card")).to_have_count(10)
    expect(page.locator(".card.failed")).to_be_visible()
    shot("ten")


def test_who_is_turned_away_sees_no_result(page, kiosk, shot):
    class Desk:
        async def encounters(self, _serial, _now_s):
            raise TurnedAway("Token … is reported lost.")

    screen = kiosk.site.screen
    desk = ShowingDesk(Desk(), screen, any_time)  # type: ignore[arg-type]

    async def come() -> None:
        screen.found(CODES[15])
        with pytest.raises(TurnedAway) as refusal:
            await desk.encounters(serial(15), 0)
        screen.failed(CODES[15], refusal.value, False)

    kiosk.call(come)
    card = page.locator(".card.clerk")
    expect(card).to_be_visible()
    expect(card.locator(".more")).to_have_count(0)
    shot("clerk")


def test_by_keyboard_alone(page, kiosk):
    """Sound, language, and "done", which takes everything personal away at once."""
    kiosk.call(lambda: kiosk.site.screen.finished(CODES[16], result(16)))
    expect(page.locator(".card.safe")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.locator("#sound")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#sound")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.locator(".data")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    page.keyboard.press("Tab")
    expect(page.locator(".done")).to_be_focused()
    with page.expect_response(lambda answer: answer.request.method == "DELETE" and answer.status == 204):
        page.keyboard.press("Enter")
    expect(page.locator(".card")).to_have_count(0)
    expect(page.locator("#idle")).to_be_visible()
    assert CODES[16] not in page.content()
    assert CODES[16] not in kiosk.site.screen.picture()


def test_a_wearer_sees_and_deletes_what_is_held(page, kiosk, lang, shot):
    office, token = kiosk.site.office, serial(19)
    office.store.store_records(token, [(office.store.next_seq(token), record(NOON_S))], NOON_S)
    kiosk.call(lambda: kiosk.site.screen.finished(CODES[19], result(19, exposed=True)))
    page.locator(".data").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text({"vi": "Bản ghi tiếp xúc: 1", "en": "Contact records: 1"}[lang])
    shot("held")
    assert "Nguyễn Thị" not in page.content()
    why = dialog.locator(".why").inner_text()
    assert {"vi": "08/08/2020: gần 88 + xa 38 phút", "en": "08/08/2020: near 88 + far 38 min"}[lang] in why
    assert {"vi": "trong vòng 2 m, từ 15 phút", "en": "within 2 m for 15 minutes"}[lang] in why
    assert {"vi": "Danh sách F0: 5f5f5f5f5f5f, ", "en": "National list: 5f5f5f5f5f5f, "}[lang] in why
    yes = dialog.get_by_role("button", name={"vi": "Có, xóa", "en": "Yes, delete it"}[lang])
    expect(yes).to_be_hidden()
    dialog.locator("summary").click()
    assert serious(page) == []
    assert len(office.store.encounters(token)) == 1, "one tap alone deletes nothing"
    yes.click()
    expect(dialog.get_by_role("status")).to_be_visible()
    assert office.store.encounters(token) == []
    assert office.audit.rows(actor="wearer")[0].action in ("look at person", "forget contacts")
    dialog.get_by_role("button").click()
    expect(page.locator("dialog")).to_have_count(0)


def test_one_tap_changes_the_language(page, lang):
    other = {"vi": "English", "en": "Tiếng Việt"}[lang]
    page.get_by_role("link", name=other).click()
    expect(page.locator("html")).to_have_attribute("lang", {"vi": "en", "en": "vi"}[lang])


def test_nothing_personal_stays(page, kiosk):
    """When its time is over a card leaves the page and the kiosk's memory."""
    screen = kiosk.site.screen
    kiosk.call(lambda: screen.finished(CODES[17], result(17, exposed=True)))
    expect(page.locator(".card.exposed")).to_be_visible()
    card = screen.cards[CODES[17]]
    kiosk.call(lambda: card.leaves._run())  # its 30 s are over
    expect(page.locator(".card")).to_have_count(0)
    assert card.details is None
    assert page.request.get(f"{kiosk.address}/cards/{CODES[17]}").status == 404
    assert not re.search(r"F1|88", page.locator("main").inner_text())


TROUBLE_WORDS = {"radio": ("Bluetooth", "Bluetooth"), "clock": ("Giờ", "clock"), "database": ("lưu", "store")}


@pytest.mark.parametrize("kind", TROUBLES)
def test_what_fails_is_told_and_nobody_is_invited(page, kiosk, lang, kind, shot):
    kiosk.call(lambda: kiosk.site.screen.set_trouble(kind, True))
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator("#trouble p:visible")).to_have_count(1)
    expect(page.locator("#trouble p:visible")).to_contain_text(TROUBLE_WORDS[kind][lang == "en"])
    expect(page.locator("#idle")).to_be_hidden()
    if kind == "radio":
        shot("trouble")
    kiosk.call(lambda: kiosk.site.screen.set_trouble(kind, False))
    expect(page.locator("#trouble")).to_be_hidden()
    expect(page.locator("#idle")).to_be_visible()


def test_a_kiosk_that_does_not_answer_is_told(page, kiosk, lang):
    """Not as trouble with Bluetooth, and without an invitation."""
    page.route("**/events", lambda route: route.abort())
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text({"vi": "khởi động lại", "en": "starting anew"}[lang])
    expect(page.locator("#idle")).to_be_hidden()
    page.unroute("**/events")
    expect(page.locator("#offline")).to_be_hidden(timeout=15_000)
    expect(page.locator("#idle")).to_be_visible()


@pytest.mark.parametrize("kind", FAILURES)
def test_each_failure_says_what_to_do(page, kiosk, lang, kind, shot):
    error, *words = FAILURES[kind]
    assert failure_of(error) == kind
    kiosk.call(lambda: kiosk.site.screen.failed(CODES[20], error, False))
    expect(page.locator(".card.failed .say")).to_contain_text(words[lang == "en"])
    expect(page.locator(".card.failed .next li").first).to_have_text(WORDS[kind].deed[lang == "en"])
    if kind == "foreign":
        shot("failed")


def test_escape_clears_the_only_card(page, kiosk):
    kiosk.call(lambda: kiosk.site.screen.finished(CODES[21], result(21)))
    kiosk.call(lambda: kiosk.site.screen.finished(CODES[22], result(22)))
    expect(page.locator(".card.safe")).to_have_count(2)
    page.keyboard.press("Escape")  # whose? so nobody's
    expect(page.locator(".card.safe")).to_have_count(2)
    kiosk.call(lambda: kiosk.site.screen.clear(CODES[22]))
    expect(page.locator(".card.safe")).to_have_count(1)
    page.locator(".data").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    expect(page.locator(".card.safe")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator(".card")).to_have_count(0)


def test_twelve_fill_the_screen(page, kiosk, shot):
    screen = kiosk.site.screen
    for number in range(20, 32):
        kiosk.call(lambda number=number: screen.finished(CODES[number], result(number, exposed=number % 2 == 0)))
    expect(page.locator(".card .word")).to_have_count(12)
    shot("twelve")


def test_nothing_moves_for_who_wants_it_still(page, kiosk):
    page.emulate_media(reduced_motion="reduce")
    kiosk.call(lambda: kiosk.site.screen.finished(CODES[23], result(23)))
    expect(page.locator(".card.safe")).to_be_visible()
    moving = "() => document.getAnimations().map((each) => each.animationName)"
    assert page.evaluate(moving) == []


def test_back_and_the_browsers_memory_show_nothing_of_a_wearer(page, kiosk, lang):
    """The result, why, and what is held have been looked at, the language changed twice; then the wearer leaves."""
    screen = kiosk.site.screen
    kiosk.call(lambda: screen.finished(CODES[19], result(19, exposed=True)))
    page.locator(".data").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    for _ in range(2):
        page.locator("nav a").click()
        expect(page.locator(".card.exposed")).to_be_visible()
    page.locator(".done").click()
    expect(page.locator("#idle")).to_be_visible()
    personal = re.compile(rf"{CODES[19]}|08/08/2020|Nguyễn|NV0|[0-9] F0")
    for _ in range(3):  # each page of before
        kept = page.evaluate(
            "async () => [document.documentElement.outerHTML, document.title, location.href, history.state,"
            " {...localStorage}, {...sessionStorage}, document.cookie, await caches.keys(),"
            " (await indexedDB.databases()).length, (await navigator.serviceWorker.getRegistrations()).length]"
        )
        assert not personal.search(json.dumps(kept, ensure_ascii=False))
        assert kept[3:] == [None, {}, {}, "", [], 0, 0]
        if page.evaluate("history.length > 1 && navigation.canGoBack"):
            page.go_back()
        expect(page.locator("#idle")).to_be_visible()


def test_events_carry_codes_and_states_only(kiosk):
    screen = kiosk.site.screen
    kiosk.call(lambda: screen.finished(CODES[18], result(18, exposed=True)))
    told = json.loads(screen.picture())
    kiosk.call(lambda: screen.clear(CODES[18]))
    assert told["cards"] == [[CODES[18], "exposed", 0, 0]]
    assert told.keys() == {"cards", "near", "far", "trouble"}


def test_the_page_comes_from_the_kiosk_alone_and_is_small(browser, kiosk):
    """No request leaves the kiosk; all files together stay below 40 kB."""
    page = browser.new_page()
    seen: dict[str, int] = {}
    page.on("response", lambda answer: seen.update({answer.url: int(answer.headers.get("content-length", 0))}))
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(kiosk.address)
    expect(page.locator("#near")).to_have_text("0")
    page.close()
    assert errors == []
    assert all(url.startswith(kiosk.address) for url in seen)
    assert 5_000 < sum(seen.values()) < 40_000, seen


def test_user_errors_of_the_desk_pass(kiosk):
    class Desk:
        async def check_clock(self, _now_s):
            raise UserError("The clock is wrong.")

    desk = ShowingDesk(Desk(), kiosk.site.screen, any_time)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="clock"):
        kiosk.call(lambda: desk.check_clock(0))
