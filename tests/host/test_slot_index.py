"""The slot index finds what hashlib finds, whatever has happened to its files."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from host_tools.errors import UserError
from host_tools.matching import expansion, segment_file, slot_index, slot_search
from host_tools.matching.case_finder import CaseFinder
from host_tools.matching.case_index import CaseIndex, case_slots
from host_tools.matching.exposures import match_encounters
from host_tools.matching.national_list import Case
from tracing import keys

DAY_S = 86400
DAY = 18482 * DAY_S  # 2020-08-08
WHOLE_DAY = (DAY, DAY + DAY_S)
DIFFERENT = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@dataclass(frozen=True)
class Met:
    """A token's encounter."""

    bluezone_id: bytes
    start_s: int
    duration_s: int = 0
    windows: int = 1
    sightings: int = 1
    rssi_max_dbm: int = -60
    rssi_mean_dbm: int = -65
    connected: bool = False


def key(n: int) -> bytes:
    return hashlib.sha256(b"%d" % n).digest()


def case(index: int, n: int, start_s: int = DAY, end_s: int = DAY + DAY_S, per_day: int = 96) -> Case:
    return Case(index, key(n), start_s, end_s, per_day)


def cases(count: int, first: int = 0) -> list[Case]:
    return [case(first + n, first + n) for n in range(count)]


