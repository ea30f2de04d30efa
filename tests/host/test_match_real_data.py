"""`bluezone match` on what a real phone recorded, seen from the phone that it met."""

import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from host_tools import cli
from host_tools.matching import commands

VECTORS = Path(__file__).parents[1] / "vectors" / "bluezone-2020-08-08"
TRACE = VECTORS / "data_trace.txt"
PHONE = json.loads((VECTORS / "infof.json").read_text())
CASE = {
    "daily_key": PHONE["daily_key"],
    "time_start": PHONE["time_start"],
    "time_end": PHONE["time_start"] + 86400,
    "max": 96,
}
LONGER_CASE = {**CASE, "time_end": CASE["time_end"] + 1}  # not the same entry again, which would be left out
ROWS = [line.split("\t")[:4] for line in TRACE.read_text().splitlines()]


def run(*args: object) -> tuple[int, str, str]:
    app = cli.new_app()
    commands.register(app)
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        status = cli.run(app, [str(arg) for arg in args])
    return status, out.getvalue(), err.getvalue()


@pytest.fixture
def write(tmp_path):
    def write_file(name: str, content: object) -> Path:
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write_file


def match(log: Path, cases: Path, *more: str) -> tuple[list[dict], list[dict]]:
    status, out, err = run("match", "--log", log, "--cases", cases, "--json", *more)
    assert (status, err) == (0, "")
    answer = json.loads(out)
    assert answer.keys() == {
        "list",
        "matches",
        "rejected",
        "doubtful",
        "verdict",
        "days",
        "rule",
        "list_digest",
        "explanation",
    }
    return answer["matches"], answer["rejected"]


def log_text(rows: list[list[str]], shift_s: int = 0, end: str = "\n") -> str:
    return "".join(f"{own}\t{peer}\t{rssi}\t{int(ms) + shift_s * 1000}{end}" for own, peer, rssi, ms in rows)


def expected(case: int = 0) -> list[dict]:
    """The three encounters, computed from the file alone: an own id belongs to the quarter it was written in."""
    found = []
    for own_id in dict.fromkeys(row[0] for row in ROWS):
        times_ms = [int(row[3]) for row in ROWS if row[0] == own_id]
        rssis = [int(row[2]) for row in ROWS if row[0] == own_id]
        found.append(
            {
                "case": case,
                "bluezone_id": own_id,
                "slot_start": times_ms[0] // 900_000 * 900,
                "first": min(times_ms) // 1000,
                "last": max(times_ms) // 1000,
                "sightings": len(rssis),
                "rssi_max_dbm": max(rssis),
                "rssi_mean_dbm": pytest.approx(sum(rssis) / len(rssis)),
            }
        )
    return found


def test_all_63_sightings_give_exactly_the_three_encounters(write):
    matches, rejected = match(TRACE, write("list.json", {"data": [CASE]}), "--peer-view")
    assert matches == expected()
    assert [m["slot_start"] for m in matches] == [1596844800 + i * 900 for i in (23, 24, 25)]
    assert sum(m["sightings"] for m in matches) == len(ROWS) == 63
    assert rejected == []


def test_columns_exchanged_in_the_file_instead(write):
    exchanged = log_text([[peer, own, rssi, ms] for own, peer, rssi, ms in ROWS])
    matches, _ = match(write("log.txt", exchanged), write("list.json", {"data": [CASE]}))
    assert matches == expected()


def test_the_phone_does_not_match_itself(write):
    assert match(TRACE, write("list.json", {"data": [CASE]})) == ([], [])


@pytest.mark.parametrize("shift_s", [3600, -3600, 86400, -86400])
def test_shifted_in_time_nothing_matches(write, shift_s):
    log = write("log.txt", log_text(ROWS, shift_s))
    assert match(log, write("list.json", {"data": [CASE]}), "--peer-view") == ([], [])


def test_the_key_of_an_earlier_day_leads_to_the_same_ids(write):
    """A chain that starts a day before: its key is unknown, but its next day's is hashed like any other."""
    later = write("log.txt", log_text(ROWS))
    whole_month = {**CASE, "time_start": CASE["time_start"] + 3600, "time_end": CASE["time_start"] + 30 * 86400}
    matches, _ = match(later, write("list.json", {"data": [whole_month]}), "--peer-view")
    assert matches == expected()


