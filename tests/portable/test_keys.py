"""The key chain: against real phones, against hashlib, and as the token walks it."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from two_pythons import both_pythons

from tracing import keys

VECTORS = Path(__file__).parents[1] / "vectors" / "bluezone-2020-08-08"
PHONE = json.loads((VECTORS / "infof.json").read_text())
DAY = PHONE["time"] // 86400

daily_keys = st.binary(min_size=32, max_size=32)
times_of_day = st.integers(0, 86399)


def oracle(daily_key: bytes, days: int, index: int) -> bytes:
    """An id straight from hashlib."""
    for _ in range(days):
        daily_key = hashlib.sha256(daily_key).digest()
    sub_key = hashlib.sha256(daily_key + b"bluzonesubkey").digest()
    for _ in range(index):
        sub_key = hashlib.sha256(sub_key).digest()
    return bytes(sub_key[n] for n in (0, 4, 8, 12, 16, 18, 20, 22, 24, 26, 28, 30))


def check_chain(daily_key, times_and_ids):
    from tracing.keys import DAY_S, KeyChain, day_ids, next_daily_key

    chain = KeyChain(daily_key, times_and_ids[0][0] // DAY_S)
    for unix_s, expected in times_and_ids:
        assert chain.id_at(unix_s) == expected, unix_s
    ids = list(day_ids(daily_key))
    assert len(ids) == 96
    first_s = times_and_ids[0][0] // DAY_S * DAY_S
    assert KeyChain(daily_key, first_s // DAY_S).id_at(first_s + DAY_S) == next(day_ids(next_daily_key(daily_key)))


@both_pythons
def test_ids_that_a_real_phone_had_on_the_air(run):
    seen = {}
    for line in (VECTORS / "data_trace.txt").read_text().splitlines():
        own_id, _, _, time_ms = line.split("\t")
        seen[int(time_ms) // 1000] = bytes.fromhex(own_id)
    assert len(set(seen.values())) == 3
    run(check_chain, bytes.fromhex(PHONE["base_id"]), sorted(seen.items()))


@both_pythons
def test_every_slot_of_three_days(run):
    key = bytes(range(32))
    # The last second of one slot and the first of the next, at every hour, over two midnights.
    seconds = [at for hour in range(1, 60) for at in (hour * 3600 - 1, hour * 3600)]
    run(check_chain, key, [(DAY * 86400 + at, oracle(key, at // 86400, at % 86400 // 900)) for at in seconds])


@given(daily_keys, st.integers(2, 200))
def test_a_day_of_any_count(daily_key, count):
    ids = list(keys.day_ids(daily_key, count))
    assert ids == [oracle(daily_key, 0, index) for index in range(count)]
    assert len(set(ids)) == count


@given(daily_keys, st.integers(0, 40), st.integers(0, 40))
def test_days_add_up(daily_key, some, more):
    assert keys.daily_key_after(keys.daily_key_after(daily_key, some), more) == keys.daily_key_after(
        daily_key, some + more
    )
    assert keys.daily_key_after(daily_key, 0) == daily_key


@given(daily_keys, times_of_day, st.lists(st.integers(0, 100_000), max_size=20))
def test_forward_in_any_steps_equals_the_day_lists(daily_key, start_s, steps_s):
    chain = keys.KeyChain(daily_key, DAY)
    now_s = DAY * 86400 + start_s
    lists = {}
    for step_s in [0, *steps_s]:
        now_s += step_s
        day = now_s // 86400
        if day not in lists:
            lists[day] = list(keys.day_ids(keys.daily_key_after(daily_key, day - DAY)))
        assert chain.id_at(now_s) == lists[day][now_s % 86400 // 900]
        assert chain.day == day


@given(daily_keys, st.lists(times_of_day, min_size=1, max_size=10))
def test_back_and_forth_within_a_day(daily_key, times_s):
    chain = keys.KeyChain(daily_key, DAY)
    for time_s in times_s:
        assert chain.id_at(DAY * 86400 + time_s) == oracle(daily_key, 0, time_s // 900)


@given(daily_keys, times_of_day, st.integers(1, 400), times_of_day)
def test_a_clock_set_back_never_walks_the_day_back(daily_key, time_s, back_days, later_s):
    chain = keys.KeyChain(daily_key, DAY)
    assert chain.id_at((DAY - back_days) * 86400 + time_s) == oracle(daily_key, 0, time_s // 900)
    assert chain.day == DAY
    assert chain.id_at((DAY + 1) * 86400 + later_s) == oracle(daily_key, 1, later_s // 900)


@given(daily_keys, times_of_day)
def test_nothing_of_yesterday_is_kept(daily_key, time_s):
    chain = keys.KeyChain(daily_key, DAY)
    chain.id_at(DAY * 86400 + time_s)
    chain.id_at((DAY + 1) * 86400)
    today = keys.next_daily_key(daily_key)
    assert set(vars(chain).values()) == {today, DAY + 1, 0, keys.first_sub_key(today)}


def test_slots_and_days_turn_in_the_right_second():
    assert [keys.slot_of(s) for s in (0, 899, 900, 86399, 86400)] == [0, 0, 1, 95, 0]
    assert [keys.day_of(s) for s in (0, 86399, 86400)] == [0, 0, 1]


@pytest.mark.parametrize("length", [0, 12, 31, 33])
def test_a_key_of_another_length_is_refused(length):
    with pytest.raises(ValueError, match=f"not {length}"):
        keys.KeyChain(bytes(length), DAY)
