"""Bytes of a sync session: fragments and messages between kiosk and token. All integers are little-endian.

SPEC.md, "Sync session", has every message with an example; `sync` is the token's side of the conversation and
host_tools.link.session the kiosk's. Both pack and unpack with this module only.
"""

from struct import calcsize, pack, unpack_from

from .errors import FormatError

PROTOCOL_VERSION = 1
AUTH_NONE = 0  # authentication arrives with version 2; its place is HELLO, before every other request

# Requests, kiosk to token. The answer has the same number with the top bit set, or is an ERROR.
HELLO = 0x01
INFO = 0x02
TIME = 0x03
PULL = 0x04
ACK = 0x05
VERDICT = 0x06
BYE = 0x07
# Answers, token to kiosk.
ANSWER = 0x80
RECORDS = 0x88  # part of the answer to PULL; the PULL answer itself ends the stream
ERROR = 0xFF

ERROR_NOT_IN_SYNC_MODE = 1  # the button was not pressed, or its minute is over
ERROR_BUSY = 2  # another kiosk holds the session
ERROR_STATE = 3  # a request out of order, for instance PULL before HELLO
ERROR_VERSION = 4
ERROR_FORMAT = 5
ERROR_RANGE = 6  # a sequence number or time that cannot be

VERDICT_SAFE = 1
VERDICT_EXPOSED = 2  # F1
VERDICT_CLERK = 3  # see the clerk

INFO_CLOCK_SET = 0x01
INFO_PROVISIONED = 0x02

REQUEST_MAX_BYTES = 64
MESSAGE_MAX_BYTES = 512

# What each message carries after its type byte.
_LAYOUT = {
    HELLO: "<B",  # highest protocol version the kiosk speaks
    INFO: "<",
    TIME: "<IH",  # Unix seconds, milliseconds
    PULL: "<II",  # first sequence number wanted, how many at most (0: all there are)
    ACK: "<I",  # everything before this sequence number is stored for good
    VERDICT: "<B",
    BYE: "<",
    HELLO | ANSWER: "<BB",  # protocol version chosen, kind of authentication
    # serial, firmware version, flags, battery mV, boot, clock (Unix s; uptime if not set), uptime s,
    # oldest and next sequence number, watermark, last sync (Unix s, 0 never), capacity in records,
    # damaged records skipped, sightings dropped for lack of room, heap bytes in use
    INFO | ANSWER: "<8s3sBHHIIIIIIIII",
    TIME | ANSWER: "<i",  # correction made, seconds (clamped to 32 bits)
    PULL | ANSWER: "<III",  # next sequence number after the stream, records sent, oldest there is
    ACK | ANSWER: "<I",  # watermark now
    VERDICT | ANSWER: "<",
    BYE | ANSWER: "<",
    ERROR: "<BB",  # request type, ERROR_*
}
RECORDS_HEAD = "<BIB"  # type, sequence number of the first record, how many follow back to back
RECORDS_HEAD_BYTES = calcsize(RECORDS_HEAD)


def message(kind, *fields):
    """A whole message as bytes: type, then the fields of its layout."""
    return pack("<B" + _LAYOUT[kind][1:], kind, *fields)


def parse(data):
    """(type, fields) of a whole message other than RECORDS.

    Raises:
        FormatError: unknown type, or a length that does not fit it.
    """
    if not data:
        raise FormatError("empty message")
    layout = _LAYOUT.get(data[0])
    if layout is None:
        raise FormatError("unknown message type %d" % data[0])
    if len(data) != 1 + calcsize(layout):
        raise FormatError("message type %d has %d bytes, not %d" % (data[0], 1 + calcsize(layout), len(data)))
    return data[0], unpack_from(layout, data, 1)


def parse_records(data, record_bytes):
    """(first sequence number, [record bytes, …]) of a RECORDS message.

    Raises:
        FormatError: the length does not fit the count.
    """
    if len(data) < RECORDS_HEAD_BYTES or data[0] != RECORDS:
        raise FormatError("not a RECORDS message")
    _, first_seq, count = unpack_from(RECORDS_HEAD, data, 0)
    if len(data) != RECORDS_HEAD_BYTES + count * record_bytes:
        raise FormatError("RECORDS says %d records and has %d bytes" % (count, len(data)))
    at = RECORDS_HEAD_BYTES
    return first_seq, [bytes(data[at + i * record_bytes : at + (i + 1) * record_bytes]) for i in range(count)]


# --- Fragments -------------------------------------------------------------------------------------------------
# One ATT write or notification is one fragment: a header byte, then a piece of the message. Bit 7 of the header:
# more pieces follow. Bits 0-6: a counter, one up per fragment and direction, so that a lost or repeated fragment shows.
_MORE = 0x80
_COUNTER = 0x7F


class Reassembler:
    """Pieces in, whole messages out, in a buffer of fixed size.

    Args:
        limit: the longest message accepted, in bytes.
    """

    def __init__(self, limit):
        self._buf = bytearray(limit)
        self._used = 0
        self._next = 0

    def reset(self):
        """Forget everything: a new connection starts at counter 0."""
        self._used = 0
        self._next = 0

    def feed(self, fragment, length):
        """Take one fragment (its first `length` bytes). Returns the whole message as bytes, or None if more follows.

        Raises:
            FormatError: empty, out of order, or too long; the connection cannot be trusted any more.
        """
        if length < 1:
            raise FormatError("empty fragment")
        head = fragment[0]
        if head & _COUNTER != self._next:
            raise FormatError("fragment %d where %d was due" % (head & _COUNTER, self._next))
        self._next = (self._next + 1) & _COUNTER
        end = self._used + length - 1
        if end > len(self._buf):
            raise FormatError("message longer than %d bytes" % len(self._buf))
        self._buf[self._used : end] = fragment[1:length]
        if head & _MORE:
            self._used = end
            return None
        self._used = 0
        return bytes(memoryview(self._buf)[:end])


class Fragmenter:
    """Whole messages in, fragments out, one at a time into the caller's buffer (nothing is copied twice)."""

    def __init__(self):
        self._next = 0
        self._data = b""
        self._at = 0

    def reset(self):
        """Forget everything: a new connection starts at counter 0."""
        self._next = 0
        self._data = b""
        self._at = 0

    def load(self, data):
        """Start to send `data` (bytes or memoryview; must not change until `pending` is false)."""
        self._data = data
        self._at = 0

    @property
    def pending(self):
        """True while a part of the message has not been sent."""
        return self._at < len(self._data)

    def fragment(self, buf, size):
        """Write the next fragment of at most `size` bytes into `buf`; returns its length. Repeat until `advance`."""
        piece = min(size - 1, len(self._data) - self._at)
        more = self._at + piece < len(self._data)
        buf[0] = self._next | (_MORE if more else 0)
        buf[1 : 1 + piece] = self._data[self._at : self._at + piece]
        return 1 + piece

    def advance(self, length):
        """The fragment of `length` bytes is on its way: go on to the next."""
        self._at += length - 1
        self._next = (self._next + 1) & _COUNTER


def fragments(data, size, counter=0):
    """All fragments of `data` as a list of bytes of at most `size` each, beginning with `counter` (host side)."""
    out = Fragmenter()
    out._next = counter
    out.load(data)
    buf = bytearray(size)
    pieces = []
    while out.pending:
        length = out.fragment(buf, size)
        pieces.append(bytes(buf[:length]))
        out.advance(length)
    return pieces
