"""`bluezone fleet …` and `bluezone export`, as a technician types them: rightly and wrongly."""

import csv
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from fleet_kit import CLERK, NOON_S, list_of, meeting, record, serial, store, synced, wearer

from host_tools import cli
from host_tools.authority.lists import list_bytes
from host_tools.fleet import alerts, gateways
from host_tools.fleet.office import Office
from host_tools.storage.store import Encounter
from tracing.wire import short_code

MET, FREE = short_code(serial(1)), short_code(serial(2))
URL = "mailtos://user:secret@smtp.example.vn/?to={address}"


def run(*words: object) -> tuple[int, dict, str]:
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        status = cli.run(cli.build_app(), [*map(str, words), "--json"])
    return status, json.loads(out.getvalue()), err.getvalue()


def answer(*words: object) -> dict:
    status, told, err = run(*words)
    assert (status, err) == (0, "")
    return told


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A kiosk's folder: who was near the case for forty minutes, who was with nobody, and the list."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BLUEZONE_KEY_FILE", raising=False)
    with Office(tmp_path / "kiosk.sqlite", now=lambda: NOON_S) as office:
        wearer(office, 1, address="an@example.vn")
        wearer(office, 2)
        store(office, serial(1), meeting(NOON_S, 40))
        store(office, serial(2), [record(NOON_S), record(NOON_S + 3600, b"another one!", duration_s=0)])
    Path("list.json").write_bytes(list_bytes("F0", list_of(bytes(range(32))).cases))
    Path("url").write_text(f"{URL}\n")
    Path("password").write_text("a long password\r\n")
    return tmp_path


# --- Alerts and gateways -----------------------------------------------------------------------------------------


def test_a_match_makes_an_alert_and_a_call_settles_it(folder):
    assert answer("fleet", "match", "--cases", "list.json")["alerts"] == 1
    (alert,) = answer("fleet", "alert", "list")["alerts"]
    assert (alert["short_code"], alert["day"], alert["state"]) == (MET, "2020-08-08", "waiting")
    assert answer("fleet", "alert", "send") == {"sent": 0, "waiting": 1}  # there is no gateway
    (alert,) = answer("fleet", "alert", "list")["alerts"]
    assert (alert["state"], alert["problem"]) == ("hand", "no gateway for addresses of kind mail is set")
    answer("fleet", "alert", "told", alert["alert"])
    assert answer("fleet", "alert", "list") == {"alerts": []}
    assert answer("fleet", "match", "--cases", "list.json")["alerts"] == 0
    assert run("fleet", "alert", "told", alert["alert"])[0] == cli.EXIT_UNUSABLE


def test_a_gateway_is_tried_and_its_secret_stays_one(folder, monkeypatch):
    sent = []
    send = gateways.send_test
    monkeypatch.setattr(
        gateways, "send_test", lambda office, actor, to: send(office, actor, to, lambda *it: not sent.append(it))
    )
    assert run("fleet", "gateway", "test", "me@example.vn")[0] == cli.EXIT_UNUSABLE
    answer("fleet", "gateway", "set", "mail", "--url-file", "url")
    assert answer("fleet", "gateway", "list")["gateways"][0] == {"kind": "mail", "service": "mailtos"}
    answer("fleet", "gateway", "test", "me@example.vn")
    ((url, title, _),) = sent
    assert url == URL.replace("{address}", "me@example.vn")
    assert "test" in title
    assert "secret" not in json.dumps(answer("fleet", "audit"))
    answer("fleet", "gateway", "remove", "mail")
    assert answer("fleet", "gateway", "list")["gateways"][0]["service"] is None


@pytest.mark.parametrize("fault", [False, OSError("down")])
def test_a_gateway_that_does_not_take_the_message_is_told(folder, fault):
    def send(*_):
        if fault:
            raise fault
        return False

    with Office(folder / "kiosk.sqlite") as office:
        office.alerts.set_gateway(CLERK, "phone", "json://gateway.example.vn/{address}")
        with pytest.raises(gateways.UserError, match="The gateway for phone"):
            gateways.send_test(office, CLERK, "0905 123 456", send)


