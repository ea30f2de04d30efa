"""The engines that expand cases, against hashlib and against a real phone."""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host_tools.matching import expansion
from host_tools.matching.case_index import case_slots
from host_tools.matching.national_list import Case
from tracing import keys

VECTORS = Path(__file__).parents[1] / "vectors" / "bluezone-2020-08-08"
PHONE = json.loads((VECTORS / "infof.json").read_text())
DAY_S = 86400
ENGINES = {engine.name: engine for engine in expansion.engines()}
# Sizes around the groups of four and eight chains and the blocks of 48 that kernels work in.
SIZES = st.sampled_from([0, 1, 3, 4, 5, 8, 9, 47, 48, 49, 97])
few = settings(max_examples=25, deadline=None)


def some_keys(count: int, seed: int) -> list[bytes]:
    return [hashlib.sha256(b"%d %d" % (seed, n)).digest() for n in range(count)]


def states(daily_keys: list[bytes]) -> np.ndarray:
    return expansion.words_of(b"".join(daily_keys)).reshape(-1, 8)


def as_bytes(rows: np.ndarray) -> list[bytes]:
    return [row.astype(">u4").tobytes() for row in rows]


def hashed(data: bytes, times: int) -> bytes:
    for _ in range(times):
        data = hashlib.sha256(data).digest()
    return data


def test_hashlib_is_always_there_and_the_last():
    assert list(ENGINES)[-1] == "hashlib"
    assert expansion.engine().name == next(iter(ENGINES))


@pytest.mark.parametrize("name", ENGINES)
@few
@given(size=SIZES, seed=st.integers(0, 1000), data=st.data())
def test_chains_are_hashed_as_often_as_asked(name, size, seed, data):
    steps = data.draw(st.lists(st.integers(0, 5), min_size=size, max_size=size))
    chains = some_keys(size, seed)
    rows = states(chains)
    ENGINES[name].advance(rows, np.array(steps, np.int64))
    assert as_bytes(rows) == [hashed(key, times) for key, times in zip(chains, steps, strict=True)]


@pytest.mark.parametrize("name", ENGINES)
@few
@given(size=SIZES, seed=st.integers(0, 1000))
def test_first_sub_keys(name, size, seed):
    chains = some_keys(size, seed)
    rows = states(chains)
    ENGINES[name].first_sub_keys(rows)
    assert as_bytes(rows) == [hashlib.sha256(key + b"bluzonesubkey").digest() for key in chains]


@pytest.mark.parametrize("name", ENGINES)
@few
@given(size=SIZES, seed=st.integers(0, 1000), data=st.data())
def test_packed_ids_of_the_slots_that_count(name, size, seed, data):
    spans = [(0, 95)] * size  # most cases have whole days
    for row in data.draw(st.sets(st.integers(0, size - 1), max_size=5)) if size else ():
        first = data.draw(st.integers(0, 95))
        spans[row] = (first, data.draw(st.integers(first, 95)))
    chains = some_keys(size, seed)
    cases = [seed + 7 * row for row in range(size)]
    expected: list[list[int]] = [[] for _ in range(96)]
    for key, case, (first, last) in zip(chains, cases, spans, strict=True):
        for slot in range(first, last + 1):
            sub_key = hashed(key, slot)
            expected[slot].append(int(bytes(sub_key[at] for at in (0, 4, 8, 12, 16)).hex(), 16) << 24 | case)
    lengths = [len(slot) for slot in expected]
    free = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    ids = np.zeros(sum(lengths), np.uint64)
    first, last = (np.array([span[end] for span in spans], np.int64) for end in (0, 1))
    ENGINES[name].fill(states(chains), first, last, np.array(cases, np.uint64), ids, free)
    assert ids.tolist() == [packed for slot in expected for packed in slot]
    assert free.tolist() == np.cumsum(lengths).tolist()


@pytest.mark.parametrize("name", ENGINES)
@few
@given(start=st.integers(0, 3 * DAY_S), later=st.lists(st.integers(0, 300), min_size=1, max_size=9))
def test_an_id_derived_alone_is_the_one_on_the_air(name, start, later):
    key = some_keys(1, start)[0]
    entries = np.repeat(entry(Case(0, key, start, start, 96)), len(later))
    slots = start // 900 + np.array(later)
    found = expansion.ids_at(ENGINES[name], entries, slots)
    for row, slot in zip(found, slots.tolist(), strict=True):
        assert bytes(row) == keys.KeyChain(key, start // DAY_S).id_at(slot * 900)


@pytest.mark.parametrize("name", ENGINES)
def test_the_id_that_a_real_phone_had_on_the_air(name):
    entries = entry(Case(0, bytes.fromhex(PHONE["base_id"]), PHONE["time"], PHONE["time"], 96))
    slots = np.array([PHONE["time"] // DAY_S * 96 + 23])
    (found,) = expansion.ids_at(ENGINES[name], entries, slots)
    assert bytes(found) == bytes.fromhex("B9A665D754FE65E665D76A45")
    assert expansion.prefixes_of(found.reshape(1, 12)).tolist() == [0xB9A665D754]


@given(start=st.integers(0, 3 * DAY_S), span=st.integers(0, 2 * DAY_S))
def test_the_slots_of_an_entry_are_those_of_its_case(start, span):
    case = Case(0, bytes(32), start, start + span, 96)
    (found,) = entry(case)
    slots = [slot.start_ms // 900_000 for _, slot in case_slots(case)]
    assert list(range(found["first"], found["last"] + 1)) == slots


def test_without_numba_hashlib_does_the_work(monkeypatch):
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    assert [engine.name for engine in expansion.engines()] == ["hashlib"]


@pytest.mark.skipif(len(ENGINES) == 1, reason="no kernels here")
@pytest.mark.parametrize("fault", [lambda *_: None, lambda *_: 1 // 0])
def test_an_engine_that_disagrees_or_fails_is_not_used(monkeypatch, fault):
    from host_tools.matching import sha_kernels

    monkeypatch.setattr(sha_kernels, "advance", fault)
    assert [engine.name for engine in expansion.engines()] == ["hashlib"]


def entry(case: Case) -> np.ndarray:
    key = np.frombuffer(case.daily_key, "u1").reshape(1, -1)
    return expansion.entries_of(key, np.array([case.time_start]), np.array([case.time_end]))
