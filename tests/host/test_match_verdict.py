"""From exposures to F1 or safe."""

from datetime import date

import pytest

from host_tools.errors import UserError
from host_tools.matching.exposures import Exposure
from host_tools.matching.verdict import DayExposure, Rule, Rules, judge, load_rules, vietnam_day

RULES = load_rules()
MORNING = 1596852000  # 2020-08-08 09:00 in Viet Nam, at the start of a slot
SATURDAY = date(2020, 8, 8)
NEAR_DBM, FAR_DBM = -60, -80


def exposure(
    start_s: int, seconds: int, rssi_dbm: int = NEAR_DBM, case: int = 0, pair: str = "token-android"
) -> Exposure:
    slot = start_s // 900 * 900
    return Exposure(case, bytes(12), slot, slot + 900, start_s, start_s + seconds, 5, rssi_dbm, rssi_dbm, pair)


def talk(start_s: int, seconds: int, rssi_dbm: int = NEAR_DBM, case: int = 0) -> list[Exposure]:
    """A talk as a token logs it: one encounter per id, from first to last scan window, every 37.5 s."""
    found = []
    for slot in range(start_s // 900 * 900, start_s + seconds, 900):
        windows = [w for w in (start_s + n * 37.5 for n in range(int(seconds // 37.5))) if slot <= w < slot + 900]
        if windows:
            found.append(exposure(int(windows[0]), int(windows[-1] - windows[0]), rssi_dbm, case))
    return found


def minutes(day: DayExposure) -> tuple[int, int, int]:
    return day.minutes, day.minutes_near, day.minutes_far


def test_nothing_heard_is_safe():
    verdict = judge([], RULES)
    assert (verdict.kind, verdict.days, verdict.met) == ("safe", (), ())
    assert (verdict.rule.name, verdict.rule.since) == ("2 m, 15 minutes", date(2020, 2, 1))


@pytest.mark.parametrize("start_s", [MORNING, MORNING + 300, MORNING + 899])
def test_a_talk_of_forty_minutes_over_several_ids_is_one_exposure(start_s):
    exposures = talk(start_s, 2400)
    assert len(exposures) >= 3
    verdict = judge(exposures, RULES)
    assert verdict.kind == "exposed"
    (day,) = verdict.days
    assert (day.day, day.case, day.near) == (SATURDAY, 0, True)
    assert 39 <= day.minutes <= 41
    assert (day.minutes_near, day.minutes_far) == (day.minutes, 0)


def test_fifteen_minutes_make_an_f1_and_less_does_not():
    enough = judge([exposure(MORNING, 780), exposure(MORNING + 900, 45)], RULES)
    assert (enough.kind, minutes(enough.days[0])) == ("exposed", (15, 15, 0))
    short = judge([exposure(MORNING, 825)], RULES)
    assert (short.kind, short.days) == ("safe", ())
    assert [minutes(day) for day in short.met] == [(14, 14, 0)]


def test_an_exposure_never_lasts_longer_than_its_slot():
    verdict = judge([exposure(MORNING, 890)], RULES)
    assert [minutes(day) for day in verdict.days] == [(15, 15, 0)]
    assert judge([exposure(MORNING, 0)], RULES, scan_period_s=5000).days[0].minutes == 15


def test_one_window_counts_one_scan_period():
    assert minutes(judge([exposure(MORNING, 0)], RULES).met[0]) == (1, 1, 0)
    assert minutes(judge([exposure(MORNING, 0)], RULES, scan_period_s=120).met[0]) == (2, 2, 0)


def test_overlapping_times_count_once():
    verdict = judge([exposure(MORNING, 600), exposure(MORNING + 60, 600), exposure(MORNING + 100, 60)], RULES)
    assert [minutes(day) for day in verdict.met] == [(12, 12, 0)]


def test_far_contact_never_makes_an_f1_by_this_rule():
    verdict = judge(talk(MORNING, 4 * 3600, FAR_DBM), RULES)
    assert verdict.kind == "safe"
    (day,) = verdict.met
    assert (day.near, day.minutes_near, day.minutes_far) == (False, 0, day.minutes)
    assert day.minutes >= 239


def test_near_and_far_times_of_a_day_are_told_apart():
    verdict = judge([*talk(MORNING, 900), *talk(MORNING + 1800, 1800, FAR_DBM)], RULES)
    (day,) = verdict.days
    assert (day.minutes_near, day.minutes_far) == (15, 30)


def test_minutes_of_two_cases_or_two_days_do_not_add_up():
    two_cases = judge([*talk(MORNING, 600, case=3), *talk(MORNING + 900, 600, case=1)], RULES)
    assert two_cases.kind == "safe"
    assert [(day.case, day.minutes) for day in two_cases.met] == [(1, 10), (3, 10)]
    two_days = judge([*talk(MORNING, 600), *talk(MORNING + 86400, 600)], RULES)
    assert two_days.kind == "safe"
    assert [day.day for day in two_days.met] == [SATURDAY, date(2020, 8, 9)]


def test_short_contacts_of_a_day_with_one_case_add_up():
    verdict = judge([exposure(MORNING, 420), exposure(MORNING + 7200, 420)], RULES)
    assert [minutes(day) for day in verdict.days] == [(15, 15, 0)]


def test_days_are_days_in_vietnam():
    utc_midnight = 1596844800  # 07:00 in Viet Nam: the same morning before and after
    verdict = judge([exposure(utc_midnight - 600, 560), exposure(utc_midnight, 560)], RULES)
    assert [(day.day, day.minutes) for day in verdict.days] == [(SATURDAY, 20)]
    assert vietnam_day(utc_midnight - 7 * 3600) == SATURDAY
    assert vietnam_day(utc_midnight - 7 * 3600 - 1) == date(2020, 8, 7)


@pytest.mark.parametrize(
    ("pair", "near_dbm"),
    [
        ("token-android", -70),
        ("token-ios", -72),
        ("android-android", -86),
        ("android-ios", -69),
        ("ios-android", -88),
        ("ios-ios", -74),
    ],
)
def test_thresholds_by_pair(pair, near_dbm):
    assert RULES.is_near(exposure(MORNING, 0, near_dbm, pair=pair))
    assert not RULES.is_near(exposure(MORNING, 0, near_dbm - 1, pair=pair))


def test_the_rule_of_the_day_applies():
    strict, lax = Rule("strict", date(2020, 1, 1), 5, 60), Rule("lax", date(2020, 8, 9), 30, None)
    rules = Rules((lax, strict), RULES.near_dbm, RULES.scan_period_s)
    exposures = [*talk(MORNING, 900), *talk(MORNING + 86400, 900), *talk(MORNING - 86400, 7200, FAR_DBM)]
    verdict = judge(exposures, rules)
    assert [day.day for day in verdict.days] == [date(2020, 8, 7), SATURDAY]
    assert [day.day for day in verdict.met] == [date(2020, 8, 9)]
    assert verdict.rule is strict
    assert rules.on(date(2019, 1, 1)) is strict


def test_unusable_rules_are_a_sentence(tmp_path):
    path = tmp_path / "rules.toml"
    for content, word in (
        ("[token]\nscan_period_s = 30\n", "'rule'"),
        ("rule = [", "cannot be used"),
        ("rule = []\npair = {}\ntoken = {scan_period_s = 1}", "no rule"),
        ('rule = [{name = "x", from = 2020}]', "not a date"),
    ):
        path.write_text(content)
        with pytest.raises(UserError, match=word):
            load_rules(path)
    with pytest.raises(UserError, match="cannot be used"):
        load_rules(tmp_path / "absent.toml")
