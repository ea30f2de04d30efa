"""The token's side of a sync session: whole requests in, answers out, no I/O and no clock.

HELLO and AUTH open the session, BYE ends it. A connection is in one of five states:

    IDLE → CONNECTED → (HELLO) → AUTHENTICATING → (AUTH) → READY → (BYE, or a breach of the format) → CLOSING → IDLE

From READY on every message is sealed, which `messages.Fragments` does. A kiosk that has not proved itself learns the
version and gets 8 s.
"""

from struct import calcsize, unpack_from

from .const import const
from .errors import FormatError
from .messages import CHALLENGE_BYTES, REQUESTS, Fragments, kiosk_proof, layout, release_code, session_keys, token_proof
from .pull import Pull
from .sealing import Seal, equal

# The whole answer for a second kiosk, in one fragment: ERROR, HELLO, ERROR_BUSY, CRC.
BUSY_FRAGMENT = b"\x00\x80\x01\x02\xff\x92\x61\xe9"

_PROTOCOL_VERSION = const(2)
_AUTH_KEY = const(1)  # both sides prove that they have the token's sync key
_NONCE_BYTES = const(16)

# Numbers of the messages and what ERROR can say. The compiler for boards puts such constants in place and drops the
# names; the kiosk's side has them, public, in `kiosk_messages`.
_HELLO = const(1)
_INFO = const(2)
_TIME = const(3)
_PULL = const(4)
_ACK = const(5)
_VERDICT = const(6)
_BYE = const(7)
_AUTH = const(8)
_CHALLENGE = const(9)
_RELEASE = const(10)
_ANSWER = const(0x80)
_ERROR = const(0x80)
_ERROR_NOT_IN_SYNC_MODE = const(1)  # the button was not pressed, or its minute is over
_ERROR_BUSY = const(2)  # another kiosk holds the session
_ERROR_STATE = const(3)  # a request out of order, for instance PULL before AUTH
_ERROR_VERSION = const(4)
_ERROR_FORMAT = const(5)  # unreadable; the token drops the connection
_ERROR_RANGE = const(6)  # a sequence number, time or verdict that cannot be
_ERROR_KEY = const(7)  # the kiosk's proof is wrong; the token drops the connection
_ERROR_CODE = const(8)  # the health authority's code is wrong
_VERDICT_SAFE = const(1)
_VERDICT_EXPOSED = const(2)  # F1
_VERDICT_CLERK = const(3)  # see the clerk

# The longest messages with their CRC or tag; the answer is RECORDS.
_REQUEST_MAX_BYTES = const(64)
_MESSAGE_MAX_BYTES = const(469)

_IDLE = const(0)
_CONNECTED = const(1)
_AUTHENTICATING = const(2)
_READY = const(3)
_CLOSING = const(4)

# Differences of times are taken modulo the period of the shortest counter (CircuitPython's), so that a counter
# that wraps serves as well as one that does not.
_TICKS = const(0x1FFFFFFF)
_TIME_MIN_S = const(1577836800)  # 2020-01-01: no token is older
_TIME_END_S = const(4102444800)  # 2100-01-01: a later one would soon not fit 32 bits
_CODE_TRIES = const(3)  # for each press of the button


