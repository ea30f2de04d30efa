"""The health authority's side of a release: codes, the kiosk's file, and Bluezone's files out of it."""

import json
import stat
from contextlib import redirect_stderr, redirect_stdout
from datetime import date, timedelta
from io import StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host_tools import cli
from host_tools.authority import release, release_bundle
from host_tools.authority.release_bundle import Release
from host_tools.errors import UserError
from host_tools.matching import trace_log
from host_tools.provisioning import key_file
from host_tools.provisioning.token_keys import AuthorityRoot, KioskRoot, Roots, token_keys
from host_tools.storage.store import Encounter
from tracing import keys

ROOT = AuthorityRoot(bytes(range(32)))
SERIAL = b"\x01\x02\x03\x04\x05\x06\x07\x08"
FIRST_DAY = 18_480
FIRST_DATE = date(2020, 8, 6)
DAILY_KEY = bytes(range(64, 96))
KEYS = token_keys(Roots(KioskRoot(bytes(32)), ROOT), SERIAL, DAILY_KEY, FIRST_DAY, bytes(16))
DAYS = 5  # from the first one to the release
PASSPHRASE = "five words that nobody knows"


def encounter(day, at_s=36_000, windows=4, duration_s=300):
    start_s = (FIRST_DAY + day) * keys.DAY_S + at_s
    return Encounter(bytes([day]) * 12, start_s, duration_s, windows, 9, -55, -63, False)


def released(encounters=None):
    if encounters is None:
        encounters = [encounter(day) for day in range(DAYS)]
    return Release(SERIAL, (FIRST_DAY + DAYS - 1) * keys.DAY_S + 50_000, FIRST_DAY, KEYS.escrow, encounters)


# --- Code ------------------------------------------------------------------------------------------------------


def test_a_code_fits_one_challenge_of_one_token():
    code = release.code_for(ROOT, SERIAL, b"\1\2\3\4\5")
    assert len(code) == 8
    assert set(code) <= set("23456789ABCDEFGHJKLMNPQRSTUVWXYZ")
    assert code == release.code_for(ROOT, SERIAL, b"\1\2\3\4\5")
    assert code != release.code_for(ROOT, SERIAL, b"\1\2\3\4\6")
    assert code != release.code_for(ROOT, b"\2" + SERIAL[1:], b"\1\2\3\4\5")
    assert code != release.code_for(AuthorityRoot(bytes(32)), SERIAL, b"\1\2\3\4\5")


# --- The kiosk's file ------------------------------------------------------------------------------------------


def test_a_release_comes_back_and_is_not_overwritten(tmp_path):
    path = tmp_path / "release.json"
    release_bundle.write(path, released())
    assert release_bundle.load(path) == released()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert DAILY_KEY.hex() not in path.read_text()
    with pytest.raises(UserError, match="exists already"):
        release_bundle.write(path, released([]))
    assert release_bundle.load(path) == released()


def test_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match="cannot be written"):
        release_bundle.write(tmp_path / "none" / "release.json", released())


def damaged(data):
    entry = data["encounters"][0]
    yield from ({key: value for key, value in data.items() if key != left_out} for left_out in data)
    yield data | {"serial": "01"}
    yield data | {"escrow": data["escrow"][:-2]}
    yield data | {"first_day": -1}
    yield data | {"first_day": True}
    yield data | {"released": "now"}
    yield data | {"bluezone_release": 2}
    yield data | {"encounters": {}} | {"encounters": [entry | {"windows": "4"}]}
    yield data | {"encounters": [entry | {"more": 1}]}
    yield data | {"encounters": [entry | {"bluezone_id": "00"}]}
    yield data | {"encounters": [[]]}
    yield []
    yield 7


def test_what_is_no_release(tmp_path):
    path = tmp_path / "release.json"
    release_bundle.write(path, released())
    for data in damaged(json.loads(path.read_text())):
        path.write_text(json.dumps(data))
        with pytest.raises(UserError, match=r"not a release|has version"):
            release_bundle.load(path)
    for text in ("", "{", "[" * 100_000):
        path.write_text(text)
        with pytest.raises(UserError, match="not a release"):
            release_bundle.load(path)


# --- Tracing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("day", range(DAYS))
def test_the_key_of_the_first_day_to_be_traced_and_none_before(day):
    traced = release.trace(ROOT, released(), FIRST_DATE + timedelta(days=day))
    assert traced.daily_key == keys.daily_key_after(DAILY_KEY, day)
    assert traced.encounters == [encounter(later) for later in range(day, DAYS)]
    assert traced.list_entry == {
        "daily_key": traced.daily_key.hex().upper(),
        "time_start": (FIRST_DAY + day) * 86400,
        "time_end": (FIRST_DAY + DAYS) * 86400,
        "max": 96,
    }


