"""`bluezone ids`: the key chain from the command line, against hashlib and the captured phone."""

import hashlib
import json
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_tools import cli
from host_tools.matching import commands

VECTORS = Path(__file__).parents[1] / "vectors" / "bluezone-2020-08-08"
PHONE = json.loads((VECTORS / "infof.json").read_text())
DAY_S = 86400


def run(*args: str) -> tuple[int, str, str]:
    app = cli.new_app()
    commands.register(app)
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        status = cli.run(app, args)
    return status, out.getvalue(), err.getvalue()


def ids(base_id: str, time: int, *more: str) -> list[dict]:
    status, out, err = run("ids", "--base-id", base_id, "--time", str(time), "--json", *more)
    assert (status, err) == (0, "")
    return json.loads(out)["ids"]


def oracle(base_id: str, day_start_s: int, days: int) -> list[dict]:
    """The chain as BLUEZONE's clients describe it, straight from hashlib."""
    rows = []
    daily_key = bytes.fromhex(base_id)
    for day in range(days):
        sub_key = hashlib.sha256(daily_key + b"bluzonesubkey").digest()
        for index in range(96):
            chosen = bytes(sub_key[n] for n in (0, 4, 8, 12, 16, 18, 20, 22, 24, 26, 28, 30))
            start = day_start_s + day * DAY_S + index * 900
            rows.append({"index": index, "start": start, "id": chosen.hex().upper()})
            sub_key = hashlib.sha256(sub_key).digest()
        daily_key = hashlib.sha256(daily_key).digest()
    return rows


def test_vector_of_the_captured_phone():
    listed = ids(PHONE["base_id"], PHONE["time"])
    assert listed[23] == {"index": 23, "start": 1596844800 + 23 * 900, "id": "B9A665D754FE65E665D76A45"}


def test_every_own_id_in_the_trace_lies_in_its_slot():
    starts = {row["id"]: row["start"] for row in ids(PHONE["base_id"], PHONE["time"])}
    seen = set()
    for line in (VECTORS / "data_trace.txt").read_text().splitlines():
        own_id, _, _, time_ms = line.split("\t")[:4]
        assert 0 <= int(time_ms) / 1000 - starts[own_id] <= 900
        seen.add(own_id)
    assert len(seen) == 3


def test_time_within_the_day_and_several_days():
    assert ids(PHONE["base_id"], 1596844800 + 5 * 3600, "--days", "3") == oracle(PHONE["base_id"], 1596844800, 3)


@given(key=st.binary(min_size=32, max_size=32), day=st.integers(0, 40000), second=st.integers(0, DAY_S - 1))
def test_any_key_and_day_equals_the_oracle(key, day, second):
    listed = ids(key.hex(), day * DAY_S + second, "--days", "2")
    assert listed == oracle(key.hex(), day * DAY_S, 2)


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["--base-id", "zz" * 32, "--time", "1"], "--base-id"),
        (["--base-id", "ab" * 31, "--time", "1"], "--base-id"),
        (["--base-id", "ab " * 31 + "ab", "--time", "1"], "--base-id"),
        (["--base-id", "", "--time", "1"], "--base-id"),
        (["--base-id", "ab" * 32, "--time", "-1"], "--time"),
        (["--base-id", "ab" * 32, "--time", "9" * 30], "--time"),
        (["--base-id", "ab" * 32, "--time", "noon"], "--time"),
        (["--base-id", "ab" * 32, "--time", "1.5"], "--time"),
        (["--base-id", "ab" * 32, "--time", "1", "--days", "0"], "--days"),
        (["--base-id", "ab" * 32, "--time", "1", "--days", "1000000"], "--days"),
        (["--base-id", "ab" * 32], "--time"),
        (["--time", "1"], "--base-id"),
    ],
)
def test_unusable_input_is_one_sentence_and_status_2(args, word):
    status, out, err = run("ids", *args, "--json")
    assert status == 2
    assert word in err
    assert "Traceback" not in err
    assert err.count("\n") == 1
    assert json.loads(out) == {"error": err.strip()}


def test_readable_table():
    status, out, _ = run("ids", "--base-id", PHONE["base_id"], "--time", "1596844800")
    assert status == 0
    row = next(line for line in out.splitlines() if "B9A665D754FE65E665D76A45" in line)
    assert "2020-08-08 12:45:00" in row
    assert "Vietnam time" in out
