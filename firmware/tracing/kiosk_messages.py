"""The half of the sync session's format that only the kiosk needs; it is not shipped to tokens.

The layouts are in `messages`, the numbers in `sync` and `pull`: there they are constants that vanish when compiled for
a board, here they have their public names.
"""

from struct import calcsize, pack, unpack_from

from . import pull, sync
from .errors import FormatError
from .messages import ANSWERS, REQUESTS, clear_length, layout, session_keys
from .records import RECORD_BYTES
from .sealing import Seal

PROTOCOL_VERSION = sync._PROTOCOL_VERSION
AUTH_KEY = sync._AUTH_KEY
HELLO = sync._HELLO
INFO = sync._INFO
TIME = sync._TIME
PULL = sync._PULL
ACK = sync._ACK
VERDICT = sync._VERDICT
BYE = sync._BYE
AUTH = sync._AUTH
CHALLENGE = sync._CHALLENGE
RELEASE = sync._RELEASE
ANSWER = sync._ANSWER
ERROR = sync._ERROR
GAP = pull._GAP
RECORDS = pull._RECORDS
ERROR_NOT_IN_SYNC_MODE = sync._ERROR_NOT_IN_SYNC_MODE
ERROR_BUSY = sync._ERROR_BUSY
ERROR_STATE = sync._ERROR_STATE
ERROR_VERSION = sync._ERROR_VERSION
ERROR_FORMAT = sync._ERROR_FORMAT
ERROR_RANGE = sync._ERROR_RANGE
ERROR_KEY = sync._ERROR_KEY
ERROR_CODE = sync._ERROR_CODE
VERDICT_SAFE = sync._VERDICT_SAFE
VERDICT_EXPOSED = sync._VERDICT_EXPOSED
VERDICT_CLERK = sync._VERDICT_CLERK
REQUEST_MAX_BYTES = sync._REQUEST_MAX_BYTES
MESSAGE_MAX_BYTES = sync._MESSAGE_MAX_BYTES
NONCE_BYTES = sync._NONCE_BYTES

_RECORDS_HEAD_BYTES = pull._RECORDS_AT
_ERROR_BYTES = 3


def message(kind, *fields):
    """A whole message other than RECORDS as bytes, without its CRC: type, then the fields of its layout."""
    return bytes([kind]) + pack(_layout(kind), *fields)


def parse(data):
    """(type, fields) of a whole message other than RECORDS, its CRC taken off.

    Raises:
        FormatError: an unknown type, or a length that does not fit it.
    """
    if not data:
        raise FormatError("empty message")
    fmt = _layout(data[0])
    if len(data) != 1 + calcsize(fmt):
        raise FormatError("message type %d has %d bytes, not %d" % (data[0], len(data), 1 + calcsize(fmt)))
    return data[0], unpack_from(fmt, data, 1)


def records_message(first_seq, records):
    """A RECORDS message as bytes, without its CRC."""
    return bytes([RECORDS]) + pack("<I", first_seq) + b"".join(records)


def parse_records(data):
    """(first sequence number, [record bytes, …]) of a RECORDS message, its CRC taken off.

    Raises:
        FormatError: another message, or the length is not that of one record or more.
    """
    count, rest = divmod(len(data) - _RECORDS_HEAD_BYTES, RECORD_BYTES)
    if count < 1 or rest or data[0] != RECORDS:
        raise FormatError("not a RECORDS message")
    records = [bytes(data[at : at + RECORD_BYTES]) for at in range(_RECORDS_HEAD_BYTES, len(data), RECORD_BYTES)]
    return unpack_from("<I", data, 1)[0], records


def fragments(link, data, size):
    """Send `data` (without CRC or tag) over `link`, a messages.Fragments: yields fragments of at most `size` bytes."""
    link.outbox[: len(data)] = data
    link.start(len(data))
    buf = bytearray(size)
    while link.pending():
        length = link.fragment(buf, size)
        yield bytes(buf[:length])
        link.advance(length)


class AnswerSeal(Seal):
    """The token's messages as the kiosk opens them.

    A token that refuses AUTH has no keys for a seal: it says so in the clear, where its first sealed message was due.
    """

    def open(self, number, buf, end):
        """As Seal.open; in place of message 0, an ERROR in the clear as well."""
        length = super().open(number, buf, end)
        if not length and number == 0 and buf[0] == ERROR and clear_length(buf, end) == _ERROR_BYTES:
            return _ERROR_BYTES
        return length


def kiosk_seals(sync_key, nonces):
    """(opening, closing) for Fragments.seal of the kiosk, once AUTH is on its way.

    Args:
        nonces: the kiosk's and the token's, 32 bytes together.
    """
    to_token, to_kiosk = session_keys(sync_key, nonces)
    return AnswerSeal(to_kiosk), Seal(to_token)


def _layout(kind):
    return layout(ANSWERS, kind - ANSWER) if kind & ANSWER else layout(REQUESTS, kind)
