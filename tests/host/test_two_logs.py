"""What two logs say together: the two-sided check and the second degree, on simulated logs and on single cases."""

from dataclasses import replace
from datetime import date
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host_tools.matching.rules import load_rules
from host_tools.matching.second_degree import second_degree, together
from host_tools.matching.stretches import contacts, stretches
from host_tools.matching.two_sided import check
from host_tools.simulation import evidence_bench
from host_tools.simulation.desk_logs import live
from host_tools.simulation.evidence_bench import START_S
from host_tools.simulation.scenario import Person, Place
from host_tools.storage.store import Encounter

RULES = load_rules()
MONDAY = date(2020, 8, 10)
REACH = (START_S - 3600, START_S + 7200)
OWNER, WEARER, OTHER = (bytes([n]) * 12 for n in (1, 2, 3))


def met(ident: bytes, start_s: int = 0, lasts_s: int = 860, rssi_dbm: int = -60) -> Encounter:
    return Encounter(ident, START_S + start_s, lasts_s, 20, 20, rssi_dbm + 5, rssi_dbm, False)


HEARD = [met(OWNER, 20)]


def judged(other_log, reach_s=REACH, own_ids=None, heard=HEARD):
    return [each.judged for each in check(heard, [*HEARD, met(OTHER)], other_log, reach_s, own_ids)]


def test_an_answer_confirms_and_silence_does_not():
    assert judged([met(WEARER)]) == ["confirmed"]
    assert judged([]) == ["one_sided"]
    assert judged([met(WEARER)], own_ids={WEARER}) == ["confirmed"]
    assert judged([met(WEARER)], own_ids={OTHER}) == ["one_sided"]


@pytest.mark.parametrize(
    "answer",
    [
        met(OTHER),  # heard by both: a third person
        met(WEARER, 400, 480),  # came much later
        met(WEARER, 0, 300),  # left much earlier
        met(WEARER, rssi_dbm=-80),  # is much farther away
        met(WEARER, 900),  # another quarter of an hour
    ],
)
def test_an_unknown_id_vouches_only_for_what_looks_the_same(answer):
    assert judged([answer]) == ["one_sided"]


def test_a_known_id_vouches_even_when_the_other_side_heard_little():
    assert judged([met(WEARER, 300, 310, -85)], own_ids={WEARER}) == ["confirmed"]
    assert judged([met(WEARER, 300, 100)], own_ids={WEARER}) == ["one_sided"]


@pytest.mark.parametrize(
    ("heard", "reach_s"),
    [
        ([met(OWNER, 20, 470)], REACH),
        ([met(OWNER, 20, rssi_dbm=-76)], REACH),
        (HEARD, (START_S + 21, START_S + 7200)),
        (HEARD, (START_S, START_S + 879)),
    ],
)
def test_what_the_other_log_cannot_answer_is_not_judged(heard, reach_s):
    assert judged([], reach_s, heard=heard) == ["unjudged"]


def test_without_a_reach_an_empty_log_answers_nothing():
    (found,) = check(HEARD, HEARD, [])
    assert (found.judged, found.certain) == ("unjudged", False)


def test_records_of_one_id_are_put_together():
    parts = [met(WEARER, 0, 300), met(WEARER, 500, 360), met(WEARER, 0, 300)]
    (whole,) = contacts(parts)
    assert (whole.start_s, whole.end_s, whole.rssi_mean_dbm) == (START_S, START_S + 860, -60)
    assert judged(parts) == ["confirmed"]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 900), st.integers(0, 5)), max_size=20))
def test_stretches_lose_nothing_and_lie_apart(given_parts):
    found = contacts([met(bytes([n]) * 12, start, lasts) for start, lasts, n in given_parts])
    joined = stretches(found, 300)
    assert sorted(each.bluezone_id for one in joined for each in one.contacts) == sorted(
        each.bluezone_id for each in found
    )
    for before, after in pairwise(joined):
        assert before.span[1] + 300 < after.span[0]


def test_honest_pairs_raise_no_alarm_and_replays_stand_out():
    honest, replayed = evidence_bench.honest(60), evidence_bench.replayed(60)
    assert (honest.known["one_sided"], replayed.known["confirmed"]) == (0, 0)
    assert honest.known["confirmed"] >= 50  # the others were short
    assert replayed.known["one_sided"] == 60
    assert honest.unknown["one_sided"] <= 2
    assert replayed.unknown["one_sided"] >= 30  # somebody beside the owner can vouch by chance


# --- Second degree -------------------------------------------------------------------------------------------------


def sitting(name: str, x_m: float, room: str = "office") -> Person:
    return Person(name, "token", ((0.0, Place(x_m, 0.0, room)),))


@pytest.fixture(scope="module")
def office():
    """Logs of an hour: An and Bình side by side, Chi in their room, Dũng and Em side by side far away."""
    people = [
        sitting("An", 0.0), sitting("Bình", 1.2), sitting("Chi", 7.0),
        sitting("Dũng", 300.0, "elsewhere"), sitting("Em", 301.2, "elsewhere"),
    ]  # fmt: skip
    return {name: log.encounters for name, log in live(people, START_S, 3600, Random(1)).items()}


def test_who_sits_beside_an_f1_is_found_and_others_are_not(office):
    others = {name.encode(): office[name] for name in ("Bình", "Chi", "Dũng", "Em")}
    found = second_degree(office["An"], MONDAY, others, RULES)
    assert set(found) == {"Bình".encode()}
    ((day, minutes),) = [(each.day, each.minutes) for each in found["Bình".encode()]]
    assert day == MONDAY
    assert 50 <= minutes <= 60


def test_being_together_is_mutual(office):
    for one, other in (("An", "Bình"), ("An", "Chi"), ("An", "Dũng"), ("Dũng", "Em")):
        assert together(office[one], office[other], RULES) == together(office[other], office[one], RULES)


def test_two_pairs_apart_are_not_joined_by_the_quarters_of_an_hour_alone(office):
    """An with Bình, and Dũng with Em, all hour long: An's contact with Bình looks like Em's with Dũng."""
    an = [each for each in office["An"] if each.bluezone_id not in {e.bluezone_id for e in office["Chi"]}]
    assert contacts(an)
    assert together(an, office["Em"], RULES) == []


def test_before_the_exposure_nothing_counts(office):
    others = {b"B": office["Bình"]}
    assert second_degree(office["An"], date(2020, 8, 11), others, RULES) == {}


def test_repeated_records_change_nothing(office):
    twice = [*office["An"], *office["An"]]
    assert together(twice, office["Bình"], RULES) == together(office["An"], office["Bình"], RULES)


def test_a_log_whose_clock_is_an_hour_off_says_nothing(office):
    late = [replace(each, start_s=each.start_s + 3600) for each in office["Bình"]]
    assert together(office["An"], late, RULES) == []
