"""From RSSI to P(within 2 m): the fitted file is what the measurements give, and says no more than they know."""

import tomllib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host_tools.errors import UserError
from host_tools.matching import calibrate
from host_tools.matching.calibration import SUREST, load_calibration
from host_tools.matching.exposures import Exposure
from host_tools.matching.rules import load_rules
from host_tools.provisioning.firmware_files import boards, rssi_offset_db

CALIBRATION = load_calibration()
RULES = load_rules()
STRENGTH_DB = st.floats(-60, 60)


def heard(rssi_dbm: float, windows: int = 8, pair: str = "token-android") -> Exposure:
    return Exposure(0, bytes(12), 0, 900, 0, 600, 9, round(rssi_dbm), rssi_dbm, pair, windows)


@pytest.fixture(scope="module")
def receptions():
    return calibrate.measured()


def test_the_measurements_are_all_there(receptions):
    assert list(receptions) == list(range(10, 301, 10))
    assert sum(map(len, receptions.values())) == 13_501
    assert all((np.diff(values[:, 0]) >= 0).all() for values in receptions.values())


def test_the_file_is_what_the_measurements_give(receptions):
    content = tomllib.loads(calibrate.FITTED.read_text("utf-8"))
    assert content["at_2m_dbm"] == calibrate.level_at_2m_dbm(receptions)
    assert [curve["windows"] for curve in content["curve"]] == list(calibrate.WINDOWS)
    fitted = calibrate.fit(receptions, calibrate.WINDOWS[1])
    shown = content["curve"][1]
    assert (shown["intercept"], shown["mean"], shown["max"]) == pytest.approx(
        (fitted.curve.intercept, fitted.curve.mean, fitted.curve.max), abs=0.01
    )
    assert shown["balanced_accuracy"] == pytest.approx(fitted.balanced, abs=0.005)


def test_left_out_distances_are_judged_better_than_by_chance_and_more_windows_help(receptions):
    content = tomllib.loads(calibrate.FITTED.read_text("utf-8"))["curve"]
    for curve in content:
        assert 0.7 < curve["half_metres"] <= curve["balanced_accuracy"] < 0.95
        assert curve["brier"] < 0.25
    assert content[0]["balanced_accuracy"] < content[-1]["balanced_accuracy"]


@settings(deadline=None)
@given(STRENGTH_DB, STRENGTH_DB, st.floats(0, 20), st.integers(1, 255))
def test_stronger_is_likelier_and_nothing_is_certain(mean_db, max_db, more_db, windows):
    weak = CALIBRATION.probability(mean_db, max_db, windows)
    strong = CALIBRATION.probability(mean_db + more_db, max_db + more_db, windows)
    assert 1 - SUREST <= weak <= strong <= SUREST


def test_the_level_at_two_metres_is_about_even():
    assert 0.35 < CALIBRATION.probability(0, 0, 1) < 0.65
    assert RULES.probability_within_2m(heard(-66, 1)) == pytest.approx(CALIBRATION.probability(0, 0, 1))


def test_a_pair_that_nobody_has_worked_out_has_no_probability():
    assert RULES.probability_within_2m(heard(-60, pair="android-android")) is None


def test_a_boards_offset_moves_threshold_and_probability():
    weak, board = heard(-75), RULES.for_board(10)
    assert not RULES.is_near(weak)
    assert board.is_near(weak)
    assert board.probability_within_2m(weak) == RULES.probability_within_2m(heard(-65))
    assert board.attenuation_db(weak) == RULES.attenuation_db(weak) - 10


def test_every_board_says_its_offset_and_none_has_been_measured():
    for name, board in boards().items():
        if name != "virtual":
            assert board["calibration"] == {"rssi_offset_db": 0}
        assert rssi_offset_db(name) == 0
    with pytest.raises(UserError, match="no board 'esp33'"):
        rssi_offset_db("esp33")


def test_the_picture_is_drawn(tmp_path, receptions):
    fits = [calibrate.Fit(replace(curve), 0.8, 0.8, 0.8, 0.8, 0.1) for curve in CALIBRATION.curves]
    calibrate.draw(receptions, fits, tmp_path / "calibration.png")
    assert (tmp_path / "calibration.png").read_bytes().startswith(b"\x89PNG")
