"""Opens a token's sealed records: the chain of its segments' keys, from the log root on."""

from tracing.kiosk_log import open_record
from tracing.sealing import Seal
from tracing.segment import next_segment_key, segment_seal


class LogOpener:
    """The keys of one token's log. It is read forward: a key that has been passed is computed anew when asked for.

    Args:
        log_root: log key of segment 0, 32 bytes.
        segment_records: sequence numbers per segment.

    Attributes:
        opened, damaged: records that opened, and that did not.
    """

    def __init__(self, log_root: bytes, segment_records: int) -> None:
        self._root = log_root
        self._segment_records = segment_records
        self._segment = 0
        self._key = log_root
        self._seal: Seal | None = None
        self.opened = self.damaged = 0

    def open(self, seq: int, sealed: bytes | bytearray) -> bytes | None:
        """Record `seq` as 28 bytes with CRC-32 (records.unpack_record); None when it does not open: damaged."""
        record = open_record(self._seal_of(seq // self._segment_records), seq, sealed)
        if record is None:
            self.damaged += 1
        else:
            self.opened += 1
        return record

    def _seal_of(self, segment: int) -> Seal:
        if segment < self._segment:
            self._segment, self._key, self._seal = 0, self._root, None
        while self._segment < segment:
            self._key = next_segment_key(self._key)
            self._segment += 1
            self._seal = None
        if self._seal is None:
            self._seal = segment_seal(self._key)
        return self._seal
