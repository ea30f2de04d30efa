"""Whoever is killed while the slot index is brought up to date leaves the one that was there."""

import hashlib
import multiprocessing
import os
import shutil
import signal
from itertools import count
from pathlib import Path

import pytest

from host_tools.matching import expansion, segment_file, slot_index
from host_tools.matching.national_list import Case

DAY = 18482 * 86400  # 2020-08-08
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pytest", "host_tools.matching.slot_index"])


def cases(number: int) -> list[Case]:
    return [Case(n, hashlib.sha256(b"%d" % n).digest(), DAY, DAY + 1, 96) for n in range(number)]


def update(folder: Path, number: int, step: int) -> None:
    """Bring the index up to date, and die at its `step`-th call of the system."""
    steps = count()

    def dying(function):
        def maybe(*args, **kwargs):
            if next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return maybe

    expansion.engine = expansion.HashlibEngine  # it need not be compiled anew in every process
    for name in ("posix_fallocate", "fsync", "replace"):
        setattr(os, name, dying(getattr(os, name)))
    Path.unlink = dying(Path.unlink)
    segment_file.expand = dying(segment_file.expand)
    segment_file._merge_day = dying(segment_file._merge_day)
    slot_index.updated(folder, cases(number), workers=1)


@pytest.mark.parametrize("before", [1, 8], ids=["an arrival", "a merge"])
def test_killed_at_every_step(tmp_path, monkeypatch, before):
    for number in range(1, before + 1):
        slot_index.updated(tmp_path / "before", cases(number))
    step = 0
    for step in count():
        folder = tmp_path / str(step)
        shutil.copytree(tmp_path / "before", folder)
        process = PROCESSES.Process(target=update, args=(folder, before + 1, step))
        process.start()
        process.join()
        held = sum(len(segment.entries) for segment in slot_index._read(folder, {}).values())
        assert held in (before, before + 1)
        with monkeypatch.context() as patched:
            patched.setattr(segment_file, "expand", None)  # nothing that was there is expanded again
            slot_index.updated(folder, cases(before))
        assert len(slot_index.updated(folder, cases(before + 1)).listed.texts) == before + 1
        slot_index.updated(folder, cases(before + 2))  # what the dead one left goes with the next update
        names = {path.name for path in folder.iterdir()}
        assert names == {"manifest.json", "lock", *slot_index._read(folder, {})}
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
    assert step >= 8
