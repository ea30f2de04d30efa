"""A token's first daily key, sealed for the health authority: the token carries it and cannot open it.

All later daily keys follow from the first by hashing, so that the token need not keep any. SPEC.md, "Keys of a token",
has the bytes.
"""

from dataclasses import dataclass, field

from host_tools.errors import UserError
from tracing.keys import KEY_BYTES
from tracing.sealing import CounterMode, equal, hmac_sha256

RANDOM_BYTES = 16
TAG_BYTES = 16
ESCROW_BYTES = RANDOM_BYTES + KEY_BYTES + TAG_BYTES
_NONCE_BYTES = 8


class EscrowError(UserError):
    """The escrow does not open; the message says what that means."""


@dataclass(frozen=True)
class EscrowKeys:
    """16 bytes for AES, 32 for HMAC."""

    encryption: bytes = field(repr=False)
    authentication: bytes = field(repr=False)


def seal(keys: EscrowKeys, daily_key: bytes, random: bytes) -> bytes:
    """The escrow of a daily key: 64 bytes.

    Args:
        daily_key: 32 bytes; random: 16 bytes, never used before with these keys.
    """
    if len(daily_key) != KEY_BYTES or len(random) != RANDOM_BYTES:
        raise ValueError(f"a daily key of {len(daily_key)} bytes, {len(random)} random ones")
    return random + (sealed := _applied(keys, random, daily_key)) + _tag(keys, random + sealed)


def open_escrow(keys: EscrowKeys, escrow: bytes) -> bytes:
    """The daily key in an escrow: 32 bytes.

    Raises:
        EscrowError: it was sealed under another root or for another serial, or was changed.
    """
    sealed = escrow[:-TAG_BYTES]
    if len(escrow) != ESCROW_BYTES or not equal(_tag(keys, sealed), escrow[-TAG_BYTES:]):
        raise EscrowError(
            "The token's key does not open with this authority's root: the token belongs to another authority, or the "
            "release was damaged or changed. Nothing was written. Check the key file, then ask the kiosk to release "
            "again."
        )
    return _applied(keys, sealed[:RANDOM_BYTES], sealed[RANDOM_BYTES:])


def _applied(keys: EscrowKeys, random: bytes, data: bytes) -> bytes:
    buf = bytearray(data)
    CounterMode(keys.encryption).apply(int.from_bytes(random[:_NONCE_BYTES], "big"), buf, 0, len(buf))
    return bytes(buf)


def _tag(keys: EscrowKeys, sealed: bytes) -> bytes:
    return hmac_sha256(keys.authentication, sealed)[:TAG_BYTES]
