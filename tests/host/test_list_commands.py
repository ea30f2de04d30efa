"""`bluezone list`, and the options that say where a list comes from."""

import json
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pytest
import stamina
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from signed_lists import DAY, PUBLIC, case, content, put, signature

from host_tools import cli
from host_tools.matching.assessment import assess
from host_tools.matching.case_finder import CaseFinder
from host_tools.matching.case_index import case_slots
from host_tools.matching.list_options import rules_for
from host_tools.matching.list_statement import fingerprint
from host_tools.matching.national_list import NationalList
from host_tools.storage.store import Encounter

SIGNED = ("--list-key", "key.pem")


class Answer(NamedTuple):
    status: int
    json: dict
    out: str
    err: str


def run(*words: object, as_json: bool = True) -> Answer:
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        status = cli.run(cli.build_app(), [*map(str, words), *(["--json"] if as_json else [])])
    return Answer(status, json.loads(out.getvalue()) if as_json else {}, out.getvalue(), err.getvalue())


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    put(tmp_path / "list.json", content(1, 2), signature(content(1, 2), 1))
    Path("key.pem").write_bytes(PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def test_show_tells_the_list_in_use_and_asks_nobody_for_a_newer_one():
    assert "No list of list.json is kept yet" in run("list", "show", "--cases", "list.json", *SIGNED).err
    assert run("list", "fetch", "--cases", "list.json", *SIGNED).json["list"]["version"] == 1
    put(Path("list.json"), content(1, 2, 3), signature(content(1, 2, 3), 2))
    shown = run("list", "show", "--cases", "list.json", *SIGNED).json
    assert (shown["list"]["version"], shown["cases"]) == (1, 2)
    newer = run("list", "fetch", "--cases", "list.json", *SIGNED).json
    assert (newer["list"]["version"], newer["cases"]) == (2, 3)
    assert run("list", "show", "--cases", "list.json", *SIGNED).json["cases"] == 3


def test_a_list_names_its_key_and_its_days():
    told = run("list", "fetch", "--cases", "list.json", *SIGNED).json
    assert told["signed_by"] == fingerprint(PUBLIC)
    assert (told["first_day"], told["last_day"]) == ("2020-08-08", "2020-08-09")
    words = run("list", "fetch", "--cases", "list.json", *SIGNED, as_json=False).out
    assert f"Signed by the key {fingerprint(PUBLIC)}." in words
    assert "Cases (F0): 2, of 2020-08-08 to 2020-08-09 (UTC)" in words
    assert run("list", "show", "--cases", "list.json").json["signed_by"] is None


def test_a_bad_newer_list_is_told_and_the_good_one_stays():
    run("list", "fetch", "--cases", "list.json", *SIGNED)
    put(Path("list.json"), content(1, 3), signature(content(1, 2), 1))
    told = run("list", "fetch", "--cases", "list.json", *SIGNED)
    assert (told.status, told.json["cases"]) == (0, 2)
    assert "In use is the last good one" in told.json["list"]["problem"]


def test_check_names_every_bad_entry():
    entries = json.loads(content(1, 2))["data"]
    entries[1]["daily_key"] = "short"
    Path("bad.json").write_text(json.dumps({"data": [*entries, 7]}))
    told = run("list", "check", "bad.json")
    assert (told.status, told.json["cases"]) == (cli.EXIT_UNUSABLE, 1)
    assert [each["where"] for each in told.json["rejected"]] == ["data[1].daily_key", "data[2]"]
    words = run("list", "check", "bad.json", as_json=False).out
    assert "Not used: data[1].daily_key: must be 64 hex digits" in words
    assert run("list", "check", "list.json").status == 0


def test_check_judges_a_file_by_itself():
    assert run("list", "check", "list.json", *SIGNED).json["list"]["version"] == 1
    put(Path("list.json"), content(4), signature(content(4), 1))  # an older rival of what a kiosk may have seen
    assert run("list", "check", "list.json", *SIGNED).status == 0
    put(Path("list.json"), content(5), signature(content(4), 1))
    assert "is not what the authority signed" in run("list", "check", "list.json", *SIGNED).err


@pytest.mark.parametrize("command", ["show", "fetch", "check"])
@pytest.mark.parametrize("place", ["none.json", "empty.json", "folder"])
def test_what_is_no_list_is_told_in_a_sentence(command, place):
    Path("empty.json").touch()
    Path("folder").mkdir()
    told = run("list", command, *(() if command == "check" else ("--cases",)), place)
    assert told.status == cli.EXIT_UNUSABLE
    assert place in told.json["error"]
    assert told.json["error"].strip() == told.err.strip()


def test_attempts_that_fail_are_not_printed_into_the_answer():
    stamina.set_testing(True, attempts=3)
    try:
        told = run("list", "fetch", "--cases", "https://127.0.0.1:9/F0.json")
    finally:
        stamina.set_testing(False)
    assert "could not be fetched" in told.json["error"]


def test_the_tolerance_decides_which_clock_errors_are_forgiven():
    listed = NationalList([case(1)], [])
    ident, slot = next(iter(case_slots(listed.cases[0])))
    late = [Encounter(ident, slot.end_ms // 1000 + 300 + 60 * minute, 40, 2, 4, -50, -52, False) for minute in range(3)]
    assert late[0].start_s - DAY < 86400
    for tolerance_s, met in ((None, False), (0, False), (600, True)):
        verdict = assess(late, listed, CaseFinder(listed.cases), rules_for(None, None, tolerance_s))
        assert bool(verdict.met or verdict.days) == met
