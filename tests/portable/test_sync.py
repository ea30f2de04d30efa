"""The token's side of a sync session, request by request."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracing import kiosk_messages as wire
from tracing.messages import Fragments
from tracing.records import RECORD_BYTES
from tracing.sync import BUSY_FRAGMENT, SyncSession

ROOT = Path(__file__).parents[2]
NOW_S = 1_596_873_600
MINUTE_MS = 60_000


class FakeLog:
    """Records in a list; None stands for a damaged one."""

    def __init__(self, records):
        self.records = list(records)
        self.oldest_seq = 0

    @property
    def next_seq(self):
        return len(self.records)

    def read(self, seq, buf, at=0):
        record = self.records[seq] if self.oldest_seq <= seq < self.next_seq else None
        if record is not None:
            buf[at : at + RECORD_BYTES] = record
        return record is not None


class FakeToken:
    """What the session asks of the token, and what it was told to do."""

    def __init__(self, log, watermark=0):
        self.log = log
        self.watermark = watermark
        self.done = []

    def info(self):
        log = self.log
        return (b"serial..", b"\x00\x01\x00", 3, 3000, 1, NOW_S, 60, log.oldest_seq, log.next_seq, self.watermark,
                0, 1000, 0, 0, 30000)  # fmt: skip

    def set_time(self, unix_s, ms):
        self.done.append(("time", unix_s, ms))
        return unix_s - NOW_S

    def set_watermark(self, seq):
        self.watermark = seq
        self.done.append(("watermark", seq))

    def show_verdict(self, code):
        self.done.append(("verdict", code))


class Bench:
    """A session with a token, and the raw requests of a kiosk."""

    def __init__(self, records=(), watermark=0, size=244):
        self.log = FakeLog(records)
        self.token = FakeToken(self.log, watermark)
        self.session = SyncSession(self.log, self.token)
        self.size = size
        self.now_ms = 1000
        self.link = Fragments(wire.MESSAGE_MAX_BYTES, 2 * wire.REQUEST_MAX_BYTES)

    def connect(self):
        self.session.connected()
        self.link.reset()
        return self

    def opened(self):
        """After the button and HELLO."""
        self.session.open(self.now_ms)
        self.connect()
        assert self.ask(wire.HELLO, 1) == [(wire.HELLO | wire.ANSWER, (1, wire.AUTH_NONE))]
        return self

    def send(self, data):
        for piece in wire.fragments(self.link, data, self.size):
            self.session.feed(piece, len(piece), self.now_ms)

    def answers(self, limit=1_000_000):
        """What the token has to say, `limit` fragments of it: parsed messages, (RECORDS, (first, records))."""
        buf = bytearray(self.size)
        heard = []
        while limit and (length := self.session.next_fragment(buf, self.size)):
            again = bytearray(self.size)
            assert self.session.next_fragment(again, self.size) == length  # the radio had no room: the same again
            assert again[:length] == buf[:length]
            self.session.sent(length)
            limit -= 1
            whole = self.link.feed(buf, length)
            if whole:
                data = bytes(self.link.inbox[:whole])
                records = data[0] == wire.RECORDS
                heard.append((wire.RECORDS, wire.parse_records(data)) if records else wire.parse(data))
        return heard

    def ask(self, kind, *fields):
        self.send(wire.message(kind, *fields))
        return self.answers()

    def pull(self, first_seq, count=0):
        """({sequence number: record}, gaps, fields of the PULL answer)."""
        heard = self.ask(wire.PULL, first_seq, count)
        records = {
            fields[0] + i: record
            for kind, fields in heard
            if kind == wire.RECORDS
            for i, record in enumerate(fields[1])
        }
        gaps = [fields for kind, fields in heard if kind == wire.GAP]
        assert heard[-1][0] == wire.PULL | wire.ANSWER
        return records, gaps, heard[-1][1]


def record(number):
    return number.to_bytes(RECORD_BYTES, "little")


def some(count):
    return [record(i) for i in range(count)]


def refusal(kind, code):
    return [(wire.ERROR, (kind, code))]


REQUESTS = [
    (wire.HELLO, 1),
    (wire.INFO,),
    (wire.TIME, NOW_S, 0),
    (wire.PULL, 0, 0),
    (wire.ACK, 0),
    (wire.VERDICT, wire.VERDICT_SAFE),
    (wire.BYE,),
]

# --- Consent and time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", REQUESTS)
def test_nothing_without_the_button(request_):
    bench = Bench(some(3)).connect()
    assert bench.ask(*request_) == refusal(request_[0], wire.ERROR_NOT_IN_SYNC_MODE)
    assert bench.token.done == []
    assert not bench.session.is_open


@pytest.mark.parametrize("start_ms", [0, 1000, 2**29 - 30_000, 2**30 - 30_000, 2**40])
@pytest.mark.parametrize(("after_ms", "accepted"), [(0, True), (MINUTE_MS - 1, True), (MINUTE_MS, False)])
@pytest.mark.parametrize("wrap", [2**29, 2**30, 2**62])
def test_consent_lasts_a_minute(start_ms, after_ms, accepted, wrap):
    bench = Bench()
    bench.session.open(start_ms % wrap)
    bench.connect()
    bench.now_ms = (start_ms + after_ms) % wrap
    kind, _ = bench.ask(wire.HELLO, 1)[0]
    assert kind == (wire.HELLO | wire.ANSWER if accepted else wire.ERROR)


def test_the_button_again_begins_the_minute_anew():
    bench = Bench()
    bench.session.open(0)
    bench.session.open(50_000)
    assert not bench.session.tick(109_999)
    assert bench.session.tick(110_000)


def test_sync_mode_ends_once():
    session = Bench().session
    assert not session.is_open
    session.open(0)
    assert session.is_open
    assert not session.tick(MINUTE_MS - 1)
    assert session.tick(MINUTE_MS)
    assert not session.is_open
    assert not session.tick(MINUTE_MS + 1)


def test_a_session_may_go_on_after_the_minute():
    bench = Bench(some(3))
    bench.session.open(0)
    bench.now_ms = MINUTE_MS - 1
    bench.connect()
    bench.ask(wire.HELLO, 1)
    bench.now_ms = MINUTE_MS + 10_000
    assert not bench.session.tick(bench.now_ms)
    assert bench.session.is_open
    assert len(bench.pull(0)[0]) == 3
    bench.session.disconnected()
    assert not bench.session.is_open
    assert bench.connect().ask(wire.HELLO, 1) == refusal(wire.HELLO, wire.ERROR_NOT_IN_SYNC_MODE)


def test_a_lost_link_may_come_back_within_the_minute():
    bench = Bench().opened()
    bench.session.disconnected()
    assert bench.session.is_open
    bench.now_ms += 30_000
    assert bench.connect().ask(wire.HELLO, 1)[0][0] == wire.HELLO | wire.ANSWER


def test_a_silent_kiosk_is_sent_away():
    bench = Bench().opened()
    assert not bench.session.tick(bench.now_ms)
    assert not bench.session.tick(bench.now_ms + 19_999)
    assert bench.session.tick(bench.now_ms + 20_000)
    bench.now_ms += 15_000
    bench.ask(wire.INFO)
    assert not bench.session.tick(bench.now_ms)
    assert not bench.session.tick(bench.now_ms + 19_999)
    assert bench.session.tick(bench.now_ms + 20_000)


def test_a_slow_pull_is_no_silence_and_a_stuck_one_is():
    bench = Bench(some(100)).opened()
    bench.send(wire.message(wire.PULL, 0, 0))
    for _ in range(5):
        bench.now_ms += 15_000
        assert len(bench.answers(limit=2)) == 1
        assert not bench.session.tick(bench.now_ms)
    assert bench.session.tick(bench.now_ms + 20_000)


def test_five_minutes_at_most():
    bench = Bench().opened()
    begin_ms = bench.now_ms
    while bench.now_ms < begin_ms + 290_000:
        bench.now_ms += 10_000
        bench.ask(wire.INFO)
    assert not bench.session.tick(begin_ms + 299_999)
    assert bench.session.tick(begin_ms + 300_000)


def test_limits_are_parameters():
    log = FakeLog([])
    session = SyncSession(log, FakeToken(log), consent_ms=10, idle_ms=20, session_ms=30)
    session.open(0)
    assert not session.tick(9)
    assert session.tick(10)


def test_bye_ends_session_and_consent():
    bench = Bench().opened()
    bench.send(wire.message(wire.BYE))
    assert not bench.session.tick(bench.now_ms)  # the answer first
    assert bench.answers() == [(wire.BYE | wire.ANSWER, ())]
    assert bench.session.tick(bench.now_ms)
    assert not bench.session.is_open
    assert bench.ask(wire.INFO) == []
    bench.session.disconnected()
    assert bench.connect().ask(wire.HELLO, 1) == refusal(wire.HELLO, wire.ERROR_NOT_IN_SYNC_MODE)


def test_fragments_without_a_connection_are_nothing():
    bench = Bench()
    bench.session.open(bench.now_ms)
    assert bench.ask(wire.HELLO, 1) == []
    assert not bench.session.tick(bench.now_ms)


# --- Order -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", REQUESTS[1:])
def test_hello_comes_first(request_):
    bench = Bench(some(3))
    bench.session.open(bench.now_ms)
    bench.connect()
    assert bench.ask(*request_) == refusal(request_[0], wire.ERROR_STATE)
    assert bench.token.done == []
    assert bench.ask(wire.HELLO, 1)[0][0] == wire.HELLO | wire.ANSWER


def test_hello_comes_once():
    assert Bench().opened().ask(wire.HELLO, 1) == refusal(wire.HELLO, wire.ERROR_STATE)


def test_versions():
    bench = Bench()
    bench.session.open(bench.now_ms)
    bench.connect()
    assert bench.ask(wire.HELLO, 0) == refusal(wire.HELLO, wire.ERROR_VERSION)
    assert bench.ask(wire.HELLO, 9) == [(wire.HELLO | wire.ANSWER, (wire.PROTOCOL_VERSION, wire.AUTH_NONE))]


def test_info():
    bench = Bench(some(3), watermark=2).opened()
    assert bench.ask(wire.INFO) == [(wire.INFO | wire.ANSWER, bench.token.info())]


def test_time_comes_before_the_pull():
    bench = Bench(some(3)).opened()
    assert bench.ask(wire.TIME, NOW_S + 5, 999) == [(wire.TIME | wire.ANSWER, (5,))]
    bench.pull(0)
    assert bench.ask(wire.TIME, NOW_S + 6, 0) == refusal(wire.TIME, wire.ERROR_STATE)
    assert bench.token.done == [("time", NOW_S + 5, 999)]
    bench.session.disconnected()
    bench.opened()
    assert bench.ask(wire.TIME, NOW_S + 6, 0) == [(wire.TIME | wire.ANSWER, (6,))]


@pytest.mark.parametrize(("unix_s", "ms"), [(0, 0), (1_577_836_799, 0), (NOW_S, 1000), (NOW_S, 65535)])
def test_times_that_cannot_be(unix_s, ms):
    bench = Bench().opened()
    assert bench.ask(wire.TIME, unix_s, ms) == refusal(wire.TIME, wire.ERROR_RANGE)
    assert bench.token.done == []


def test_correction_is_clamped():
    bench = Bench().opened()
    bench.token.set_time = lambda unix_s, ms: 2**31
    assert bench.ask(wire.TIME, 2**32 - 1, 0) == [(wire.TIME | wire.ANSWER, (2**31 - 1,))]


@pytest.mark.parametrize("code", [wire.VERDICT_SAFE, wire.VERDICT_EXPOSED, wire.VERDICT_CLERK])
def test_verdict(code):
    bench = Bench().opened()
    assert bench.ask(wire.VERDICT, code) == [(wire.VERDICT | wire.ANSWER, ())]
    assert bench.token.done == [("verdict", code)]


@pytest.mark.parametrize("code", [0, 4, 255])
def test_verdicts_that_cannot_be(code):
    bench = Bench().opened()
    assert bench.ask(wire.VERDICT, code) == refusal(wire.VERDICT, wire.ERROR_RANGE)
    assert bench.token.done == []


def test_the_other_kiosk_is_told():
    pieces = list(wire.fragments(Bench().link, wire.message(wire.ERROR, wire.HELLO, wire.ERROR_BUSY), 20))
    assert pieces == [BUSY_FRAGMENT]


# --- Malformed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x00", 0),
        (b"\x02" * 100, 0),
        (b"\x08", 8),
        (b"\x82", 0x82),
        (b"\xff", 0xFF),
        (b"\x02\x00", wire.INFO),
        (b"\x04\x00\x00\x00\x00", wire.PULL),
    ],
)
def test_unreadable_requests_end_the_session(data, kind):
    bench = Bench(some(3)).opened()
    bench.send(data)
    too_long = len(data) > wire.REQUEST_MAX_BYTES
    assert bench.session.broken
    assert not bench.session.tick(bench.now_ms)
    assert bench.answers() == refusal(0 if too_long else kind, wire.ERROR_FORMAT)
    assert bench.session.tick(bench.now_ms)
    assert bench.ask(wire.INFO) == []


@given(st.lists(st.binary(max_size=70), max_size=8))
def test_no_fragment_is_fatal_or_obeyed(pieces):
    bench = Bench(some(3))
    bench.session.open(bench.now_ms)
    bench.connect()
    for piece in pieces:
        bench.session.feed(piece, len(piece), bench.now_ms)
        bench.answers()
    assert bench.token.done == []


def test_a_request_into_the_stream_ends_it_after_the_message():
    bench = Bench(some(200)).opened()
    bench.send(wire.message(wire.PULL, 0, 0))
    assert bench.answers(limit=1) == []
    bench.send(wire.message(wire.ACK, 0))
    assert bench.session.broken
    assert bench.answers() == [
        (wire.RECORDS, (0, some(17))),
        (wire.ERROR, (wire.ACK, wire.ERROR_FORMAT)),
    ]
    assert bench.session.tick(bench.now_ms)
    assert bench.token.done == []


# --- Pull and acknowledge --------------------------------------------------------------------------------------


@given(
    st.lists(st.booleans(), max_size=80),
    st.integers(2, 514),
    st.integers(0, 90),
    st.integers(0, 40),
    st.integers(0, 90),
)
def test_pull_gives_exactly_what_is_there(sound, size, first_seq, count, oldest_seq):
    bench = Bench([record(i) if good else None for i, good in enumerate(sound)], size=size)
    bench.log.oldest_seq = oldest_seq = min(oldest_seq, len(sound))
    bench.opened()
    if first_seq > len(sound):
        assert bench.ask(wire.PULL, first_seq, count) == refusal(wire.PULL, wire.ERROR_RANGE)
        return
    start_seq = max(first_seq, oldest_seq)
    end_seq = min(len(sound), start_seq + count) if count else len(sound)
    records, gaps, answer = bench.pull(first_seq, count)
    assert records == {seq: record(seq) for seq in range(start_seq, end_seq) if sound[seq]}
    assert answer == (end_seq, len(records), oldest_seq)
    missing = [seq for begin, after in gaps for seq in range(begin, after)]
    assert sorted([*missing, *records]) == list(range(first_seq, end_seq))


def test_a_long_gap_comes_in_steps():
    bench = Bench([None] * 600 + some(1)).opened()
    assert bench.pull(0) == ({600: record(0)}, [(0, 256), (256, 512), (512, 600)], (601, 1, 0))


def test_a_log_that_begins_late_says_so_at_once():
    bench = Bench([None] * 5000 + some(1))
    bench.log.oldest_seq = 5000
    bench.opened()
    assert bench.pull(0) == ({5000: record(0)}, [(0, 5000)], (5001, 1, 5000))


def test_records_appended_meanwhile_wait_for_the_next_pull():
    bench = Bench(some(40)).opened()
    bench.send(wire.message(wire.PULL, 0, 0))
    heard = bench.answers(limit=1)
    bench.log.records.append(record(40))
    heard += bench.answers()
    assert heard[-1] == (wire.PULL | wire.ANSWER, (40, 40, 0))
    assert bench.pull(40)[0] == {40: record(40)}


@pytest.mark.parametrize("oldest_seq", [10, 17, 50, 100, 120])
def test_records_dropped_meanwhile_become_a_gap(oldest_seq):
    bench = Bench(some(100)).opened()
    bench.send(wire.message(wire.PULL, 0, 0))
    heard = bench.answers(limit=2)
    bench.log.records += some(50)
    bench.log.oldest_seq = oldest_seq
    heard += bench.answers()
    got = [fields[0] + i for kind, fields in heard if kind == wire.RECORDS for i in range(len(fields[1]))]
    assert got == [*range(17), *range(max(17, oldest_seq), 100)]
    assert heard[-1] == (wire.PULL | wire.ANSWER, (100, len(got), oldest_seq))


def test_nothing_is_believed_received_that_was_not_sent():
    bench = Bench(some(100)).opened()
    assert bench.ask(wire.ACK, 0) == [(wire.ACK | wire.ANSWER, (0,))]
    assert bench.ask(wire.ACK, 1) == refusal(wire.ACK, wire.ERROR_RANGE)
    bench.pull(0, 30)
    assert bench.ask(wire.ACK, 31) == refusal(wire.ACK, wire.ERROR_RANGE)
    assert bench.ask(wire.ACK, 30) == [(wire.ACK | wire.ANSWER, (30,))]
    assert bench.ask(wire.ACK, 20) == [(wire.ACK | wire.ANSWER, (30,))]
    assert bench.token.watermark == 30
    bench.pull(50)  # leaves 30…49 out
    assert bench.ask(wire.ACK, 100) == refusal(wire.ACK, wire.ERROR_RANGE)
    bench.pull(20)
    assert bench.ask(wire.ACK, 101) == refusal(wire.ACK, wire.ERROR_RANGE)
    assert bench.ask(wire.ACK, 100) == [(wire.ACK | wire.ANSWER, (100,))]


def test_a_cut_stream_counts_as_far_as_it_went():
    bench = Bench(some(100)).opened()
    bench.send(wire.message(wire.PULL, 0, 0))
    bench.answers(limit=5)  # two whole messages and a half
    bench.session.disconnected()
    bench.opened()
    assert bench.ask(wire.ACK, 35) == refusal(wire.ACK, wire.ERROR_RANGE)
    assert bench.ask(wire.ACK, 34) == [(wire.ACK | wire.ANSWER, (34,))]


def test_after_a_restart_the_watermark_counts():
    bench = Bench(some(100), watermark=60).opened()
    assert bench.ask(wire.ACK, 61) == refusal(wire.ACK, wire.ERROR_RANGE)
    assert bench.ask(wire.ACK, 50) == [(wire.ACK | wire.ANSWER, (60,))]
    bench.pull(60)
    assert bench.ask(wire.ACK, 100) == [(wire.ACK | wire.ANSWER, (100,))]


def test_dropped_records_do_not_hold_the_receipt_back():
    bench = Bench(some(100))
    bench.log.oldest_seq = 70
    bench.opened()
    bench.pull(70)
    assert bench.ask(wire.ACK, 100) == [(wire.ACK | wire.ANSWER, (100,))]


# --- On the token's own interpreter ----------------------------------------------------------------------------

# The fragments of a session with every request, a damaged record, and a fragment out of order at the end.
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from tracing.sync import SyncSession
from tracing.messages import Fragments

class Log:
    oldest_seq = 0
    next_seq = 40
    def read(self, seq, buf, at):
        for i in range(28):
            buf[at + i] = seq
        return seq != 20

class Token:
    def info(self):
        return (b"serial..", b"\\x00\\x01\\x00", 3, 3000, 1, 1596873600, 60, 0, 40, 0, 0, 1000, 0, 0, 30000)
    def set_time(self, unix_s, ms):
        return 2
    def set_watermark(self, seq):
        pass
    def show_verdict(self, code):
        pass

session = SyncSession(Log(), Token())
session.open(0)
session.connected()
link = Fragments(500, 64)
out = bytearray(64)
for line in sys.argv[2].split(","):
    request = bytes(int(line[i : i + 2], 16) for i in range(0, len(line), 2))
    link.outbox[: len(request)] = request
    link.start(len(request))
    length = link.fragment(out, 64)
    link.advance(length)
    session.feed(out, length, 5)
    while True:
        length = session.next_fragment(out, 61)
        if not length:
            break
        print("".join("%02x" % byte for byte in out[:length]))
        session.sent(length)
session.connected()
session.feed(b"\\x05", 1, 6)
print(session.broken, session.next_fragment(out, 61), session.tick(7))
"""


@pytest.mark.vm
def test_the_vm_says_the_same():
    requests = [(*REQUESTS[0],), *REQUESTS[1:4], (wire.ACK, 40), *REQUESTS[5:]]
    script = ",".join(wire.message(*request).hex() for request in requests)
    arguments = ["-c", SCRIPT, str(ROOT / "firmware"), script]
    said = [
        subprocess.run([*command, *arguments], capture_output=True, text=True, check=True, timeout=60).stdout
        for command in ([sys.executable], [str(Path(sys.executable).parent / "micropython"), "-X", "heapsize=64k"])
    ]
    assert said[0] == said[1]
    assert len(said[0].splitlines()) > 25
