"""The main job as a whole, through the command line."""

import json
from pathlib import Path

import pytest

from host_tools import cli
from host_tools.matching import national_list, trace_log
from host_tools.matching.case_index import CaseIndex
from host_tools.matching.exposures import match_sightings

pytestmark = pytest.mark.vm


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory):
    """One run of the demo: (its JSON, its folder)."""
    folder = tmp_path_factory.mktemp("demo")
    capture = pytest.MonkeyPatch()
    printed: list[str] = []
    capture.setattr("builtins.print", lambda *args, **_: printed.append(" ".join(map(str, args))))
    try:
        status = cli.run(cli.build_app(), ["demo", "--seed", "2", "--out", str(folder), "--json"])
    finally:
        capture.undo()
    assert status == 0
    return json.loads(printed[-1]), folder


def test_every_verdict_agrees_with_the_truth(demo):
    result, _ = demo
    assert len(result["wearers"]) >= 6
    assert {wearer["truth"] for wearer in result["wearers"]} == {"exposed", "safe"}
    for wearer in result["wearers"]:
        assert wearer["failure"] is None
        assert wearer["agrees"], wearer
        assert wearer["new_records"] > 0


def test_every_close_pair_is_found_and_nothing_is_invented(demo):
    result, _ = demo
    assert len(result["pairs"]) >= 10
    assert all(pair["found"] for pair in result["pairs"])
    assert result["false_encounters"] == 0


def test_minutes_near_are_close_to_the_truth(demo):
    result, _ = demo
    for wearer in result["wearers"]:
        near = sum(day["minutes_near"] for day in wearer["days"])
        assert near <= wearer["near_minutes_true"] + 5
        assert near >= 0.8 * wearer["near_minutes_true"] - 2


def test_a_phones_export_matches_the_same_list(demo):
    """What the iPhone of the demo has logged, as its app would export it, against the national list."""
    _, folder = demo
    log = trace_log.load(folder / "phone_Lan.txt")
    assert not log.rejected
    cases = national_list.load(folder / "national_list.json")
    assert not cases.rejected
    index = CaseIndex(cases.cases)
    expected = {row.peer_id for row in log.sightings if index.slots(row.peer_id)}
    assert {match.bluezone_id for match in match_sightings(log.sightings, index)} == expected


def test_the_results_are_there_to_look_at(demo):
    result, folder = demo
    assert Path(result["report"]).stat().st_size > 10_000
    names = {path.name for path in folder.iterdir()}
    assert {"report.html", "kiosk.sqlite", "national_list.json", "phone_Khoa.txt", "token-0.flash"} <= names
