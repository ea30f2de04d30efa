"""A newer list against stored logs: who becomes exposed, why, and who has to be called; the token stays where it is."""

import json
from datetime import date
from io import StringIO

import pytest
import sqlalchemy as sa
from fleet_kit import CASE_KEY, CLERK, DAY_S, NOON_S, list_of, meeting, record, serial, store, synced, wearer
from rich.console import Console

from host_tools.fleet import results
from host_tools.fleet.calls import to_call
from host_tools.fleet.new_lists import NewLists
from host_tools.fleet.periods import periods
from host_tools.fleet.results import Rematch
from host_tools.fleet.tables import result_table
from host_tools.kiosk import serve
from host_tools.matching.assessment import Judged, Listed, assess
from host_tools.matching.case_finder import CaseFinder
from host_tools.matching.explanation import ListVersion, explain, explain_kept
from host_tools.matching.rules import load_rules
from host_tools.matching.verdict import vietnam_day
from host_tools.storage.database import StorageError

RULES = load_rules()
TODAY = vietnam_day(NOON_S)
OTHER_KEY, THIRD_KEY = bytes(range(1, 33)), bytes(range(2, 34))
FIRST, SECOND = ListVersion("ab" * 32, NOON_S - DAY_S), ListVersion("cd" * 32, NOON_S)
NEAR, OF_TWO, PASSER_BY, ALONE, GIVEN_BACK = map(serial, range(1, 6))


@pytest.fixture
def logs(office, hands):
    """Tokens that are with nobody, and one that came back from a wearer."""
    store(office, NEAR, meeting(NOON_S, 40))
    store(office, OF_TWO, meeting(NOON_S, 40) + meeting(NOON_S, 45, OTHER_KEY))
    store(office, PASSER_BY, meeting(NOON_S, 2))
    store(office, ALONE, [record(NOON_S)])
    wearer(office, 5)
    store(office, GIVEN_BACK, meeting(NOON_S, 40))
    hands.at_s += 3600
    office.ledger.take_back(CLERK, GIVEN_BACK)
    return office


def called(office):
    return [call.serial for call in to_call(office, RULES)]


def held_against(office, *keys, version=FIRST, finder=None):
    cases = list_of(*keys)
    return office.results.rematch(cases, RULES, finder or CaseFinder(cases.cases), version)


def test_who_becomes_exposed_has_to_be_called(logs):
    assert held_against(logs, THIRD_KEY) == Rematch(0, 0)
    assert called(logs) == []
    assert held_against(logs, THIRD_KEY, OTHER_KEY) == Rematch(1, 0)
    assert called(logs) == [OF_TWO]
    held_against(logs, CASE_KEY, OTHER_KEY)
    # Who gave the token back has an alert of their own, and nobody is told by the token any more.
    assert set(called(logs)) == {NEAR, OF_TWO, GIVEN_BACK}
    held_against(logs, THIRD_KEY)
    assert called(logs) == []


def test_who_has_been_told_is_not_called(logs):
    held_against(logs, CASE_KEY)
    (alert,) = logs.alerts.open_ones()
    assert (alert.serial, alert.found.day, alert.found.exposed) == (GIVEN_BACK, TODAY, True)
    logs.alerts.told_by_hand("lan", alert.id)
    assert GIVEN_BACK not in called(logs)


@pytest.mark.parametrize("at_once", [1, 2, 50_000])
@pytest.mark.parametrize("index", [False, True])
def test_whatever_the_parts_and_the_way_the_same_is_found(logs, tmp_path, monkeypatch, at_once, index):
    monkeypatch.setattr(results, "_AT_ONCE", at_once)
    cases = list_of(THIRD_KEY, CASE_KEY, OTHER_KEY)
    finder = CaseFinder(cases.cases, tmp_path / "index" if index else None, 0)
    assert logs.results.rematch(cases, RULES, finder, FIRST) == Rematch(4, 1)
    assert set(called(logs)) == {NEAR, OF_TWO, GIVEN_BACK}
    assert (tmp_path / "index" / "manifest.json").exists() == index


