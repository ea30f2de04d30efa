"""The keys of the log: each segment, that is each erase block, has its own, and each is made from the one before.

The token keeps the newest one only and cannot go back; whoever has the key of segment 0 has them all. SPEC.md, "Sealed
record", has the labels and an example.
"""

from .const import const
from .keys import sha256
from .sealing import Seal, hkdf

_SEAL_BYTES = const(48)
TAG_BYTES = 4


def next_segment_key(log_key):
    """The log key of segment n + 1 from that of segment n: 32 bytes. There is no way back."""
    return sha256(log_key + b"bluezone log segment").digest()


def segment_seal(log_key):
    """What seals the records of the segment whose log key this is: close(sequence number, buf, 24)."""
    return Seal(hkdf(log_key, b"", b"bluezone log seal", _SEAL_BYTES), TAG_BYTES)
