"""The answer to PULL: RECORDS and GAP, which follow each other without a hole, and at last its own."""

from struct import pack_into

from .const import const
from .records import RECORD_BYTES

_PULL_ANSWER = const(0x84)
_GAP = const(0x8B)
_RECORDS = const(0x8C)

# 16 records, sealed, fit two fragments of the longest link-layer packet (MTU 247): a third, nearly empty fragment would
# cost a sixth of the speed.
_RECORDS_AT = const(5)  # where the records begin in RECORDS
_RECORDS_END = const(453)
_GAP_MAX = const(256)  # slots tried for one GAP: the answer to bad flash comes in bearable steps


class Pull:
    """What a kiosk pulls, message by message.

    Args:
        log: as for sync.SyncSession.
        link: messages.Fragments of the connection.

    Attributes:
        going: there is more to send.
        begun: the kiosk has pulled since `reset`.
        sent_seq: everything before has been sent, over this connection or an earlier one.
    """

    def __init__(self, log, link):
        self._log = log
        self._link = link
        self.sent_seq = 0
        self.reset()

    def reset(self):
        """A new connection."""
        self.going = self.begun = False

    def begin(self, first_seq, count):
        """Prepare to send up to `count` numbers (0: all) from `first_seq` on, which is no higher than log.next_seq."""
        log = self._log
        next_seq = log.next_seq
        oldest_seq = log.oldest_seq
        # Only a stream that leaves nothing out behind it moves the mark up to which ACK is believed.
        self._gapless = first_seq <= max(self.sent_seq, oldest_seq)
        self._seq = first_seq
        self._end_seq = min(next_seq, max(first_seq, oldest_seq) + count) if count else next_seq
        self._sent = 0
        self.going = self.begun = True

    def send_next(self):
        """Hand the next message to the link.

        Whatever the log drops or appends meanwhile: sequence numbers stay what they were.
        """
        log = self._log
        link = self._link
        outbox = link.outbox
        first_seq = seq = self._seq
        end_seq = self._end_seq
        if self._gapless and seq > self.sent_seq:
            self.sent_seq = seq
        at = _RECORDS_AT
        while seq < end_seq and at < _RECORDS_END and log.read(seq, outbox, at):
            seq += 1
            at += RECORD_BYTES
        if seq > first_seq:
            self._sent += seq - first_seq
            outbox[0] = _RECORDS
            pack_into("<I", outbox, 1, first_seq)
            link.start(at)
        else:
            seq = max(seq, min(log.oldest_seq, end_seq))
            while seq < end_seq and seq - first_seq < _GAP_MAX and not log.read(seq, outbox, _RECORDS_AT):
                seq += 1
            if seq > first_seq:
                link.answer(_GAP, first_seq, seq)
            else:
                self.going = False
                link.answer(_PULL_ANSWER, seq, self._sent, log.oldest_seq)
        self._seq = seq
