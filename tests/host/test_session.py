"""The kiosk's session with a token in memory: what it brings, what it refuses, and what it does not believe."""

import asyncio
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from session_pipe import (
    DAMAGED,
    KEYS,
    NOW_S,
    ROOTS,
    SEGMENT_RECORDS,
    SERIAL,
    FakeLog,
    FakeStorage,
    FakeToken,
    Pipe,
    kiosk_session,
    now,
    record,
    sync_once,
)  # fmt: skip

from host_tools.link.channel import ANSWER_LIMIT_S, SESSION_LIMIT_S
from host_tools.link.errors import (
    AnswerTimeout,
    LogRestarted,
    LogSealed,
    SessionBroken,
    SessionRefused,
    SessionTooLong,
    StrangeToken,
)  # fmt: skip
from host_tools.link.session import TokenInfo
from host_tools.link.synchronise import synchronise
from host_tools.provisioning.token_keys import AuthorityRoot, KioskRoot, Roots, token_keys
from host_tools.simulation.clock import run
from tracing import kiosk_messages as wire
from tracing import messages
from tracing.messages import Fragments
from tracing.records import RECORD_BYTES
from tracing.sealing import Seal
from tracing.segment import segment_seal
from tracing.sync import BUSY_FRAGMENT

# --- A sync that works -----------------------------------------------------------------------------------------


@given(
    kinds=st.lists(st.sampled_from("rrrbd"), max_size=60),
    mtu=st.integers(23, 517),
    oldest_seq=st.integers(0, 60),
    stored=st.integers(0, 60),
)
@settings(max_examples=60, deadline=None)
def test_the_storage_holds_exactly_the_tokens_records(kinds, mtu, oldest_seq, stored):
    places = {"r": record, "b": lambda _seq: None, "d": lambda _seq: DAMAGED}
    token = FakeToken(FakeLog(places[kind](seq) for seq, kind in enumerate(kinds)))
    token.log.oldest_seq = min(oldest_seq, len(kinds))
    storage = FakeStorage()
    storage.records = {seq: record(seq) for seq in range(min(stored, len(kinds))) if kinds[seq] == "r"}
    before = dict(storage.records)
    begin_seq = max(storage.next_seq(SERIAL), token.log.oldest_seq)
    token.state.watermark = storage.next_seq(SERIAL)
    result, _ = run(sync_once(token, storage, mtu))
    assert storage.records == before | token.log.readable()
    assert token.watermark == result.next_seq == len(kinds)
    assert result.damaged == kinds[begin_seq:].count("d")
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
        segment_records=SEGMENT_RECORDS,
    )


def test_batches_progress_and_leaving_in_the_middle():
    token = FakeToken(FakeLog(record(i) for i in range(100)))
    token.session.open(0)

    async def main():
        session = kiosk_session(Pipe(token))
        await session.hello()
        await session.info()
        seen = []
        sizes = []
        async for batch in session.pull(3, seen.append, batch_records=30):
            sizes.append(len(batch))
            assert await session.acknowledge(batch[0][0]) == batch[0][0]
            if len(sizes) == 2:
                break
        assert sizes == [30, 30]
        assert seen == [19, 33, 49, 63]
        rest = [batch async for batch in session.pull(session.next_seq, batch_records=37)]
        assert [seq for seq, _ in rest[0]] == list(range(63, 100))
        assert len(rest) == 1
        assert (await session.info()).watermark == 33

    token.state.watermark = 3
    run(main())


def test_requests_are_split_too():
    token, storage = FakeToken(FakeLog([record(0)])), FakeStorage()
    run(sync_once(token, storage, mtu=9))  # shorter than BLE allows, so that every request needs two fragments
    assert storage.records == {0: record(0)}


def test_overhead_on_the_air():
    token = FakeToken(FakeLog(record(i) for i in range(1000)))
    _, pipe = run(sync_once(token, FakeStorage(), mtu=247))
    on_air = pipe.bytes + 7 * pipe.count  # headers of L2CAP and ATT
    assert on_air <= 1.15 * 1000 * RECORD_BYTES


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


