"""The token's side of a sync session, request by request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sync_bench import NONCE, NOW_S, REQUESTS, Bench, FakeLog, FakeToken, record, refusal, some

from tracing import kiosk_messages as wire
from tracing.sync import BUSY_FRAGMENT, SyncSession

HELLO = (wire.HELLO, 2, NONCE)
MINUTE_MS = 60_000

# --- Consent and time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", REQUESTS)
def test_nothing_without_the_button(request_):
    bench = Bench(some(3)).connect()
    assert bench.ask(*request_) == refusal(request_[0], wire.ERROR_NOT_IN_SYNC_MODE)
    assert bench.session.tick(bench.now_ms)
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
    kind, _ = bench.ask(*HELLO)[0]
    assert kind == (wire.HELLO | wire.ANSWER if accepted else wire.ERROR)


@pytest.mark.parametrize(("after_ms", "accepted"), [(MINUTE_MS - 1, True), (MINUTE_MS, False)])
def test_the_minute_is_for_the_proof_as_well(after_ms, accepted):
    bench = Bench()
    bench.session.open(0)
    bench.now_ms = MINUTE_MS - 1
    bench.connect().greeted()
    bench.now_ms = after_ms
    expected = (wire.AUTH | wire.ANSWER, ()) if accepted else refusal(wire.AUTH, wire.ERROR_NOT_IN_SYNC_MODE)[0]
    assert bench.authenticate() == [expected]
    assert bench.session.is_open == accepted


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
    bench.connect().greeted().authenticate()
    bench.now_ms = MINUTE_MS + 10_000
    assert not bench.session.tick(bench.now_ms)
    assert bench.session.is_open
    assert len(bench.pull(0)[0]) == 3
    bench.session.disconnected()
    assert not bench.session.is_open
    assert bench.connect().ask(*HELLO) == refusal(wire.HELLO, wire.ERROR_NOT_IN_SYNC_MODE)


def test_a_lost_link_may_come_back_within_the_minute():
    bench = Bench().opened()
    bench.session.disconnected()
    assert bench.session.is_open
    bench.now_ms += 30_000
    assert bench.connect().ask(*HELLO)[0][0] == wire.HELLO | wire.ANSWER


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
    token = FakeToken(log)
    session = SyncSession(log, token, token, consent_ms=10, auth_ms=5, idle_ms=20, session_ms=30)
    session.open(0)
    session.connected()
    assert not session.tick(0)
    assert not session.tick(4)
    assert session.tick(5)
    session.disconnected()
    assert not session.tick(9)
    assert session.tick(10)


@pytest.mark.parametrize("greeted", [False, True])
def test_a_kiosk_has_eight_seconds_to_prove_itself(greeted):
    bench = Bench().press().connect()
    if greeted:
        bench.greeted()
    assert not bench.session.tick(bench.now_ms)
    assert not bench.session.tick(bench.now_ms + 7999)
    for _ in range(3):  # asking does not help
        bench.now_ms += 2500
        bench.ask(wire.INFO)
    assert bench.session.tick(bench.now_ms + 500)
    bench.session.disconnected()
    assert bench.session.is_open  # for others
    assert bench.connect().greeted().authenticate() == [(wire.AUTH | wire.ANSWER, ())]
    assert not bench.session.tick(bench.now_ms + 8000)


def test_bye_ends_session_and_consent():
    bench = Bench().opened()
    bench.send(wire.message(wire.BYE))
    assert not bench.session.tick(bench.now_ms)  # the answer first
    assert bench.answers() == [(wire.BYE | wire.ANSWER, ())]
    assert bench.session.tick(bench.now_ms)
    assert not bench.session.is_open
    assert bench.ask(wire.INFO) == []
    bench.session.disconnected()
    assert bench.connect().ask(*HELLO) == refusal(wire.HELLO, wire.ERROR_NOT_IN_SYNC_MODE)


def test_fragments_without_a_connection_are_nothing():
    bench = Bench()
    bench.session.open(bench.now_ms)
    assert bench.ask(*HELLO) == []
    assert not bench.session.tick(bench.now_ms)


# --- Order -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", REQUESTS[1:])
def test_hello_comes_first(request_):
    bench = Bench(some(3)).press().connect()
    assert bench.ask(*request_) == refusal(request_[0], wire.ERROR_STATE)
    assert bench.token.done == []
    assert bench.ask(*HELLO)[0][0] == wire.HELLO | wire.ANSWER


@pytest.mark.parametrize("request_", [each for each in REQUESTS if each[0] != wire.AUTH])
def test_then_auth(request_):
    bench = Bench(some(3)).press().connect().greeted()
    assert bench.ask(*request_) == refusal(request_[0], wire.ERROR_STATE)
    assert bench.token.done == []
    assert bench.authenticate() == [(wire.AUTH | wire.ANSWER, ())]


@pytest.mark.parametrize("request_", [HELLO, (wire.AUTH, bytes(16))])
def test_once(request_):
    assert Bench().opened().ask(*request_) == refusal(request_[0], wire.ERROR_STATE)


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("rest", [b"", bytes(1), bytes(16), bytes(40)])
def test_an_older_kiosk_is_told(version, rest):
    bench = Bench().press().connect()
    bench.send(bytes([wire.HELLO, version]) + rest)
    assert bench.answers() == refusal(wire.HELLO, wire.ERROR_VERSION)
    assert not bench.session.broken
    assert bench.greeted()


def test_a_newer_kiosk_gets_this_version():
    bench = Bench().press().connect()
    ((kind, fields),) = bench.ask(wire.HELLO, 9, NONCE)
    assert (kind, fields[0]) == (wire.HELLO | wire.ANSWER, wire.PROTOCOL_VERSION)


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


def test_time_is_set_once_in_a_session():
    bench = Bench().opened()
    assert bench.ask(wire.TIME, 0, 0) == refusal(wire.TIME, wire.ERROR_RANGE)
    assert bench.ask(wire.TIME, NOW_S, 0)[0][0] == wire.TIME | wire.ANSWER
    assert bench.ask(wire.TIME, NOW_S + 5, 0) == refusal(wire.TIME, wire.ERROR_STATE)
    assert bench.token.done == [("time", NOW_S, 0)]


@pytest.mark.parametrize(
    ("unix_s", "ms"),
    [
        (0, 0), (1_577_836_799, 0), (4_102_444_800, 0), (0xFFFFFFFF, 0), (NOW_S, 1000), (NOW_S, 65535),
    ],
)  # fmt: skip
def test_times_that_cannot_be(unix_s, ms):
    bench = Bench().opened()
    assert bench.ask(wire.TIME, unix_s, ms) == refusal(wire.TIME, wire.ERROR_RANGE)
    assert bench.token.done == []


def test_correction_is_clamped():
    bench = Bench().opened()
    bench.token.set_time = lambda unix_s, ms: 2**31
    assert bench.ask(wire.TIME, NOW_S, 0) == [(wire.TIME | wire.ANSWER, (2**31 - 1,))]


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


UNREADABLE = [
    (b"\x00", 0),
    (b"\x0b", 11),
    (b"\x82", 0x82),
    (b"\xff", 0xFF),
    (b"\x02\x00", wire.INFO),
    (b"\x04\x00\x00\x00\x00", wire.PULL),
    (b"\x01\x02" + bytes(15), wire.HELLO),
]


@pytest.mark.parametrize("ready", [False, True])
@pytest.mark.parametrize(("data", "kind"), UNREADABLE)
def test_unreadable_requests_end_the_session(data, kind, ready):
    bench = Bench(some(3))
    bench = bench.opened() if ready else bench.press().connect()
    bench.send(data)
    assert bench.session.broken
    assert not bench.session.tick(bench.now_ms)
    assert bench.answers() == refusal(kind, wire.ERROR_FORMAT)
    assert bench.session.tick(bench.now_ms)
    assert bench.ask(wire.INFO) == []


@pytest.mark.parametrize("ready", [False, True])
def test_a_request_that_is_too_long_is_answered_in_the_clear_only(ready):
    bench = Bench(some(3))
    bench = bench.opened() if ready else bench.press().connect()
    bench.send(b"\x02" * 100)
    assert bench.session.broken
    assert bench.answers() == ([] if ready else refusal(0, wire.ERROR_FORMAT))
    assert bench.session.tick(bench.now_ms)


@given(st.lists(st.binary(max_size=70), max_size=8), st.booleans())
def test_no_fragment_is_fatal_or_obeyed(pieces, greeted):
    bench = Bench(some(3)).press().connect()
    if greeted:
        bench.greeted()
    for piece in pieces:
        bench.write(piece)
        bench.heard()
    assert bench.token.done == []


def test_a_request_into_the_stream_ends_it_after_the_message():
    bench = Bench(some(200)).opened()
    bench.send(wire.message(wire.PULL, 0, 0))
    assert bench.answers(limit=1) == []
    bench.send(wire.message(wire.ACK, 0))
    assert bench.session.broken
    assert bench.answers() == [
        (wire.RECORDS, (0, some(16))),
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


@pytest.mark.parametrize("oldest_seq", [10, 16, 50, 100, 120])
def test_records_dropped_meanwhile_become_a_gap(oldest_seq):
    bench = Bench(some(100)).opened()
    bench.send(wire.message(wire.PULL, 0, 0))
    heard = bench.answers(limit=2)
    bench.log.records += some(50)
    bench.log.oldest_seq = oldest_seq
    heard += bench.answers()
    got = [fields[0] + i for kind, fields in heard if kind == wire.RECORDS for i in range(len(fields[1]))]
    assert got == [*range(16), *range(max(16, oldest_seq), 100)]
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
    assert bench.ask(wire.ACK, 33) == refusal(wire.ACK, wire.ERROR_RANGE)
    assert bench.ask(wire.ACK, 32) == [(wire.ACK | wire.ANSWER, (32,))]


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
