"""A verdict in words: everything that it rests on, and nothing that could name somebody."""

import json
import re
from dataclasses import replace
from datetime import date
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host_tools.kiosk.screens import verdict_lines
from host_tools.matching.explanation import ListVersion, bands_words, explain, explanation_json
from host_tools.matching.exposures import Exposure
from host_tools.matching.list_source import ListSource
from host_tools.matching.risk import DayExposure
from host_tools.matching.rules import load_rules
from host_tools.matching.verdict import judge

RULES = load_rules()
RULE = RULES.on(date(2020, 8, 10))
TEN = 1597028400  # 2020-08-10 10:00 in Viet Nam
LIST = ListVersion("b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9", TEN - 86400, 93_600)


def exposure(start_s, seconds, rssi_dbm, case=0, ident=7):
    slot_s = start_s // 900 * 900
    found = (slot_s, slot_s + 900, start_s, start_s + seconds)
    return Exposure(case, bytes([ident]) * 12, *found, 5, rssi_dbm, rssi_dbm, "token-android", 8)


TALK = [exposure(TEN, 880, -58), exposure(TEN + 900, 880, -58, ident=8), exposure(TEN + 1800, 880, -80, ident=9)]


def test_it_names_minutes_bands_day_rule_and_list():
    words = explain(judge(TALK, RULES), LIST)
    assert words.en == (
        "F1: you were in close contact with an infected person.",
        "On 10/08/2020: near 30 + far 15 min; within 2 m with a probability of about 95 %.",
        "Rule: within 2 m for 15 minutes (vn-2020, version 1, from 01/02/2020).",
        "National list: b94d27b9934d, published on 09/08/2020, 1 day old.",
    )
    assert words.vi == (
        "F1: bạn đã tiếp xúc gần với người nhiễm.",
        "Ngày 10/08/2020: gần 30 + xa 15 phút; khả năng trong vòng 2 m khoảng 95 %.",
        "Quy định: trong vòng 2 m, từ 15 phút (vn-2020, bản 1, từ 01/02/2020).",
        "Danh sách F0: b94d27b9934d, công bố ngày 09/08/2020, 1 ngày trước.",
    )


def test_safe_has_its_reasons_too():
    nothing = explain(judge([], RULES), replace(LIST, age_s=3 * 3600))
    assert nothing.en[0] == "Safe: no contact with an infected person was found."
    assert nothing.en[-1].endswith("3 hours old.")
    for age_s in (-90, 0, 3599):  # the kiosk's clock may be behind the authority's
        assert explain(judge([], RULES), replace(LIST, age_s=age_s)).lists[0] == (
            "Danh sách F0: b94d27b9934d, công bố ngày 09/08/2020, chưa đầy một giờ trước.",
            "National list: b94d27b9934d, published on 09/08/2020, less than an hour old.",
        )
    assert "vn-2022" in nothing.en[1]
    met = explain(judge(TALK[2:], RULES), None)
    assert met.en[0] == "Safe: there was contact, but less than makes an F1."
    assert met.en[1] == "On 10/08/2020: far 15 min."
    assert (met.lists, len(met.en)) == ((), 3)


def test_exposures_under_two_rules_name_both():
    moved = ("slot_start_s", "slot_end_s", "first_s", "last_s")
    later = [replace(each, **{name: getattr(each, name) + 700 * 86400 for name in moved}) for each in TALK]
    rules = explain(judge([*TALK, *later], RULES), LIST).rules
    assert [re.findall(r"vn-\d+", en) for _, en in rules] == [["vn-2020"], ["vn-2022"]]


@pytest.mark.parametrize(
    ("near", "middle", "far", "words"),
    [
        (5, 0, 0, ("gần 5 phút", "near 5 min")),
        (5, 3, 2, ("gần 5 + vừa 3 + xa 2 phút", "near 5 + middle 3 + far 2 min")),
        (0, 0, 0, ("xa 0 phút", "far 0 min")),
    ],
)
def test_bands_in_words(near, middle, far, words):
    assert bands_words(DayExposure(date(2020, 8, 10), 0, near, middle, far, 0, None, RULE)) == words


ENTRIES = st.builds(
    exposure, st.integers(TEN, TEN + 6 * 86400), st.integers(0, 890), st.integers(-95, -40),
    case=st.integers(1_000_000, 1_000_003), ident=st.integers(0x60, 0x63),
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(ENTRIES, max_size=10), st.sampled_from(["viet-nam", "dp-3t", "cwa"]))
def test_no_words_and_no_json_name_the_case_an_id_or_a_time_of_day(log, name):
    verdict = judge(log, load_rules(name))
    words = explain(verdict, LIST)
    text = json.dumps(explanation_json(verdict, LIST)) + "\n".join(
        (*words.vi, *words.en, *verdict_lines(verdict, LIST))
    )
    assert not re.search(r"100000\d", text)
    for each in log:
        assert each.bluezone_id.hex() not in text.lower()
        for moment in (each.first_s, each.last_s, each.slot_start_s):
            assert str(moment) not in text
    assert not re.search(r"\d\d:\d\d", text)


def test_the_lists_version_is_that_of_the_list_as_loaded(tmp_path):
    path = tmp_path / "list.json"
    path.write_bytes(b'{"data": []}')
    status = ListSource(str(path), None).load(TEN)[1]
    version = ListVersion.of(status)
    assert version == ListVersion(sha256(path.read_bytes()).hexdigest())
    assert version.at(TEN) == version
    assert replace(version, published_s=TEN).at(TEN + 90.5).age_s == 90


def test_what_the_clerk_sees():
    below, *reasons = verdict_lines(judge(TALK[2:], RULES), LIST)
    assert below == "✓ An toàn (safe) — dưới mức quy định (below the rule)"
    assert reasons[0] == "  An toàn: có tiếp xúc, nhưng dưới mức của F1."
    assert verdict_lines(judge(TALK, RULES), LIST)[0] == "⚠ F1: tiếp xúc gần (close contact)"
    assert verdict_lines(judge([], RULES), None)[0] == "✓ An toàn (safe)"
