"""Where lists come from: what is accepted, what is refused, and which list is in use then."""

import json
import multiprocessing
import os
import shutil
import signal
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from signed_lists import DAY, DAY_S, KEY, PUBLIC, STRANGER, case, content, numbers_of, put, signature

from host_tools.authority.lists import list_bytes
from host_tools.errors import UserError
from host_tools.matching import durable, list_source
from host_tools.matching.list_source import ListSource
from host_tools.matching.list_statement import NotSigned, Statement, load_public_key, verified

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pytest", "host_tools.matching.list_source"])
NOW = DAY + 3 * DAY_S


class Place:
    """A file, and the folder that keeps the last good list from there."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "list.json"
        self.cache = folder / "cache"

    def source(self, **options) -> ListSource:
        options.setdefault("public_key", PUBLIC)
        return ListSource(str(self.path), self.cache, **options)

    def load(self, now_s: float = NOW, **options):
        listed, status = self.source(**options).load(now_s)
        return numbers_of(listed.cases), status

    def refused(self, **options) -> str:
        with pytest.raises(UserError) as caught:
            self.load(**options)
        return str(caught.value)


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_a_signed_list(place):
    data = content(1, 2)
    put(place.path, data, signature(data, version=7))
    numbers, status = place.load()
    assert numbers == [1, 2]
    assert (status.version, status.signed, status.published_s, status.age_s) == (7, True, DAY, 3 * DAY_S)
    assert status.problem is None
    assert status.words() == "F0 list, version 7, signed, published 3 days ago"


def test_a_list_without_key_or_folder_is_read_where_it_lies(place):
    put(place.path, content(1), None)
    listed, status = ListSource(str(place.path), None).load(NOW)
    assert numbers_of(listed.cases) == [1]
    assert (status.signed, status.version, status.published_s) == (False, None, None)
    assert status.digest == listed.digest
    assert not place.cache.exists()


GOOD = content(1, 2)
NEWER = content(1, 2, 3)


def wrong_lists():
    garbage = b'{"data": [7, 8]}'
    return {
        "unsigned": (NEWER, None, "is not signed"),
        "signed by another": (NEWER, signature(NEWER, 8, key=STRANGER), "does not fit the key"),
        "signature of another list": (NEWER, signature(GOOD, 8), "not what the authority signed"),
        "no signature": (NEWER, b"\x00\xff", "not in the format"),
        "signature too long": (NEWER, signature(NEWER, 8) + b" " * 2000, "not in the format"),
        "two signatures": (NEWER, signature(NEWER, 8) * 2, "not in the format"),
        "older": (content(1), signature(content(1), 6), "version 6, older than version 7"),
        "other content, same version": (NEWER, signature(NEWER, 7), "one key signed both"),
        "other kind": (content(3, kind="F1"), signature(content(3, kind="F1"), 8, kind="F1"), "list of F1, not of F0"),
        "kind inside": (content(3, kind="F1"), signature(content(3, kind="F1"), 8), "list of F1, not of F0"),
        "a part of the list": (NEWER, signature(NEWER, 8, first=8), "version 1 is missing on the way to 8"),
        "cut": (NEWER[:-9], signature(NEWER[:-9], 8), "is damaged"),
        "nothing usable": (garbage, signature(garbage, 8), "no entry that can be used; the first one, data[0]"),
        "gone": (None, None, "There is no national list"),
    }


@pytest.mark.parametrize("fault", wrong_lists())
def test_a_wrong_list_leaves_the_last_good_one_in_use(place, fault):
    data, signed, words = wrong_lists()[fault]
    put(place.path, GOOD, signature(GOOD, version=7))
    place.load(NOW - DAY_S)
    if data is None:
        place.path.unlink()
    else:
        put(place.path, data, signed)
    numbers, status = place.load()
    assert numbers == [1, 2]
    assert (status.version, status.signed) == (7, True)
    assert words in status.problem
    assert status.problem.endswith("In use is the last good one: F0 list, version 7, signed, published 3 days ago.")
    assert "\n" not in status.problem
    assert sorted(path.suffix for path in place.cache.rglob("*.*")) == [".json", ".json"]
    put(place.path, NEWER, signature(NEWER, 8))
    numbers, status = place.load()
    assert (numbers, status.problem) == ([1, 2, 3], None)


@pytest.mark.parametrize(
    "fault", [fault for fault in wrong_lists() if fault not in ("older", "other content, same version")]
)
def test_a_wrong_list_is_refused_where_none_is_kept(place, fault):
    data, signed, words = wrong_lists()[fault]
    if data is not None:
        put(place.path, data, signed)
    sentence = place.refused()
    assert words in sentence
    assert sentence.endswith("No earlier list is kept.")


def test_without_a_key_a_bad_list_leaves_the_last_good_one_in_use(place):
    put(place.path, GOOD, None)
    place.load(NOW - 2 * 3600, public_key=None)
    put(place.path, b"<html>", None)
    numbers, status = place.load(public_key=None)
    assert numbers == [1, 2]
    assert (status.signed, status.age_s) == (False, 2 * 3600)
    assert "is damaged" in status.problem
    assert "not signed, fetched 2 hours ago" in status.problem


def test_signatures_that_are_wished_but_not_required(place):
    put(place.path, GOOD, None)
    assert not place.load(require_signature=False)[1].signed
    put(place.path, NEWER, signature(NEWER, key=STRANGER))
    assert "does not fit the key" in place.load(require_signature=False)[1].problem
    put(place.path, NEWER, signature(NEWER))
    assert place.load(require_signature=False)[1].signed


def test_a_list_that_another_key_signed_is_not_kept_as_good(place):
    put(place.path, GOOD, signature(GOOD))
    place.load()
    put(place.path, NEWER, None)
    assert "does not fit the key" in place.refused(public_key=STRANGER.public_key())


def test_unchanged_lists_are_not_read_again(place):
    put(place.path, GOOD, signature(GOOD, 7))
    source = place.source()
    first, _ = source.load(NOW)
    put(place.path, GOOD, signature(GOOD, 8))
    again, status = source.load(NOW)
    assert again is first
    assert status.version == 8
    put(place.path, NEWER, signature(NEWER, 9))
    assert source.load(NOW)[0] is not first


def test_a_file_damaged_in_the_folder_is_noticed(place):
    put(place.path, GOOD, signature(GOOD))
    place.load()
    (kept,) = (path for path in place.cache.rglob("*.json") if path.name != "index.json")
    kept.write_bytes(kept.read_bytes().replace(b"96", b"95", 1))
    place.path.unlink()
    sentence = place.refused()
    assert "There is no national list" in sentence
    assert "kept from earlier cannot be used either" in sentence
    put(place.path, GOOD, signature(GOOD))
    assert place.load()[1].problem is None


@pytest.mark.parametrize("index", [b"", b"[]", b"{}", b'{"parts": [], "etag": "", "fetched_s": 1}', b"\xff"])
def test_a_damaged_index_costs_only_what_was_kept(place, index):
    put(place.path, GOOD, signature(GOOD))
    place.load()
    next(place.cache.rglob("index.json")).write_bytes(index)
    assert place.load()[1].problem is None
    assert len(list(place.cache.rglob("*.json"))) == 2


def test_a_file_beyond_the_limit_is_not_copied_to_the_end(place, monkeypatch):
    put(place.path, GOOD, signature(GOOD))
    place.load()
    monkeypatch.setattr(list_source.list_fetch, "LIST_LIMIT_BYTES", 1000)
    put(place.path, NEWER + b" " * 3000, None)
    numbers, status = place.load()
    assert numbers == [1, 2]
    assert "larger than 1000 bytes" in status.problem


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_is_full_leaves_the_last_good_list_in_use(place, monkeypatch, step):
    put(place.path, GOOD, signature(GOOD, 7))
    place.load()
    put(place.path, NEWER, signature(NEWER, 8))

    def full(*_args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, step, full)
        numbers, status = place.load()
    assert numbers == [1, 2]
    assert "No space left on device" in status.problem
    assert place.load()[0] == [1, 2, 3]


def test_a_folder_that_cannot_be_written(place):
    put(place.path, GOOD, signature(GOOD))
    place.cache.write_text("a file where the folder should be")
    assert place.refused().startswith("Lists cannot be kept")


# --- Folders of parts ------------------------------------------------------------------------------------------------


def folder_of(place, *parts):
    """Parts as (first version, version, numbers of cases)."""
    place.path = place.path.parent / "parts"
    shutil.rmtree(place.path, ignore_errors=True)
    for first, version, numbers in parts:
        data = content(*numbers)
        put(place.path / f"{first}-{version}.json", data, signature(data, version, first))


def test_a_folder_is_all_of_its_parts(place):
    folder_of(place, (1, 1, [1]), (2, 2, [2, 3]), (3, 3, [1, 4]))
    numbers, status = place.load()
    assert numbers == [1, 2, 3, 4]
    assert (status.version, status.signed) == (3, True)
    listed, _ = place.source().load(NOW)
    assert [each.index for each in listed.cases] == [0, 1, 2, 4]
    assert [each.where for each in listed.rejected] == ["3-3.json: data[0]"]


def test_an_unsigned_folder(place):
    folder_of(place, (1, 1, [2]), (2, 2, [1]))
    (place.path / "readme.txt").write_text("not a list")
    listed, status = ListSource(str(place.path), None).load(NOW)
    assert numbers_of(listed.cases) == [2, 1]
    assert status.digest == listed.digest
    assert len(listed.digests) == 2


@pytest.mark.parametrize(
    ("parts", "missing"),
    [
        ([(2, 2, [2]), (3, 3, [3])], "version 1 is missing on the way to 3"),
        ([(1, 1, [1]), (3, 3, [3])], "version 2 is missing on the way to 3"),
        ([(1, 2, [1]), (2, 4, [3])], "version 3 is missing on the way to 4"),
    ],
)
def test_a_part_that_was_left_out_is_noticed(place, parts, missing):
    folder_of(place, *parts)
    assert missing in place.refused()


def test_leaving_out_the_newest_part_is_going_back(place):
    folder_of(place, (1, 1, [1]), (2, 2, [2]))
    place.load()
    (place.path / "2-2.json").unlink()
    numbers, status = place.load()
    assert numbers == [1, 2]
    assert "version 1, older than version 2" in status.problem


def test_parts_may_be_put_together_by_the_authority(place):
    folder_of(place, (1, 1, [1]), (2, 2, [2]))
    place.load()
    folder_of(place, (1, 1, [1]), (1, 2, [2]), (3, 3, [3]))
    numbers, status = place.load()
    assert (numbers, status.problem) == ([2, 3], None)


def test_parts_of_several_kinds_are_refused(place):
    folder_of(place)
    put(place.path / "a.json", content(1), None)
    put(place.path / "b.json", content(1, kind="F1"), None)
    assert "several kinds: F0, F1" in place.refused(public_key=None)


def test_an_empty_folder(place):
    place.path.mkdir()
    assert "holds no list" in place.refused()


# --- What the options allow ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "options", "words"),
    [
        ("http://example.org/F0.json", {}, "is not https"),
        ("http://example.org/F0.json", {"allow_http": True}, "is not https"),
        ("http://localhost/F0.json", {}, "is not https"),
        ("https:///F0.json", {}, "names no server"),
        ("https://name:word@example.org/F0.json", {}, "password"),
        ("https://exa mple.org:x/", {}, "no address"),
        ("list.json", {"require_signature": True}, "no key"),
    ],
)
def test_sources_that_cannot_be(tmp_path, location, options, words):
    with pytest.raises(UserError, match=words):
        ListSource(location, tmp_path, **options)


@pytest.mark.parametrize(("location", "key"), [("https://example.org/F0.json", None), ("list.json", PUBLIC)])
def test_an_address_and_a_key_need_a_folder(location, key):
    with pytest.raises(UserError, match="--list-cache"):
        ListSource(location, None, public_key=key)


@pytest.mark.parametrize("data", [b"", b"\xff", b"-----BEGIN PUBLIC KEY-----\n"])
def test_a_file_that_is_no_public_key(tmp_path, data):
    (tmp_path / "key.pem").write_bytes(data)
    with pytest.raises(UserError, match="no Ed25519 public key"):
        load_public_key(tmp_path / "key.pem")
    with pytest.raises(UserError, match="cannot be read"):
        load_public_key(tmp_path / "absent.pem")


# --- Statements ------------------------------------------------------------------------------------------------------

numbers = st.integers(1, 10**14)
statements = st.builds(
    lambda kind, versions, at_s, digest: Statement(kind, min(versions), max(versions), at_s, digest.hex()),
    st.sampled_from(["F0", "F1"]), st.tuples(numbers, numbers), numbers,
    st.binary(min_size=32, max_size=32),
)  # fmt: skip


@given(statement=statements)
def test_a_statement_says_what_was_signed(statement):
    assert verified(statement.signed(KEY), PUBLIC) == statement


SIGNED = signature(GOOD, version=7)


@given(at=st.integers(0, len(SIGNED)), cut=st.integers(0, 8), junk=st.binary(max_size=8))
def test_no_other_bytes_are_a_statement(at, cut, junk):
    changed = SIGNED[:at] + junk + SIGNED[at + cut :]
    if changed != SIGNED:
        with pytest.raises(NotSigned):
            verified(changed, PUBLIC)


def test_versions_that_cannot_be():
    for first, version in ((0, 1), (3, 2)):
        with pytest.raises(NotSigned, match="cannot be"):
            verified(Statement("F0", first, version, DAY, "0" * 64).signed(KEY), PUBLIC)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, len(NEWER) - 1), byte=st.binary(min_size=1, max_size=1))
def test_fuzz_a_changed_byte_never_gets_into_use(tmp_path_factory, at, byte):
    changed = NEWER[:at] + byte + NEWER[at + 1 :]
    place = Place(tmp_path_factory.mktemp("place"))
    put(place.path, GOOD, signature(GOOD, 7))
    place.load()
    put(place.path, changed, signature(NEWER, 8))
    found, status = place.load()
    assert found == ([1, 2, 3] if changed == NEWER else [1, 2])
    assert (status.problem is None) == (changed == NEWER)


# --- Killed while a list is replaced ---------------------------------------------------------------------------------


def replace_list(folder: Path, step: int) -> None:
    """Load the list that lies in `folder`; die at the step-th call that changes the disk."""
    steps = count()

    def deadly(function):
        def call(*args, **kwargs):
            if next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return call

    for name in ("fsync", "replace", "open"):
        setattr(os, name, deadly(getattr(os, name)))
    Path.unlink = deadly(Path.unlink)  # type: ignore[method-assign]
    Path.mkdir = deadly(Path.mkdir)  # type: ignore[method-assign]
    Place(folder).load()


def test_killed_at_every_step_of_a_replacement(tmp_path):
    found = []
    for step in count():
        folder = tmp_path / str(step)
        place = Place(folder)
        put(place.path, GOOD, signature(GOOD, 7))
        place.load()
        put(place.path, NEWER, signature(NEWER, 8))
        process = PROCESSES.Process(target=replace_list, args=(folder, step))
        process.start()
        process.join()
        place.path.unlink()
        numbers, status = place.load()
        assert (numbers, status.version) in (([1, 2], 7), ([1, 2, 3], 8))
        found.append(status.version)
        put(place.path, NEWER, signature(NEWER, 8))
        assert place.load()[1].problem is None
        assert len(list(place.cache.rglob("*.*"))) == 2, "nothing half-made stays"
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
    assert found == sorted(found)
    assert set(found) == {7, 8}
    assert len(found) > 5


def test_a_replacement_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def half() -> None:
        with durable.replacing(path) as stream:
            stream.write(b"new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_lists_of_the_authority_are_lists(place):
    put(place.path, list_bytes("F0", []), None)
    assert place.load(public_key=None)[0] == []
    put(place.path, list_bytes("F0", [case(5)]), None)
    assert json.loads(place.path.read_bytes())["kind"] == "F0"
    assert place.load(public_key=None)[0] == [5]
