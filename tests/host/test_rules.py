"""rules.toml: what it holds, how a set is chosen, and what a damaged one costs."""

import tomllib
from datetime import date
from importlib.resources import files

import pytest

from host_tools.errors import UserError
from host_tools.matching.rules import load_rules

SHIPPED = files("host_tools.matching").joinpath("rules.toml").read_text("utf-8")


@pytest.mark.parametrize("name", [None, "viet-nam", "dp-3t", "cwa"])
def test_every_rule_says_where_it_comes_from_and_what_it_is(name):
    rules = load_rules(name)
    assert rules.set == (name or "viet-nam")
    for rule in rules.rules:
        assert rule.version >= 1
        assert len(rule.source) > 20
        assert rule.title_vi != rule.title_en
        assert rule.bands[-1].up_to_db == float("inf")


def test_rules_follow_each_other_by_the_day():
    rules = load_rules()
    assert [(rules.on(day).id) for day in (date(2020, 8, 8), date(2022, 4, 14), date(2022, 4, 15))] == [
        "vn-2020",
        "vn-2020",
        "vn-2022",
    ]


def test_a_threshold_of_two_metres_is_the_same_attenuation_for_every_pair():
    rules = load_rules()
    near = rules.on(date(2020, 8, 8)).bands[0]
    assert near.up_to_db == rules.near_db == 70


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(SHIPPED.replace('default = "viet-nam"', 'default = "cwa"'))
    assert load_rules(str(path)) == load_rules(path)
    assert load_rules(path).set == "cwa"


def test_an_unknown_set_is_answered_with_those_there_are():
    with pytest.raises(UserError, match="known are cwa, dp-3t, viet-nam"):
        load_rules("viet nam")


@pytest.mark.parametrize(
    ("shipped", "damaged", "words"),
    [
        ('id = "vn-2020"\n', "", "lack 'id'"),
        ("from = 2020-02-01\n", "from = 2020\n", "not a date"),
        ("from = 2020-02-01\n", "from = 2020-02-01T00:00:00\n", "not a date"),
        ("version = 1\n", "version = 0\n", "'version' of rule 'vn-2020'"),
        ("minutes = 15 #", "minutes = 15.5 #", "'minutes' of rule 'vn-2020'"),
        ('source = "F1', 'source = "" # "F1', "'source' of rule 'vn-2020' is not text"),
        ("weight = 1.0", "weight = 0.0", "no band of rule 'vn-2020' counts"),
        ("weight = 1.0", "weight = nan", "a weight of rule 'vn-2020'"),
        ("weight = 1.0", "weight = -1", "a weight of rule 'vn-2020'"),
        ("up_to_db = 70", "up_to_db = nan", "not in order"),
        ("up_to_db = 70", 'up_to_db = "near"', "cannot be used"),
        ('name = "near"', 'name = "close"', "called 'close', not one of near, middle, far"),
        ('name = "middle", up_to_db = 55', 'name = "middle", up_to_db = 50', "not in order"),
        ('name = "middle", up_to_db = 55', 'name = "near", up_to_db = 45', "not in order"),
        ('id = "vn-2022"', 'id = "vn-2020"', "two rules have the same id"),
        ("from = 2022-04-15", "from = 2020-02-01", "two rules have the same set and date"),
        ("[scan_period_s]", "[scan]", "lack 'scan_period_s'"),
        ("near_dbm = -86\n", "near_dbm = []\n", "cannot be used"),
        ("default =", "defaults =", "lack 'default'"),
        ("[[rule]]", "[[rule", "cannot be used"),
    ],
)
def test_a_damaged_file_is_one_sentence(tmp_path, shipped, damaged, words):
    assert shipped in SHIPPED
    path = tmp_path / "rules.toml"
    path.write_text(SHIPPED.replace(shipped, damaged, 1))
    with pytest.raises(UserError, match=words) as caught:
        load_rules(path)
    assert "No verdict was made" in str(caught.value)


def test_no_rule_at_all_and_no_file_are_sentences(tmp_path):
    with pytest.raises(UserError, match="cannot be used"):
        load_rules(tmp_path / "absent.toml")
    path = tmp_path / "empty.toml"
    path.write_text('default = "x"\nrule = []\n')
    with pytest.raises(UserError, match="no rule"):
        load_rules(path)
    assert tomllib.loads(SHIPPED)["default"] == "viet-nam"
