"""Bytes in flash: log blocks and records, and the token's own state. All integers are little-endian.

SPEC.md, "Flash", has the layouts with examples. A record travels over a sync session exactly as it lies in flash.
"""

import binascii
from struct import calcsize, pack_into, unpack_from

# --- The log ---------------------------------------------------------------------------------------------------
BLOCK_BYTES = 4096
RECORD_BYTES = 28
# kind and flags, boot, start, duration, windows, sightings, RSSI max and mean, id, CRC-32 of the 24 bytes before
_RECORD = "<BBIHBBbb12sI"
KIND_ENCOUNTER = 1
KIND_EVENT = 2
FLAG_CLOCK_SET = 0x10  # `start` is Unix time; without it, seconds since this boot
FLAG_CONNECTED = 0x20  # the id was read over a connection (iPhone): sightings are advertisements of that address

BLOCK_HEADER_BYTES = 32
LOG_VERSION = 1
# magic, version, record size, first sequence number, erase count, created (Unix s, 0 unknown), reserved, CRC-32
_BLOCK_HEADER = "<2sBBIII12sI"
_BLOCK_MAGIC = b"BZ"
_RESERVED = b"\xff" * 12
RECORDS_PER_BLOCK = (BLOCK_BYTES - BLOCK_HEADER_BYTES) // RECORD_BYTES


_native_crc32 = getattr(binascii, "crc32", None)  # some builds of CircuitPython lack it


def crc32(data):
    """CRC-32 (IEEE 802.3) of a buffer, as an unsigned integer."""
    if _native_crc32:
        return _native_crc32(data) & 0xFFFFFFFF
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xEDB88320 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def pack_record(buf, kind_flags, boot, start_s, duration_s, windows, sightings, rssi_max_dbm, rssi_mean_dbm, ident):
    """Write one 28-byte log record into `buf` (offset 0). Values out of range are clamped, never wrapped."""
    pack_into(
        _RECORD,
        buf,
        0,
        kind_flags,
        boot & 0xFF,
        start_s,
        min(duration_s, 0xFFFF),
        min(windows, 0xFF),
        min(sightings, 0xFF),
        _clamp_dbm(rssi_max_dbm),
        _clamp_dbm(rssi_mean_dbm),
        ident,
        0,
    )
    pack_into("<I", buf, RECORD_BYTES - 4, crc32(memoryview(buf)[: RECORD_BYTES - 4]))


def unpack_record(buf, at=0):
    """One log record, or None when the CRC does not fit.

    Returns:
        (kind_flags, boot, start_s, duration_s, windows, sightings, rssi_max_dbm, rssi_mean_dbm, id) with id as
        12 bytes; the meaning of each in SPEC.md, "Log record".
    """
    fields = unpack_from(_RECORD, buf, at)
    if fields[9] != crc32(memoryview(buf)[at : at + RECORD_BYTES - 4]):
        return None
    return fields[:9]


def _clamp_dbm(value):
    return -128 if value < -128 else 127 if value > 127 else value


def pack_block_header(buf, first_seq, erase_count, created_s):
    """Write the 32-byte header of a log block into `buf` (offset 0)."""
    pack_into(
        _BLOCK_HEADER, buf, 0, _BLOCK_MAGIC, LOG_VERSION, RECORD_BYTES, first_seq, erase_count, created_s, _RESERVED, 0
    )
    pack_into("<I", buf, BLOCK_HEADER_BYTES - 4, crc32(memoryview(buf)[: BLOCK_HEADER_BYTES - 4]))


def unpack_block_header(buf):
    """(first_seq, erase_count, created_s) of a log block, or None when it is not one of ours."""
    magic, version, size, first_seq, erase_count, created_s, _, crc = unpack_from(_BLOCK_HEADER, buf, 0)
    if magic != _BLOCK_MAGIC or version != LOG_VERSION or size != RECORD_BYTES:
        return None
    if crc != crc32(memoryview(buf)[: BLOCK_HEADER_BYTES - 4]):
        return None
    return first_seq, erase_count, created_s


# --- The token's own state in flash ----------------------------------------------------------------------------
STATE_BYTES = 80
# magic, version, flags, boot, write counter, key day, reserved, daily key, serial, watermark, last sync (Unix s),
# last time known (Unix s), reserved, CRC-32
_STATE = "<BBHHIHH32s8sIII10sI"
_STATE_MAGIC = 0xB5
STATE_VERSION = 1
STATE_PROVISIONED = 0x0001  # keys and serial were written by a technician, not made by the token itself


def pack_state(buf, counter, state):
    """Write a state record into `buf`. `state` has the fields of `state.State`."""
    pack_into(
        _STATE,
        buf,
        0,
        _STATE_MAGIC,
        STATE_VERSION,
        state.flags,
        state.boot,
        counter,
        state.key_day,
        0,
        state.daily_key,
        state.serial,
        state.watermark,
        state.last_sync_s,
        state.last_time_s,
        b"\xff" * 10,
        0,
    )
    pack_into("<I", buf, STATE_BYTES - 4, crc32(memoryview(buf)[: STATE_BYTES - 4]))


def unpack_state(buf, state):
    """Fill `state` from a state record; returns its write counter, or -1 when the record is damaged or empty."""
    fields = unpack_from(_STATE, buf, 0)
    if fields[0] != _STATE_MAGIC or fields[1] != STATE_VERSION:
        return -1
    if fields[13] != crc32(memoryview(buf)[: STATE_BYTES - 4]):
        return -1
    state.flags, state.boot, counter, state.key_day = fields[2], fields[3], fields[4], fields[5]
    state.daily_key, state.serial, state.watermark = fields[7], fields[8], fields[9]
    state.last_sync_s, state.last_time_s = fields[10], fields[11]
    return counter


assert calcsize(_RECORD) == RECORD_BYTES
assert calcsize(_BLOCK_HEADER) == BLOCK_HEADER_BYTES
assert calcsize(_STATE) == STATE_BYTES, calcsize(_STATE)