def met(n: int, unix_s: int, duration_s: int = 0) -> Met:
    """An encounter with the holder of key(n), whose first day is DAY."""
    return Met(keys.KeyChain(key(n), DAY // DAY_S).id_at(unix_s), unix_s, duration_s)


def found_with(folder: Path, listed: list[Case], log: list[Met], tolerance_s: int = 120) -> list:
    finder = CaseFinder(listed, folder, small_list_ids=0)
    return match_encounters(log, finder.index_for(log, tolerance_s), tolerance_s)


def columns(log: list[Met]) -> slot_index.Encounters:
    ids = np.frombuffer(b"".join(m.bluezone_id for m in log), "u1").reshape(-1, 12)
    return slot_index.Encounters(ids, np.array([m.start_s for m in log]), np.array([m.duration_s for m in log]))


@st.composite
def lists(draw) -> list[Case]:
    listed = []
    for index in range(draw(st.integers(1, 6))):
        start_s = DAY + draw(st.integers(0, 2 * DAY_S))
        span_s = draw(st.just(0) | st.integers(0, 2 * DAY_S))
        per_day = draw(st.sampled_from([96, 96, 96, 7, 24, 1440]))
        n = draw(st.integers(0, 2))  # the same key may come twice, with the same time or another one
        listed.append(case(index * 3, n, start_s, start_s + span_s, per_day))
    return listed


@st.composite
def logs(draw, listed: list[Case]) -> list[Met]:
    log = []
    for _ in range(draw(st.integers(0, 8))):
        near = draw(st.sampled_from(listed))
        day = draw(st.integers(0, 2))
        i = draw(st.integers(0, min(near.max, 100) - 1))
        bluezone_id = list(keys.day_ids(keys.daily_key_after(near.daily_key, day), near.max))[i]
        if draw(st.booleans()):
            bluezone_id = bluezone_id[:5] + bytes(7)  # the prefix alone is not the id
        slot_s = (near.time_start // DAY_S + day) * DAY_S + i * DAY_S // near.max
        start_s = slot_s + draw(st.integers(-1200, 1200) | st.sampled_from([-121, -120, 0, 1020, 1021]))
        log.append(Met(bluezone_id, start_s, draw(st.just(0) | st.integers(0, 2000))))
    return log


@pytest.mark.parametrize("search", [slot_search.search(), slot_search.find_plainly], ids=["compiled", "plain"])
@DIFFERENT
@given(data=st.data(), tolerance_s=st.sampled_from([0, 120, 900, 4000]))
def test_the_same_exposures_as_from_hashlib(tmp_path_factory, monkeypatch, search, data, tolerance_s):
    monkeypatch.setattr(slot_search, "search", lambda: search)
    listed = data.draw(lists())
    log = data.draw(logs(listed))
    folder = tmp_path_factory.mktemp("index")
    assert found_with(folder, listed, log, tolerance_s) == match_encounters(log, CaseIndex(listed), tolerance_s)


def test_without_numba_the_index_is_built_and_searched_all_the_same(tmp_path):
    """In a process of its own, in which numba cannot be imported at all."""
    program = """if True:
        import sys
        sys.modules["numba"] = sys.modules["llvmlite"] = None
        from pathlib import Path
        from test_slot_index import cases, expansion, found_with, met, slot_search, DAY
        assert [engine.name for engine in expansion.engines()] == ["hashlib"]
        assert slot_search.search() is slot_search.find_plainly
        found = found_with(Path("index"), cases(3), [met(1, DAY + 4000), met(2, DAY + 80_000), met(7, DAY)])
        print([(each.case, each.first_s - DAY) for each in found])
    """
    there = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    done = subprocess.run([sys.executable, "-c", program], env=there, cwd=tmp_path, capture_output=True, text=True)
    assert (done.stderr, done.stdout) == ("", "[(1, 4000), (2, 80000)]\n")


@DIFFERENT
@given(
    sought=st.lists(st.integers(0, 40), min_size=1, max_size=30),
    held=st.lists(st.integers(0, 40), max_size=200),
    scale=st.sampled_from([1, 1 << 20, 1 << 34]),
)
def test_both_searches_find_the_same_in_any_distribution(sought, held, scale):
    ids = np.sort(np.array([prefix * scale << 24 | n for n, prefix in enumerate(held)], np.uint64))
    offsets = np.zeros(97, np.int64)
    offsets[11:] = len(ids)
    prefixes = np.array([prefix * scale for prefix in sought], np.uint64)
    first = np.array([5 * 96 + n % 14 for n in range(len(sought))])
    last = np.array([5 * 96 + 9 + n % 3 for n in range(len(sought))])
    arguments = (ids, np.array([0]), 5, offsets, prefixes, first, last)
    compiled, plain = slot_search.search()(*arguments), slot_search.find_plainly(*arguments)
    assert [column.tolist() for column in compiled] == [column.tolist() for column in plain]
    expected = sum(held.count(prefix) for n, prefix in enumerate(sought) if n % 14 <= 10 <= 9 + n % 3)
    assert len(plain[0]) == expected


def test_many_hits_of_one_encounter(tmp_path):
    listed = [case(n, 0, DAY, DAY + 1 + n) for n in range(1500)]  # more than the search expects
    log = [met(0, DAY + 5)]
    assert len(found_with(tmp_path, listed, log)) == 1500


def test_a_log_without_encounters_and_a_list_without_cases(tmp_path):
    assert found_with(tmp_path, cases(2), []) == []
    assert found_with(tmp_path, [], [met(0, DAY)]) == []
    assert CaseFinder([], tmp_path, small_list_ids=-1).index_for([met(0, DAY)]).slots(bytes(12)) == []


def test_a_short_list_needs_no_index(tmp_path):
    log = [met(1, DAY + 5)]
    listed = cases(2)
    finder = CaseFinder(listed, tmp_path / "index")
    assert match_encounters(log, finder.index_for(log)) == match_encounters(log, CaseIndex(listed))
    assert not (tmp_path / "index").exists()


# --- Arrivals ---------------------------------------------------------------------------------------------------


@pytest.fixture
def filled(monkeypatch) -> list[int]:
    """How many chains each job expanded."""
    chains: list[int] = []
    real = expansion.engine()

    class Counting(expansion.HashlibEngine):
        def fill(self, sub_keys, first, last, cases, ids, free):
            chains.append(len(sub_keys))
            real.fill(sub_keys, first, last, cases, ids, free)

    monkeypatch.setattr(expansion, "engine", Counting)
    return chains


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.segment"))


def test_only_what_is_new_is_expanded(tmp_path, filled):
    log = [met(n, DAY + 5) for n in range(9)]
    for count, new in ((3, [3]), (3, []), (5, [2]), (4, [])):
        filled.clear()
        assert len(found_with(tmp_path, cases(count), log)) == count
        assert filled == new


def test_the_place_in_the_list_is_today_s(tmp_path, filled):
    log = [met(n, DAY + 5) for n in range(3)]
    found_with(tmp_path, cases(3), log)
    filled.clear()
    today = [case(10, 2), case(11, 0), case(12, 2)]  # one retracted, one listed twice
    assert [e.case for e in found_with(tmp_path, today, log)] == [10, 11, 12]
    assert filled == []


def test_many_arrivals_are_merged_into_what_one_build_gives(tmp_path, filled):
    spread = [case(n, n, DAY + n * 7000, DAY + n * 11000) for n in range(10)]
    log = [met(n, DAY + 5) for n in range(10)]
    for count in range(1, 9):
        found_with(tmp_path / "arrivals", spread[:count], log)
    assert len(segments(tmp_path / "arrivals")) == 8
    filled.clear()
    listed = spread[3:9]  # three have left the list, one is new: the ninth segment, so all are merged
    assert found_with(tmp_path / "arrivals", listed, log) == match_encounters(log, CaseIndex(listed))
    assert filled == [1] * len({slot.start_ms // (DAY_S * 1000) for _, slot in case_slots(spread[8])})
    slot_index.updated(tmp_path / "at once", listed)
    assert [path.name for path in segments(tmp_path / "arrivals")] == [p.name for p in segments(tmp_path / "at once")]
    (merged,), (built,) = segments(tmp_path / "arrivals"), segments(tmp_path / "at once")
    assert merged.read_bytes() == built.read_bytes()


def test_bytes_per_id(tmp_path):
    listed = [case(n, n, DAY, DAY + 14 * DAY_S) for n in range(300)]
    slot_index.updated(tmp_path, listed)
    (path,) = segments(tmp_path)
    per_entry = (path.stat().st_size - 14 * 96 * 16) / 300
    assert per_entry <= 8.1 * 14 * 96


# --- Damage -----------------------------------------------------------------------------------------------------

HEADER = 80
PLACES = {
    "magic": 0, "version": 8, "checksum": 12, "number of entries": 16, "number of days": 24, "number of ids": 32,
    "source": 40, "first key": HEADER, "last entry": HEADER + 40 * 3 - 1, "day": HEADER + 120,
    "offset": HEADER + 128 + 8, "a slot's checksum": HEADER + 128 + 8 * 97, "first id": HEADER + 128 + 8 * 193,
    "last id": -1,
}  # fmt: skip


@pytest.fixture
def built(tmp_path) -> Path:
    slot_index.updated(tmp_path, cases(3))
    (path,) = segments(tmp_path)
    return path


LOG = [met(n, DAY + 900 * n + 5) for n in range(4)]


def assert_made_anew(path: Path, content: bytes) -> None:
    with pytest.raises((segment_file.UnusableSegment, FileNotFoundError)):
        segment_file.open_file(path)
    assert found_with(path.parent, cases(3), LOG) == match_encounters(LOG, CaseIndex(cases(3)))
    assert path.read_bytes() == content


@pytest.mark.parametrize("at", PLACES.values(), ids=PLACES.keys())
def test_one_bit_that_flips_is_noticed(built, at):
    content = bytearray(built.read_bytes())
    whole = bytes(content)
    content[at] ^= 0x10
    built.write_bytes(content)
    assert_made_anew(built, whole)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, HEADER + 128 + 8 * 193 + 8 * 96 * 3 - 1), value=st.integers(1, 255))
def test_any_byte_that_changes_is_noticed(built, at, value):
    content = bytearray(built.read_bytes())
    whole = bytes(content)
    content[at] ^= value
    built.write_bytes(content)
    assert_made_anew(built, whole)


@pytest.mark.parametrize("length", [0, 79, 80, 500, -1])
def test_a_file_that_is_cut_is_noticed(built, length):
    whole = built.read_bytes()
    built.write_bytes(whole[:length])
    assert_made_anew(built, whole)


def test_a_file_that_is_longer_is_noticed(built):
    whole = built.read_bytes()
    built.write_bytes(whole + bytes(8))
    assert_made_anew(built, whole)


def test_a_file_that_is_lost_is_made_anew(built):
    whole = built.read_bytes()
    built.unlink()
    assert_made_anew(built, whole)


@pytest.mark.parametrize(
    "manifest", ["", "[]", "{", '{"version": 2, "segments": []}', '{"version": 1}', '{"version": 1, "segments": 5}']
)
def test_a_manifest_of_nonsense_is_replaced(built, manifest):
    (built.parent / "manifest.json").write_text(manifest)
    assert found_with(built.parent, cases(3), LOG) == match_encounters(LOG, CaseIndex(cases(3)))
    assert json.loads((built.parent / "manifest.json").read_text()) == {"version": 1, "segments": [built.name]}


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "index").write_text("a file")
    with pytest.raises(UserError, match="slot index"):
        slot_index.updated(tmp_path / "index", cases(1))


def test_a_full_disk_leaves_the_index_that_was_there(built, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    whole = built.read_bytes()
    monkeypatch.setattr(segment_file.os, "posix_fallocate", full)
    with pytest.raises(UserError, match="No space left"):
        slot_index.updated(built.parent, cases(4))
    assert sorted(path.name for path in built.parent.iterdir()) == [built.name, "lock", "manifest.json"]
    assert built.read_bytes() == whole


# --- Together ---------------------------------------------------------------------------------------------------


def test_readers_are_right_while_the_index_grows_and_is_merged(tmp_path):
    slot_index.updated(tmp_path, cases(2))
    expected = match_encounters(LOG, CaseIndex(cases(2)))
    done, right = threading.Event(), []

    def read():
        opened = slot_index.updated(tmp_path, cases(2))
        while not done.is_set():
            right.append(found_with(tmp_path, cases(2), LOG) == expected)
        right.append(len(opened.find(columns(LOG)).rows) == len(expected))  # from files that are gone by now

    reader = threading.Thread(target=read)
    reader.start()
    for count in range(3, 22):
        slot_index.updated(tmp_path, cases(count))
    done.set()
    reader.join()
    assert len(right) > 1
    assert all(right)
    assert len(segments(tmp_path)) <= 8


def test_two_that_update_at_once_expand_everything_once(tmp_path, filled):
    threads = [threading.Thread(target=slot_index.updated, args=(tmp_path, cases(3))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert filled == [3]
