"""Who may speak in a sync session: proofs, seals and the authority's code, against strangers and on damaged links."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sync_bench import CODE_KEY, NONCE, NOW_S, REQUESTS, SYNC_KEY, Bench, FakeToken, received, refusal, some
from two_pythons import both_pythons

from tracing import kiosk_messages as wire
from tracing import messages
from tracing.errors import FormatError
from tracing.messages import Fragments
from tracing.sealing import Seal

# What an authenticated kiosk may ask, in an order that is allowed.
CONVERSATION = [
    (wire.INFO,),
    (wire.TIME, NOW_S + 5, 250),
    (wire.PULL, 0, 0),
    (wire.ACK, 20),
    (wire.CHALLENGE,),
    (wire.VERDICT, wire.VERDICT_EXPOSED),
    (wire.BYE,),
]


def code_for(challenge: bytes) -> bytes:
    return messages.release_code(CODE_KEY, challenge)


# --- Proofs ----------------------------------------------------------------------------------------------------


@given(st.binary(min_size=16, max_size=16))
def test_without_the_key_the_token_hangs_up_and_the_minute_goes_on(proof):
    bench = Bench(some(3)).press().connect().greeted()
    bench.send(wire.message(wire.AUTH, proof))
    assert not bench.session.tick(bench.now_ms)  # the answer first
    assert bench.answers() == refusal(wire.AUTH, wire.ERROR_KEY)
    assert bench.session.tick(bench.now_ms)
    assert bench.ask(wire.INFO) == []
    bench.session.disconnected()
    assert bench.session.is_open
    assert bench.token.done == []
    assert bench.connect().greeted().authenticate() == [(wire.AUTH | wire.ANSWER, ())]


def test_the_tokens_own_proof_does_not_open_it():
    bench = Bench().press().connect()
    ((_, (_, _, _, proof)),) = bench.ask(wire.HELLO, 2, NONCE)
    assert bench.ask(wire.AUTH, proof) == refusal(wire.AUTH, wire.ERROR_KEY)


def test_each_proof_is_for_one_connection():
    bench = Bench().press().connect().greeted()
    proof = messages.kiosk_proof(SYNC_KEY, bench.nonces)
    bench.connect().greeted()
    assert bench.ask(wire.AUTH, proof) == refusal(wire.AUTH, wire.ERROR_KEY)


def test_a_recorded_session_opens_nothing():
    bench = Bench(some(20)).press().connect()
    recorded = bench.fragments(wire.message(wire.HELLO, 2, NONCE))
    bench.write(*recorded)
    ((_, (_, _, nonce, _)),) = bench.answers()
    bench.nonces = NONCE + nonce
    recorded += bench.fragments(wire.message(wire.AUTH, messages.kiosk_proof(SYNC_KEY, bench.nonces)))
    bench.write(recorded[-1])
    bench.link.seal(*wire.kiosk_seals(SYNC_KEY, bench.nonces))
    bench.answers()
    for request in CONVERSATION[:-1]:
        pieces = bench.fragments(wire.message(*request))
        bench.write(*pieces)
        bench.answers()
        recorded += pieces
    assert len(bench.token.done) == 3
    bench.press().connect()
    for piece in recorded:
        bench.write(piece)
        bench.heard()
    assert len(bench.token.done) == 3


@given(
    st.lists(st.sampled_from([*REQUESTS, (wire.HELLO, 0, NONCE), None]), max_size=6),
    st.binary(min_size=8, max_size=8),
    st.integers(0, 40),
    st.integers(0, 40),
    st.booleans(),
)
def test_a_stranger_learns_nothing_of_the_token(asked, serial, records, watermark, pressed):
    """What it says does not depend on who it is, whom it met or where it has been."""
    said = []
    for bench in (Bench(), Bench(some(records), watermark)):
        if len(said):
            bench.token.serial = serial
            bench.token.escrow = serial * 8
            bench.token.first_day = records
            bench.token.code_key = serial * 4
        if pressed:
            bench.press()
        bench.connect()
        pieces = []
        for request in asked:
            bench.send(wire.message(*request) if request else b"\x63")
            pieces += bench.heard()
        said.append(pieces)
    assert said[0] == said[1]


# --- Seals -----------------------------------------------------------------------------------------------------


def up_to(count):
    """A session in which `count` requests of the conversation have been answered, and the next one's fragments."""
    bench = Bench(some(20), size=30).opened()
    for request in CONVERSATION[:count]:
        bench.ask(*request)
    return bench, bench.fragments(wire.message(*CONVERSATION[count]))


