"""Whoever reads Vietnamese meets no English on the pages: not in their words, and not in what goes wrong."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from web_kit import PASSWORD, result, serial, site_over

from host_tools.fleet import ledger
from host_tools.fleet.alerts import HAND, SENT, WAITING
from host_tools.fleet.people import PersonError, clean
from host_tools.fleet.staff_csv import _sentence
from host_tools.matching.rules import load_rules
from host_tools.storage import database
from host_tools.web import vietnamese as catalogue
from host_tools.web.app import build_app
from host_tools.web.failures import WORDS
from host_tools.web.pages import Pages
from host_tools.web.screen import Card, details
from host_tools.web.vietnamese import vietnamese

HOST_TOOLS = Path(__file__).parents[2] / "host_tools"
# What only the command line or a kiosk's start can meet; all other modules of fleet and web may speak on a page.
NOT_ON_PAGES = {
    "clock", "command_kit", "export", "gateways", "vault", "running",
    *(path.stem for part in ("fleet", "web") for path in (HOST_TOOLS / part).glob("*commands.py")),
}  # fmt: skip
REACHED = [
    path
    for path in (*HOST_TOOLS.glob("fleet/*.py"), *HOST_TOOLS.glob("web/*.py"), HOST_TOOLS / "kiosk" / "release_desk.py")
    if path.stem not in NOT_ON_PAGES
]
# What they cause besides: why a release failed, and why there is no newer list. Of a kiosk's start are those that name
# options of the command line to be given or corrected.
REACHED += [
    HOST_TOOLS / f"{name}.py"
    for name in (
        *("link/errors", "link/bluetooth", "link/channel", "fleet/desk"),
        *("matching/list_source", "matching/list_checks", "matching/list_fetch"),
    )
]
OF_THE_START = (
    "name it with --list-key", "to be kept in: --list-cache", "correct --cases", "which would show", "--allow-http",
    "bluezone list fetch", "No earlier list is kept", "The list kept from earlier", "the last attempt returns",
    "7407NX What was read",
)  # fmt: skip
RAISED = ("__init__", "TurnedAway", "SessionBroken", "_Passing")  # makes errors, besides what ends in Error
LETTERS = "ăâđêôơưàáảãạằắẳẵặầấẩẫậèéẻẽẹềếểễệìíỉĩịòóỏõọồốổỗộờớởỡợùúủũụừứửữựỳýỷỹỵ"


def sentence_of(node: ast.expr) -> str | None:
    """The text of a string with fields in it, each filled with something; None: it is made elsewhere."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(str(each.value) if isinstance(each, ast.Constant) else "7407NX" for each in values)
    return None


@cache
def raised() -> dict[str, str]:
    """Sentences of errors, and where they are made."""
    found = {}
    for path in REACHED:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                sentence = sentence_of(node.args[0])
                if not sentence or any(words in sentence for words in OF_THE_START):
                    continue
                if name.endswith("Error") or name in RAISED:
                    found[sentence] = f"{path.name}:{node.lineno}"
    return found


def test_the_search_finds_sentences():
    assert len(raised()) > 30
    assert "Name or password is wrong." in raised()


@pytest.mark.parametrize("sentence", raised())
def test_every_sentence_of_a_page_has_its_vietnamese(sentence):
    said = vietnamese(sentence)
    assert said, f"{raised()[sentence]}: add it to host_tools/web/vietnamese.py"
    assert any(letter in LETTERS for letter in said.lower())
    assert ("Không có gì thay đổi." in said) == ("Nothing was changed." in sentence)
    assert said.endswith(".")
    assert ".." not in said