class SyncSession:
    """What the kiosk may ask, and when.

    Consent: HELLO and AUTH are accepted within `consent_ms` of `open`. A session that has begun may go on after that;
    it ends with BYE, the connection, `idle_ms` without a request or progress, or `session_ms` after it connected.

    Args:
        log: has `oldest_seq`, `next_seq` and `read(seq, buf, at)` → False when there is no sound record `seq`.
        host: has `info()` → the fields of the INFO answer, `set_time(unix_s, ms)` → correction in seconds,
            `set_watermark(seq)`, `show_verdict(code)` and `random(length)` → random bytes.
        state: has `sync_key`, `code_key`, `first_day`, `escrow` and `watermark` (state.State).
        auth_ms: how long a kiosk may take to prove itself.

    Attributes:
        consent_until: when the wearer's consent ends, in ms of the caller's clock; None when there is none.
        broken: the kiosk broke the format. The error, if any, may still be fetched and sent; then disconnect.
    """

    def __init__(self, log, host, state, consent_ms=60_000, auth_ms=8000, idle_ms=20_000, session_ms=300_000):
        self._log = log
        self._host = host
        self._keys = state
        self._consent_ms = consent_ms
        self._auth_ms = auth_ms
        self._idle_ms = idle_ms
        self._session_ms = session_ms
        self._link = Fragments(_REQUEST_MAX_BYTES, _MESSAGE_MAX_BYTES)
        self._pull = Pull(log, self._link)
        self._tries = 0  # of the code
        self.consent_until = None
        self.disconnected()

    def open(self, now_ms):
        """The wearer pressed the button."""
        self.consent_until = now_ms + self._consent_ms
        self._tries = _CODE_TRIES

    def connected(self):
        """A kiosk has connected; one at a time, others get BUSY_FRAGMENT."""
        self.disconnected()
        self._state = _CONNECTED

    def disconnected(self):
        """The kiosk has gone, from whichever side."""
        self._state = _IDLE
        self._link.reset()
        self._pull.reset()
        self._began_ms = self._heard_ms = None
        self._nonces = b""
        self._challenge = None  # b"" once it has served
        self._error = 0  # to be sent once the message under way is out: ERROR_* << 8 | type of the request
        self._timed = self._moved = self.broken = False

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
        up_ms = (now_ms - self._began_ms) & _TICKS
        if up_ms >= (self._auth_ms if self._state < _READY else self._session_ms):
            return True
        return (now_ms - self._heard_ms) & _TICKS >= self._idle_ms

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
        kind = None
        try:
            length = link.feed(fragment, length)
            if not length:
                return
            kind = link.inbox[0]
            fmt = layout(REQUESTS, kind)
            # A HELLO of another length may be an older kiosk's, which deserves to be told.
            older = kind == _HELLO and length > 1 and link.inbox[1] < _PROTOCOL_VERSION
            if not (older or length == 1 + calcsize(fmt)) or self._pull.going or self._error or link.pending():
                raise FormatError("unexpected request")
            self._heard_ms = now_ms
            code = self._handle(kind, unpack_from(fmt, link.inbox, 1))
        except FormatError:
            code = _ERROR_FORMAT
            if kind is None and self._state == _READY:  # not as it was sealed: no word to whoever sent this
                code = 0
                link.drop()
            self._state = _CLOSING
            self._pull.going = False
            self.broken = True
        if code:
            self._error = code << 8 | (kind or 0)

    def next_fragment(self, buf, size):
        """Write the next fragment for the kiosk into `buf`, `size` bytes at most (ATT MTU - 3; 2 or more).

        Returns:
            Its length, or 0 when there is nothing to send. The same fragment again until `sent`.
        """
        if not self._link.pending():
            if self._error:
                self._link.answer(_ERROR, self._error & 0xFF, self._error >> 8)
                self._error = 0
            elif self._pull.going:
                self._pull.send_next()
            else:
                return 0
        return self._link.fragment(buf, size)

    def sent(self, length):
        """The radio took the fragment of `length` bytes."""
        self._link.advance(length)
        self._moved = True

    def _handle(self, kind, fields):
        # Carries out a request and prepares its answer, or returns why not: one of _ERROR_*.
        if self._state != _READY:
            return self._authenticate(kind, fields)
        host = self._host
        answer = ()
        if kind == _HELLO or kind == _AUTH:
            return _ERROR_STATE
        if kind == _INFO:
            answer = host.info()
        elif kind == _TIME:
            if self._pull.begun or self._timed:  # the clock does not jump between the records of one session, nor twice
                return _ERROR_STATE
            if not _TIME_MIN_S <= fields[0] < _TIME_END_S or fields[1] > 999:
                return _ERROR_RANGE
            self._timed = True
            answer = (max(-0x7FFFFFFF, min(0x7FFFFFFF, host.set_time(*fields))),)
        elif kind == _PULL:
            if fields[0] > self._log.next_seq:
                return _ERROR_RANGE
            self._pull.begin(*fields)
            return 0
        elif kind == _ACK:
            if fields[0] > min(self._log.next_seq, self._pull.sent_seq):
                return _ERROR_RANGE
            answer = (max(fields[0], self._keys.watermark),)
            host.set_watermark(*answer)
        elif kind == _VERDICT:
            if not _VERDICT_SAFE <= fields[0] <= _VERDICT_CLERK:
                return _ERROR_RANGE
            host.show_verdict(fields[0])
        elif kind == _CHALLENGE:
            if self._challenge is None:
                self._challenge = host.random(CHALLENGE_BYTES)
            if not self._challenge:
                return _ERROR_STATE
            answer = (self._challenge,)
        elif kind == _RELEASE:
            code = self._check(fields[0])
            if code:
                return code
            answer = (self._keys.first_day, self._keys.escrow)
        else:
            self.consent_until = None
            self._state = _CLOSING
        self._link.answer(_ANSWER | kind, *answer)
        return 0

    def _authenticate(self, kind, fields):
        # As `_handle`, for a kiosk that has not yet proved itself.
        sync_key = self._keys.sync_key
        if self.consent_until is None:
            self._state = _CLOSING
            return _ERROR_NOT_IN_SYNC_MODE
        if self._state == _CONNECTED and kind == _HELLO:
            if fields[0] < _PROTOCOL_VERSION:
                return _ERROR_VERSION
            nonce = self._host.random(_NONCE_BYTES)
            self._nonces = fields[1] + nonce
            self._state = _AUTHENTICATING
            proof = token_proof(sync_key, self._nonces)
            self._link.answer(_ANSWER | _HELLO, _PROTOCOL_VERSION, _AUTH_KEY, nonce, proof)
        elif self._state == _AUTHENTICATING and kind == _AUTH:
            if not equal(fields[0], kiosk_proof(sync_key, self._nonces)):
                self._state = _CLOSING
                return _ERROR_KEY
            to_token, to_kiosk = session_keys(sync_key, self._nonces)
            self._link.seal(Seal(to_token), Seal(to_kiosk))
            self._pull.sent_seq = max(self._pull.sent_seq, self._keys.watermark)
            self._state = _READY
            self._link.answer(_ANSWER | _AUTH)
        else:
            return _ERROR_STATE
        return 0

    def _check(self, code):
        # Why the health authority's code opens nothing; 0 when it is right, once.
        if not self._challenge:
            return _ERROR_STATE
        self._tries -= 1
        if self._tries < 0 or not equal(code, release_code(self._keys.code_key, self._challenge)):
            if self._tries <= 0:
                self._state = _CLOSING
            return _ERROR_CODE
        self._challenge = b""
        return 0
