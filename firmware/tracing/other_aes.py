"""AES-128 for ports without `cryptolib`: CircuitPython's `aesio`, on the host `cryptography`, else this file's own.

`aes(key, 1)` has `encrypt(source, target)` as cryptolib's has: whole blocks of 16 bytes, each for itself (ECB).
Source: FIPS 197. The own one looks bytes up in a table, which a measured cache could betray: boards have none.
"""


def _double(value):
    value <<= 1
    return value ^ 0x11B if value & 0x100 else value


def _make_box():
    # The S-box: the inverse in GF(2^8) and an affine map, walking the field by its generator 3.
    box = bytearray(256)
    box[0] = 0x63
    p = q = 1
    while True:
        p ^= _double(p)  # times 3
        q ^= q << 1  # divided by 3
        q ^= q << 2
        q ^= q << 4
        q &= 0xFF
        if q & 0x80:
            q ^= 0x09
        x = q | q << 8
        box[p] = (x ^ x >> 4 ^ x >> 5 ^ x >> 6 ^ x >> 7) & 0xFF ^ 0x63
        if p == 1:
            return bytes(box)


class PortableAes:
    """AES-128 in plain Python: a tenth of a millisecond a block on a PC; on a board some, not measured."""

    def __init__(self, key, _mode):
        if len(key) != 16:
            raise ValueError("an AES-128 key has 16 bytes, not %d" % len(key))
        self._box = box = _make_box()
        words = bytearray(key)
        constant = 1
        for at in range(16, 176, 4):
            word = words[at - 4 : at]
            if at % 16 == 0:
                word = bytearray((box[word[1]] ^ constant, box[word[2]], box[word[3]], box[word[0]]))
                constant = _double(constant)
            for i in range(4):
                words.append(words[at - 16 + i] ^ word[i])
        self._words = words

    def encrypt(self, source, target):
        """Encrypt `source` into `target`; both of one length, a multiple of 16."""
        words = self._words
        box = self._box
        for begin in range(0, len(source), 16):
            state = bytearray(source[begin : begin + 16])
            for i in range(16):
                state[i] ^= words[i]
            for start in range(16, 176, 16):
                mixed = bytearray(16)
                for at in range(0, 16, 4):
                    a = box[state[at]]  # each row moved on by its own number of columns
                    b = box[state[(at + 5) & 15]]
                    c = box[state[(at + 10) & 15]]
                    d = box[state[(at + 15) & 15]]
                    if start < 160:
                        every = a ^ b ^ c ^ d
                        a, b, c, d = (
                            a ^ every ^ _double(a ^ b), b ^ every ^ _double(b ^ c),
                            c ^ every ^ _double(c ^ d), d ^ every ^ _double(d ^ a),
                        )  # fmt: skip
                    mixed[at] = a ^ words[start + at]
                    mixed[at + 1] = b ^ words[start + at + 1]
                    mixed[at + 2] = c ^ words[start + at + 2]
                    mixed[at + 3] = d ^ words[start + at + 3]
                state = mixed
            target[begin : begin + 16] = state


try:
    from aesio import AES, MODE_ECB  # pyright: ignore[reportMissingImports]

    class _Aesio:
        """CircuitPython's."""

        def __init__(self, key, _mode):
            self._aes = AES(key, MODE_ECB)

        def encrypt(self, source, target):
            """Encrypt `source` into `target`; both of one length, a multiple of 16."""
            for at in range(0, len(source), 16):
                self._aes.encrypt_into(memoryview(source)[at : at + 16], memoryview(target)[at : at + 16])

    aes = _Aesio
except ImportError:
    try:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        class _Cryptography:
            """The host's."""

            def __init__(self, key, _mode):
                self._encryptor = Cipher(algorithms.AES(bytes(key)), modes.ECB()).encryptor()

            def encrypt(self, source, target):
                """Encrypt `source` into `target`; both of one length, a multiple of 16."""
                target[:] = self._encryptor.update(bytes(source))

        aes = _Cryptography
    except ImportError:
        aes = PortableAes
