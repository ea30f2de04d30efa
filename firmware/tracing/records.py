"""Bytes in flash: log blocks and records, and the token's own state. All integers are little-endian.

SPEC.md, "Flash", has the layouts with examples. A record travels over a sync session exactly as it lies in flash.
"""

from struct import pack_into, unpack_from

from .const import const

try:
    from binascii import crc32  # pyright: ignore[reportAssignmentType]
except ImportError:  # some builds of CircuitPython

    def crc32(data):
        """CRC-32 (IEEE 802.3) of a buffer, as an unsigned integer."""
        crc = 0xFFFFFFFF
        for byte in data:
            crc ^= byte
            for _ in range(8):
                crc = (crc >> 1) ^ (0xEDB88320 if crc & 1 else 0)
        return crc ^ 0xFFFFFFFF


# --- The log ---------------------------------------------------------------------------------------------------
RECORD_BYTES = 28
# kind and flags, boot, start, duration, windows, sightings, RSSI max and mean, id, CRC-32 of the 24 bytes before
_RECORD = "<BBIHBBbb12sI"
KIND_ENCOUNTER = 1
KIND_EVENT = 2
FLAG_CLOCK_SET = 0x10  # `start` is true; without it, it lags by the time that the token was off
FLAG_CONNECTED = 0x20  # the id was read over a connection (iPhone): sightings are advertisements of that address

BLOCK_HEADER_BYTES = 32
_LOG_VERSION = const(1)
# magic, version, record size, first sequence number, erase count, created (Unix s, 0 unknown), reserved, CRC-32 of
# the 24 bytes before; then four bytes that are cleared as soon as the next block has a record to lose
_BLOCK_HEADER = "<2sBBIII8sII"
FOLLOWED_AT = 28
_BLOCK_MAGIC = b"BZ"
_RESERVED = b"\xff" * 8


def is_sound(buf, at, size):
    """Whether the last four of the `size` bytes at `at` are the CRC-32 of those before them."""
    end = at + size - 4
    return unpack_from("<I", buf, end)[0] == crc32(memoryview(buf)[at:end])


def _seal(buf, size):
    pack_into("<I", buf, size - 4, crc32(memoryview(buf)[: size - 4]))


def pack_record(buf, kind_flags, boot, start_s, duration_s, windows, sightings, rssi_max_dbm, rssi_mean_dbm, ident):
    """Write one 28-byte log record into `buf` (offset 0).

    Args:
        boot: number of the start; the record keeps the low 8 bits.
        start_s: Unix s, 0..2^32-1; duration_s, windows, sightings: 0 or more, cut off at what the field holds.
        rssi_max_dbm, rssi_mean_dbm: cut off at -128 and 127.
        ident: 12 bytes.
    """
    pack_into(
        _RECORD, buf, 0, kind_flags, boot & 0xFF, start_s, min(duration_s, 0xFFFF), min(windows, 0xFF),
        min(sightings, 0xFF), _clamp_dbm(rssi_max_dbm), _clamp_dbm(rssi_mean_dbm), ident, 0,
    )  # fmt: skip
    _seal(buf, RECORD_BYTES)


def unpack_record(buf, at=0):
    """One log record, or None when the CRC does not fit.

    Returns:
        (kind_flags, boot, start_s, duration_s, windows, sightings, rssi_max_dbm, rssi_mean_dbm, id) with id as
        12 bytes; the meaning of each in SPEC.md, "Log record".
    """
    return unpack_from(_RECORD, buf, at)[:9] if is_sound(buf, at, RECORD_BYTES) else None


def _clamp_dbm(value):
    return -128 if value < -128 else 127 if value > 127 else value


def pack_block_header(buf, first_seq, erase_count, created_s):
    """Write the 32-byte header of a log block into `buf` (offset 0)."""
    pack_into(
        _BLOCK_HEADER, buf, 0, _BLOCK_MAGIC, _LOG_VERSION, RECORD_BYTES, first_seq, erase_count, created_s, _RESERVED,
        0, 0xFFFFFFFF,
    )  # fmt: skip
    _seal(buf, FOLLOWED_AT)


def unpack_block_header(buf):
    """(first_seq, erase_count, created_s) of a log block, or None when it is not one of ours."""
    fields = unpack_from(_BLOCK_HEADER, buf, 0)
    if fields[:3] != (_BLOCK_MAGIC, _LOG_VERSION, RECORD_BYTES) or not is_sound(buf, 0, FOLLOWED_AT):
        return None
    return fields[3:6]


# --- The token's own state in flash ----------------------------------------------------------------------------
STATE_BYTES = 80
# magic, version, flags, boot, write counter, key day, reserved, daily key, serial, watermark, last sync (Unix s),
# last time known (Unix s), skew of the clock (ppm; -1: not known), reserved, CRC-32
_STATE = "<BBHHIHH32s8sIIIi6sI"
_STATE_MAGIC = const(0xB5)
_STATE_VERSION = const(1)
STATE_PROVISIONED = 0x0001  # keys and serial were written by a technician, not made by the token itself


def pack_state(buf, counter, state):
    """Write a state record into `buf`. `state` has the fields of `state.State`."""
    pack_into(
        _STATE, buf, 0, _STATE_MAGIC, _STATE_VERSION, state.flags, state.boot, counter, state.key_day, 0,
        state.daily_key, state.serial, state.watermark, state.last_sync_s, state.last_time_s, state.skew_ppm,
        b"\xff" * 6, 0,
    )  # fmt: skip
    _seal(buf, STATE_BYTES)


def unpack_state(buf, state):
    """Fill `state` from a state record; returns its write counter, or -1 when the record is damaged or empty."""
    fields = unpack_from(_STATE, buf, 0)
    if fields[:2] != (_STATE_MAGIC, _STATE_VERSION) or not is_sound(buf, 0, STATE_BYTES):
        return -1
    state.flags, state.boot, counter, state.key_day = fields[2], fields[3], fields[4], fields[5]
    state.daily_key, state.serial, state.watermark = fields[7], fields[8], fields[9]
    state.last_sync_s, state.last_time_s = fields[10], fields[11]
    state.skew_ppm = fields[12] if fields[12] != -1 else 0
    return counter


# --- Programming -----------------------------------------------------------------------------------------------
def keeps(store, offset, buf):
    """Program `buf` at `offset` of a store, and read it back into `buf`.

    Returns:
        True when the flash has it. Cells that an erase cut short left unstable, or that are worn out, do not.
    """
    wanted = bytes(buf)
    store.program(offset, buf)
    store.read(offset, buf)
    return buf == wanted
