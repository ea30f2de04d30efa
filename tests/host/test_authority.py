"""The authority: keys under a passphrase, versions that only grow, a signed whole; and the kiosk's newer lists."""

import asyncio
import json
import stat
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import stamina
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from signed_lists import DAY, KEY, PUBLIC, STRANGER, case, content, numbers_of, put, signature

from host_tools import cli
from host_tools.authority import lists, signing
from host_tools.authority.lists import publish
from host_tools.errors import UserError
from host_tools.kiosk import serve
from host_tools.matching import durable
from host_tools.matching.list_source import ListSource
from host_tools.matching.list_statement import load_public_key
from host_tools.storage.database import StorageError

PHRASE = "a phrase of some length"


def bluezone(*words: object) -> tuple[int, str, str]:
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        status = cli.run(cli.build_app(), [str(word) for word in words])
    return status, out.getvalue(), err.getvalue()


def whole(folder: Path, kind: str = "F0", place: str = "") -> tuple[list[int], Any]:
    source = ListSource(str(folder / "public" / (place or f"{kind}.json")), folder / "cache", kind, PUBLIC)
    listed, status = source.load(DAY)
    return numbers_of(listed.cases), status


# --- Keys ------------------------------------------------------------------------------------------------------------


def test_a_key_pair(tmp_path):
    public = load_public_key(signing.make_keys(tmp_path, PHRASE))
    private = signing.private_key(tmp_path, PHRASE)
    public.verify(private.sign(b"message"), b"message")
    file = tmp_path / signing.PRIVATE_KEY
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    with pytest.raises(UserError, match="does not open"):
        signing.private_key(tmp_path, PHRASE + "?")
    with pytest.raises(UserError, match="It was kept"):
        signing.make_keys(tmp_path, PHRASE)
    assert signing.private_key(tmp_path, PHRASE).private_bytes_raw() == private.private_bytes_raw()


def test_keys_that_cannot_be(tmp_path):
    with pytest.raises(UserError, match="less than 8"):
        signing.make_keys(tmp_path, "short")
    with pytest.raises(UserError, match="no private key"):
        signing.private_key(tmp_path, PHRASE)
    (tmp_path / signing.PRIVATE_KEY).write_text("?")
    with pytest.raises(UserError, match="does not open"):
        signing.private_key(tmp_path, PHRASE)


# --- Versions --------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(days=st.lists(st.lists(st.integers(0, 9), max_size=4), min_size=1, max_size=5))
def test_whole_and_parts_say_the_same(tmp_path_factory, days):
    folder = tmp_path_factory.mktemp("authority")
    wanted: list[int] = []
    version = 0
    for numbers in days:
        new = [number for number in dict.fromkeys(numbers) if number not in wanted]
        wanted += new
        version += bool(new or not version)
        done = publish(folder, "F0", [case(number) for number in dict.fromkeys(numbers)], KEY, DAY)
        assert (done.version, done.added, done.entries) == (version, len(new), len(wanted))
        for place in ("F0.json", "F0"):
            found, status = whole(folder, place=place)
            assert (found, status.version, status.problem) == (wanted, version, None)


def test_kinds_have_versions_of_their_own(tmp_path):
    publish(tmp_path, "F0", [case(1)], KEY, DAY)
    publish(tmp_path, "F0", [case(2)], KEY, DAY)
    publish(tmp_path, "F1", [case(3)], KEY, DAY)
    assert whole(tmp_path, "F0")[1].version == 2
    assert whole(tmp_path, "F1")[1].version == 1


def test_another_key_cannot_go_on(tmp_path):
    publish(tmp_path, "F0", [case(1)], KEY, DAY)
    with pytest.raises(UserError, match="not as this key signed it"):
        publish(tmp_path, "F0", [case(2)], STRANGER, DAY)
    part = tmp_path / "public" / "F0" / "000001.json"
    put(part, content(2), signature(content(1)))
    with pytest.raises(UserError, match="not as this key signed it"):
        publish(tmp_path, "F0", [case(2)], KEY, DAY)


@pytest.mark.parametrize("failing", range(4))
def test_a_publication_that_is_cut_short_is_completed_by_the_next(tmp_path, monkeypatch, failing):
    publish(tmp_path, "F0", [case(1)], KEY, DAY)
    written = []

    def replacing(path):
        written.append(path)
        if len(written) > failing:
            raise OSError("the disk is full")
        return durable.replacing(path)

    with monkeypatch.context() as patch:
        patch.setattr(lists, "replacing", replacing)
        with pytest.raises(OSError, match="full"):
            publish(tmp_path, "F0", [case(2)], KEY, DAY)
    done = publish(tmp_path, "F0", [case(2)], KEY, DAY)
    assert (done.version, done.entries) == (2, 2)
    for place in ("F0.json", "F0"):
        assert whole(tmp_path, place=place)[0] == [1, 2]


# --- The command line ------------------------------------------------------------------------------------------------


@pytest.fixture
def phrase(monkeypatch):
    monkeypatch.setenv(signing.PASSPHRASE_VARIABLE, PHRASE)


