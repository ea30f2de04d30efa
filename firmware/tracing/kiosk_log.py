"""The kiosk's half of the sealed log: opens what the token cannot. Not on tokens."""

from . import records


def open_record(seal, seq, sealed):
    """The 28 bytes of record `seq` with their CRC, as records.unpack_record takes them.

    Args:
        seal: segment.segment_seal of the record's segment.
        sealed: 28 bytes as they lay in flash.

    Returns:
        None when they are not this record as it was sealed: damaged, or of another token.
    """
    buf = bytearray(sealed)
    if len(buf) != records.RECORD_BYTES or not seal.open(seq, buf, records.RECORD_BYTES):
        return None
    records.set_crc(buf, records.RECORD_BYTES)
    return bytes(buf)