def test_addresses_go_into_a_url_as_they_must():
    assert alerts.address_url("json://x/{address}", "+84 905&1") == "json://x/+84905%261"


# --- Accounts ----------------------------------------------------------------------------------------------------


def test_an_account_from_making_to_shutting_out(folder):
    answer("fleet", "account", "add", "Boss", "--role", "admin", "--password-file", "password")
    answer("fleet", "account", "add", "an", "--role", "clerk", "--password-file", "password")
    assert [each["name"] for each in answer("fleet", "account", "list")["accounts"]] == ["an", "boss"]
    with Office(folder / "kiosk.sqlite") as office:
        _, session = office.accounts.log_in("an", "a long password", "here")
        assert office.accounts.of_session(session)
        answer("fleet", "account", "disable", "AN")
        assert office.accounts.of_session(session) is None
    assert answer("fleet", "account", "enable", "an")["disabled"] is False
    assert "last admin" in run("fleet", "account", "disable", "boss")[2]
    assert "no account 'nobody'" in run("fleet", "account", "password", "nobody", "--password-file", "password")[2]


def test_a_password_never_hangs_a_script(folder, monkeypatch):
    monkeypatch.setattr(sys, "stdin", StringIO())
    for words in (("account", "add", "an", "--role", "clerk"), ("gateway", "set", "mail")):
        status, told, _ = run("fleet", *words)
        assert status == cli.EXIT_UNUSABLE
        assert "no terminal" in told["error"]


# --- The rest ----------------------------------------------------------------------------------------------------


def test_the_audit_has_pages(folder):
    rows = answer("fleet", "audit", "--limit", "1000")["audit"]
    found, before = [], ()
    while page := answer("fleet", "audit", "--limit", "3", *before)["audit"]:
        found += page
        before = ("--before", page[-1]["number"])
    assert found == rows
    by = answer("fleet", "audit", "--actor", CLERK)["audit"]
    assert by == [row for row in rows if row["actor"] == CLERK] != []


def test_keep_tells_the_rule_and_purge_applies_it(folder):
    assert answer("fleet", "keep") == {"days": 14, "deleted": 0}
    assert answer("fleet", "purge") == {"days": 14, "deleted": 5}  # they are of 2020
    assert answer("export", MET, "--out", "x")["exports"][0]["encounters"] == 0
    assert answer("fleet", "keep", "30")["days"] == answer("fleet", "keep")["days"] == 30


ASKING = [
    ("fleet", "list"), ("fleet", "history", MET), ("fleet", "label", MET), ("fleet", "units"), ("fleet", "audit"),
    ("fleet", "held", "NV1"), ("fleet", "forget", "NV1"), ("fleet", "export", "x"), ("fleet", "keep"),
    ("fleet", "purge"), ("fleet", "match", "--cases", "list.json"), ("fleet", "alert", "list"),
    ("fleet", "alert", "send"), ("fleet", "alert", "told", "1"), ("fleet", "account", "list"),
    ("fleet", "account", "disable", "an"), ("fleet", "gateway", "list"), ("fleet", "gateway", "remove", "mail"),
    ("export", MET, "--out", "x"), ("report", "--cases", "list.json"),
]  # fmt: skip


@pytest.mark.parametrize("words", ASKING, ids=" ".join)
def test_who_asks_in_the_wrong_folder_is_told_and_no_database_is_made(folder, words):
    status, told, _ = run(*words, "--database", "elsewhere.sqlite")
    assert status == cli.EXIT_UNUSABLE
    assert told["error"].startswith("There is no database at elsewhere.sqlite. Nothing was done")
    assert not Path("elsewhere.sqlite").exists()


@pytest.mark.parametrize("place", ["folder", "text", "empty"])
def test_what_is_no_database_is_told_in_a_sentence(folder, place):
    Path("folder").mkdir()
    Path("text").write_text("no database " * 1000)
    Path("empty").touch()
    status, told, _ = run("fleet", "list", "--database", place)
    if place == "empty":
        assert (status, told["total"]) == (0, 0)
    else:
        assert status == cli.EXIT_UNUSABLE
        assert place in told["error"]


