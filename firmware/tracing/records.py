"""Bytes in flash: log blocks and records, and the token's own state. All integers are little-endian.

SPEC.md, "Flash", has the layouts with examples. A log record travels over a sync session exactly as it lies in flash:
sealed by tracing.segment, with a tag where the CRC-32 stands before and afterwards.
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
_LOG_VERSION = const(2)
# magic, version, record size, first sequence number, erase count, created (Unix s, 0 unknown), reserved, CRC-32 of
# the 24 bytes before; then four bytes that are cleared as soon as the next block has a record to lose
_BLOCK_HEADER = "<2sBBIII8sII"
FOLLOWED_AT = 28
ERASED_MARK = b"\xfe\xfe\xfe\xfe"  # there, in a block without a header: its erase was completed
_BLOCK_MAGIC = b"BZ"
_RESERVED = b"\xff" * 8


def is_sound(buf, at, size):
    """Whether the last four of the `size` bytes at `at` are the CRC-32 of those before them."""
    end = at + size - 4
    return unpack_from("<I", buf, end)[0] == crc32(memoryview(buf)[at:end])


def set_crc(buf, size):
    """Put the CRC-32 of what stands before it into the last four of the first `size` bytes."""
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
    set_crc(buf, RECORD_BYTES)


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
    set_crc(buf, FOLLOWED_AT)


def unpack_block_header(buf):
    """(first_seq, erase_count, created_s) of a log block, or None when it is not one of ours."""
    fields = unpack_from(_BLOCK_HEADER, buf, 0)
    if fields[:3] != (_BLOCK_MAGIC, _LOG_VERSION, RECORD_BYTES) or not is_sound(buf, 0, FOLLOWED_AT):
        return None
    return fields[3:6]


# --- The token's own state in flash ----------------------------------------------------------------------------
UNIT_BYTES = 16  # records of the state begin at multiples of it
STATE_KEY_AT = 8
_STATE_VERSION = const(2)
# Each begins with its magic and the version, and ends with a CRC-32.
_STATE_BLOCK_MAGIC = const(0xB4)
_STATE_MAGIC = const(0xB5)
_TIME_MAGIC = const(0xB6)
_KEY_MAGIC = const(0xB7)
_STATE_BLOCK = "<BBHIII"  # 0, generation, 0
# flags, boot, first day, serial, watermark, last sync (Unix s), sync key, code key, escrow, skew (ppm)
_STATE = "<BBHHH8sII32s32s64siI"
_TIME = "<BBHIII"  # 0, last time known (Unix s), nothing expires before (Unix s)
_KEY = "<BBHI32sII"  # which, number (day or segment), key, 0
STATE_PROVISIONED = 0x0001  # keys and serial were written by a technician, not made by the token itself

# The parts of the state, each with records of its own.
PART_DAY_KEY = 0
PART_LOG_KEY = 1
PART_STATE = 2
PART_TIME = 3
STATE_PART_BYTES = b"\x30\x30\xa0\x10"  # sizes of their records


def pack_state_part(buf, part, state):
    """Write the record of one part (PART_*) of a `state.State` into `buf`; its size in bytes."""
    if part == PART_STATE:
        pack_into(
            _STATE, buf, 0, _STATE_MAGIC, _STATE_VERSION, state.flags, state.boot, state.first_day, state.serial,
            state.watermark, state.last_sync_s, state.sync_key, state.code_key, state.escrow, state.skew_ppm, 0,
        )  # fmt: skip
    elif part == PART_TIME:
        pack_into(_TIME, buf, 0, _TIME_MAGIC, _STATE_VERSION, 0, state.last_time_s, state.expire_from_s, 0)
    else:
        pack_into(
            _KEY, buf, 0, _KEY_MAGIC, _STATE_VERSION, part,
            *((state.key_day, state.daily_key) if part == PART_DAY_KEY else (state.log_segment, state.log_key)), 0, 0,
        )  # fmt: skip
    size = STATE_PART_BYTES[part]
    set_crc(buf, size)
    return size


def state_part(buf):
    """Which part's record seems to begin in `buf`; -1: none."""
    if buf[1] == _STATE_VERSION:
        if buf[0] == _STATE_MAGIC:
            return PART_STATE
        if buf[0] == _TIME_MAGIC:
            return PART_TIME
        if buf[0] == _KEY_MAGIC and buf[2] <= PART_LOG_KEY:
            return buf[2]
    return -1


def unpack_state_part(buf, part, state):
    """Put a sound record of a part into `state`."""
    if part == PART_STATE:
        (
            _, _, state.flags, state.boot, state.first_day, state.serial, state.watermark, state.last_sync_s,
            state.sync_key, state.code_key, state.escrow, state.skew_ppm, _,
        ) = unpack_from(_STATE, buf, 0)  # fmt: skip
    elif part == PART_TIME:
        state.last_time_s, state.expire_from_s = unpack_from(_TIME, buf, 0)[3:5]
    elif part == PART_DAY_KEY:
        state.key_day, state.daily_key = unpack_from(_KEY, buf, 0)[3:5]
    else:
        state.log_segment, state.log_key = unpack_from(_KEY, buf, 0)[3:5]


def pack_state_block(buf, generation):
    """Write the 16-byte mark of a complete block of the state into `buf`; `generation`: one more for each block."""
    pack_into(_STATE_BLOCK, buf, 0, _STATE_BLOCK_MAGIC, _STATE_VERSION, 0, generation, 0, 0)
    set_crc(buf, UNIT_BYTES)


def unpack_state_block(buf):
    """The generation, or 0 when this is no mark of a complete block."""
    magic, version, _, generation = unpack_from(_STATE_BLOCK, buf, 0)[:4]
    if magic != _STATE_BLOCK_MAGIC or version != _STATE_VERSION or not is_sound(buf, 0, UNIT_BYTES):
        return 0
    return generation


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