def test_history_ends_with_the_last_day():
    traced = release.trace(ROOT, released(), FIRST_DATE, FIRST_DATE + timedelta(days=1))
    assert traced.encounters == [encounter(0), encounter(1)]
    assert traced.list_entry["time_end"] == (FIRST_DAY + 2) * 86400


def test_a_token_younger_than_asked_for():
    traced = release.trace(ROOT, released(), FIRST_DATE - timedelta(days=30))
    assert (traced.first_day, traced.daily_key) == (FIRST_DAY, DAILY_KEY)


@pytest.mark.parametrize(("from_day", "to_day"), [(DAYS, None), (2, 1), (-9, -1)])
def test_days_that_are_none_of_the_tokens(from_day, to_day):
    last = None if to_day is None else FIRST_DATE + timedelta(days=to_day)
    with pytest.raises(UserError, match=r"2020-08-06.*2020-08-10"):
        release.trace(ROOT, released(), FIRST_DATE + timedelta(days=from_day), last)


def test_another_authority():
    with pytest.raises(UserError, match="another authority"):
        release.trace(AuthorityRoot(bytes(32)), released(), FIRST_DATE)


@given(
    st.lists(
        st.builds(encounter, st.integers(0, DAYS - 1), st.integers(0, 86_399), st.integers(0, 30), st.integers(0, 900)),
        max_size=20,
    )
)
@settings(max_examples=30, deadline=None)
def test_every_line_is_read_by_the_readers_of_a_phones_history(tmp_path_factory, encounters):
    folder = tmp_path_factory.mktemp("traced")
    release.write(release.trace(ROOT, released(encounters), FIRST_DATE), folder)
    log = trace_log.load(folder / "data_trace.txt")
    assert len(log.sightings) == sum(max(met.windows, 1) for met in encounters)
    assert not log.rejected or not encounters
    for row in log.sightings:
        day_key = keys.daily_key_after(DAILY_KEY, row.time_ms // 86_400_000 - FIRST_DAY)
        assert row.own_id == list(keys.day_ids(day_key))[row.time_ms // 900_000 % 96]
        assert row.rssi_dbm in (-55, -63)
    info = json.loads((folder / "infof.json").read_text())
    assert info == {
        "base_id": DAILY_KEY.hex().upper(), "time": FIRST_DAY * 86400, "daily_key": DAILY_KEY.hex().upper(),
        "time_start": FIRST_DAY * 86400,
    }  # fmt: skip


def test_files_are_not_overwritten(tmp_path):
    traced = release.trace(ROOT, released(), FIRST_DATE)
    release.write(traced, tmp_path)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    with pytest.raises(UserError, match="empty folder"):
        release.write(traced, tmp_path)


# --- Commands --------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The authority's key file and a release, in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BLUEZONE_PASSPHRASE", PASSPHRASE)
    monkeypatch.setitem(key_file._SCRYPT, "n", 1 << 10)
    key_file.save(tmp_path / "authority.key", ROOT, PASSPHRASE)
    release_bundle.write(tmp_path / "release.json", released())


def run(*args):
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        status = cli.run(cli.build_app(), ["authority", *args])
    return status, out.getvalue(), err.getvalue()


def test_code_command(files):
    args = ("code", "--keys", "authority.key", "--serial", SERIAL.hex(), "--challenge", "0102030405")
    expected = release.code_for(ROOT, SERIAL, b"\1\2\3\4\5")
    assert run(*args) == (0, f"{expected}\n", "")
    assert json.loads(run(*args, "--json")[1]) == {"code": expected}


@pytest.mark.parametrize(("serial", "challenge"), [("01", "0102030405"), (SERIAL.hex(), "01"), ("x" * 16, "0" * 10)])
def test_code_command_with_what_cannot_be(files, serial, challenge):
    status, _, err = run("code", "--keys", "authority.key", "--serial", serial, "--challenge", challenge)
    assert status == 2
    assert "hex digits" in err


def test_open_command(files, tmp_path):
    args = ("open", "release.json", "--keys", "authority.key", "--from", "2020-08-08", "--out", "traced", "--json")
    status, out, _ = run(*args)
    assert status == 0
    answer = json.loads(out)
    assert answer == {
        "serial": SERIAL.hex(),
        "encounters": 3,
        "files": ["traced/infof.json", "traced/data_trace.txt"],
        "entry": release.trace(ROOT, released(), date(2020, 8, 8)).list_entry,
    }
    assert all((tmp_path / name).exists() for name in answer["files"])
    assert run(*args)[0] == 2  # they exist now
