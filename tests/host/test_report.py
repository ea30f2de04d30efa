"""The HTML report: what it says, in both languages, in one file."""

import re
from datetime import date
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host_tools.errors import UserError
from host_tools.kiosk import charts
from host_tools.kiosk.charts import Contact, DayHistory, TrueMeeting
from host_tools.kiosk.report import Simulation, TruthRow, WearerReport, contacts, history, render, write_report
from host_tools.matching.explanation import ListVersion
from host_tools.matching.risk import DayExposure
from host_tools.matching.rules import load_rules
from host_tools.matching.verdict import Verdict
from host_tools.simulation.demo_view import short_verdict
from host_tools.storage.store import Encounter

RULES = load_rules()
MONDAY = date(2020, 8, 10)
NINE = 1597024800  # 2020-08-10 09:00 in Viet Nam
TRACE = "0123456789abcdef0123456789abcdef"
VOID = {"meta", "br", "link", "img", "input", "hr"}


def verdict(kind, days=(), met=()):
    return Verdict(kind, tuple(days), tuple(met), RULES.on(MONDAY))


def day(minutes_near, minutes_far, case=0):
    probability = 0.91 if minutes_near else None
    return DayExposure(MONDAY, case, minutes_near, 0, minutes_far, minutes_near, probability, RULES.on(MONDAY))


def wearer(name, code, found, **more):
    given = {
        "last_sync_s": NINE,
        "battery_mv": 3000,
        "days": [DayHistory(date(2020, 8, 9), 3, 0), DayHistory(MONDAY, 55, 8)],
        "contacts": [Contact(NINE, NINE + 900, True), Contact(NINE, NINE + 60, False)],
    }
    return WearerReport(name, code, found, **(given | more))


LIST = ListVersion("b94d27b9934d3e08a52e52d7da7dabfa", published_s=NINE - 3600, age_s=7200)
WEARERS = [
    wearer("An", "EXKAVQ", verdict("exposed", [day(88, 38, case=4711)]), list_version=LIST),
    wearer("Bình", "YFQHD3", verdict("safe")),
    wearer("Dũng", "CTQJZZ", verdict("safe", met=[day(0, 133), day(0, 8, case=1)]), battery_mv=2890),
    wearer("Em", "T9J4QQ", verdict("safe"), battery_mv=2640),
    wearer("<b>Tèo</b> & 'em'", "AAAAA2", verdict("safe"), days=[], contacts=[]),
    WearerReport("Hà", "4J3HQ4", None, failure="The connection to the token was lost."),
]
TRUTH = [
    TruthRow(WEARERS[0], False, 95.0, True, True, [TrueMeeting(NINE, NINE + 1200, "Bình", True)]),
    TruthRow(WEARERS[1], True, 0.0, False, True, [TrueMeeting(NINE, NINE + 1200, "An", False)]),
    *(TruthRow(row, False, 0.0, False, True) for row in WEARERS[2:5]),
    TruthRow(WEARERS[5], False, 29.4, True, False),
]
MISSED = "missed: An did not log Bình (20 min)"
SIMULATION = Simulation(7, TRACE, 14349, TRUTH, 12, [MISSED], 0)


class Page(HTMLParser):
    """Checks that the elements nest, and collects what tests ask for."""

    def __init__(self, text):
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.texts: dict[str, str] = {}
        self.tags: list[str] = []
        self._inside: list[str | None] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        self.handle_data(" " if tag in ("td", "th", "br", "text") else "")
        if given.get("id"):
            self.ids.append(str(given["id"]))
        self.loads += [str(given[name]) for name in ("src", "href", "xlink:href", "data", "srcset") if given.get(name)]
        if tag not in VOID:
            self.open.append(tag)
            self._inside.append(given.get("id") if tag in ("article", "section", "div") else None)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self._inside.pop()

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_data(self, data):
        for name in self._inside:
            if name:
                self.texts[name] = self.texts.get(name, "") + data

    def words(self, name):
        """The text within the element of that id, white space as one blank."""
        return " ".join(self.texts[name].split())


@pytest.fixture(scope="module")
def text():
    return render("Một buổi sáng", WEARERS, SIMULATION)


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_the_page_is_well_formed_and_every_id_is_there_once(page):
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("article") == 6
    assert page.tags.count("svg") == 1 + 4  # the timeline, and one history for whoever has one


def test_nothing_is_loaded_from_elsewhere(page, text):
    assert all(target.startswith("#") for target in page.loads)
    assert set(page.loads) <= {f"#{name}" for name in page.ids}
    assert "@import" not in text
    assert set(re.findall(r"url\((.)", text)) <= {"#"}
    assert "<script" not in text


def test_the_verdict_is_in_words_in_both_languages_and_with_a_sign(page):
    exposed = page.words("wearer-EXKAVQ")
    assert "⚠ F1 · close contact" in exposed
    assert "Ngày 10/08/2020: gần 88 + xa 38 phút; khả năng trong vòng 2 m khoảng 90 %." in exposed
    assert "On 10/08/2020: near 88 + far 38 min; within 2 m with a probability of about 90 %." in exposed
    assert "Quy định: trong vòng 2 m, từ 15 phút (vn-2020, bản 1, từ 01/02/2020)." in exposed
    assert "National list: b94d27b9934d, published on 10/08/2020, 2 hours old." in exposed
    assert "khai báo y tế" in exposed
    assert "make a health declaration" in exposed
    safe = page.words("wearer-YFQHD3")
    assert "✓ An toàn · safe" in safe
    assert "Chưa phát hiện F0 nào tiếp xúc với bạn." in safe
    met = page.words("wearer-CTQJZZ")
    assert "Ngày 10/08/2020: xa 133 phút; trong ngày có 2 người nhiễm." in met
    assert "On 10/08/2020: far 133 min; 2 infected people that day." in met
    assert "National list" not in met
    assert "Chưa phát hiện" not in met
    assert "? Chưa đọc · not read" in page.words("wearer-4J3HQ4")
    assert "The connection to the token was lost." in page.words("wearer-4J3HQ4")


