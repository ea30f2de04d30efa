"""The token's side of a sync session: whole requests in, answers out, no I/O and no clock.

HELLO opens the session, BYE ends it. A connection is in one of four states:

    IDLE → CONNECTED → (HELLO) → READY → (BYE, or a breach of the format) → CLOSING → IDLE

Version 2 will put its authentication between CONNECTED and READY, and its sealing where a message meets its
fragments: `feed` and `next_fragment` are the only places that pass one on.
"""

from struct import calcsize, pack_into, unpack_from

from .const import const
from .errors import FormatError
from .messages import ANSWERS, REQUESTS, Fragments, layout
from .records import RECORD_BYTES

# The whole answer for a second kiosk, in one fragment: ERROR, HELLO, ERROR_BUSY, CRC.
BUSY_FRAGMENT = b"\x00\x80\x01\x02\xff\x92\x61\xe9"

_PROTOCOL_VERSION = const(1)
_AUTH_NONE = const(0)  # authentication arrives with version 2

# Numbers of the messages and what ERROR can say. The compiler for boards puts such constants in place and drops the
# names; the kiosk's side has them, public, in `kiosk_messages`.
_HELLO = const(1)
_INFO = const(2)
_TIME = const(3)
_PULL = const(4)
_ACK = const(5)
_VERDICT = const(6)
_BYE = const(7)
_ANSWER = const(0x80)
_ERROR = const(0x80)
_GAP = const(0x88)
_RECORDS = const(0x89)
_ERROR_NOT_IN_SYNC_MODE = const(1)  # the button was not pressed, or its minute is over
_ERROR_BUSY = const(2)  # another kiosk holds the session
_ERROR_STATE = const(3)  # a request out of order, for instance PULL before HELLO
_ERROR_VERSION = const(4)
_ERROR_FORMAT = const(5)  # unreadable; the token drops the connection
_ERROR_RANGE = const(6)  # a sequence number, time or verdict that cannot be
_VERDICT_SAFE = const(1)
_VERDICT_EXPOSED = const(2)  # F1
_VERDICT_CLERK = const(3)  # see the clerk

# Longest messages with their CRC. 17 records fill two fragments of the longest link-layer packet (MTU 247) to the
# byte but one: a third, nearly empty fragment would cost a sixth of the speed.
_REQUEST_MAX_BYTES = const(64)
_MESSAGE_MAX_BYTES = const(485)
_RECORDS_AT = const(5)  # where the records begin in RECORDS
_RECORDS_END = const(481)

_IDLE = const(0)
_CONNECTED = const(1)
_READY = const(2)
_CLOSING = const(3)

# Differences of times are taken modulo the period of the shortest counter (CircuitPython's), so that a counter
# that wraps serves as well as one that does not.
_TICKS = const(0x1FFFFFFF)
_GAP_MAX = const(256)  # slots tried for one GAP: the answer to bad flash comes in bearable steps
_TIME_MIN_S = const(1577836800)  # 2020-01-01: no token is older
_INFO_WATERMARK = const(9)  # its place in the fields of INFO


