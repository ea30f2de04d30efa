"""Bytes of a sync session: fragments and messages between kiosk and token. All integers are little-endian.

A message is a type byte and the fields of its layout, with a CRC-32 behind it, or sealed once both sides have proved
who they are; it travels in fragments of one header byte each. SPEC.md, "Sync session", has every message with an
example. `sync` is the token's side of the conversation, host_tools.link.session the kiosk's. Names cost memory on the
token: what it can do without is in `kiosk_messages`.
"""

from struct import calcsize, pack_into, unpack_from

from .const import const
from .errors import FormatError
from .records import crc32
from .sealing import hkdf, hmac_sha256
from .wire import SHORT_CODE_LETTERS

# What each message carries after its type byte, as struct layouts (little-endian) by number; `sync` names the numbers.
# One string each, because a tuple of them would take a kilobyte of a token's memory.
#   0 (no request; longer than any)
#   1 HELLO: highest protocol version the kiosk speaks, its nonce
#   2 INFO
#   3 TIME: Unix seconds, milliseconds
#   4 PULL: first sequence number wanted, how many numbers at most (0: all there are)
#   5 ACK: everything before this sequence number is stored for good
#   6 VERDICT: 1 safe, 2 exposed (F1), 3 see the clerk
#   7 BYE
#   8 AUTH: the kiosk's proof
#   9 CHALLENGE
#   10 RELEASE: the health authority's code
REQUESTS = "99s,B16s,,IH,II,I,B,,16s,,8s"

# Answers have the top bit set besides. A PULL is answered by any number of RECORDS and GAP, which follow each other
# without a hole in the sequence numbers, and at last by its own answer.
#   0 ERROR: type of the request (0 when it could not be read), why
#   1 HELLO: protocol version chosen, kind of authentication, the token's nonce, its proof
#   2 INFO: serial, firmware version, INFO_* flags, battery mV, boot, clock (Unix s; uptime if not set), uptime s,
#     oldest and next sequence number, watermark, last sync (Unix s, 0 never), capacity in records, damaged records
#     skipped, sightings dropped for lack of room, heap bytes in use, records per segment of the log
#   3 TIME: correction made, seconds (clamped to 32 bits)
#   4 PULL: next sequence number after the stream, records sent, oldest there is
#   5 ACK: watermark now      6 VERDICT      7 BYE      8 AUTH
#   9 CHALLENGE: what the code must fit
#   10 RELEASE: UTC day of the first daily key, that key sealed for the health authority
#   11 GAP: first sequence number without a readable record, first that is to be looked at again
#   12 RECORDS: sequence number of the first record (32 bits), then 1 to 16 records back to back; not in this list
ANSWERS = "BB,BB16s16s,8s3sBHHIIIIIIIIIIH,i,III,I,,,,5s,H64s,II"
INFO_CLOCK_SET = 0x01
INFO_PROVISIONED = 0x02

_CRC_BYTES = const(4)


def layout(layouts, number):
    """The struct layout of a message, from REQUESTS or ANSWERS.

    Raises:
        FormatError: there is no such message.
    """
    layouts = layouts.split(",")
    if number >= len(layouts):
        raise FormatError("no such message")
    return "<" + layouts[number]


def clear_length(buf, end):
    """The length of the message in `buf[:end]` without its CRC, or 0 when that does not fit."""
    end -= _CRC_BYTES
    return end if end > 0 and crc32(memoryview(buf)[:end]) == unpack_from("<I", buf, end)[0] else 0


# --- Fragments -------------------------------------------------------------------------------------------------
# One ATT write or notification is one fragment: a header byte, then a piece of the message. Bit 7 of the header:
# more pieces follow. Bits 0-6: a counter, one up per fragment and direction, so that a lost or repeated fragment shows.
_MORE = const(0x80)
_COUNTER = const(0x7F)


