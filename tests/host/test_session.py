"""Kiosk and token talk over a pipe that loses, repeats, damages and reorders: nothing wrong is ever stored."""

import asyncio
import contextlib
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from host_tools.link.session import (
    AnswerTimeout,
    KioskSession,
    LinkLost,
    LogRestarted,
    SessionBroken,
    SessionError,
    SessionRefused,
    TokenInfo,
    synchronise,
)
from host_tools.simulation.clock import run
from tracing import kiosk_messages as wire
from tracing.messages import Fragments
from tracing.records import KIND_ENCOUNTER, RECORD_BYTES, pack_record
from tracing.sync import BUSY_FRAGMENT, SyncSession

NOW_S = 1_596_873_600.25
SERIAL = b"\x01\x02\x03\x04\x05\x06\x07\x08"


def record(number):
    buf = bytearray(RECORD_BYTES)
    pack_record(buf, KIND_ENCOUNTER, 1, 1_596_800_000 + number, 300, 5, 9, -60, -70, number.to_bytes(12, "big"))
    return bytes(buf)


class FakeLog:
    """Records in a list; None stands for a damaged one."""

    def __init__(self, records=()):
        self.records = list(records)
        self.oldest_seq = 0

    @property
    def next_seq(self):
        return len(self.records)

    def read(self, seq, buf, at=0):
        stored = self.records[seq] if self.oldest_seq <= seq < self.next_seq else None
        if stored is not None:
            buf[at : at + RECORD_BYTES] = stored
        return stored is not None

    def readable(self):
        return {seq: raw for seq, raw in enumerate(self.records) if raw is not None and seq >= self.oldest_seq}


class FakeToken:
    """A token: log, session, and what survives a restart (the watermark)."""

    def __init__(self, log=None):
        self.log = FakeLog() if log is None else log
        self.watermark = 0
        self.times = []
        self.verdicts = []
        self.restart()

    def restart(self):
        self.session = SyncSession(self.log, self)

    def info(self):
        log = self.log
        return (SERIAL, b"\x00\x01\x02", 3, 2987, 7, int(NOW_S), 3600, log.oldest_seq, log.next_seq, self.watermark,
                0, 37000, 2, 5, 41000)  # fmt: skip

    def set_time(self, unix_s, ms):
        self.times.append((unix_s, ms))
        return -2

    def set_watermark(self, seq):
        self.watermark = seq

    def show_verdict(self, code):
        self.verdicts.append(code)


class FakeStorage:
    """Keeps records in memory. `dies` names the moment at which the kiosk is killed."""

    def __init__(self):
        self.records = {}
        self.synced = []
        self.dies = None

    def next_seq(self, serial):
        assert serial == SERIAL
        return max(self.records, default=-1) + 1

    def store_records(self, serial, records, received_s):
        assert serial == SERIAL
        if self.dies == "before":
            raise Killed
        new = dict(records)
        assert len(new) == len(records)
        before = len(self.records)
        for seq, raw in records:
            assert self.records.setdefault(seq, raw) == raw
        if self.dies == "after":
            raise Killed
        return len(self.records) - before

    def note_clock(self, serial, reading):
        self.clocks = [*getattr(self, "clocks", []), reading]

    def note_sync(self, serial, info, now_s):
        assert serial == SERIAL
        self.synced.append((info, now_s))


class Killed(Exception):
    """The kiosk's process ended."""


