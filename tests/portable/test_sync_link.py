"""A kiosk, a token, and somebody between them who may do anything to the fragments: nothing false is ever believed."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sync_bench import NOW_S, SYNC_KEY, Bench, received, some

from tracing import kiosk_messages as wire
from tracing import messages
from tracing.errors import FormatError
from tracing.messages import Fragments

fragments_of_20 = st.binary(min_size=1, max_size=20)
REQUESTS = [wire.INFO, wire.TIME, wire.PULL, wire.VERDICT, wire.CHALLENGE]
DEEDS = ["drop", "repeat", "swap", "flip", "cut", "counter"]


class Link(RuleBasedStateMachine):
    """The honest kiosk's requests are never the same twice; what the token does must be what it asked, in order."""

    def __init__(self):
        super().__init__()
        self.bench = Bench(some(40), size=20)
        self.kiosk = Fragments(wire.MESSAGE_MAX_BYTES, wire.REQUEST_MAX_BYTES)
        self.to_token: list[bytes] = []
        self.to_kiosk: list[bytes] = []
        self.seen: dict[bool, list[bytes]] = {True: [], False: []}  # all that has been on the air; True: to the token
        self.nonce = self.nonces = b""
        self.connections = self.number = 0
        self.due = 0  # type of the request that the kiosk has asked
        self.expected: object = None  # fields of its answer, if they are known
        self.asked: list[tuple] = []  # what the token may do
        self.trusted = False

    # --- The wearer and the kiosk ---

    @rule()
    def press(self):
        self.bench.press()

    @rule(ms=st.integers(0, 30_000))
    def wait(self, ms):
        self.bench.now_ms += ms
        if self.bench.session.tick(self.bench.now_ms):
            self.hang_up()

    @rule()
    def connect(self):
        self.hang_up()
        self.bench.session.connected()
        self.kiosk.reset()
        self.connections += 1
        self.nonce = self.connections.to_bytes(16, "little")
        self.ask(wire.HELLO, 2, self.nonce)

    @precondition(lambda self: self.trusted and not self.due)
    @rule(kind=st.sampled_from(REQUESTS))
    def request(self, kind):
        self.number += 1
        if kind == wire.TIME:
            self.asked.append(("time", NOW_S + self.number, 7))
            self.ask(kind, NOW_S + self.number, 7)
            self.expected = (self.number,)
        elif kind == wire.VERDICT:
            self.asked.append(("verdict", 1 + self.number % 3))
            self.ask(kind, 1 + self.number % 3)
            self.expected = ()
        elif kind == wire.PULL:
            self.ask(kind, self.number % 41, 1 + self.number % 5)
        else:
            self.ask(kind)
            self.expected = self.bench.token.info() if kind == wire.INFO else None

    def ask(self, kind, *fields):
        self.due = kind
        self.expected = None
        self.send(True, wire.fragments(self.kiosk, wire.message(kind, *fields), 20))

    def send(self, to_token, pieces):
        for piece in pieces:
            self.queue(to_token).append(piece)
            self.seen[to_token].append(piece)

    def queue(self, to_token):
        return self.to_token if to_token else self.to_kiosk

    def hang_up(self):
        self.bench.session.disconnected()
        self.to_token.clear()
        self.to_kiosk.clear()
        self.trusted = False
        self.due = 0

    @rule(kinds=st.lists(st.sampled_from(REQUESTS), max_size=3))
    def undisturbed(self, kinds):
        """A handshake and a few requests that nobody meddles with, as far as it comes."""
        self.press()
        self.connect()
        self.exchange()
        self.exchange()
        for kind in kinds:
            if self.trusted and not self.due:
                self.request(kind)
                self.exchange()

    def exchange(self):
        self.token_hears(99)
        self.token_speaks()
        self.kiosk_hears(999)

    @precondition(lambda self: self.trusted and not self.due and not self.to_token and not self.to_kiosk)
    @rule(data=st.data(), kind=st.sampled_from(REQUESTS), both=st.booleans())
    def meddled(self, data, kind, both):
        """A request in an open session, with something done to it on its way, or to what comes behind it."""
        self.request(kind)
        if both:
            deed = data.draw(st.sampled_from(DEEDS))
            self.tamper(data, deed)
            self.token_hears(99)
            self.token_speaks()
            assert not self.to_kiosk or deed in ("repeat", "swap", "counter"), "there was no such request"
            self.exchange()
        else:
            self.exchange()
            self.replay(data, True, 2, True)
            self.exchange()

    # --- The air ---

    @rule(count=st.integers(1, 6))
    def token_hears(self, count):
        for piece in self.to_token[:count]:
            self.bench.write(piece)
            self.send(False, self.bench.heard(8))
        del self.to_token[:count]

    @rule()
    def token_speaks(self):
        self.send(False, self.bench.heard(40))

    @rule(count=st.integers(1, 40))
    def kiosk_hears(self, count):
        pieces = self.to_kiosk[:count]
        del self.to_kiosk[:count]
        for piece in pieces:
            try:
                data = received(self.kiosk, piece)
                if data:
                    self.believe(data)
            except FormatError:
                self.hang_up()
                return

    def believe(self, data):
        if data[0] == wire.RECORDS:
            first_seq, records = wire.parse_records(data)
            assert self.trusted
            assert self.due == wire.PULL
            assert records == some(40)[first_seq : first_seq + len(records)]
            return
        kind, fields = wire.parse(data)
        if kind == wire.HELLO | wire.ANSWER and self.due == wire.HELLO:
            self.nonces = self.nonce + fields[2]
            if messages.token_proof(SYNC_KEY, self.nonces) != fields[3]:
                raise FormatError("somebody else")
            self.ask(wire.AUTH, messages.kiosk_proof(SYNC_KEY, self.nonces))
            self.kiosk.seal(*wire.kiosk_seals(SYNC_KEY, self.nonces))
            return
        if not self.trusted:
            if kind != wire.AUTH | wire.ANSWER:
                raise FormatError("refused")
            assert self.due == wire.AUTH
            self.trusted = True
        elif kind != wire.ERROR:
            assert kind == self.due | wire.ANSWER
            assert self.expected in (None, fields)
        self.due = 0

    # --- Who is between them ---

    @precondition(lambda self: self.to_token or self.to_kiosk)
    @rule(data=st.data(), deed=st.sampled_from(DEEDS))
    def tamper(self, data, deed):
        queue = data.draw(st.sampled_from([queue for queue in (self.to_token, self.to_kiosk) if queue]))
        at = data.draw(st.integers(0, len(queue) - 1))
        piece = bytearray(queue[at])
        if deed == "drop" or not piece:  # it may have been cut before
            del queue[at]
            return
        if deed == "repeat":
            queue.insert(at, queue[at])
        elif deed == "swap":
            queue[at : at + 2] = queue[at : at + 2][::-1]
        elif deed == "flip":
            bit = data.draw(st.integers(0, 8 * len(piece) - 1))
            piece[bit // 8] ^= 1 << bit % 8
            queue[at] = bytes(piece)
        elif deed == "cut":
            queue[at] = queue[at][:-1]
        else:
            queue[at] = self.renumbered(queue[at], data)

    @rule(data=st.data(), to_token=st.booleans(), count=st.integers(1, 4), fit=st.booleans())
    def replay(self, data, to_token, count, fit):
        """Old fragments, as they were or with the counters that are due; the youngest are the likeliest to fit."""
        seen = self.seen[to_token]
        at = max(0, len(seen) - data.draw(st.integers(1, 12)))
        side = self.bench.session._link if to_token else self.kiosk
        pieces = seen[at : at + count]
        if fit:
            pieces = [bytes([each[0] & 0x80 | side._in_next + i & 0x7F]) + each[1:] for i, each in enumerate(pieces)]
        self.queue(to_token)[:0] = pieces

    @rule(to_token=st.booleans(), pieces=st.lists(fragments_of_20, max_size=3))
    def inject(self, to_token, pieces):
        self.queue(to_token).extend(pieces)

    @rule()
    def strange_kiosk(self):
        """Somebody else connects, and may now say what has been heard before."""
        self.hang_up()
        self.bench.session.connected()

    def renumbered(self, piece, data):
        return bytes([piece[0] & 0x80 | data.draw(st.integers(0, 127))]) + piece[1:]

    @invariant()
    def only_what_was_asked_is_done(self):
        left = iter(self.asked)
        assert all(deed in left for deed in self.bench.token.done), "in order, none twice"


Link.TestCase.settings = settings(max_examples=60, stateful_step_count=60)
TestLink = Link.TestCase


@pytest.mark.parametrize("size", [20, 23, 64, 182, 244, 514])
def test_undisturbed_the_machine_gets_through(size):
    """That the machine above can get anywhere at all."""
    link = Link()
    link.bench.size = size
    link.press()
    link.connect()
    link.exchange()
    link.exchange()
    assert link.trusted
    for kind in REQUESTS:
        link.request(kind)
        link.exchange()
        assert not link.due
    assert [deed[0] for deed in link.bench.token.done] == ["time", "verdict"]
    link.only_what_was_asked_is_done()
