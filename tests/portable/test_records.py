"""Records as they lie in flash: layout, limits, checksums."""

import binascii
import importlib
import struct
import sys
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st
from two_pythons import both_pythons

from tracing import records
from tracing.state import State

IDENT = bytes(range(0xA0, 0xAC))
RECORD = (0x31, 5, 0x5F2E8F60, 300, 8, 27, -61, -71, IDENT)
UNSIGNED_32 = st.integers(0, 0xFFFFFFFF)
RSSI = st.integers(-128, 127)


def packed_record(*fields) -> bytearray:
    buf = bytearray(records.RECORD_BYTES)
    records.pack_record(buf, *fields)
    return buf


def packed_state(counter: int, state: State) -> bytearray:
    buf = bytearray(records.STATE_BYTES)
    records.pack_state(buf, counter, state)
    return buf


def filled_state() -> State:
    state = State()
    state.flags, state.boot, state.key_day = records.STATE_PROVISIONED, 0xFFFF, 18_484
    state.daily_key, state.serial = bytes(range(32)), b"serial 8"
    state.watermark, state.last_sync_s, state.last_time_s = 1, 0x5F2E8F60, 0xFFFFFFFF
    state.skew_ppm = -100_000
    return state


def check_bytes():
    from binascii import hexlify

    from tracing import records

    buf = bytearray(28)
    records.pack_record(buf, 0x31, 5, 0x5F2E8F60, 300, 8, 27, -61, -71, bytes(range(12)))
    assert hexlify(buf[:24]) == b"3105608f2e5f2c01081bc3b9000102030405060708090a0b"
    assert hexlify(buf[24:]) == b"%08x" % int.from_bytes(records.crc32(buf[:24]).to_bytes(4, "little"), "big")
    assert records.unpack_record(b"xyz" + buf, 3) == (0x31, 5, 0x5F2E8F60, 300, 8, 27, -61, -71, bytes(range(12)))
    assert records.crc32(b"123456789") == 0xCBF43926
    records.pack_record(buf, 1, 0x1234, 0, 70000, 256, 999, 200, -200, bytes(12))
    assert records.unpack_record(buf) == (1, 0x34, 0, 65535, 255, 255, 127, -128, bytes(12))
    header = bytearray(32)
    records.pack_block_header(header, 0x12345678, 9, 0x5F2E8F60)
    assert hexlify(header[:24]) == b"425a011c7856341209000000608f2e5f" + b"ff" * 8
    assert header[28:] == b"\xff" * 4
    for followed in (b"\0\0\0\0", b"\x80\1\2\3"):
        header[records.FOLLOWED_AT :] = followed
        assert records.unpack_block_header(header) == (0x12345678, 9, 0x5F2E8F60)
    assert records.unpack_block_header(header) == (0x12345678, 9, 0x5F2E8F60)
    for size in (28, 32, 80):
        assert not records.is_sound(b"\xff" * size, 0, size)
        assert not records.is_sound(bytes(size), 0, size)


@both_pythons
def test_bytes(run) -> None:
    run(check_bytes)


@given(
    kind=st.integers(0, 0xFF), boot=st.integers(0, 0xFFFF), start_s=UNSIGNED_32, duration_s=st.integers(0, 1 << 20),
    windows=st.integers(0, 1 << 12), sightings=st.integers(0, 1 << 16), rssi=st.tuples(RSSI, RSSI),
    ident=st.binary(min_size=12, max_size=12),
)  # fmt: skip
def test_a_record_comes_back(kind, boot, start_s, duration_s, windows, sightings, rssi, ident) -> None:
    buf = packed_record(kind, boot, start_s, duration_s, windows, sightings, *rssi, ident)
    assert records.unpack_record(buf) == (
        kind, boot % 256, start_s, min(duration_s, 65535), min(windows, 255), min(sightings, 255), *rssi, ident,
    )  # fmt: skip


@given(first_seq=UNSIGNED_32, erase_count=UNSIGNED_32, created_s=UNSIGNED_32)
def test_a_block_header_comes_back(first_seq: int, erase_count: int, created_s: int) -> None:
    buf = bytearray(records.BLOCK_HEADER_BYTES)
    records.pack_block_header(buf, first_seq, erase_count, created_s)
    assert records.unpack_block_header(buf) == (first_seq, erase_count, created_s)


@given(counter=UNSIGNED_32)
def test_a_state_comes_back(counter: int) -> None:
    found = State()
    assert records.unpack_state(packed_state(counter, filled_state()), found) == counter
    assert vars(found) == vars(filled_state())


def test_a_flipped_bit_is_noticed_wherever_it_is() -> None:
    header = bytearray(records.BLOCK_HEADER_BYTES)
    records.pack_block_header(header, 145, 1, 0)
    untouched = dict(vars(State()))
    for good in (packed_record(*RECORD), header, packed_state(7, filled_state())):
        for bit in range(len(good) * 8):
            buf = bytearray(good)
            buf[bit // 8] ^= 1 << bit % 8
            state = State()
            if len(buf) == records.RECORD_BYTES:
                assert records.unpack_record(buf) is None
            elif len(buf) == records.BLOCK_HEADER_BYTES:
                if bit // 8 >= records.FOLLOWED_AT:
                    continue  # not part of what the checksum guards: it is cleared later
                assert records.unpack_block_header(buf) is None
            else:
                assert records.unpack_state(buf, state) == -1
            assert vars(state) == untouched


@pytest.mark.parametrize(("at", "value"), [(0, 0xB4), (1, 2)], ids=["magic", "version"])
def test_a_state_of_another_format_is_not_believed(at: int, value: int) -> None:
    buf = packed_state(7, filled_state())
    buf[at] = value
    struct.pack_into("<I", buf, 76, binascii.crc32(buf[:76]))
    assert records.is_sound(buf, 0, 80)
    assert records.unpack_state(buf, State()) == -1


def test_a_state_from_before_the_skew_was_kept_knows_none() -> None:
    buf = packed_state(7, filled_state())
    buf[66:76] = b"\xff" * 10
    struct.pack_into("<I", buf, 76, binascii.crc32(buf[:76]))
    found = State()
    assert records.unpack_state(buf, found) == 7
    assert found.skew_ppm == 0
    assert found.last_time_s == filled_state().last_time_s


@given(data=st.binary(max_size=100))
def test_boards_without_crc32_have_our_own(data: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "binascii", types.ModuleType("binascii"))
        patch.delitem(sys.modules, "tracing.records")
        bare = importlib.import_module("tracing.records")
    patched_back = sys.modules["tracing.records"]
    assert patched_back is records
    assert bare.crc32 is not binascii.crc32
    assert bare.crc32(data) == binascii.crc32(data)
