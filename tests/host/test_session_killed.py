"""The kiosk's process is killed at every step of a sync, with its database on disk: nothing is lost, nothing twice."""

import asyncio
import multiprocessing
import os
import signal
import sqlite3
from itertools import count

import sqlalchemy as sa
import sqlalchemy.event
from session_pipe import DAMAGED, SERIAL, FakeLog, FakeToken, kiosk_session, now, record, sync_once

from host_tools.link.synchronise import synchronise
from host_tools.simulation.clock import run
from host_tools.storage.store import Store

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pytest", "host_tools.storage.store", "host_tools.link.synchronise"])
RECORDS = 60
BATCH = 45  # two transactions and receipts
FRAGMENT_BYTES = 244


class Line:
    """The kiosk's end of a line to the process with the token; counts what it sends as steps."""

    mtu_payload = FRAGMENT_BYTES

    def __init__(self, line, step):
        self._line = line
        self._step = step
        self.receive = asyncio.Queue()

    async def write(self, fragment):
        self._step()
        self._line.send_bytes(fragment)
        for piece in self._line.recv():
            self.receive.put_nowait(piece)
        self._step()


def read_token(path, last_step, line):
    """A whole sync, in a process that dies at step `last_step`: before a statement or commit, or around a write."""
    steps = count()

    def step(*_args):
        if next(steps) == last_step:
            os.kill(os.getpid(), signal.SIGKILL)

    for event in ("before_cursor_execute", "commit"):
        sqlalchemy.event.listen(sa.Engine, event, step)

    async def main():
        with Store(path) as store:
            session = kiosk_session(Line(line, step))
            await synchronise(session, store, now, batch_records=BATCH)
            await session.bye()

    asyncio.run(main())


def serve(token, line):
    """The token's part, for as long as the kiosk lives."""
    session = token.session
    session.open(0)
    session.connected()
    buf = bytearray(FRAGMENT_BYTES)
    while True:
        try:
            fragment = line.recv_bytes()
        except EOFError:
            break
        session.feed(fragment, len(fragment), 0)
        pieces = []
        while length := session.next_fragment(buf, FRAGMENT_BYTES):
            pieces.append(bytes(buf[:length]))
            session.sent(length)
        try:
            line.send(pieces)
        except BrokenPipeError:
            break
    session.disconnected()


def sync(token, path, last_step):
    """One sync by a process of its own that dies on the way; returns how it ended."""
    here, there = PROCESSES.Pipe()
    process = PROCESSES.Process(target=read_token, args=(path, last_step, there))
    process.start()
    there.close()
    serve(token, here)
    process.join()
    return process.exitcode


def stored(path):
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute("SELECT serial, seq, raw FROM record").fetchall()
    finally:
        connection.close()
    assert {serial for serial, _, _ in rows} <= {SERIAL.hex()}
    assert len({seq for _, seq, _ in rows}) == len(rows)
    return {seq: raw for _, seq, raw in rows}


def test_killed_at_every_step(tmp_path):
    log = FakeLog({20: DAMAGED, 40: None}.get(seq, record(seq)) for seq in range(RECORDS))
    truth = log.readable()
    sizes = set()
    step = 0
    for step in count():
        token = FakeToken(log)
        path = tmp_path / f"{step}.sqlite"
        Store(path).close()
        ended = sync(token, path, step)
        kept = stored(path)
        assert kept.items() <= truth.items()
        assert all(seq in kept for seq in truth if seq < token.watermark)
        sizes.add(len(kept))
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
        if step % 2:
            token.restart()  # it has forgotten what it had sent
        with Store(path) as store:
            run(sync_once(token, store))
        assert stored(path) == truth
        assert token.watermark == RECORDS
    assert step > 35
    assert sizes == {0, 43, len(truth)}  # whole batches only