@pytest.mark.parametrize(
    ("start_h", "end_h", "slots"),
    [
        (5.75, 6.5, [23, 24, 25]),
        (6.0, 6.25, [24]),
        (6.1, 6.2, [24]),
        (6.1, 6.1, [24]),
        (6.0, 6.0, [24]),
        (0, 5.75, []),
        (6.5, 24, []),
        (0, 5.76, [23]),
    ],
)
def test_only_slots_within_the_case_s_time_count(write, start_h, end_h, slots):
    start = CASE["time_start"]
    case = {**CASE, "time_start": int(start + start_h * 3600), "time_end": int(start + end_h * 3600)}
    matches, _ = match(TRACE, write("list.json", {"data": [case]}), "--peer-view")
    assert [(m["slot_start"] - start) // 900 for m in matches] == slots


def test_damage_costs_only_what_is_damaged_and_indices_stay(write):
    text = json.dumps(
        {"data": [{**CASE, "daily_key": "ab"}, CASE, {**CASE, "max": 1}, {**CASE, "time_end": 5}, LONGER_CASE]},
        indent=1,
    ).replace('"max": 1\n', '"max": 1 // typed by hand\n')
    bad_lines = [
        "7C3DEC4246EA6F90\tB9A665D754FE65E665D76A45\t-60\t1596866191387\n",
        "\0\x01\xff\n",
        "\n",
        log_text(ROWS[:1]).replace("-71", "-200"),
        log_text(ROWS[:1]).replace("-71", "21"),
        log_text(ROWS[:1]).replace("1596866191387", "1596866191"),
        log_text(ROWS[:1]).replace("B9", "XY"),
        "\t" * 3000 + "x" + "\n",
        log_text(ROWS[:1]).replace("\t-71", ""),
    ]
    log = write("log.txt", "".join(bad_lines).encode("latin-1") + log_text(ROWS, end=" \r\n").encode() + b"\r\n\n")
    matches, rejected = match(log, write("list.json", text), "--peer-view")
    assert matches == expected(1) + expected(4)
    assert [r["where"] for r in rejected] == [
        "data[0].daily_key", "line 19 (data[2])", "data[2].max", "data[3].time_end",
        "line 1", "line 2", "line 4", "line 5", "line 6", "line 7", "line 8", "line 9",
    ]  # fmt: skip
    whys = " / ".join(r["why"] for r in rejected[4:])
    assert "own id must be 24 hex digits" in whys
    assert "RSSI must be an integer from -128 to 20, not '-200'" in whys
    assert "not '1596866191'" in whys
    assert "longer than 1024 bytes" in whys
    assert "has 3 fields" in whys


@pytest.mark.parametrize(
    ("log", "cases", "words"),
    [
        (None, {"data": [CASE]}, "no contact log"),
        ("", None, "no national list"),
        ("", [CASE], "an array"),
        ("", json.dumps({"data": [CASE]})[:-1], "after data[0]"),
    ],
)
def test_unusable_input_is_one_sentence_and_status_2(write, tmp_path, log, cases, words):
    log_path = tmp_path / "log.txt" if log is None else write("log.txt", log)
    cases_path = tmp_path / "list.json" if cases is None else write("list.json", cases)
    status, out, err = run("match", "--log", log_path, "--cases", cases_path, "--json")
    assert status == 2
    assert words in err
    assert err.count("\n") == 1
    assert json.loads(out) == {"error": err.strip()}


def test_an_empty_log_is_a_log_but_said_to_be_empty(write):
    matches, rejected = match(write("log.txt", ""), write("list.json", {"data": [CASE]}))
    assert (matches, rejected) == ([], [{"where": "line 1", "why": "the log is empty"}])


def test_readable_answer_names_ids_times_and_what_was_not_used(write):
    cases = write("list.json", {"data": [CASE, 5, *[{"x": "[bold]"}] * 30]})
    status, out, err = run("match", "--log", TRACE, "--cases", cases, "--peer-view")
    assert (status, err) == (0, "")
    row = next(line for line in out.splitlines() if "B9A665D754FE65E665D76A45" in line)
    assert "2020-08-08 12:56-12:59" in row
    assert "Vietnam time" in out
    assert "data[1]" in out
    assert "11 more" in out
    assert "3 matches with 1 case: compared 63 sightings with 1 case of the list" in out


def test_the_installed_command(write):
    """The whole command in a process of its own, with a locale that knows no Vietnamese."""
    cases = write("list.json", {"data": [CASE]})
    args = ["match", "--log", str(TRACE), "--cases", str(cases), "--peer-view"]
    command = [sys.executable, "-m", "host_tools.cli", *args]
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    readable = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", env=environment)
    assert readable.returncode == 0, readable.stderr
    assert "3 matches" in readable.stdout
    as_json = subprocess.run([*command, "--json"], capture_output=True, text=True, env=environment)
    assert json.loads(as_json.stdout)["matches"] == expected()
