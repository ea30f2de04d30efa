"""A sync session with a token made of lists, and the raw requests of a kiosk."""

from collections.abc import Iterable

from tracing import kiosk_messages as wire
from tracing import messages
from tracing.messages import Fragments
from tracing.records import RECORD_BYTES
from tracing.sync import SyncSession

NOW_S = 1_596_873_600
SYNC_KEY = bytes(range(32))
CODE_KEY = bytes(range(32, 64))
NONCE = bytes(range(100, 116))  # the kiosk's

REQUESTS = [
    (wire.HELLO, 2, NONCE),
    (wire.INFO,),
    (wire.TIME, NOW_S, 0),
    (wire.PULL, 0, 0),
    (wire.ACK, 0),
    (wire.VERDICT, wire.VERDICT_SAFE),
    (wire.BYE,),
    (wire.AUTH, bytes(16)),
    (wire.CHALLENGE,),
    (wire.RELEASE, b"22222222"),
]


def record(number: int) -> bytes:
    return number.to_bytes(RECORD_BYTES, "little")


def some(count: int) -> list[bytes | None]:
    return [record(i) for i in range(count)]


def refusal(kind: int, code: int) -> list[tuple]:
    return [(wire.ERROR, (kind, code))]


class FakeLog:
    """Records in a list; None stands for a damaged one."""

    def __init__(self, records: Iterable[bytes | None]) -> None:
        self.records = list(records)
        self.oldest_seq = 0

    @property
    def next_seq(self) -> int:
        return len(self.records)

    def read(self, seq: int, buf: bytearray, at: int) -> bool:
        found = self.records[seq] if self.oldest_seq <= seq < self.next_seq else None
        if found is not None:
            buf[at : at + RECORD_BYTES] = found
        return found is not None


class FakeToken:
    """What the session asks of the token, and what it was told to do; also the token's state."""

    sync_key = SYNC_KEY
    code_key = CODE_KEY
    escrow = bytes(range(64))
    first_day = 18482
    serial = b"serial.."

    def __init__(self, log: FakeLog, watermark: int = 0) -> None:
        self.log = log
        self.watermark = watermark
        self.done = []
        self._drawn = 0

    def random(self, length: int) -> bytes:
        self._drawn += 1
        return self._drawn.to_bytes(length, "little")

    def info(self) -> tuple:
        log = self.log
        return (self.serial, b"\x00\x01\x00", 3, 3000, 1, NOW_S, 60, log.oldest_seq, log.next_seq, self.watermark,
                0, 1000, 0, 0, 30000, 145)  # fmt: skip

    def set_time(self, unix_s: int, ms: int) -> int:
        self.done.append(("time", unix_s, ms))
        return unix_s - NOW_S

    def set_watermark(self, seq: int) -> None:
        self.watermark = seq
        self.done.append(("watermark", seq))

    def show_verdict(self, code: int) -> None:
        self.done.append(("verdict", code))


class Bench:
    """Token and kiosk.

    Args:
        size: of the fragments, both ways.
    """

    def __init__(self, records: Iterable[bytes | None] = (), watermark: int = 0, size: int = 244) -> None:
        self.log = FakeLog(records)
        self.token = FakeToken(self.log, watermark)
        self.session = SyncSession(self.log, self.token, self.token)
        self.size = size
        self.now_ms = 1000
        self.link = Fragments(wire.MESSAGE_MAX_BYTES, 2 * wire.REQUEST_MAX_BYTES)
        self.nonces = b""

    def connect(self) -> "Bench":
        self.session.connected()
        self.link.reset()
        return self

    def press(self) -> "Bench":
        self.session.open(self.now_ms)
        return self

    def greeted(self) -> "Bench":
        """After HELLO."""
        ((kind, (version, auth, nonce, proof)),) = self.ask(wire.HELLO, 2, NONCE)
        assert (kind, version, auth) == (wire.HELLO | wire.ANSWER, wire.PROTOCOL_VERSION, wire.AUTH_KEY)
        self.nonces = NONCE + nonce
        assert proof == messages.token_proof(SYNC_KEY, self.nonces)
        return self

    def authenticate(self) -> list:
        """AUTH with the right key, and its answer."""
        self.send(wire.message(wire.AUTH, messages.kiosk_proof(SYNC_KEY, self.nonces)))
        self.link.seal(*wire.kiosk_seals(SYNC_KEY, self.nonces))
        return self.answers()

    def opened(self) -> "Bench":
        """After the button, HELLO and AUTH."""
        self.press().connect().greeted()
        assert self.authenticate() == [(wire.AUTH | wire.ANSWER, ())]
        return self

    def fragments(self, data: bytes) -> list[bytes]:
        """A request as the kiosk sends it."""
        return list(wire.fragments(self.link, data, self.size))

    def write(self, *pieces: bytes) -> None:
        """Fragments arrive at the token."""
        for piece in pieces:
            self.session.feed(piece, len(piece), self.now_ms)

    def send(self, data: bytes) -> None:
        self.write(*self.fragments(data))

    def heard(self, limit: int = 1_000_000) -> list[bytes]:
        """The fragments that the token sends, at most `limit`."""
        buf = bytearray(self.size)
        pieces = []
        while limit and (length := self.session.next_fragment(buf, self.size)):
            again = bytearray(self.size)
            assert self.session.next_fragment(again, self.size) == length  # the radio had no room: the same again
            assert again[:length] == buf[:length]
            self.session.sent(length)
            limit -= 1
            pieces.append(bytes(buf[:length]))
        return pieces

    def answers(self, limit: int = 1_000_000) -> list:
        """What the token has to say, `limit` fragments of it: parsed messages, (RECORDS, (first, records))."""
        return [parsed(data) for piece in self.heard(limit) if (data := received(self.link, piece))]

    def ask(self, kind: int, *fields: int | bytes) -> list:
        self.send(wire.message(kind, *fields))
        return self.answers()

    def pull(self, first_seq: int, count: int = 0) -> tuple[dict[int, bytes], list, tuple]:
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


def received(link: Fragments, piece: bytes) -> bytes:
    """The message that a fragment completes, else nothing."""
    return bytes(link.inbox[: link.feed(piece, len(piece))])


def parsed(data: bytes) -> tuple:
    return (wire.RECORDS, wire.parse_records(data)) if data[0] == wire.RECORDS else wire.parse(data)
