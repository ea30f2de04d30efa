"""What keeps secrets on a token: HMAC-SHA256 (RFC 2104), HKDF (RFC 5869), AES-128 in counter mode (SP 800-38A).

Standard constructions from the primitives that a port has; nothing here is ours but the order of the calls. SPEC.md has
the labels and an example of each.
"""

from struct import pack

from .const import const
from .keys import sha256

try:
    from cryptolib import aes  # pyright: ignore[reportMissingImports]
except ImportError:
    from .other_aes import aes

_BLOCK = const(64)  # of SHA-256
_DIGEST = const(32)
_AES_BLOCK = const(16)


def hmac_sha256(key, *parts):
    """HMAC-SHA256 of the parts, one behind the other: 32 bytes. A key of at most 64 bytes."""
    if len(key) > _BLOCK:
        raise ValueError("a key of %d bytes" % len(key))
    inner = bytearray(b"\x36" * _BLOCK)
    outer = bytearray(b"\x5c" * _BLOCK)
    for i in range(len(key)):
        inner[i] ^= key[i]
        outer[i] ^= key[i]
    digest = sha256(inner)
    for part in parts:
        digest.update(part)
    over = sha256(outer)
    over.update(digest.digest())
    return over.digest()


def hkdf(secret, salt, info, length):
    """HKDF-SHA256: `length` bytes (1 to 8160) from a secret of at most 64 bytes, a salt (may be empty) and a label."""
    key = hmac_sha256(salt, secret)
    out = block = b""
    number = 1
    while len(out) < length:
        block = hmac_sha256(key, block, info, bytes((number,)))
        out += block
        number += 1
    return out[:length]


def equal(a, b):
    """Whether two strings of bytes are the same, in a time that does not tell where they differ."""
    if len(a) != len(b):
        return False
    differs = 0
    for i in range(len(a)):
        differs |= a[i] ^ b[i]
    return differs == 0


# Of all ciphers: one works at a time, and not in an irq.
_counter = bytearray(_AES_BLOCK)
_stream = bytearray(_AES_BLOCK)


class CounterMode:
    """AES-128 in counter mode. A key must never meet the same nonce twice.

    Args:
        key: 16 bytes.
    """

    def __init__(self, key):
        self._aes = aes(key, 1)

    def apply(self, nonce, buf, start, end):
        """Encrypt or decrypt `buf[start:end]` in place; `nonce`: 0 to 2**64 - 1.

        The counter block is the nonce in its first 8 bytes and the number of the block in the other 8, big-endian.
        """
        block = _counter
        stream = _stream
        for i in range(8):
            block[7 - i] = nonce & 0xFF
            nonce >>= 8
        number = 0
        for at in range(start, end, _AES_BLOCK):
            block[15] = number & 0xFF
            block[14] = number >> 8
            self._aes.encrypt(block, stream)
            for i in range(min(_AES_BLOCK, end - at)):
                buf[at + i] ^= stream[i]
            number += 1


class Seal:
    """Numbered messages, each encrypted in counter mode and then authenticated by HMAC (encrypt-then-MAC).

    Args:
        keys: 48 bytes: 16 for AES, 32 for HMAC.
        tag_bytes: how much of the HMAC stands behind a message.
    """

    def __init__(self, keys, tag_bytes=16):
        self._cipher = CounterMode(keys[:16])
        self._mac_key = keys[16:]
        self._tag_bytes = tag_bytes

    def close(self, number, buf, length):
        """Seal message `number` (0 to 2**32 - 1, none twice), `buf[:length]`, in place; its length with the tag."""
        self._cipher.apply(number, buf, 0, length)
        end = length + self._tag_bytes
        buf[length:end] = self._tag(number, buf, length)
        return end

    def open(self, number, buf, end):
        """Open message `number` in `buf[:end]` in place.

        Returns:
            Its length without the tag; 0, and `buf` as it was, when it is not this message as it was sealed.
        """
        length = end - self._tag_bytes
        if length < 1 or not equal(self._tag(number, buf, length), memoryview(buf)[length:end]):
            return 0
        self._cipher.apply(number, buf, 0, length)
        return length

    def _tag(self, number, buf, length):
        return hmac_sha256(self._mac_key, pack("<I", number), memoryview(buf)[:length])[: self._tag_bytes]