@cache
def spoken() -> str:
    """Every text in host_tools but the catalogue's."""
    paths = (path for path in HOST_TOOLS.rglob("*.py") if not path.stem.startswith("vietnamese"))
    nodes = (node for path in paths for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    return "\n".join(sentence_of(node) or "" for node in nodes if isinstance(node, ast.expr))


@pytest.mark.parametrize("english", catalogue.SENTENCES)
def test_no_translation_is_of_a_sentence_that_nobody_says(english):
    """Some are put together from two places, so each part is looked for by itself; matching/inputs.py fills in what it
    was to read."""
    assert [part for part in re.split(r"\{\w+\}|\. |national list", english) if part not in spoken()] == []


@pytest.mark.parametrize("english", catalogue.SENTENCES)
def test_a_translation_fills_in_no_more_than_it_is_given(english):
    fields = set(re.findall(r"\{(\w+)\}", english))
    assert set(re.findall(r"\{(\w+)\}", catalogue.SENTENCES[english])) <= fields
    assert english.rstrip(".") == english


@pytest.mark.parametrize("state", ledger._WHY_NOT)
@pytest.mark.parametrize("deed", ledger._WAYS)
def test_why_a_deed_is_not_possible(deed, state):
    why = ledger._WHY_NOT[state]
    said = vietnamese(f"Token 7407NX: {deed} is not possible, since {why}. Nothing was changed.")
    assert said
    assert said.startswith("Thẻ 7407NX: không ")
    assert why not in said
    assert f" {deed} " not in said


@pytest.mark.parametrize("advice", [*database._ADVICE.values(), database._GENERAL_ADVICE])
def test_what_to_do_about_the_database(advice):
    said = vietnamese(
        f"The database kiosk.sqlite cannot be used: disk I/O error. Nothing of this step was stored; what was there "
        f"before is untouched, and the token keeps its log until it is stored. {advice}"
    )
    assert said
    assert advice.rstrip(".") not in said
    assert "Cơ sở dữ liệu kiosk.sqlite không dùng được (disk I/O error)." in said


@pytest.mark.parametrize("what", ["name", "staff number", "agency", "district", "address"])
def test_fields_have_their_names(what):
    with pytest.raises(PersonError) as missing:
        clean(what, "")
    said = vietnamese(str(missing.value))
    assert said == f"Thiếu {catalogue._PARTS[what]}. Không có gì thay đổi."


def test_a_list_names_its_faults_line_by_line():
    faults = {
        2: "The name is missing.",
        3: "staff number 'A1' stands in line 2 too",
        4: "Token 7407NX: assign is not possible, since it has been returned and still holds its wearer's log; "
        "wipe it first.",
        5: "a unit needs its agency.",
        **dict.fromkeys(range(6, 40), "The name is missing."),
    }
    said = vietnamese(_sentence(faults))
    assert said
    assert said.startswith(
        "Chưa nhập danh sách, không có gì thay đổi. Hãy sửa: dòng 2: Thiếu họ tên; dòng 3: mã nhân viên 'A1' đã có ở "
        "dòng 2; dòng 4: Thẻ 7407NX: không phát được, vì thẻ đã trả"
    )
    assert said.endswith("; và 18 lỗi nữa.")
    assert not re.search(r"\b(line|the|is|missing|token|nothing)\b", said, re.IGNORECASE)


def test_what_is_in_no_list_stays_as_it_is():
    assert vietnamese("The moon is full.") is None


# Words of the English pages that no Vietnamese page, name or format has. Column names stand in <code>.
ENGLISH = re.compile(
    r"\b(the|of|and|or|is|are|not|was|were|to|from|for|with|by|there|here|you|your|please|token|tokens|wearer|people|"
    r"person|name|password|account|search|find|state|unit|units|agency|district|share|list|alert|alerts|waiting|told|"
    r"audit|settings|days|day|minutes|hours|ago|cases|contacts|close|history|battery|memory|sync|staff|desk|done|back|"
    r"next|before|after|lost|returned|wiped|revoked|assigned|new|register|enter|import|export|delete|save|change|print|"
    r"fetch|role|clerk|officer|login|refused|look|fleet|yes|no|nothing|none|all|why|result|safe|warning)\b",
    re.IGNORECASE,
)
ROLES_AND_MACHINES = (
    "admin",
    "clerk",
    "officer",
    "viewer",
    "test",
    "testclient",
    "simulation",
)  # accounts of the tests
SHOWN = {
    "admin": ("", "/tokens", "/tokens?q=khong", f"/tokens/{serial(1).hex()}", f"/tokens/{serial(6).hex()}", "/units",
              "/people", "/people/1", "/audit", "/accounts", "/settings", "/password", "/nowhere"),
    "officer": ("", "/alerts", "/people/2", "/release"),
}  # fmt: skip


def words_of(html):
    """What a page says, to eyes and to screen readers."""
    assert 'lang="vi"' in html
    html = re.sub(r"<code>.*?</code>|<a class=.language.*?</a>", " ", html, flags=re.DOTALL)
    spoken = re.findall(r'(?:aria-label|alt|title|placeholder)="([^"]*)"', html)
    return " ".join([*spoken, re.sub(r"<[^>]*>", " ", html)])


@pytest.fixture
def open_page(office):
    """Gets a page in Vietnamese, logged in as a role."""
    site = site_over(office)

    def get(role, path):
        client = TestClient(build_app(site), "http://localhost:8000", client=("127.0.0.1", 50000))
        _, session = office.accounts.log_in(role, PASSWORD, "test")
        client.cookies.set("bluezone_session", session, path="/staff")
        return client.get(f"/staff{path}").text

    return get


@pytest.mark.parametrize(("role", "path"), [(role, path) for role, paths in SHOWN.items() for path in paths])
def test_no_english_on_a_page(open_page, role, path):
    words = words_of(open_page(role, path))
    own = re.sub(rf"\b({'|'.join(ROLES_AND_MACHINES)})\b", "", words)
    assert ENGLISH.findall(own) == []
    assert any(letter in LETTERS for letter in own)


@pytest.mark.parametrize("page", ["login", "setup", "away", "wearer"])
def test_no_english_before_logging_in(page):
    html = Pages().render(page, "vi", sentence="", shortest=10, simulated=True, ended=True, typed={}.get)
    assert ENGLISH.findall(words_of(html)) == []


def test_no_english_on_a_card():
    for exposed in (False, True):
        told = details(result(1, exposed=exposed), load_rules())
        card = Card("7407NX", "exposed" if exposed else "safe", details=told)
        assert ENGLISH.findall(words_of(f'lang="vi"{Pages().render("card", "vi", card=card)}')) == []
    for kind in WORDS:
        card = Card("7407NX", "failed", failure=kind)
        assert ENGLISH.findall(words_of(f'lang="vi"{Pages().render("card", "vi", card=card)}')) == []


def test_every_deed_of_the_audit_has_its_vietnamese():
    known = vars(Pages()._environment.get_template("words.html").module)["AUDIT_WORDS"]
    deeds = {*ledger.DEEDS, "enter person", "change person", *(f"alert {state}" for state in (SENT, WAITING, HAND))}
    for path in HOST_TOOLS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            place = {"note": 3, "_note": 1}.get(getattr(getattr(node, "func", None), "attr", ""))
            if isinstance(node, ast.Call) and place is not None:
                deeds |= {
                    each.value
                    for argument in node.args[place : place + 1]
                    for each in ast.walk(argument)
                    if isinstance(each, ast.Constant) and isinstance(each.value, str) and each.value != "alert "
                }
    assert len(deeds) > 20
    assert deeds - known.keys() == set()


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        ("The national list https://x/l could not be fetched: the server was silent for 20 s. In use is the last good "
         "one: F0 list, version 7, signed, published 3 hours ago.",
         "Không tải được danh sách https://x/l: máy chủ im lặng 20 giây."),
        ("The national list l.json is not signed. Nothing of it was used; fetch l.json.sig as well, or ask the "
         "authority. The list of before stays in use.",
         "Danh sách l.json không có chữ ký: xin cơ quan y tế danh sách có chữ ký."),
        ("no gateway for addresses of kind mail is set",
         "Chưa đặt cổng gửi cho loại liên hệ này (quản trị đặt ở trang Thiết lập)."),
        ("the gateway did not answer in time; it may have taken it", "Cổng gửi không trả lời kịp; có thể tin đã gửi."),
    ],
)  # fmt: skip
def test_what_goes_wrong_with_lists_and_gateways(problem, said):
    assert vietnamese(problem) == said


def test_why_an_alert_was_not_sent_has_its_vietnamese():
    tree = ast.parse((HOST_TOOLS / "fleet/alerts.py").read_text(encoding="utf-8"))
    ways = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name in ("_one", "_way")]
    said = [each for way in ways for each in ast.walk(way) if isinstance(each, ast.expr) and sentence_of(each)]
    pieces = {id(piece) for each in said if isinstance(each, ast.JoinedStr) for piece in each.values}
    whole = {sentence_of(each) for each in said if id(each) not in pieces} - {ast.get_docstring(way) for way in ways}
    problems = [text for text in whole if text and " " in text]
    assert len(problems) > 5
    assert [text for text in problems if vietnamese(text) is None] == []


def test_nobody_stops_the_kiosk_with_a_long_word():
    """The kiosk reads tokens in the same process, and does nothing else while it compares."""
    said = "Nobody has staff number {}. Nothing was changed. Enter the person first."
    assert vietnamese(said.format("NV1"))
    assert vietnamese(said.format(" has " * 900))
    assert vietnamese(said.format(" has " * 12_000)) is None
