"""The primitives against the standards' own vectors, and each implementation of AES against the others."""

import importlib.util
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from two_pythons import both_pythons

from tracing import other_aes, sealing


def check_hmac():
    from binascii import unhexlify

    from tracing.sealing import hmac_sha256

    # RFC 4231, cases 1, 2 and 4
    for key, data, expected in (
        (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (bytes(range(1, 26)), b"\xcd" * 50, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
    ):
        assert hmac_sha256(key, data) == unhexlify(expected)
        assert hmac_sha256(key, data[:3], b"", data[3:]) == unhexlify(expected)


def check_hkdf():
    from binascii import unhexlify

    from tracing.sealing import hkdf

    # RFC 5869, A.1 and A.3
    assert hkdf(b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA)), 42) == unhexlify(
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )
    assert hkdf(b"\x0b" * 22, b"", b"", 42) == unhexlify(
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )


def check_counter_mode():
    from binascii import unhexlify

    from tracing.sealing import CounterMode

    # SP 800-38A, F.5.1: its first counter block ends in a number that does not begin at 0, so only its form is used
    # here; the key stream of counter blocks 0 and 1 is FIPS 197's cipher itself.
    key = unhexlify("2b7e151628aed2a6abf7158809cf4f3c")
    buf = bytearray(40)
    CounterMode(key).apply(0, buf, 0, 16)
    assert bytes(buf[:16]) == unhexlify("7df76b0c1ab899b33e42f047b91b546f")
    assert bytes(buf[16:]) == bytes(24)
    # Each piece on its own place, there and back.
    text = bytearray(range(40))
    mode = CounterMode(key)
    mode.apply(2**63 + 5, text, 3, 40)
    assert text[:3] == bytearray(range(3))
    assert text[3:] != bytearray(range(3, 40))
    mode.apply(2**63 + 5, text, 3, 40)
    assert text == bytearray(range(40))


def check_equal():
    from tracing.sealing import equal

    assert equal(b"", b"")
    assert equal(b"abc", bytearray(b"abc"))
    assert not equal(b"abc", b"abd")
    assert not equal(b"abc", b"ab")
    assert not equal(b"bbc", b"abc")


def check_seal():
    from tracing.sealing import Seal, hmac_sha256

    keys = bytes(range(48))
    buf = bytearray(b"message" + bytes(20))
    assert Seal(keys).close(258, buf, 7) == 23
    sealed = bytes(buf)
    assert sealed[:7] != b"message"
    assert sealed[7:23] == hmac_sha256(keys[16:], b"\2\1\0\0", sealed[:7])[:16]
    assert sealed[23:] == bytes(4)
    for number, end in ((259, 23), (258, 22), (258, 16), (258, 15), (258, 0)):
        assert Seal(keys).open(number, buf, end) == 0
        assert buf == sealed
    assert Seal(keys).open(258, buf, 23) == 7
    assert buf[:7] == b"message"


@both_pythons
def test_hmac(run):
    run(check_hmac)


@both_pythons
def test_hkdf(run):
    run(check_hkdf)


@both_pythons
def test_counter_mode(run):
    run(check_counter_mode)


@both_pythons
def test_equal(run):
    run(check_equal)


@both_pythons
def test_seal(run):
    run(check_seal)


def check_portable_aes(key, plain, expected):
    from tracing.other_aes import PortableAes

    out = bytearray(len(plain))
    PortableAes(key, 1).encrypt(plain, out)
    assert bytes(out) == expected


@both_pythons
def test_portable_aes(run):
    # FIPS 197, appendix B and C.1
    for key, plain, cipher in (
        ("2b7e151628aed2a6abf7158809cf4f3c", "3243f6a8885a308d313198a2e0370734", "3925841d02dc09fbdc118597196a0b32"),
        ("000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff", "69c4e0d86a7b0430d8cdb78070b4c55a"),
    ):
        run(check_portable_aes, bytes.fromhex(key), bytes.fromhex(plain) * 2, bytes.fromhex(cipher) * 2)


@given(key=st.binary(min_size=16, max_size=16), plain=st.binary(min_size=16, max_size=16))
def test_own_aes_agrees_with_the_library(key: bytes, plain: bytes):
    library, own = bytearray(16), bytearray(16)
    other_aes.aes(key, 1).encrypt(plain, library)
    other_aes.PortableAes(key, 1).encrypt(plain, own)
    assert own == library
    assert other_aes.aes is not other_aes.PortableAes, "the host has the library"


class StandInAes:
    """What `aesio.AES` takes and refuses, by its documentation (pyright checks the calls against its stubs)."""

    def __init__(self, key, mode=0, IV=None, segment_size=8):
        assert mode == 1
        self._aes = other_aes.aes(key, 1)

    def encrypt_into(self, src, dest):
        if len(src) != 16 or len(dest) != 16:
            raise ValueError("ECB only operates on 16 bytes at a time")
        self._aes.encrypt(src, dest)


@pytest.mark.parametrize("length", [16, 48])
def test_circuitpythons_aes(monkeypatch, length):
    monkeypatch.setitem(sys.modules, "aesio", SimpleNamespace(AES=StandInAes, MODE_ECB=1))
    spec = importlib.util.spec_from_file_location("tracing.aes_of_circuitpython", other_aes.__file__)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    plain = bytes(range(length))
    theirs, own = bytearray(length), bytearray(length)
    module.aes(bytes(range(16)), 1).encrypt(plain, theirs)
    module.PortableAes(bytes(range(16)), 1).encrypt(plain, own)
    assert theirs == own
    assert module.aes is not other_aes.aes


@given(
    key=st.binary(min_size=16, max_size=16),
    nonce=st.integers(0, 2**64 - 1),
    text=st.binary(max_size=600),
)
def test_counter_mode_is_the_librarys(key: bytes, nonce: int, text: bytes):
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    library = Cipher(algorithms.AES(key), modes.CTR(nonce.to_bytes(8, "big") + bytes(8))).encryptor()
    buf = bytearray(text)
    sealing.CounterMode(key).apply(nonce, buf, 0, len(buf))
    assert bytes(buf) == library.update(text)


@given(
    keys=st.binary(min_size=48, max_size=48),
    number=st.integers(0, 2**32 - 1),
    text=st.binary(min_size=1, max_size=100),
    tag_bytes=st.integers(4, 32),
    data=st.data(),
)
def test_a_seal_opens_as_it_was_closed_or_not_at_all(keys, number, text, tag_bytes, data):
    seal = sealing.Seal(keys, tag_bytes)
    buf = bytearray(text + bytes(tag_bytes))
    end = seal.close(number, buf, len(text))
    assert end == len(buf)
    bit = data.draw(st.integers(0, 8 * end - 1))
    flipped = bytearray(buf)
    flipped[bit // 8] ^= 1 << bit % 8
    before = bytes(flipped)
    assert seal.open(number, flipped, end) == 0
    assert flipped == before, "nothing is opened before the tag has been checked"
    assert seal.open(number, buf, end) == len(text)
    assert buf[: len(text)] == text


def test_a_key_of_another_length_is_refused():
    with pytest.raises(ValueError, match="16 bytes"):
        other_aes.PortableAes(bytes(24), 1)
    with pytest.raises(ValueError, match="65 bytes"):
        sealing.hmac_sha256(bytes(65), b"")
