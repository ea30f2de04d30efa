"""A kiosk that is killed, or not alone, leaves whole batches and nothing twice."""

import multiprocessing
import os
import signal
import sqlite3
from itertools import count

import pytest
import sqlalchemy as sa
import sqlalchemy.event

from host_tools.storage.store import Store
from tracing.records import FLAG_CLOCK_SET, KIND_ENCOUNTER, RECORD_BYTES, pack_record

SERIAL = b"\x01\x02\x03\x04\x05\x06\x07\x08"
BATCH = 50
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pytest", "host_tools.storage.store", "alembic.command", "alembic.config"])


def record(seq):
    buf = bytearray(RECORD_BYTES)
    pack_record(buf, KIND_ENCOUNTER | FLAG_CLOCK_SET, 1, 1_596_864_600 + seq, 300, 5, 9, -60, -70, seq.to_bytes(12))
    return bytes(buf)


def batch_of(first_seq, size=BATCH):
    return [(seq, record(seq)) for seq in range(first_seq, first_seq + size)]


def die_at(step):
    """Kill this process before its `step`-th statement or commit, or after it when `step` lies between."""
    steps = count()

    def maybe(*_args):
        if next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    sqlalchemy.event.listen(sa.Engine, "before_cursor_execute", maybe)
    sqlalchemy.event.listen(sa.Engine, "after_cursor_execute", maybe)
    sqlalchemy.event.listen(sa.Engine, "commit", maybe)


def write(path, batches, step, receipts):
    """Store batch after batch; tell `receipts` what is stored for good, as a kiosk tells a token."""
    if step is not None:
        die_at(step)
    with Store(path) as store:
        for _ in range(batches):
            first_seq = store.next_seq(SERIAL)
            store.store_records(SERIAL, batch_of(first_seq), first_seq)
            receipts.send(first_seq + BATCH)


def store_alike(path, total, size, ready, news):
    """Store the first `total` records in batches of `size`, together with another process."""
    with Store(path) as store:
        ready.wait(60)  # the other one may have failed
        news.send(sum(store.store_records(SERIAL, batch_of(first, size), 0) for first in range(0, total, size)))


def started(target, *args):
    receive, send = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=target, args=(*args, send))
    process.start()
    send.close()
    return process, receive


def last_receipt(receipts):
    last = 0
    while True:
        try:
            last = receipts.recv()
        except EOFError:
            return last


def assert_sound(path, acknowledged, at_most):
    """Whole batches only, all that were acknowledged, every byte as it was; the next kiosk goes on from there."""
    with Store(path) as store:
        kept = store.next_seq(SERIAL)
        assert acknowledged <= kept <= at_most
        assert kept % BATCH == 0
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT seq, raw FROM record ORDER BY seq").fetchall() == batch_of(0, kept)
        connection.close()
        assert store.store_records(SERIAL, batch_of(0, kept + BATCH), 0) == BATCH


def test_killed_at_every_statement(tmp_path):
    outcomes = set()
    for step in count(0, 2):  # every second: the migrations of a new database make it long
        path = tmp_path / f"{step}.sqlite"
        process, receipts = started(write, path, 3, step)
        acknowledged = last_receipt(receipts)
        process.join()
        assert_sound(path, acknowledged, 3 * BATCH)
        outcomes.add(acknowledged)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
    assert outcomes == {0, BATCH, 2 * BATCH, 3 * BATCH}


@pytest.mark.parametrize("receipt", [1, 2, 5, 11, 24])
def test_killed_from_outside_while_it_writes(tmp_path, receipt):
    path = tmp_path / "kiosk.sqlite"
    process, receipts = started(write, path, 10_000, None)
    for _ in range(receipt):
        assert receipts.poll(60)
        receipts.recv()
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    acknowledged = max(receipt * BATCH, last_receipt(receipts))
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert_sound(path, acknowledged, acknowledged + BATCH)


def test_two_kiosks_that_read_one_token_store_everything_once(tmp_path):
    path = tmp_path / "kiosk.sqlite"
    total = 420
    ready = PROCESSES.Barrier(2)
    kiosks = [started(store_alike, path, total, size, ready) for size in (20, 35)]
    news = [last_receipt(receipts) for _, receipts in kiosks]
    for process, _ in kiosks:
        process.join()
    assert [process.exitcode for process, _ in kiosks] == [0, 0]
    assert sum(news) == total
    with Store(path) as store:
        assert [e.bluezone_id for e in store.encounters(SERIAL)] == [seq.to_bytes(12) for seq in range(total)]
