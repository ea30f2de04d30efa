"""The log's keys and seals: known answers on both interpreters, and what must not open."""

import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st
from two_pythons import both_pythons

from tracing import records
from tracing.kiosk_log import open_record
from tracing.segment import next_segment_key, segment_seal

KEY = bytes(range(32))
SEQ = st.integers(0, 0xFFFFFFFF)


def check_known_answers():
    from binascii import hexlify

    from tracing.segment import next_segment_key, segment_seal

    key = bytes(range(32))
    assert hexlify(next_segment_key(key)) == b"fb97eac5dc2cc692dd7aaac73598c08c15ae9dc73827725d7421f26f68acad1b"
    buf = bytearray(range(28))
    assert segment_seal(key).close(0x01020304, buf, 24) == 28
    assert hexlify(buf) == b"35c8ae990b297cc1d2ab5778bef5c2509e012a6d36e8cd82a6b5079b"


@both_pythons
def test_known_answers(run) -> None:
    run(check_known_answers)


def test_the_standard_library_says_the_same() -> None:
    assert next_segment_key(KEY) == hashlib.sha256(KEY + b"bluezone log segment").digest()
    secret = hmac.digest(bytes(32), KEY, "sha256")
    first = hmac.digest(secret, b"bluezone log seal\1", "sha256")
    mac_key = (first + hmac.digest(secret, first + b"bluezone log seal\2", "sha256"))[16:48]
    buf = bytearray(28)
    segment_seal(KEY).close(7, buf, 24)
    assert buf[24:] == hmac.digest(mac_key, b"\7\0\0\0" + buf[:24], "sha256")[:4]


def sealed(seq: int, plain: bytes) -> bytearray:
    buf = bytearray(plain) + bytes(4)
    segment_seal(KEY).close(seq, buf, 24)
    return buf


@given(seq=SEQ, plain=st.binary(min_size=24, max_size=24))
def test_a_record_comes_back_with_its_crc(seq: int, plain: bytes) -> None:
    record = open_record(segment_seal(KEY), seq, sealed(seq, plain))
    assert record is not None
    assert record[:24] == plain
    assert records.is_sound(record, 0, records.RECORD_BYTES)


@given(seq=SEQ, other=SEQ, plain=st.binary(min_size=24, max_size=24), bit=st.integers(0, 28 * 8 - 1))
def test_nothing_else_opens(seq: int, other: int, plain: bytes, bit: int) -> None:
    raw = sealed(seq, plain)
    assert open_record(segment_seal(next_segment_key(KEY)), seq, raw) is None
    assert open_record(segment_seal(KEY), seq, raw[:-1]) is None
    if other != seq:
        assert open_record(segment_seal(KEY), other, raw) is None
        assert sealed(other, plain)[:24] != raw[:24]  # the same encounter twice does not show
    raw[bit // 8] ^= 1 << bit % 8
    assert open_record(segment_seal(KEY), seq, raw) is None
