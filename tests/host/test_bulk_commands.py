"""`match-stored`, `match-nation` and `match --encounters`: where their list comes from, and what they refuse."""

import json
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from signed_lists import PUBLIC, content, put, signature

from host_tools import cli
from host_tools.matching import encounter_files, nation
from host_tools.matching.case_index import case_slots
from host_tools.matching.national_list import load


def run(*args: object) -> tuple[int, dict, str]:
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        status = cli.run(cli.build_app(), [*map(str, args), "--json"])
    return status, json.loads(out.getvalue()), err.getvalue()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Four encounters with case 1 of a signed list, in an archive; a cluster that is this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    put(tmp_path / "list.json", content(1, 2), signature(content(1, 2), 1))
    pem = PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    Path("key.pem").write_bytes(pem)
    listed = load(tmp_path / "list.json").cases[0]
    rows = [
        (bytes(8), seq, ident, slot.start_ms // 1000, 60, 2, 2, -50, -55, False)
        for seq, (ident, slot) in enumerate(list(case_slots(listed))[:4])
    ]
    columns = zip(zip(*rows, strict=True), encounter_files.ENCOUNTERS, strict=True)
    arrays = [pa.array(column, field.type) for column, field in columns]
    encounter_files.write_table(tmp_path / "source.parquet", pa.table(arrays, encounter_files.ENCOUNTERS))
    encounter_files.ingest(tmp_path / "source.parquet", tmp_path / "encounters")

    def here(cases, encounters, out, scheduler, tolerance_s, progress):
        out.mkdir(parents=True, exist_ok=True)
        done = [nation.run(task) for task in nation.tasks(cases, encounters, out, tolerance_s)]
        return {"tasks": len(done), "exposures": sum(done), "scheduler": scheduler}

    monkeypatch.setattr(nation, "match_nation", here)
    return tmp_path


COMMANDS = [("match-stored",), ("match-nation", "--encounters", "encounters"), ("match", "--encounters", "encounters")]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_list_must_be_signed_if_a_key_is_configured(command):
    status, answer, _ = run(*command, "--cases", "list.json", "--list-key", "key.pem")
    assert (status, answer["list"]["signed"], answer["list"]["version"]) == (0, True, 1)
    assert answer["exposures"] == 4
    put(Path("list.json"), content(1, 3), signature(content(1, 2), 1))
    status, answer, _ = run(*command, "--cases", "list.json", "--list-key", "key.pem")
    assert status == 0
    assert "In use is the last good one" in answer["list"]["problem"]
    assert run(*command, "--cases", "list.json", "--kind", "F3")[0] == 2


def test_the_scheduler_of_match_is_that_of_match_nation():
    for command in COMMANDS[1:]:
        _, answer, _ = run(*command, "--cases", "list.json", "--scheduler", "tcp://10.0.0.1:8786")
        assert answer["scheduler"] == "tcp://10.0.0.1:8786"


def test_cases_in_parquet_have_no_signature():
    nation.write_cases(Path("cases.parquet"), load(Path("list.json")).cases)
    status, answer, _ = run(*COMMANDS[1], "--cases", "cases.parquet")
    assert (status, answer["list"], answer["exposures"]) == (0, None, 4)
    status, _, err = run(*COMMANDS[1], "--cases", "cases.parquet", "--list-key", "key.pem")
    assert status == 2
    assert "no signature" in err


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--scheduler", "tcp://10.0.0.1:8786"),
        ("--log", "log.txt", "--encounters", "encounters"),
        ("--log", "log.txt", "--scheduler", "tcp://10.0.0.1:8786"),
        ("--encounters", "encounters", "--peer-view"),
        ("--encounters", "encounters", "--rules", "cwa"),
    ],
)
def test_match_says_which_options_go_together(options):
    Path("log.txt").touch()
    status, answer, err = run("match", "--cases", "list.json", *options)
    assert status == 2
    assert "--log, --peer-view and --rules go with the first" in err
    assert "Nothing was matched" in answer["error"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_place_that_cannot_be_written_is_told(command):
    Path("file").touch()
    status, _, err = run(*command, "--cases", "list.json", "--out", "file/exposures")
    assert status == 2
    assert "The exposures cannot be written to file/exposures" in err
