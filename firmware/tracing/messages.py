"""Bytes of a sync session: fragments and messages between kiosk and token. All integers are little-endian.

A message is a type byte, the fields of its layout, and a CRC-32 over both; it travels in fragments of one header byte
each. SPEC.md, "Sync session", has every message with an example. `sync` is the token's side of the conversation,
host_tools.link.session the kiosk's. Names cost memory on the token: what it can do without is in `kiosk_messages`.
"""

from struct import pack_into, unpack_from

from .const import const
from .errors import FormatError
from .records import crc32

# What each message carries after its type byte, as struct layouts (little-endian) by number; `sync` names the numbers.
# One string each, because a tuple of them would take a kilobyte of a token's memory.
#   0 (no request; longer than any)
#   1 HELLO: highest protocol version the kiosk speaks
#   2 INFO
#   3 TIME: Unix seconds, milliseconds
#   4 PULL: first sequence number wanted, how many numbers at most (0: all there are)
#   5 ACK: everything before this sequence number is stored for good
#   6 VERDICT: 1 safe, 2 exposed (F1), 3 see the clerk
#   7 BYE
REQUESTS = "99s,B,,IH,II,I,B,"

# Answers have the top bit set besides. A PULL is answered by any number of RECORDS and GAP, which follow each other
# without a hole in the sequence numbers, and at last by its own answer.
#   0 ERROR: type of the request (0 when it could not be read), why
#   1 HELLO: protocol version chosen, kind of authentication
#   2 INFO: serial, firmware version, INFO_* flags, battery mV, boot, clock (Unix s; uptime if not set), uptime s,
#     oldest and next sequence number, watermark, last sync (Unix s, 0 never), capacity in records, damaged records
#     skipped, sightings dropped for lack of room, heap bytes in use
#   3 TIME: correction made, seconds (clamped to 32 bits)
#   4 PULL: next sequence number after the stream, records sent, oldest there is
#   5 ACK: watermark now      6 VERDICT      7 BYE
#   8 GAP: first sequence number without a readable record, first that is to be looked at again
#   9 RECORDS: sequence number of the first record (32 bits), then 1 to 17 records back to back; not in this list
ANSWERS = "BB,BB,8s3sBHHIIIIIIIIII,i,III,I,,,II"
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


# --- Fragments -------------------------------------------------------------------------------------------------
# One ATT write or notification is one fragment: a header byte, then a piece of the message. Bit 7 of the header:
# more pieces follow. Bits 0-6: a counter, one up per fragment and direction, so that a lost or repeated fragment shows.
_MORE = const(0x80)
_COUNTER = const(0x7F)


class Fragments:
    """Both directions of one connection: fragments in, whole messages out; whole messages in, fragments out.

    Args:
        in_bytes: the longest message accepted, with its CRC.
        out_bytes: the longest message sent, with its CRC.

    Attributes:
        inbox: the message of which `feed` told the length, until the next `feed`.
        outbox: write a message here, then `start`; hands off until `pending` is false again.
    """

    def __init__(self, in_bytes, out_bytes):
        self.inbox = bytearray(in_bytes)
        self.outbox = bytearray(out_bytes)
        self.reset()

    def reset(self):
        """Forget everything: a new connection starts at counter 0."""
        self._in_used = self._in_next = 0
        self._out_next = self._out_at = self._out_end = 0

    def feed(self, fragment, length):
        """Take one fragment (its first `length` bytes).

        Returns:
            The length of the message, CRC not included, when it is whole; 0 while more follows.

        Raises:
            FormatError: empty, out of order, too long or damaged; the connection cannot be trusted any more.
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
        end -= _CRC_BYTES
        if end < 1 or crc32(memoryview(inbox)[:end]) != unpack_from("<I", inbox, end)[0]:
            raise FormatError("message damaged")
        return end

    def start(self, length):
        """Send the first `length` bytes of `outbox`; the CRC is added here."""
        pack_into("<I", self.outbox, length, crc32(memoryview(self.outbox)[:length]))
        self._out_at = 0
        self._out_end = length + _CRC_BYTES

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
