"""`make bench-matching` fails when one engine finds something else, and only then."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from host_tools.matching import bench

MEASURED = {"wall_s": 1.0, "cpu_s": 1.0, "peak_gib": 0.1, "ids": 8, "bytes_per_id": 8.0, "tasks": 1}


@pytest.mark.parametrize("part", ["kiosk", "organisation", "nation"])
@pytest.mark.parametrize("wrong", [{}, {"digest": "bb"}, {"hits": 6}])
def test_a_difference_fails_the_benchmark(tmp_path, monkeypatch, capsys, part, wrong):
    steps = []

    def run(command, **_):
        step = command[3]
        found = {"hits": 5, "digest": "aa"}
        if step in ("polars", "cluster"):
            found |= wrong
        steps.append(step)
        answer = MEASURED | ({} if step in ("build", "ingest") else found)
        return SimpleNamespace(stdout=json.dumps(answer))

    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "argv", ["bench", "--quick", "--only", part])
    assert bench.main() == (1 if wrong else 0)
    assert {"polars", "cluster"} & set(steps)
    assert ("DIFFERENT RESULTS" in capsys.readouterr().out) == bool(wrong)
