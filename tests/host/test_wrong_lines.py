"""Command lines typed wrongly: every command answers in a sentence with exit status 2, and leaves files as they are."""

import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from host_tools import cli

JUNK = bytes(range(256)) * 4
LIST = json.dumps({"data": [{"daily_key": "00" * 32, "time_start": 1596844800, "time_end": 1596931200}]})
LINES = """
match --cases {} --log log.txt
match --cases list.json --log {}
match --cases list.json --log log.txt --rules {}.toml
match --cases list.json --log log.txt --list-key {}
match --cases list.json --encounters {}
ingest --source {}
match-stored --cases list.json --archive {}
match-nation --cases {}.parquet --encounters encounters
confirm --log {} --other-log {}
confirm --database {} --token A --owner B --cases list.json
f2 --database {} --token A --since 2020-08-08
sync --cases list.json --keys {} --passphrase-file secret
release ABCDEF out.json --keys {} --passphrase-file secret
export ABCDEF --database {} --out out.txt
report --cases {}
report --database {} --cases list.json
fleet list --database {}
fleet list --key-file {}
fleet import {}
fleet gateway set mail --url-file {}
fleet account add an --role clerk --password-file {}
fleet match --cases {}
key show {}
key new kiosk new.key --passphrase-file {}
authority init {}/authority --passphrase-file secret
authority init authority --passphrase-file {}
authority publish {} --entries list.json --passphrase-file secret
authority publish authority --entries {} --passphrase-file secret
authority serve {} --port 0 --seconds 0
authority code --keys {} --serial 0102030405060708 --challenge E0E1E2E3E4 --passphrase-file secret
authority open {} --keys a.key --from 2020-08-08 --out out --passphrase-file secret
kiosk --cases {} --keys k.key --passphrase-file secret
kiosk --cases list.json --keys {} --passphrase-file secret
kiosk --radio virtual --scenario {} --port 0
kiosk --cases list.json --keys k.key --port 65536
demo --scenario {}
flash --board esp32_c3 --offline-image out.bin --image {}
labels ABCDEF --database {}
list show --cases {}
list fetch --cases {}
list check {}
""".strip().splitlines()
# What a line may do well with: an empty log is one of nobody met, and an empty file becomes a database.
SOUND = {
    ("match --cases list.json --log {}", "empty"),
    ("confirm --log {} --other-log {}", "empty"),
    ("fleet list --database {}", "empty"),
    ("report --database {} --cases list.json", "empty"),
    ("authority init {}/authority --passphrase-file secret", "none"),
    ("authority init {}/authority --passphrase-file secret", "folder"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", StringIO())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("BLUEZONE_PASSPHRASE", "BLUEZONE_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    Path("folder").mkdir()
    Path("empty").touch()
    Path("junk").write_bytes(JUNK)
    Path("list.json").write_text(LIST)
    Path("log.txt").touch()
    Path("secret").write_text("only for the test\n")
    return tmp_path


@pytest.mark.parametrize("name", ["none", "folder", "empty", "junk"])
@pytest.mark.parametrize("line", LINES)
def test_a_wrong_line_is_answered_in_a_sentence(folder, line, name):
    if (line, name) in SOUND:
        pytest.skip("this one is right")
    before = {path: path.read_bytes() for path in (folder / "junk", folder / "list.json", folder / "secret")}
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()):
        status = cli.run(cli.build_app(), [*line.replace("{}", name).split(), "--json"])
    assert status == cli.EXIT_UNUSABLE
    sentence = json.loads(out.getvalue())["error"]
    assert len(sentence) > 20
    assert "Traceback" not in sentence
    assert {path: path.read_bytes() for path in before} == before
    assert os.listdir(folder / "folder") == []


def test_an_empty_file_does_not_become_a_database_when_it_is_to_be_read(folder):
    assert cli.run(cli.build_app(), ["ingest", "--source", "empty"]) == cli.EXIT_UNUSABLE
    assert Path("empty").stat().st_size == 0


@pytest.mark.parametrize("line", [(), ("fleet",), ("fleet", "account"), ("list",)])
def test_a_group_alone_shows_its_help(line, capsys):
    assert cli.run(cli.build_app(), line) == cli.EXIT_UNUSABLE
    said = capsys.readouterr()
    assert "Usage: bluezone" in said.out + said.err
    assert "See `" not in said.err


def test_a_wrong_option_leads_to_the_help_of_its_own_command(capsys):
    cli.run(cli.build_app(), ["fleet", "list", "--limit", "x"])
    assert "See `bluezone fleet list --help`." in capsys.readouterr().err