INFO = (SERIAL, b"\x00\x01\x02", 3, 2987, 7, 0, 0, 0, 40, 0, 0, 0, 0, 0, 0, SEGMENT_RECORDS)


class Scripted:
    """A transport whose far end has the token's key and then says what it is told, whatever the kiosk asks.

    Args:
        answers: messages, one after the other, in answer to the next request.
        hello: the answer to HELLO in place of the right one; raw: fragments in place of all answers.
    """

    mtu_payload = 244

    def __init__(self, *answers, hello=None, raw=()):
        self.link = Fragments(wire.REQUEST_MAX_BYTES, wire.MESSAGE_MAX_BYTES)
        self.receive = asyncio.Queue()
        self.asked = []
        self._answers = deque(answers)
        self._hello = hello
        self._raw = deque(raw)

    def _say(self, data):
        for piece in wire.fragments(self.link, data, 244):
            self.receive.put_nowait(piece)

    async def write(self, fragment):
        while self._raw:
            self.receive.put_nowait(self._raw.popleft())
        length = self.link.feed(fragment, len(fragment))
        if not length:
            return
        kind, fields = wire.parse(bytes(self.link.inbox[:length]))
        self.asked.append(kind)
        if kind == wire.HELLO:
            self._nonces = fields[1] + bytes(16)
            proof = messages.token_proof(KEYS.sync_key, self._nonces)
            self._say(self._hello or wire.message(wire.HELLO | wire.ANSWER, 2, wire.AUTH_KEY, bytes(16), proof))
        elif kind == wire.AUTH:
            assert fields == (messages.kiosk_proof(KEYS.sync_key, self._nonces),)
            to_token, to_kiosk = messages.session_keys(KEYS.sync_key, self._nonces)
            self.link.seal(Seal(to_token), Seal(to_kiosk))
            self._say(wire.message(wire.AUTH | wire.ANSWER))
        elif kind == wire.INFO:
            self._say(wire.message(wire.INFO | wire.ANSWER, *INFO))
        else:
            while self._answers:
                self._say(self._answers.popleft())


async def opened(transport):
    """A session that is open, over a transport."""
    session = kiosk_session(transport)
    await session.hello()
    await session.info()
    return session


async def pulled(*answers, limit=2048):
    session = await opened(Scripted(*answers))
    return [batch async for batch in session.pull(0, batch_records=limit)]


def sealed(seq, raw=None):
    """A record as it travels."""
    buf = bytearray(raw or record(seq))
    assert seq < SEGMENT_RECORDS
    segment_seal(KEYS.log_root).close(seq, buf, RECORD_BYTES - 4)
    return bytes(buf)


def test_another_kiosk_was_first():
    async def main():
        session = kiosk_session(Scripted(raw=[BUSY_FRAGMENT]))
        with pytest.raises(SessionRefused) as caught:
            await session.hello()
        assert caught.value.code == wire.ERROR_BUSY
        with pytest.raises(SessionBroken):  # the token hangs up
            await session.hello()

    run(main())


@pytest.mark.parametrize(
    "answer",
    [
        wire.message(wire.HELLO | wire.ANSWER, 1, wire.AUTH_KEY, bytes(16), bytes(16)),
        wire.message(wire.HELLO | wire.ANSWER, 3, wire.AUTH_KEY, bytes(16), bytes(16)),
        wire.message(wire.HELLO | wire.ANSWER, 2, 0, bytes(16), bytes(16)),
        wire.message(wire.ERROR, wire.HELLO, wire.ERROR_VERSION),
        wire.message(wire.ERROR, wire.HELLO, wire.ERROR_FORMAT),  # a token of version 1
    ],
)
def test_versions_that_differ(answer):
    async def main():
        await kiosk_session(Scripted(hello=answer)).hello()

    error = refused(main())
    assert error.code == wire.ERROR_VERSION
    assert "Update" in str(error)


def test_every_refusal_is_a_sentence():
    for code in range(256):
        sentence = str(SessionRefused(code))
        assert sentence.endswith(".")
        assert code <= wire.ERROR_CODE or str(code) in sentence


def test_a_session_goes_on_after_a_refusal():
    token = FakeToken(FakeLog([record(0)]))
    token.session.open(0)

    async def main():
        session = kiosk_session(Pipe(token))
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