def test_a_kept_result_says_what_the_verdict_said(logs):
    cases = list_of(CASE_KEY, OTHER_KEY)
    for token in (NEAR, OF_TWO, PASSER_BY):
        encounters = logs.desk.encounters(token, logs.now())
        verdict = assess(encounters, cases, CaseFinder(cases.cases), RULES)
        logs.desk.told(token, Judged(encounters, verdict, FIRST), logs.now())
        told = explain(verdict, FIRST.at(logs.now()))
        logs.privacy.purge_after_verdict(token)
        assert explain_kept(logs.results.of(token, None), RULES, logs.now()) == told
        assert told.days
    assert "; 2 infected people that day." in explain_kept(logs.results.of(OF_TWO, None), RULES, NOON_S).en[1]


def test_the_list_that_said_so_first_stays_until_another_says_more(logs):
    held_against(logs, OTHER_KEY)
    (first,) = logs.results.of(OF_TWO, None)
    assert (first.cases, first.list_digest, first.published_s, first.rule_version) == (1, "ab" * 32, NOON_S - DAY_S, 1)
    logs.now = lambda: NOON_S + DAY_S
    held_against(logs, OTHER_KEY, THIRD_KEY, version=SECOND)
    assert logs.results.of(OF_TWO, None) == [first]
    held_against(logs, OTHER_KEY, CASE_KEY, version=SECOND)
    (second,) = logs.results.of(OF_TWO, None)
    assert (second.cases, second.list_digest) == (2, "cd" * 32)


def test_a_rule_that_has_changed_since_is_named_without_its_new_words(logs):
    held_against(logs, CASE_KEY)
    with logs.database.writing() as connection:
        connection.execute(result_table.update().values(rule_version=7))
    assert "Rule: vn-2020, version 7." in explain_kept(logs.results.of(NEAR, None), RULES, NOON_S).en
    with logs.database.writing() as connection:
        connection.execute(result_table.update().values(rule="gone", rule_version=None, list_digest=None))
    assert explain_kept(logs.results.of(NEAR, None), RULES, NOON_S).vi[-1] == "Quy định: gone."


def test_a_list_is_held_against_the_logs_once_and_again_after_a_fault(logs, monkeypatch):
    kiosk = NewLists(logs.results, RULES)
    cases = list_of(CASE_KEY)
    listed = Listed(cases, CaseFinder(cases.cases), FIRST)
    with monkeypatch.context() as broken:
        broken.setattr(logs.results, "rematch", lambda *_: (_ for _ in ()).throw(StorageError("busy")))
        with pytest.raises(StorageError):
            kiosk.hold(listed)
    assert kiosk.hold(listed) == Rematch(4, 1)
    assert kiosk.hold(Listed(cases, CaseFinder(cases.cases), FIRST)) is None
    assert kiosk.hold(listed._replace(version=SECOND)) == Rematch(4, 0)


def test_what_the_clerk_and_a_program_are_told(logs):
    synced(logs, NEAR)
    held_against(logs, CASE_KEY)
    (near,) = (call for call in to_call(logs, RULES) if call.serial == NEAR)
    text = StringIO()
    screen = serve._Collecting(Console(file=text, width=200))
    for _ in range(2):
        screen.away(near)
    assert text.getvalue().count(f"{near.short_code}, stored log: ⚠ F1") == 1
    assert "  On 08/08/2020: near " in text.getvalue()
    answer = near.as_json()
    assert (answer["serial"], answer["verdict"], answer["last_sync_s"]) == (NEAR.hex(), "exposed", logs.now())
    assert CASE_KEY.hex() not in json.dumps(answer)


def test_only_the_wearers_own_days_are_explained_to_them(office, hands):
    token, person = wearer(office, 1)
    store(office, token, meeting(NOON_S, 40))
    held_against(office, CASE_KEY)
    with office.database.reading() as connection:
        (period,) = periods(connection, token)
        assert connection.scalar(sa.select(sa.func.count()).select_from(result_table)) == 1
    held = office.privacy.held(CLERK, person)
    assert held.days == tuple(office.results.of(token, period))
    assert [found.day for found in held.days] == [date(2020, 8, 8)]