class Fragments:
    """Both directions of one connection: fragments in, whole messages out; whole messages in, fragments out.

    Args:
        in_bytes: the longest message accepted, with its CRC or tag.
        out_bytes: the longest message sent, with its CRC or tag.

    Attributes:
        inbox: the message of which `feed` told the length, until the next `feed`.
        outbox: write a message here, then `start`; hands off until `pending` is false again.
    """

    def __init__(self, in_bytes, out_bytes):
        self.inbox = bytearray(in_bytes)
        self.outbox = bytearray(out_bytes)
        self.reset()

    def reset(self):
        """Forget everything: a new connection starts at counter 0, and in the clear."""
        self._in_used = self._in_next = 0
        self._out_next = self._out_at = self._out_end = 0
        self.seal(None, None)

    def seal(self, opening, closing):
        """From the next whole message of each direction on, messages are sealed and counted from 0.

        Args:
            opening, closing: sealing.Seal of the other side's messages and of our own.
        """
        self._opening = opening
        self._closing = closing
        self._opened = self._closed = 0  # messages

    def feed(self, fragment, length):
        """Take one fragment (its first `length` bytes).

        Returns:
            The length of the message, CRC or tag not included, when it is whole; 0 while more follows.

        Raises:
            FormatError: empty, out of order, too long, damaged, or not the message that was sealed for this place; the
                connection cannot be trusted any more.
        """
        inbox = self.inbox
        at = self._in_used
        end = at + length - 1
        if end < at or end > len(inbox) or fragment[0] & _COUNTER != self._in_next:
            raise FormatError("fragment out of order")
        self._in_next = (self._in_next + 1) & _COUNTER
        inbox[at:end] = memoryview(fragment)[1:length]
        if fragment[0] & _MORE:
            self._in_used = end
            return 0
        self._in_used = 0
        if self._opening:
            length = self._opening.open(self._opened, inbox, end)
            self._opened += 1
        else:
            length = clear_length(inbox, end)
        if not length:
            raise FormatError("message damaged")
        return length

    def answer(self, kind, *fields):
        """Send an answer other than RECORDS: its type and the fields of its layout."""
        fmt = layout(ANSWERS, kind & 0x7F)
        self.outbox[0] = kind
        pack_into(fmt, self.outbox, 1, *fields)
        self.start(1 + calcsize(fmt))

    def start(self, length):
        """Send the first `length` bytes of `outbox`; the CRC is added here, or they are sealed."""
        self._out_at = 0
        if self._closing:
            self._out_end = self._closing.close(self._closed, self.outbox, length)
            self._closed += 1
        else:
            pack_into("<I", self.outbox, length, crc32(memoryview(self.outbox)[:length]))
            self._out_end = length + _CRC_BYTES

    def drop(self):
        """Send nothing more of the message under way."""
        self._out_at = self._out_end

    def pending(self):
        """True while a part of the message has not been sent."""
        return self._out_at < self._out_end

    def fragment(self, out, size):
        """Write the next fragment of at most `size` bytes (2 or more) into `out`; returns its length.

        The same again until `advance` is called.
        """
        at = self._out_at
        end = min(at + size - 1, self._out_end)
        out[0] = self._out_next | (_MORE if end < self._out_end else 0)
        out[1 : 1 + end - at] = memoryview(self.outbox)[at:end]
        return 1 + end - at

    def advance(self, length):
        """The fragment of `length` bytes is on its way: go on to the next."""
        self._out_at += length - 1
        self._out_next = (self._out_next + 1) & _COUNTER


# --- Who is who ------------------------------------------------------------------------------------------------
# `nonces` are the kiosk's and the token's, one behind the other: 32 bytes.
_PROOF_BYTES = const(16)
CHALLENGE_BYTES = 5
_CODE_LETTERS = const(8)


def token_proof(sync_key, nonces):
    """What shows that the token has the key: 16 bytes."""
    return hmac_sha256(sync_key, b"bluezone token proof", nonces)[:_PROOF_BYTES]


def kiosk_proof(sync_key, nonces):
    """What shows that the kiosk has the key: 16 bytes."""
    return hmac_sha256(sync_key, b"bluezone kiosk proof", nonces)[:_PROOF_BYTES]


def session_keys(sync_key, nonces):
    """Two times the 48 bytes of a Seal: kiosk to token, token to kiosk."""
    keys = hkdf(sync_key, nonces, b"bluezone sync 2", 96)
    return keys[:48], keys[48:]


def release_code(code_key, challenge):
    """The health authority's one-time code for a challenge (5 bytes): 8 letters, as ASCII."""
    number = int.from_bytes(hmac_sha256(code_key, b"bluezone release", challenge)[:CHALLENGE_BYTES], "big")
    return "".join([SHORT_CODE_LETTERS[number >> 5 * i & 31] for i in range(_CODE_LETTERS - 1, -1, -1)]).encode()