def test_commands(tmp_path, phrase):
    folder = tmp_path / "authority"
    status, out, _ = bluezone("authority", "init", folder)
    assert (status, "authority.pub.pem" in out) == (0, True)
    new = tmp_path / "new.json"
    new.write_bytes(content(1, 2))
    status, out, _ = bluezone("authority", "publish", folder, "--entries", new, "--json")
    assert (status, json.loads(out)["added"]) == (0, 2)
    status, out, _ = bluezone("authority", "publish", folder, "--entries", new)
    assert (status, "version 1, 2 entries, 0 of them new" in out) == (0, True)
    status, out, _ = bluezone("authority", "serve", folder, "--port", 0, "--seconds", 0, "--json")
    assert (status, json.loads(out)["lists"]) == (0, ["F0.json", "F0/000001.json"])


@pytest.mark.parametrize(
    ("entries", "words"),
    [(b'{"data": [1]}', "data[0] is a number"), (b"", "damaged"), (b'{"data": []} // today\n', "comment")],
)
def test_what_nobody_could_read_is_not_published(tmp_path, phrase, entries, words):
    bluezone("authority", "init", tmp_path / "authority")
    (tmp_path / "new.json").write_bytes(entries)
    status, _, err = bluezone("authority", "publish", tmp_path / "authority", "--entries", tmp_path / "new.json")
    assert (status, words in err) == (2, True)
    assert not (tmp_path / "authority" / "public").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["serve", "absent"], "no list to serve"),
        (["publish", "absent", "--entries", "absent.json"], "There is no national list"),
    ],
)
def test_commands_without_their_files(tmp_path, monkeypatch, phrase, words, sentence):
    monkeypatch.chdir(tmp_path)
    status, _, err = bluezone("authority", *words)
    assert (status, sentence in err) == (2, True)


def test_a_kind_that_is_none(tmp_path, phrase):
    bluezone("authority", "init", tmp_path)
    (tmp_path / "new.json").write_bytes(content(1))
    status, _, err = bluezone("authority", "publish", tmp_path, "--entries", tmp_path / "new.json", "--kind", "F2")
    assert (status, err) == (2, "--kind must be F0 or F1, not F2.\n")


def test_the_demonstration_is_matched_against(tmp_path):
    """All together: a demonstration's lists are served, fetched, verified and matched."""
    folder = tmp_path / "authority"
    status, out, _ = bluezone("authority", "demo", folder, "--port", 0, "--seconds", 0, "--json")
    told = json.loads(out)
    assert status == 0
    assert told["lists"] == ["F0.json", "F0/000001.json", "F1.json", "F1/000001.json"]
    (tmp_path / "log.txt").write_bytes(b"")
    for kind, cases in (("F0", 10), ("F1", 30)):
        status, out, _ = bluezone(
            "match", "--log", tmp_path / "log.txt", "--cases", folder / "public" / f"{kind}.json", "--kind", kind,
            "--list-key", told["public_key"], "--list-cache", tmp_path / "cache",
        )  # fmt: skip
        assert status == 0
        assert f"{kind} list, version 1, signed" in out
        assert f"with {cases} cases" in out


# --- The kiosk's list ------------------------------------------------------------------------------------------------


class ExampleKiosk:
    def __init__(self) -> None:
        self.lists: list[list[int]] = []

    def use_list(self, cases, version) -> None:
        assert len(version.digest) == 64
        self.lists.append(numbers_of(cases.cases))

    def hold(self) -> list[Any]:
        if len(self.lists) == 1:
            raise StorageError("The database cannot be used.")
        return [f"after {len(self.lists)} lists"]


def test_the_kiosk_takes_every_newer_list_and_outlives_every_fault(tmp_path, monkeypatch):
    """Each round of waiting is one step of the story."""
    place = tmp_path / "list.json"
    kiosk: Any = ExampleKiosk()
    told: list = []
    away: list = []
    source = ListSource(str(place), tmp_path / "cache", public_key=PUBLIC)
    steps = iter(
        [
            lambda: None,  # there is no list at all
            lambda: put(place, content(1), signature(content(1), 1)),
            lambda: put(place, content(2), None),
            lambda: put(place, content(1, 2), signature(content(1, 2), 2)),
        ]
    )

    async def wait(seconds: float) -> None:
        assert seconds == serve.LIST_EVERY_S
        step = next(steps, None)
        if step is None:
            raise asyncio.CancelledError
        step()

    monkeypatch.setattr(serve.asyncio, "sleep", wait)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(serve.keep_fresh(kiosk, source, lambda: DAY, told.append, kiosk.hold, away.append))
    assert kiosk.lists == [[1], [1], [1, 2]]
    assert told.pop(0).endswith("The list of before stays in use.")
    assert told.pop(1).startswith("The database cannot be used. Stored logs are compared")
    assert [status.problem is None for status in told] == [True, False, True]
    assert away == ["after 0 lists", "after 0 lists", "after 2 lists", "after 3 lists"]


def test_match_tells_of_a_server_that_is_gone(tmp_path):
    put(tmp_path / "list.json", content(1), signature(content(1)))
    signing.make_keys(tmp_path, PHRASE)
    (tmp_path / "log.txt").write_bytes(b"")
    with stamina.set_testing(True, attempts=1):
        status, _, err = bluezone(
            "match", "--log", tmp_path / "log.txt", "--cases", "https://localhost:1/F0.json",
            "--list-cache", tmp_path / "cache", "--list-key", tmp_path / signing.PUBLIC_KEY,
        )  # fmt: skip
    assert status == 2
    assert "there is no connection to the server" in err