def test_history_last_sync_and_battery(page):
    words = page.words("wearer-EXKAVQ")
    assert "Tổng lượt tiếp xúc Total contacts Lượt tiếp xúc gần Close contacts" in words
    assert "09/08/2020 3 0 10/08/2020 55 8" in words
    assert "8 / 55" in words  # in the chart
    assert "09:00 · 10/08/2020" in words
    assert "3.00 V" in words
    assert "sắp hết" not in words
    assert "2.64 V ▼ sắp hết" in page.words("wearer-T9J4QQ")
    assert "Danh sách trống" in page.words("wearer-AAAAA2")


def test_the_truth_stands_beside_the_verdict(page):
    words = page.words("truth")
    assert "An 95 F1 10/08: gần 88 + xa 38 phút near 88 + far 38 min ⚠ F1 · close contact ✓ đúng yes" in words
    assert "Bình ● F0 0 F0 – ✓ An toàn · safe ✓ đúng yes" in words
    assert "Hà 29 F1 – ? Chưa đọc · not read ✗ sai no" in words
    assert MISSED in words


def test_a_simulated_report_says_so_and_how_to_have_it_again(page, text):
    words = page.words("simulated")
    assert "phần mềm của thẻ và của kiosk là thật" in words
    assert "People, radio and time are simulated; the firmware and the kiosk's code are the real ones." in words
    assert TRACE in text
    assert "<code>7</code>" in text
    assert "11 / 12" in text


def test_a_real_report_has_no_truth():
    text = render("Kiosk", WEARERS)
    page = Page(text)
    assert not {"simulated", "truth"} & set(page.ids)
    assert "timeline" in page.ids
    assert "Sự thật" not in text
    assert "truth" not in page.words("timeline").lower()


def test_a_wearers_part_does_not_name_the_case(page):
    for code in ("EXKAVQ", "CTQJZZ", "T9J4QQ"):
        assert "Bình" not in page.words(f"wearer-{code}")
        assert "4711" not in page.words(f"wearer-{code}")


def test_names_are_escaped(page, text):
    assert "<b>Tèo" not in text
    assert "<b>Tèo</b> & 'em'" in page.words("wearer-AAAAA2")
    assert "<b>Tèo</b> & 'em'" in page.words("timeline")


def test_the_same_results_give_the_same_file(text):
    assert render("Một buổi sáng", WEARERS, SIMULATION) == text


def test_nobody_at_the_kiosk_is_a_report_too(tmp_path):
    write_report(tmp_path / "report.html", "Kiosk", [])
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    assert "svg" not in page.tags


def test_a_report_that_cannot_be_written_is_told_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match=r"cannot be written: .*The results are kept"):
        write_report(tmp_path / "missing" / "report.html", "Kiosk", [])


# --- From encounters -----------------------------------------------------------------------------------------------


def encounter(ident, start_s, rssi_dbm, connected=False, duration_s=0):
    return Encounter(bytes([ident]) * 12, start_s, duration_s, 1, 1, rssi_dbm, rssi_dbm, connected)


def test_history_counts_ids_and_those_that_came_near():
    found = history(
        [
            encounter(1, NINE, -60),
            encounter(1, NINE + 300, -90),
            encounter(2, NINE, -90),
            encounter(3, NINE, -71),  # near only for what was read over a connection
            encounter(4, NINE, -71, connected=True),
        ],
        RULES,
    )
    assert found == [DayHistory(MONDAY, 4, 2)]


def test_days_are_days_in_viet_nam():
    midnight = NINE - 9 * 3600
    found = history([encounter(1, midnight, -90), encounter(2, midnight - 1, -60)], RULES)
    assert found == [DayHistory(date(2020, 8, 9), 1, 1), DayHistory(MONDAY, 1, 0)]


def test_a_contact_lasts_until_the_next_scan_window_would_have_come():
    assert contacts([encounter(1, NINE, -60, duration_s=75)], RULES) == [Contact(NINE, NINE + 75 + 37.5, True)]


SPANS = st.lists(
    st.builds(lambda at, lasts: Contact(at, at + lasts, True), st.integers(0, 100), st.integers(1, 30)), max_size=20
)


@settings(max_examples=100, deadline=None)
@given(SPANS)
def test_no_two_bars_of_a_lane_overlap_and_there_are_no_more_lanes_than_needed(spans):
    found = charts.lanes(spans)
    assert sorted(s.start_s for lane in found for s in lane) == sorted(s.start_s for s in spans)
    for lane in found:
        assert all(before.end_s <= after.start_s for before, after in pairwise(lane))
    at_once = max((sum(s.start_s <= t < s.end_s for s in spans) for t in range(131)), default=0)
    assert len(found) == at_once


@pytest.mark.parametrize(
    ("given_verdict", "words"),
    [
        (verdict("exposed", [day(88, 38)], [day(0, 3)]), "F1 · gần 88 + xa 38 phút · 10/08"),
        (verdict("exposed", [day(26, 0), day(20, 9)]), "F1 · gần 26 phút · 10/08 (+1)"),
        (verdict("safe", met=[day(0, 8), day(0, 133)]), "An toàn · xa 133 phút · 10/08 (+1)"),
        (verdict("safe", met=[day(0, 0)]), "An toàn · xa 0 phút · 10/08"),
        (verdict("safe"), "An toàn"),
    ],
)
def test_a_verdict_in_few_words(given_verdict, words):
    assert short_verdict(given_verdict) == words