# --- Who is who ------------------------------------------------------------------------------------------------

STRANGER = KioskRoot(bytes(32))


def test_a_kiosk_without_the_key_learns_the_version_and_tells_nothing():
    token, storage = FakeToken(FakeLog(record(i) for i in range(30))), FakeStorage()

    async def main():
        token.session.open(0)
        pipe = Pipe(token)
        with pytest.raises(StrangeToken):
            await synchronise(kiosk_session(pipe, STRANGER), storage, lambda: NOW_S)
        return pipe

    pipe = run(main())
    assert [from_kiosk for from_kiosk, _ in pipe.heard] == [True, False]  # HELLO and its answer
    assert SERIAL not in pipe.heard[1][1]
    assert (storage.records, token.times, token.watermark) == ({}, [], 0)


def test_a_kiosk_that_pretends_is_sent_away():
    token = FakeToken(FakeLog([record(0)]))

    async def main():
        token.session.open(0)
        pipe = Pipe(token)
        link = Fragments(wire.MESSAGE_MAX_BYTES, wire.REQUEST_MAX_BYTES)
        for data in (wire.message(wire.HELLO, 2, bytes(16)), wire.message(wire.AUTH, bytes(16))):
            for piece in wire.fragments(link, data, 64):
                await pipe.write(piece)
        assert not pipe.alive
        answers = []
        while (piece := await pipe.receive.get()) is not None:
            length = link.feed(piece, len(piece))
            answers.append(wire.parse(bytes(link.inbox[:length])))
        return answers

    answers = run(main())
    assert answers[-1] == (wire.ERROR, (wire.AUTH, wire.ERROR_KEY))


def test_a_false_token_gives_nothing_to_the_kiosk():
    class Mirror(Scripted):
        """Knows the format and not the key."""

        async def write(self, fragment):
            length = self.link.feed(fragment, len(fragment))
            self.asked.append(self.link.inbox[0] if length else None)
            self._say(wire.message(wire.HELLO | wire.ANSWER, 2, wire.AUTH_KEY, bytes(16), bytes(16)))

    async def main():
        token = Mirror()
        with pytest.raises(StrangeToken):
            await opened(token)
        return token.asked

    assert run(main()) == [wire.HELLO]  # no proof that could be carried to the true one


def test_one_opened_token_opens_no_other():
    other = b"\x02" + SERIAL[1:]
    mine, theirs = (token_keys(ROOTS, serial, bytes(32), 18_480, bytes(16)) for serial in (SERIAL, other))
    for name in ("sync_key", "log_root", "code_key", "escrow"):
        assert getattr(mine, name) != getattr(theirs, name)


def test_a_session_that_is_played_again_is_refused():
    token = FakeToken(FakeLog(record(i) for i in range(20)))
    storage = FakeStorage()
    _, pipe = run(sync_once(token, storage))
    recorded = [fragment for from_kiosk, fragment in pipe.heard if from_kiosk]
    times, verdicts = list(token.times), list(token.verdicts)

    async def main():
        token.session.open(0)
        again = Pipe(token)
        for fragment in recorded:
            if again.alive:
                await again.write(fragment)
        return again.alive

    assert not run(main())
    assert (token.times, token.verdicts) == (times, verdicts)


def test_a_log_under_other_keys_is_neither_stored_nor_acknowledged():
    strange = Roots(STRANGER, AuthorityRoot(bytes(32)))
    log = FakeLog((record(i) for i in range(40)), token_keys(strange, SERIAL, bytes(32), 0, bytes(16)).log_root)
    token, storage = FakeToken(log), FakeStorage()
    with pytest.raises(LogSealed):
        run(sync_once(token, storage))
    assert (storage.records, token.watermark) == ({}, 0)


def test_a_single_damaged_record_is_counted_and_passed():
    token, storage = FakeToken(FakeLog([DAMAGED])), FakeStorage()
    result, _ = run(sync_once(token, storage))
    assert (result.damaged, result.new_records, token.watermark) == (1, 0, 1)


