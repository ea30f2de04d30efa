"""From exposures to F1 or safe."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host_tools.matching.exposures import Exposure
from host_tools.matching.national_list import Case
from host_tools.matching.risk import DayExposure
from host_tools.matching.rules import Band, Rule, load_rules
from host_tools.matching.verdict import infectious_periods, judge, vietnam_day

RULES = load_rules()
MORNING = 1596852000  # 2020-08-08 09:00 in Viet Nam, at the start of a slot
SATURDAY = date(2020, 8, 8)
NEAR_DBM, FAR_DBM = -60, -80


def exposure(
    start_s: int, seconds: int, rssi_dbm: int = NEAR_DBM, case: int = 0, pair: str = "token-android"
) -> Exposure:
    slot = start_s // 900 * 900
    return Exposure(case, bytes([case]) * 12, slot, slot + 900, start_s, start_s + seconds, 5, rssi_dbm, rssi_dbm, pair)


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
    assert (verdict.rule.id, verdict.rule.since) == ("vn-2022", date(2022, 4, 15))  # the newest


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


def rule(name: str, since: date, minutes: int) -> Rule:
    bands = (Band("near", 70, 1.0), Band("far", float("inf"), 0.0))
    return Rule(name, 1, since, name, name, "a test", minutes, bands)


def test_the_rule_of_the_day_applies():
    strict, lax = rule("strict", date(2020, 1, 1), 5), rule("lax", date(2020, 8, 9), 30)
    rules = replace(RULES, rules=(lax, strict))
    verdict = judge([*talk(MORNING, 900), *talk(MORNING + 86400, 900), *talk(MORNING - 86400, 420)], rules)
    assert [day.day for day in verdict.days] == [date(2020, 8, 7), SATURDAY]
    assert [(day.day, day.rule) for day in verdict.met] == [(date(2020, 8, 9), lax)]
    assert verdict.rule is strict
    assert judge(talk(MORNING + 86400, 900), rules).rule is lax
    assert rules.on(date(2019, 1, 1)) is strict


def test_from_april_2022_on_two_metres_are_not_near():
    in_2022 = MORNING + 86400 * 700  # 9 July 2022
    at_two_metres = {"rssi_dbm": -68}
    assert judge(talk(MORNING, 1200, **at_two_metres), RULES).kind == "exposed"
    (day,) = judge(talk(in_2022, 1200, **at_two_metres), RULES).met
    assert (day.rule.id, day.minutes_near, day.minutes_far) == ("vn-2022", 0, 20)
    assert judge(talk(in_2022, 1200, -62), RULES).kind == "exposed"


def test_bands_weigh_differently():
    """Attenuations of 45, 53 and 60 dB by DP-3T: 10 + 8/2 minutes are 14, one more minute near makes 15."""
    rules = load_rules("dp-3t")
    near, middle, far = -45, -53, -60
    short = judge(
        [*talk(MORNING, 600, near), exposure(MORNING + 900, 443, middle), *talk(MORNING + 1800, 900, far)], rules
    )
    (day,) = short.met
    assert (day.minutes_near, day.minutes_middle, day.minutes_far, day.weighted) == (10, 8, 15, 14)
    more = judge([*talk(MORNING, 675, near), exposure(MORNING + 900, 443, middle)], rules)
    assert [day.weighted for day in more.days] == [15]


def test_a_moment_heard_in_two_bands_belongs_to_the_nearer_one():
    (day,) = judge([exposure(MORNING, 600), exposure(MORNING, 800, FAR_DBM)], RULES).met
    assert minutes(day) == (14, 11, 3)


def test_where_a_rule_adds_cases_up_two_short_contacts_are_one():
    two_cases = [*talk(MORNING, 488, -45, case=3), *talk(MORNING, 488, -45, case=1)]
    verdict = judge(two_cases, load_rules("dp-3t"))
    assert [(day.case, day.weighted) for day in verdict.days] == [(1, 8), (3, 8)]
    assert judge(two_cases, RULES).kind == "safe"


def test_only_the_infectious_period_counts():
    exposures = talk(MORNING, 2700)
    onset = MORNING + 2000
    cases = [Case(0, bytes(32), onset, onset + 86400, 96), Case(1, bytes(32), 0, 1, 96)]
    periods = infectious_periods(cases, exposures)
    assert periods == {0: (onset, onset + 86400)}
    assert [minutes(day) for day in judge(exposures, RULES, infectious_s=periods).met] == [(12, 12, 0)]
    recovered = {0: (MORNING - 86400, MORNING + 700)}
    assert [minutes(day) for day in judge(exposures, RULES, infectious_s=recovered).met] == [(12, 12, 0)]
    assert judge(exposures, RULES, infectious_s={0: (0, MORNING)}).met == ()


def test_an_entry_for_a_moment_has_no_period():
    assert infectious_periods([Case(0, bytes(32), MORNING, MORNING, 96)], talk(MORNING, 600)) == {}


# --- Bad input -----------------------------------------------------------------------------------------------------

ENTRIES = st.builds(
    lambda start, lasts, rssi, case: exposure(MORNING + start, lasts, rssi, case),
    st.integers(0, 3 * 86400), st.integers(0, 890), st.integers(-95, -40), st.integers(0, 2),
)  # fmt: skip
LOGS = st.lists(ENTRIES, max_size=12)
SETS = st.sampled_from([load_rules(name) for name in ("viet-nam", "dp-3t", "cwa")])


def told(verdict) -> list:
    return [(d.day, d.minutes_near, d.minutes_middle, d.minutes_far, d.weighted) for d in (*verdict.days, *verdict.met)]


@settings(deadline=None)
@given(LOGS, SETS, st.randoms())
def test_order_and_repetition_change_nothing(log, rules, random):
    doubled = [*log, *log]
    random.shuffle(doubled)
    once, twice = judge(log, rules), judge(doubled, rules)
    assert (once.kind, told(once)) == (twice.kind, told(twice))


@settings(deadline=None)
@given(LOGS, SETS)
def test_an_entry_that_is_listed_twice_counts_once(log, rules):
    """The same key again, as case 7: every exposure of case 0 appears under both."""
    log = [replace(each, bluezone_id=bytes([each.case, 1 + n % 255]) * 6) for n, each in enumerate(log)]
    again = [*(replace(each, case=7) for each in log if each.case == 0), *log]
    once, twice = judge(log, rules), judge(again, rules)
    assert (once.kind, told(once)) == (twice.kind, told(twice))


def test_contradictory_entries_of_a_person_are_put_together():
    """One entry ends where the other begins to overlap: each alone is below the rule, together they are not."""
    first, second, third = talk(MORNING, 2700)
    ids = [replace(each, bluezone_id=bytes([n]) * 12) for n, each in enumerate((first, second, third))]
    early = [replace(each, case=4) for each in ids[:2]]
    late = [replace(each, case=9) for each in ids[1:]]
    verdict = judge([*late, *early], RULES, infectious_s={4: (0, MORNING + 1000), 9: (MORNING + 1000, 1 << 32)})
    assert [(day.case, day.minutes) for day in verdict.days] == [(4, 45)]


@settings(deadline=None)
@given(LOGS, SETS, st.integers(-3, 3))
def test_a_log_that_is_days_off_moves_days_and_nothing_else(log, rules, days):
    shift_s = days * 86400
    moved = [
        replace(
            each,
            **{name: getattr(each, name) + shift_s for name in ("slot_start_s", "slot_end_s", "first_s", "last_s")},
        )
        for each in log
    ]
    before, after = judge(log, rules), judge(moved, rules)
    assert [(day + timedelta(days), *rest) for day, *rest in told(before)] == told(after)


@settings(deadline=None)
@given(LOGS, SETS)
def test_bands_add_up_and_no_day_has_more_than_its_minutes(log, rules):
    verdict = judge(log, rules)
    for day in (*verdict.days, *verdict.met):
        assert 0 <= day.minutes <= 16 * len(log)
        assert min(day.minutes_near, day.minutes_middle, day.minutes_far, day.weighted) >= 0
        assert day.probability is None or 0.049 < day.probability < 0.951
    assert {day.day for day in (*verdict.days, *verdict.met)} == {vietnam_day(each.first_s) for each in log}