class SyncSession:
    """What the kiosk may ask, and when.

    Consent: HELLO is accepted within `consent_ms` of `open`. A session that has begun may go on after that; it ends
    with BYE, the connection, `idle_ms` without a request or progress, or `session_ms` after it connected.

    Args:
        log: has `oldest_seq`, `next_seq` and `read(seq, buf, at)` → False when there is no sound record `seq`.
        host: has `info()` → the fields of the INFO answer, `set_time(unix_s, ms)` → correction in seconds,
            `set_watermark(seq)` and `show_verdict(code)`.

    Attributes:
        consent_until: when the wearer's consent ends, in ms of the caller's clock; None when there is none.
        broken: the kiosk broke the format. The error may still be fetched and sent; then disconnect.
    """

    def __init__(self, log, host, consent_ms=60_000, idle_ms=20_000, session_ms=300_000):
        self._log = log
        self._host = host
        self._consent_ms = consent_ms
        self._idle_ms = idle_ms
        self._session_ms = session_ms
        self._link = Fragments(_REQUEST_MAX_BYTES, _MESSAGE_MAX_BYTES)
        self._watermark = 0
        self._sent_seq = 0  # everything before has been sent, in this session or an earlier one
        self.consent_until = None
        self.disconnected()

    def open(self, now_ms):
        """The wearer pressed the button."""
        self.consent_until = now_ms + self._consent_ms

    def connected(self):
        """A kiosk has connected; one at a time, others get BUSY_FRAGMENT."""
        self.disconnected()
        self._state = _CONNECTED

    def disconnected(self):
        """The kiosk has gone, from whichever side."""
        self._state = _IDLE
        self._link.reset()
        self._began_ms = self._heard_ms = None
        self._error = 0  # to be sent once the message under way is out: ERROR_* << 8 | type of the request
        self._pulling = self._pulled = self._moved = self.broken = False

    @property
    def is_open(self):
        """True while the wearer's consent lasts or a session goes on: sync mode."""
        return self.consent_until is not None or self._state == _READY

    def tick(self, now_ms):
        """Look at the time; call it at least once a second in sync mode, and after the answers have been sent.

        Returns:
            True when sync mode or the session has just ended: disconnect the kiosk if there is one.
        """
        consented = self.consent_until is not None
        self._note_time(now_ms)
        if consented and not self.is_open:
            return True
        if self._state == _IDLE:
            return False
        if self._moved:
            self._moved = False
            self._heard_ms = now_ms
        if self._state == _CLOSING and not self._error and not self._link.pending():
            return True
        idle_ms = (now_ms - self._heard_ms) & _TICKS
        return idle_ms >= self._idle_ms or (now_ms - self._began_ms) & _TICKS >= self._session_ms

    def _note_time(self, now_ms):
        until_ms = self.consent_until
        if until_ms is not None and (until_ms - now_ms - 1) & _TICKS >= self._consent_ms:
            self.consent_until = None
        if self._began_ms is None:
            self._began_ms = self._heard_ms = now_ms

    def feed(self, fragment, length, now_ms):
        """Take a fragment (its first `length` bytes) from the kiosk; the answer is then fetched by `next_fragment`."""
        if self._state == _IDLE or self._state == _CLOSING:
            return
        self._note_time(now_ms)
        link = self._link
        kind = 0
        try:
            length = link.feed(fragment, length)
            if not length:
                return
            kind = link.inbox[0]
            fmt = layout(REQUESTS, kind)
            if length != 1 + calcsize(fmt) or self._pulling or self._error or link.pending():
                raise FormatError("unexpected request")
            self._heard_ms = now_ms
            code = self._handle(kind, unpack_from(fmt, link.inbox, 1))
        except FormatError:
            code = _ERROR_FORMAT
            self._state = _CLOSING
            self._pulling = False
            self.broken = True
        if code:
            self._error = code << 8 | kind

    def next_fragment(self, buf, size):
        """Write the next fragment for the kiosk into `buf`, `size` bytes at most (ATT MTU - 3; 2 or more).

        Returns:
            Its length, or 0 when there is nothing to send. The same fragment again until `sent`.
        """
        if not self._link.pending():
            if self._error:
                self._answer(_ERROR, self._error & 0xFF, self._error >> 8)
                self._error = 0
            elif self._pulling:
                self._stream()
            else:
                return 0
        return self._link.fragment(buf, size)

    def sent(self, length):
        """The radio took the fragment of `length` bytes."""
        self._link.advance(length)
        self._moved = True

    def _handle(self, kind, fields):
        # Carries out a request and prepares its answer, or returns why not: one of _ERROR_*.
        host = self._host
        log = self._log
        answer = ()
        if self._state == _CONNECTED:
            if self.consent_until is None:
                return _ERROR_NOT_IN_SYNC_MODE
            if kind != _HELLO:
                return _ERROR_STATE
            if fields[0] < _PROTOCOL_VERSION:
                return _ERROR_VERSION
            self._watermark = host.info()[_INFO_WATERMARK]
            self._sent_seq = max(self._sent_seq, self._watermark)
            self._state = _READY
            answer = (_PROTOCOL_VERSION, _AUTH_NONE)
        elif kind == _HELLO:
            return _ERROR_STATE
        elif kind == _INFO:
            answer = host.info()
        elif kind == _TIME:
            if self._pulled:  # the clock does not jump between the records of one session
                return _ERROR_STATE
            if fields[0] < _TIME_MIN_S or fields[1] > 999:
                return _ERROR_RANGE
            answer = (max(-0x7FFFFFFF, min(0x7FFFFFFF, host.set_time(*fields))),)
        elif kind == _PULL:
            first_seq, count = fields
            next_seq = log.next_seq
            if first_seq > next_seq:
                return _ERROR_RANGE
            # Only a stream that leaves nothing out behind it moves the mark up to which ACK is believed.
            self._gapless = first_seq <= max(self._sent_seq, log.oldest_seq)
            self._seq = first_seq
            self._end_seq = min(next_seq, max(first_seq, log.oldest_seq) + count) if count else next_seq
            self._sent = 0
            self._pulling = self._pulled = True
            return 0
        elif kind == _ACK:
            if fields[0] > min(log.next_seq, self._sent_seq):
                return _ERROR_RANGE
            self._watermark = max(fields[0], self._watermark)
            host.set_watermark(self._watermark)
            answer = (self._watermark,)
        elif kind == _VERDICT:
            if not _VERDICT_SAFE <= fields[0] <= _VERDICT_CLERK:
                return _ERROR_RANGE
            host.show_verdict(fields[0])
        else:
            self.consent_until = None
            self._state = _CLOSING
        self._answer(_ANSWER | kind, *answer)
        return 0

    def _stream(self):
        # The next message of a pull. Whatever the log drops or appends meanwhile: sequence numbers stay what they were.
        log = self._log
        outbox = self._link.outbox
        first_seq = seq = self._seq
        end_seq = self._end_seq
        if self._gapless and seq > self._sent_seq:
            self._sent_seq = seq
        at = _RECORDS_AT
        while seq < end_seq and at < _RECORDS_END and log.read(seq, outbox, at):
            seq += 1
            at += RECORD_BYTES
        if seq > first_seq:
            self._sent += seq - first_seq
            outbox[0] = _RECORDS
            pack_into("<I", outbox, 1, first_seq)
            self._link.start(at)
        else:
            seq = max(seq, min(log.oldest_seq, end_seq))
            while seq < end_seq and seq - first_seq < _GAP_MAX and not log.read(seq, outbox, _RECORDS_AT):
                seq += 1
            if seq > first_seq:
                self._answer(_GAP, first_seq, seq)
            else:
                self._pulling = False
                self._answer(_ANSWER | _PULL, seq, self._sent, log.oldest_seq)
        self._seq = seq

    def _answer(self, kind, *fields):
        link = self._link
        fmt = layout(ANSWERS, kind - _ANSWER)
        link.outbox[0] = kind
        pack_into(fmt, link.outbox, 1, *fields)
        link.start(1 + calcsize(fmt))
