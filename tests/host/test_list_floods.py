"""A list or a log of garbage of any size costs bounded memory, and a case of a long list few bytes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from list_floods import FLOODS

SCRIPT = Path(__file__).with_name("list_floods.py")

# Kinds that a reader goes through to the end, and how many cases or sightings it finds; the others are refused early.
READ_TO_THE_END = {
    "numbers": 0,
    "bad entries": 0,
    "NaN": 0,
    "one entry again and again": 1,
    "comments": 0,
    "blanks": 0,
    "fields of one entry": 0,
    "fields of no list": 0,
    "texts of 60 kB": 0,
    "log of bad lines": 0,
    "log of blank lines": 0,
    "log of one line": 0,
}
REFUSED = {*FLOODS, "bytes"} - READ_TO_THE_END.keys()


def poured(megabytes: int, *kinds: str) -> list[dict]:
    done = subprocess.run([sys.executable, SCRIPT, str(megabytes), *kinds], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("kind", READ_TO_THE_END)
def test_garbage_that_is_read_to_the_end(kind):
    (measured,) = poured(4, kind)
    assert measured["outcome"] == READ_TO_THE_END[kind]
    assert measured["rejected"] <= 1001
    assert measured["grown_mb"] < 2, "4 MB take no more than 1 MB does"


def test_garbage_that_is_refused_at_once():
    for measured in poured(1 << 30, *sorted(REFUSED)):  # a PB each: only what is refused early ends at all
        assert "Nothing of it was used" in measured["outcome"]
        assert measured["grown_mb"] < 6


def test_many_cases_cost_few_bytes_each():
    (measured,) = poured(14, "cases")
    cases = measured["outcome"]
    assert cases > 100_000
    assert measured["grown_mb"] * 1e6 / cases < 400