class Pipe:
    """A connection between a kiosk and a token; the transport of the session. Counts fragments and their bytes.

    Args:
        faults: what happens to which fragment, counted over both directions: {number: (kind, argument)}.
        before_each: called with the number of each fragment before it goes.
    """

    def __init__(self, token, mtu=247, faults=None, before_each=None):
        self.token = token
        self.mtu_payload = mtu - 3
        self.receive = asyncio.Queue()
        self.alive = True
        self.count = 0
        self.bytes = 0
        self._faults = faults or {}
        self._before_each = before_each
        self._held = {}
        token.session.connected()

    def cut(self):
        if self.alive:
            self.alive = False
            self.token.session.disconnected()
            self.receive.put_nowait(None)

    def _damaged(self, direction, fragment):
        # What arrives in place of the fragment.
        kind, argument = self._faults.get(self.count, ("", 0))
        if self._before_each is not None:
            self._before_each(self.count)
        self.count += 1
        self.bytes += len(fragment)
        arriving = [fragment]
        if kind == "cut":
            self.cut()
            return []
        if kind == "drop":
            arriving = []
        elif kind == "repeat":
            arriving = [fragment, fragment]
        elif kind == "flip":
            bit = argument % (len(fragment) * 8)
            flipped = bytearray(fragment)
            flipped[bit // 8] ^= 1 << bit % 8
            arriving = [bytes(flipped)]
        elif kind == "late":
            self._held[direction] = fragment
            return []
        held = self._held.pop(direction, None)
        return arriving if held is None else [*arriving, held]

    async def write(self, fragment):
        if not self.alive:
            raise LinkLost
        assert len(fragment) <= self.mtu_payload
        session = self.token.session
        now_ms = round(asyncio.get_running_loop().time() * 1000)
        for piece in self._damaged("up", fragment):
            session.feed(piece, len(piece), now_ms)
        buf = bytearray(self.mtu_payload)
        while self.alive and (length := session.next_fragment(buf, self.mtu_payload)):
            piece = bytes(buf[:length])
            assert session.next_fragment(buf, self.mtu_payload) == length  # no room in the radio: once more
            assert bytes(buf[:length]) == piece
            session.sent(length)
            for arriving in self._damaged("down", piece):
                self.receive.put_nowait(arriving)
        if session.tick(now_ms):
            self.cut()


def now():
    return NOW_S


async def sync_once(token, storage, mtu=247, faults=None, before_each=None, press=True):
    """The button, a connection, a whole sync. Returns its result and the pipe."""
    if press:
        token.session.open(round(asyncio.get_running_loop().time() * 1000))
    pipe = Pipe(token, mtu, faults, before_each)
    session = KioskSession(pipe)
    try:
        result = await synchronise(session, storage, now)
        await session.show_verdict(wire.VERDICT_SAFE)
        await session.bye()
        return result, pipe
    finally:
        pipe.cut()


# --- A sync that works -----------------------------------------------------------------------------------------


@given(
    sound=st.lists(st.booleans(), max_size=60),
    mtu=st.integers(23, 517),
    oldest_seq=st.integers(0, 60),
    stored=st.integers(0, 60),
)
@settings(max_examples=60, deadline=None)
def test_the_storage_holds_exactly_the_tokens_records(sound, mtu, oldest_seq, stored):
    token = FakeToken(FakeLog(record(i) if good else None for i, good in enumerate(sound)))
    token.log.oldest_seq = min(oldest_seq, len(sound))
    storage = FakeStorage()
    storage.records = {seq: record(seq) for seq in range(min(stored, len(sound))) if sound[seq]}
    before = dict(storage.records)
    token.watermark = storage.next_seq(SERIAL)
    result, _ = run(sync_once(token, storage, mtu))
    assert storage.records == before | token.log.readable()
    assert token.watermark == result.next_seq == len(sound)
    assert result.new_records == len(storage.records) - len(before)
    assert result.correction_s == -2
    assert token.times == [(1_596_873_600, 250)]
    assert token.verdicts == [wire.VERDICT_SAFE]
    assert storage.synced == [(result.info, int(NOW_S))]


def test_info_by_name():
    result, _ = run(sync_once(FakeToken(FakeLog([record(0)])), FakeStorage()))
    assert result.info == TokenInfo(
        serial=SERIAL,
        firmware=(0, 1, 2),
        clock_set=True,
        provisioned=True,
        battery_mv=2987,
        boot=7,
        clock_s=int(NOW_S),
        uptime_s=3600,
        oldest_seq=0,
        next_seq=1,
        watermark=0,
        last_sync_s=0,
        capacity_records=37000,
        damaged=2,
        dropped=5,
        heap_bytes=41000,
    )


def test_batches_progress_and_leaving_in_the_middle():
    token = FakeToken(FakeLog(record(i) for i in range(100)))
    token.session.open(0)

    async def main():
        session = KioskSession(Pipe(token))
        await session.hello()
        seen = []
        sizes = []
        async for batch in session.pull(3, seen.append, batch_records=30):
            sizes.append(len(batch))
            assert await session.acknowledge(batch[0][0]) == batch[0][0]
            if len(sizes) == 2:
                break
        assert sizes == [30, 30]
        assert seen == [20, 33, 50, 63]
        rest = [batch async for batch in session.pull(session.next_seq, batch_records=37)]
        assert [seq for seq, _ in rest[0]] == list(range(63, 100))
        assert len(rest) == 1
        assert (await session.info()).watermark == 33

    token.watermark = 3
    run(main())


def test_requests_are_split_too():
    token, storage = FakeToken(FakeLog([record(0)])), FakeStorage()
    run(sync_once(token, storage, mtu=9))  # shorter than BLE allows, so that every request needs two fragments
    assert storage.records == {0: record(0)}


def test_overhead_on_the_air():
    token = FakeToken(FakeLog(record(i) for i in range(1000)))
    _, pipe = run(sync_once(token, FakeStorage(), mtu=247))
    on_air = pipe.bytes + 7 * pipe.count  # headers of L2CAP and ATT
    assert on_air <= 1.07 * 1000 * RECORD_BYTES


# --- Refusals --------------------------------------------------------------------------------------------------


def refused(coroutine):
    with pytest.raises(SessionRefused) as caught:
        run(coroutine)
    return caught.value


def test_the_button_is_needed():
    token = FakeToken(FakeLog([record(0)]))
    storage = FakeStorage()
    error = refused(sync_once(token, storage, press=False))
    assert error.code == wire.ERROR_NOT_IN_SYNC_MODE
    assert "press its button" in str(error)
    assert (storage.records, token.times, token.watermark) == ({}, [], 0)


class Scripted:
    """A transport whose far end says what it is told, whatever the kiosk asks."""

    mtu_payload = 244

    def __init__(self, *answers, raw=()):
        link = Fragments(wire.REQUEST_MAX_BYTES, wire.MESSAGE_MAX_BYTES)
        self._pieces = deque([*raw, *(piece for data in answers for piece in wire.fragments(link, data, 244))])
        self.receive = asyncio.Queue()

    async def write(self, fragment):
        while self._pieces:
            self.receive.put_nowait(self._pieces.popleft())


async def pulled(*answers, limit=2048):
    return [batch async for batch in KioskSession(Scripted(*answers)).pull(0, batch_records=limit)]


def test_another_kiosk_was_first():
    async def main():
        session = KioskSession(Scripted(raw=[BUSY_FRAGMENT]))
        with pytest.raises(SessionRefused) as caught:
            await session.hello()
        assert caught.value.code == wire.ERROR_BUSY
        with pytest.raises(SessionBroken):  # the token hangs up
            await session.hello()

    run(main())


@pytest.mark.parametrize(
    "answer",
    [
        wire.message(wire.HELLO | wire.ANSWER, 2, 0),
        wire.message(wire.HELLO | wire.ANSWER, 1, 1),
        wire.message(wire.ERROR, wire.HELLO, wire.ERROR_VERSION),
    ],
)
def test_versions_that_differ(answer):
    async def main():
        await KioskSession(Scripted(answer)).hello()

    error = refused(main())
    assert error.code == wire.ERROR_VERSION
    assert "Update" in str(error)


def test_every_refusal_is_a_sentence():
    for code in range(256):
        sentence = str(SessionRefused(code))
        assert sentence.endswith(".")
        assert code <= 6 or str(code) in sentence


def test_a_session_goes_on_after_a_refusal():
    token = FakeToken(FakeLog([record(0)]))
    token.session.open(0)

    async def main():
        session = KioskSession(Pipe(token))
        with pytest.raises(SessionRefused) as caught:
            await session.info()
        assert caught.value.code == wire.ERROR_STATE
        await session.hello()
        with pytest.raises(SessionRefused) as caught:
            await session.acknowledge(1)
        assert caught.value.code == wire.ERROR_RANGE
        assert (await session.info()).next_seq == 1
        await session.bye()
        with pytest.raises(SessionBroken):
            await session.info()

    run(main())


def test_a_token_that_was_reset():
    storage = FakeStorage()
    storage.records = {9: record(9)}
    with pytest.raises(LogRestarted):
        run(sync_once(FakeToken(FakeLog([record(0)])), storage))
    assert storage.records == {9: record(9)}


# --- Nonsense --------------------------------------------------------------------------------------------------

RECORD_0 = wire.records_message(0, [record(0)])


@pytest.mark.parametrize(
    "answers",
    [
        [wire.records_message(1, [record(1)])],  # a hole
        [RECORD_0, RECORD_0],
        [wire.records_message(0, [record(0), bytes(RECORD_BYTES)])],  # a record's own checksum
        [wire.records_message(0, [record(i) for i in range(5)])],  # more than asked for
        [RECORD_0[:-1]],
        [wire.message(wire.GAP, 1, 2)],
        [wire.message(wire.GAP, 0, 0)],
        [wire.message(wire.PULL | wire.ANSWER, 1, 0, 0)],
        [wire.message(wire.PULL | wire.ANSWER, 0, 1, 0)],
        [wire.message(wire.ACK | wire.ANSWER, 1)],
        [wire.message(wire.ERROR, wire.PULL, wire.ERROR_FORMAT)],
        [wire.message(wire.PULL, 0, 0)],
        [b"\xfe"],
    ],
)
def test_nonsense_breaks_the_session(answers):
    with pytest.raises(SessionBroken):
        run(pulled(*answers, limit=4))


def test_a_burst_of_lost_fragments_as_long_as_the_counter():
    link = Fragments(wire.REQUEST_MAX_BYTES, wire.MESSAGE_MAX_BYTES)
    messages = [wire.records_message(seq, [record(seq)]) for seq in range(300)]
    pieces = [piece for data in messages for piece in wire.fragments(link, data, 244)]

    async def main():
        session = KioskSession(Scripted(raw=pieces[:5] + pieces[133:]))
        got = []
        with contextlib.suppress(SessionBroken):
            async for batch in session.pull(0):
                got += batch
        return got

    assert run(main()) == [(seq, record(seq)) for seq in range(5)]


def test_info_that_cannot_be():
    fields = (SERIAL, b"\x00\x01\x02", 3, 2987, 7, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0)

    async def main():
        await KioskSession(Scripted(wire.message(wire.INFO | wire.ANSWER, *fields))).info()

    with pytest.raises(SessionBroken):
        run(main())


def test_a_receipt_that_was_not_kept():
    async def main():
        await KioskSession(Scripted(wire.message(wire.ACK | wire.ANSWER, 4))).acknowledge(5)

    with pytest.raises(SessionBroken):
        run(main())


def test_a_token_that_says_nothing():
    async def main():
        session = KioskSession(Scripted())
        with pytest.raises(AnswerTimeout):
            await session.hello()
        assert asyncio.get_running_loop().time() == pytest.approx(10, abs=0.01)
        with pytest.raises(SessionBroken):
            await session.hello()

    run(main())


def test_a_cancelled_request_ends_the_session():
    async def main():
        session = KioskSession(Scripted())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await session.hello()
        with pytest.raises(SessionBroken):
            await session.info()

    run(main())


# --- Bad links -------------------------------------------------------------------------------------------------


def check_so_far(token, storage):
    """Nothing wrong is stored, and no receipt was taken for what is not."""
    truth = token.log.readable()
    assert storage.records.items() <= truth.items()
    assert all(seq in storage.records for seq in truth if seq < token.watermark)
    assert all(time == (1_596_873_600, 250) for time in token.times)
    assert all(code == wire.VERDICT_SAFE for code in token.verdicts)


def new_token():
    """Forty records, one of them damaged."""
    return FakeToken(FakeLog(None if i == 25 else record(i) for i in range(40)))


def fragments_of_a_sync(mtu):
    return run(sync_once(new_token(), FakeStorage(), mtu))[1].count


@pytest.mark.parametrize("kind", ["cut", "drop", "repeat", "late"])
@pytest.mark.parametrize("mtu", [23, 247])
def test_a_fault_at_every_fragment(kind, mtu):
    total = fragments_of_a_sync(mtu)
    for at in range(total):
        token, storage = new_token(), FakeStorage()
        with contextlib.suppress(SessionError):
            run(sync_once(token, storage, mtu, {at: (kind, 0)}))
        check_so_far(token, storage)
        run(sync_once(token, storage, mtu))
        assert storage.records == token.log.readable()
        assert token.watermark == 40


def test_every_cut_is_noticed():
    for at in range(fragments_of_a_sync(247)):
        with pytest.raises(LinkLost):
            run(sync_once(new_token(), FakeStorage(), 247, {at: ("cut", 0)}))


def test_a_bad_link_still_makes_progress():
    token, storage = FakeToken(FakeLog(record(i) for i in range(200))), FakeStorage()
    sizes = []
    for _ in range(12):
        with contextlib.suppress(LinkLost):
            run(sync_once(token, storage, 247, {11: ("cut", 0)}))  # two messages of records at best
        sizes.append(len(storage.records))
    assert sizes[0] == 34
    assert sizes == sorted(sizes)
    assert storage.records == token.log.readable()


@given(
    mtu=st.integers(23, 517),
    faults=st.dictionaries(
        st.integers(0, 80),
        st.tuples(st.sampled_from(["cut", "drop", "repeat", "flip", "late"]), st.integers(0, 4100)),
        min_size=1,
        max_size=4,
    ),
)
@settings(max_examples=150, deadline=None)
def test_any_faults(mtu, faults):
    token, storage = new_token(), FakeStorage()
    with contextlib.suppress(SessionError):
        run(sync_once(token, storage, mtu, faults))
    check_so_far(token, storage)
    run(sync_once(token, storage, mtu))
    assert storage.records == token.log.readable()


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("dies", ["before", "after"])
def test_the_kiosk_is_killed_while_it_stores(dies, restarted):
    token, storage = new_token(), FakeStorage()
    storage.dies = dies
    with pytest.raises(Killed):
        run(sync_once(token, storage))
    assert token.watermark == 0
    check_so_far(token, storage)
    if restarted:
        token.restart()
    storage.dies = None
    _, pipe = run(sync_once(token, storage))
    assert storage.records == token.log.readable()
    assert token.watermark == 40
    resent = pipe.count >= fragments_of_a_sync(247)
    assert resent == (dies == "before" or restarted)


def test_the_log_moves_while_it_is_read():
    token, storage = new_token(), FakeStorage()

    def move(number):
        if number == 8:
            token.log.records.append(record(40))
            token.log.oldest_seq = 30

    run(sync_once(token, storage, before_each=move))
    assert 40 not in storage.records
    assert set(range(30, 40)) <= set(storage.records)
    run(sync_once(token, storage))
    assert storage.records[40] == record(40)


# --- Everything at once ----------------------------------------------------------------------------------------

faults_or_none = st.dictionaries(
    st.integers(0, 60),
    st.tuples(st.sampled_from(["cut", "drop", "repeat", "flip", "late"]), st.integers(0, 4100)),
    max_size=2,
)


class Lives(RuleBasedStateMachine):
    """A token, two kiosks with storages of their own, bad links, restarts and a log that forgets."""

    @initialize()
    def begin(self):
        self.token = FakeToken()
        self.storages = [FakeStorage(), FakeStorage()]
        self.every = {}  # all records that ever were readable

    @rule(count=st.integers(1, 60), damaged=st.integers(0, 200))
    def log_more(self, count, damaged):
        log = self.token.log
        for i in range(count):
            seq = log.next_seq
            if i == damaged:
                log.records.append(None)
            else:
                log.records.append(record(seq))
                self.every[seq] = record(seq)

    @rule(blocks=st.integers(1, 2))
    def drop_oldest(self, blocks):
        log = self.token.log
        log.oldest_seq = min(log.next_seq, log.oldest_seq + 16 * blocks)

    @rule()
    def restart(self):
        self.token.restart()

    @rule(which=st.integers(0, 1), mtu=st.integers(23, 517), faults=faults_or_none)
    def sync(self, which, mtu, faults):
        with contextlib.suppress(SessionError):
            run(sync_once(self.token, self.storages[which], mtu, faults))

    @rule(which=st.integers(0, 1), dies=st.sampled_from(["before", "after"]))
    def sync_with_a_dying_kiosk(self, which, dies):
        storage = self.storages[which]
        storage.dies = dies
        with contextlib.suppress(Killed):
            run(sync_once(self.token, storage))
        storage.dies = None

    @precondition(lambda self: self.token.log.next_seq)
    @rule(which=st.integers(0, 1))
    def whole_sync(self, which):
        storage = self.storages[which]
        before = dict(storage.records)
        first_seq = storage.next_seq(SERIAL)
        run(sync_once(self.token, storage))
        expected = {seq: raw for seq, raw in self.token.log.readable().items() if seq >= first_seq}
        assert storage.records.items() >= (before | expected).items()

    @invariant()
    def nothing_wrong_is_stored(self):
        for storage in getattr(self, "storages", ()):
            assert storage.records.items() <= self.every.items()

    @invariant()
    def receipts_are_true(self):
        if not hasattr(self, "token"):
            return
        stored = self.storages[0].records.keys() | self.storages[1].records.keys()
        for seq in self.token.log.readable():
            assert seq >= self.token.watermark or seq in stored


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