# --- Export --------------------------------------------------------------------------------------------------------


def stored(folder: Path, number: int) -> list[Encounter]:
    with Office(folder / "kiosk.sqlite") as office:
        return office.store.encounters(serial(number))


def test_csv_and_parquet_hold_the_same_rows(folder):
    answer("export", FREE, "--out", "x.csv", "--format", "csv")
    answer("export", FREE, "--out", "x.parquet", "--format", "parquet")
    with open("x.csv", newline="", encoding="utf-8") as stream:
        table = list(csv.DictReader(stream))
    rows = pq.read_table("x.parquet").to_pylist()
    for row in rows:
        row["start"] = row["start"].isoformat()
        row["connected"] = int(row["connected"])
    assert [{name: str(value) for name, value in row.items()} for row in rows] == table
    assert [row["bluezone_id"] for row in rows] == [each.bluezone_id.hex().upper() for each in stored(folder, 2)]
    assert len(rows) == 2


@pytest.mark.parametrize(("code", "verdict"), [(MET, "exposed"), (FREE, "safe")])
def test_an_export_in_bluezones_format_is_matched_with_the_kiosks_verdict(folder, code, verdict):
    answer("export", code, "--out", "data_trace.txt")
    told = answer("match", "--log", "data_trace.txt", "--cases", "list.json")
    assert (told["verdict"], told["rejected"]) == (verdict, [])
    assert answer("report", "--cases", "list.json")["exposed"] == 1


def test_several_tokens_go_into_a_folder_for_its_owner_alone(folder):
    told = answer("export", MET, serial(2).hex(), "--out", "out", "--format", "csv")["exports"]
    assert [Path(each["file"]).name for each in told] == [
        f"{MET}-{serial(1).hex()}.csv", f"{FREE}-{serial(2).hex()}.csv"
    ]  # fmt: skip
    assert [os.stat(each["file"]).st_mode & 0o777 for each in told] == [0o600, 0o600]
    noted = answer("fleet", "audit", "--limit", "2")["audit"]
    assert [row["action"] for row in noted] == ["export", "export"]


def test_nothing_is_written_when_one_of_the_tokens_is_none(folder):
    status, told, _ = run("export", MET, "ZZZZZZ", "--out", "out")
    assert status == cli.EXIT_UNUSABLE
    assert "There is no token 'ZZZZZZ'" in told["error"]
    assert not Path("out").exists()


def test_an_export_to_stdout_is_the_file_and_nothing_else(folder):
    answer("export", MET, "--out", "x.parquet", "--format", "parquet")
    line = [sys.executable, "-m", "host_tools.cli", "export", MET, "--out", "-", "--format", "parquet"]
    done = subprocess.run(line, capture_output=True, check=True)
    assert done.stdout == Path("x.parquet").read_bytes()
    assert run("export", MET, FREE, "--out", "-")[0] == cli.EXIT_UNUSABLE


# --- The clock ---------------------------------------------------------------------------------------------------


def test_the_clock_is_trusted_and_the_audit_knows_by_whom(folder, capsys):
    with Office(folder / "kiosk.sqlite", now=lambda: 4_000_000_000) as ahead:
        synced(ahead, serial(1))
    told = answer("fleet", "clock")
    assert (told["syncs"], told["latest_sync_s"], told["published_s"]) == (1, 4_000_000_000, None)
    assert not told["trusted"]
    assert cli.run(cli.build_app(), ["fleet", "clock"]) == 0
    words = capsys.readouterr().out
    assert "the latest at 2096-10-02 14:06" in words
    assert "set it. If it is right: `bluezone fleet clock --trust`" in words
    assert answer("fleet", "clock", "--trust")["trusted"]
    told = answer("fleet", "clock", "--trust")
    assert (told["syncs"], told["trusted"]) == (0, False)
    (row,) = [row for row in answer("fleet", "audit")["audit"] if row["action"] == "trust clock"]
    assert row["actor"].startswith("console:")