def test_a_block_that_is_damaged_as_a_whole_does_not_hold_up_the_others():
    token, storage = FakeToken(FakeLog([*[DAMAGED] * 60, *(record(seq) for seq in range(60, 90))])), FakeStorage()
    result, _ = run(sync_once(token, storage))
    assert (result.damaged, result.new_records, token.watermark) == (60, 30, 90)
    assert storage.records == token.log.readable()


# --- Nonsense --------------------------------------------------------------------------------------------------

RECORD_0 = wire.records_message(0, [sealed(0)])


@pytest.mark.parametrize(
    "answers",
    [
        [wire.records_message(1, [sealed(1)])],  # a hole
        [RECORD_0, RECORD_0],
        [wire.records_message(0, [sealed(i) for i in range(5)])],  # more than asked for
        [RECORD_0[:-1]],
        [wire.message(wire.GAP, 1, 2)],
        [wire.message(wire.GAP, 0, 0)],
        [wire.message(wire.GAP, 0, 0xFFFFFFFF)],  # further than any token gets: a billion keys of segments
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
    # The counter fits again; the numbers of the sealed messages do not.
    token = FakeToken(FakeLog(record(i) for i in range(3000)))
    faults = dict.fromkeys(range(20, 148), ("drop", 0))
    storage = FakeStorage()
    with pytest.raises((SessionBroken, AnswerTimeout)):
        run(sync_once(token, storage, faults=faults))
    assert 0 < len(storage.records) < 3000
    assert storage.records.items() <= token.log.readable().items()


@pytest.mark.parametrize(
    "change",
    [
        {7: 41},  # the log ends before it begins
        {0: b"\x02" + SERIAL[1:]},  # not the token that was found
        {15: 0},  # no records in a segment
        {8: 0xFFFFFFFF, 15: 1},  # more segments than a flash has erasures
    ],
)
def test_info_that_cannot_be(change):
    class Liar(Scripted):
        def _say(self, data):
            if data[0] == wire.INFO | wire.ANSWER:
                data = wire.message(data[0], *(change.get(i, value) for i, value in enumerate(INFO)))
            super()._say(data)

    async def main():
        session = kiosk_session(Liar())
        await session.hello()
        with pytest.raises(SessionBroken):
            await session.info()
        assert not session.usable

    run(main())


def test_a_receipt_that_was_not_kept():
    async def main():
        session = await opened(Scripted(wire.message(wire.ACK | wire.ANSWER, 4)))
        with pytest.raises(SessionBroken):
            await session.acknowledge(5)
        assert not session.usable

    run(main())


def test_a_token_that_says_nothing():
    class Silent(Scripted):
        async def write(self, fragment):
            """Swallows it."""

    async def main():
        session = kiosk_session(Silent())
        with pytest.raises(AnswerTimeout):
            await session.hello()
        assert asyncio.get_running_loop().time() == pytest.approx(10, abs=0.01)
        with pytest.raises(SessionBroken):
            await session.hello()

    run(main())


def test_a_cancelled_request_ends_the_session():
    class Silent(Scripted):
        async def write(self, fragment):
            """Swallows it."""

    async def main():
        session = kiosk_session(Silent())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await session.hello()
        with pytest.raises(SessionBroken):
            await session.info()

    run(main())


def test_a_token_that_drips_holds_its_place_for_a_limited_time():
    """Every answer comes in time, and there is no end of them."""

    class Dripping(asyncio.Queue):
        async def get(self):
            await asyncio.sleep(ANSWER_LIMIT_S / 6)  # a message has a few fragments
            return await super().get()

    async def main():
        token, storage = FakeToken(FakeLog(record(number) for number in range(3000))), FakeStorage()
        token.session.open(0)
        pipe = Pipe(token)
        pipe.receive = Dripping()
        began_s = asyncio.get_running_loop().time()
        with pytest.raises(SessionTooLong, match="goes on where it was"):
            await synchronise(kiosk_session(pipe), storage, now)
        assert asyncio.get_running_loop().time() - began_s == pytest.approx(SESSION_LIMIT_S)
        pipe.cut()
        kept = len(storage.records)
        assert 0 < kept < 3000, "what has arrived is kept"
        await sync_once(token, storage)
        assert storage.records == token.log.readable()

    run(main())