@pytest.mark.parametrize("count", range(len(CONVERSATION)), ids=lambda count: f"request{CONVERSATION[count][0]}")
def test_no_flipped_bit_is_obeyed_or_answered(count):
    _, pieces = up_to(count)
    for at, bit in itertools.product(range(len(pieces)), range(8 * 30)):
        if bit >= 8 * len(pieces[at]):
            continue
        bench, damaged = up_to(count)
        done = list(bench.token.done)
        flipped = bytearray(damaged[at])
        flipped[bit // 8] ^= 1 << bit % 8
        damaged[at] = bytes(flipped)
        bench.write(*damaged)
        assert bench.heard() == []
        assert bench.token.done == done
        assert bench.session.tick(bench.now_ms) == bench.session.broken
        bench.write(*bench.fragments(wire.message(wire.VERDICT, 1)))
        assert bench.token.done == done


@pytest.mark.parametrize("count", range(len(CONVERSATION)), ids=lambda count: f"request{CONVERSATION[count][0]}")
def test_no_flipped_bit_of_an_answer_is_believed(count):
    bench, pieces = up_to(count)
    bench.write(*pieces)
    said = bench.heard()
    # Any number of bits is alike to an HMAC: every bit of the first and last fragments, and one in 29 of the others.
    for at, piece in enumerate(said):
        for bit in range(0, 8 * len(piece), 1 if at in (0, len(said) - 1) else 29):
            kiosk = Fragments(wire.MESSAGE_MAX_BYTES, wire.REQUEST_MAX_BYTES)
            kiosk.seal(*wire.kiosk_seals(SYNC_KEY, bench.nonces))
            kiosk._in_next, kiosk._opened = said[0][0] & 0x7F, count + 1
            believed = b""
            whole = []
            try:
                for number, each in enumerate(said):
                    flipped = bytearray(each)
                    if number == at:
                        flipped[bit // 8] ^= 1 << bit % 8
                    believed = received(kiosk, bytes(flipped))
                    if number >= at and believed:
                        whole.append(believed)
            except FormatError:
                pass
            assert whole == []


def test_it_hangs_up_without_a_word_even_in_a_stream():
    bench = Bench(some(200)).opened()
    bench.send(wire.message(wire.PULL, 0, 0))
    bench.heard(limit=3)  # a message and a half
    piece = bytearray(bench.fragments(wire.message(wire.BYE))[0])
    piece[-1] ^= 1
    bench.write(bytes(piece))
    assert bench.session.broken
    assert bench.heard() == []
    assert bench.session.tick(bench.now_ms)


def with_counter(piece: bytes, counter: int) -> bytes:
    return bytes([piece[0] & 0x80 | counter & 0x7F]) + piece[1:]


@pytest.mark.parametrize("order", [(0, 0), (1, 0), (1, 1), (0, 2), (2,)])
def test_replay_reordering_and_omission_are_refused_whatever_the_fragments_counters_say(order):
    bench = Bench(some(3)).opened()
    pieces = [bench.fragments(wire.message(wire.VERDICT, code))[0] for code in (1, 2, 3)]
    begin = pieces[0][0]
    for place, number in enumerate(order):
        bench.write(with_counter(pieces[number], begin + place))
        alive = place == number and not bench.session.broken
        assert bool(bench.heard()) == alive
    in_order = [("verdict", 1)] if order[0] == 0 else []
    assert bench.token.done == in_order
    assert bench.session.broken


def test_requests_in_the_clear_are_not_for_a_sealed_session():
    bench = Bench(some(3)).opened()
    stranger = Fragments(64, 64)
    stranger._out_next = bench.link._out_next
    bench.write(*wire.fragments(stranger, wire.message(wire.VERDICT, 1), 244))
    assert (bench.session.broken, bench.heard(), bench.token.done) == (True, [], [])


def test_the_next_connection_begins_in_the_clear_and_with_other_keys():
    bench = Bench(some(3)).opened()
    first = bench.link._closing
    bench.opened()
    pieces = bench.fragments(wire.message(wire.INFO))
    assert bench.link._closing is not first
    again = bytearray(64)
    again[0] = wire.INFO
    assert bytes(again[: first.close(0, again, 1)]) != pieces[0][1:]


def test_of_two_tokens_one_session_is_not_the_others():
    """The sync key of one does not open the other."""
    bench = Bench(some(3)).press().connect().greeted()
    bench.send(wire.message(wire.AUTH, messages.kiosk_proof(bytes(32), bench.nonces)))
    assert bench.answers() == refusal(wire.AUTH, wire.ERROR_KEY)


# --- The health authority's code -------------------------------------------------------------------------------


def challenge_of(bench):
    ((kind, (challenge,)),) = bench.ask(wire.CHALLENGE)
    assert kind == wire.CHALLENGE | wire.ANSWER
    return challenge


RELEASED = [(wire.RELEASE | wire.ANSWER, (FakeToken.first_day, FakeToken.escrow))]
WRONG = refusal(wire.RELEASE, wire.ERROR_CODE)


def test_release():
    bench = Bench().opened()
    challenge = challenge_of(bench)
    assert challenge_of(bench) == challenge
    assert bench.ask(wire.RELEASE, code_for(challenge)) == RELEASED
    # Once.
    assert bench.ask(wire.RELEASE, code_for(challenge)) == refusal(wire.RELEASE, wire.ERROR_STATE)
    assert bench.ask(wire.CHALLENGE) == refusal(wire.CHALLENGE, wire.ERROR_STATE)
    assert bench.ask(wire.INFO)[0][0] == wire.INFO | wire.ANSWER


def test_no_release_without_a_challenge():
    assert Bench().opened().ask(wire.RELEASE, code_for(b"")) == refusal(wire.RELEASE, wire.ERROR_STATE)


@pytest.mark.parametrize("wrong", [0, 1, 2, 3])
def test_three_tries(wrong):
    bench = Bench().opened()
    right = code_for(challenge_of(bench))
    for number in range(wrong):
        assert bench.ask(wire.RELEASE, b"2222222%d" % (number + 2)) == WRONG
        assert bench.session.tick(bench.now_ms) == (number == 2)
    assert bench.ask(wire.RELEASE, right) == (RELEASED if wrong < 3 else [])


def test_tries_are_for_a_press_not_for_a_connection():
    bench = Bench().opened()
    for number in range(3):
        challenge_of(bench)
        assert bench.ask(wire.RELEASE, b"22222222") == WRONG
        assert bench.session.tick(bench.now_ms) == (number == 2)
        bench.connect().greeted().authenticate()
    assert bench.ask(wire.RELEASE, code_for(challenge_of(bench))) == WRONG  # too late
    assert bench.session.tick(bench.now_ms)
    bench.opened()  # with another press
    assert bench.ask(wire.RELEASE, code_for(challenge_of(bench))) == RELEASED


def test_a_code_is_for_one_session():
    bench = Bench().opened()
    code = code_for(challenge_of(bench))
    bench.opened()
    assert code_for(challenge_of(bench)) != code
    assert bench.ask(wire.RELEASE, code) == WRONG


@given(st.binary(min_size=5, max_size=5))
def test_codes_are_spelled_in_the_letters_of_labels(challenge):
    code = code_for(challenge).decode()
    assert len(code) == 8
    assert set(code) <= set("23456789ABCDEFGHJKLMNPQRSTUVWXYZ")


# --- On the token's own interpreter ----------------------------------------------------------------------------


def check_session(size):
    from struct import unpack_from

    from tracing import messages
    from tracing.errors import FormatError
    from tracing.sealing import Seal
    from tracing.sync import SyncSession

    class Token:
        oldest_seq = 0
        next_seq = 40
        watermark = 0
        first_day = 18482
        sync_key = code_key = bytes(range(32))
        escrow = bytes(range(64))
        done = ()

        def read(self, seq, buf, at):
            for i in range(28):
                buf[at + i] = seq
            return seq != 20

        def random(self, length):
            return bytes(range(length))

        def info(self):
            return (b"serial..", b"\x00\x01\x00", 3, 3000, 1, 1596873600, 60, 0, 40, 0, 0, 1000, 0, 0, 30000, 145)

        def set_time(self, unix_s, ms):
            return 2

        def set_watermark(self, seq):
            self.watermark = seq

        def show_verdict(self, code):
            self.done += (code,)

    token = Token()
    session = SyncSession(token, token, token)
    session.open(0)
    session.connected()
    link = messages.Fragments(469, 64)
    out = bytearray(size)

    def ask(request, seals=None):
        link.outbox[: len(request)] = request
        link.start(len(request))
        while link.pending():
            length = link.fragment(out, size)
            session.feed(out, length, 5)
            link.advance(length)
        if seals:
            link.seal(*seals)
        said = []
        while True:
            length = session.next_fragment(out, size)
            if not length:
                return said
            whole = link.feed(out, length)
            session.sent(length)
            if whole:
                said.append(bytes(link.inbox[:whole]))

    (greeting,) = ask(b"\x01\x02" + bytes(16))
    nonces = bytes(16) + bytes(range(16))
    assert greeting == b"\x81\x02\x01" + nonces[16:] + messages.token_proof(token.sync_key, nonces)
    to_token, to_kiosk = messages.session_keys(token.sync_key, nonces)
    seals = Seal(to_kiosk), Seal(to_token)
    assert ask(b"\x08" + messages.kiosk_proof(token.sync_key, nonces), seals) == [b"\x88"]
    (info,) = ask(b"\x02")
    assert unpack_from("<8s3sBHHIIIIIIIIIIH", info, 1) == token.info()
    assert ask(b"\x03\x80\x5b\x2e\x5f\x00\x00") == [b"\x83\x02\x00\x00\x00"]
    said = ask(b"\x04" + bytes(8))
    assert [each[0] for each in said] == [0x8C, 0x8C, 0x8B, 0x8C, 0x8C, 0x84]
    assert said[1] == b"\x8c\x10\x00\x00\x00" + b"".join([bytes([seq]) * 28 for seq in range(16, 20)])
    assert ask(b"\x05\x28\x00\x00\x00") == [b"\x85\x28\x00\x00\x00"]
    assert ask(b"\x09") == [b"\x89\x00\x01\x02\x03\x04"]
    assert ask(b"\x0a22222222") == [b"\x80\x0a\x08"]
    assert ask(b"\x0a" + messages.release_code(token.code_key, bytes(range(5)))) == [b"\x8a\x32\x48" + token.escrow]
    assert ask(b"\x06\x02") == [b"\x86"]
    assert (token.done, token.watermark) == ((2,), 40)
    session.feed(b"\x05", 1, 6)
    assert (session.broken, session.next_fragment(out, size), session.tick(7)) == (True, 0, True)
    try:
        link.feed(b"\x00\x00\x00\x00\x00\x00", 6)
    except FormatError:
        return
    raise AssertionError("an answer in the clear was believed")


@both_pythons
@pytest.mark.parametrize("size", [20, 61, 244, 514])
def test_a_whole_session(run, size):
    run(check_session, size, heap="128k")


def test_the_conversation_has_every_request():
    assert {request[0] for request in CONVERSATION} | {wire.HELLO, wire.AUTH, wire.RELEASE} == {
        request[0] for request in REQUESTS
    }
    assert Seal(bytes(48)).close(0, bytearray(64), 48) == wire.REQUEST_MAX_BYTES
