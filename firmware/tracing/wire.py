"""Bytes on the air: Bluezone's advertisement, iPhones, and the token's scan response in sync mode.

The formats of the flash are in `records`, those of the sync session in `messages`; SPEC.md explains all three with
examples. Nothing else in this project packs or parses a wire format (tests/portable/test_one_wire.py).
"""

from .const import const
from .errors import FormatError
from .keys import ID_BYTES

# --- Bluezone on the air ---------------------------------------------------------------------------------------
PHONE_SERVICE_UUID = "00004E56-73F5-4BC4-A12F-17D1AD07A667"  # advertised by iPhones
ID_CHARACTERISTIC_UUID = "00004E56-73F5-4BC4-A12F-17D1AD07A689"  # 12 bytes: the id of this moment

# Flags, the 16-bit service 0x4E56, then company 8885 (0x22B5) and id: what the Android client sends and accepts.
_ADVERTISEMENT_HEAD = b"\x02\x01\x06\x03\x03\x56\x4e\x0f\xff\xb5\x22"

_AD_SERVICES16_MORE = const(0x02)
_AD_SERVICES16 = const(0x03)
_AD_SERVICES128_MORE = const(0x06)
_AD_SERVICES128 = const(0x07)
_AD_SHORT_NAME = const(0x08)
_AD_MANUFACTURER = const(0xFF)

# What `classify` finds in an advertisement.
OTHER = 0
BLUEZONE_ID = 1  # the id is in the manufacturer data
BLUEZONE_PHONE = 2  # an iPhone: connect and read ID_CHARACTERISTIC_UUID


def uuid_bytes(uuid):
    """A 128-bit UUID string in the order of the air (least significant byte first): 16 bytes."""
    digits = uuid.replace("-", "")
    return bytes([int(digits[i : i + 2], 16) for i in range(30, -2, -2)])


_PHONE_SERVICE = uuid_bytes(PHONE_SERVICE_UUID)


def advertisement(bluezone_id):
    """The 23-byte legacy advertisement payload that carries `bluezone_id` (12 bytes)."""
    if len(bluezone_id) != ID_BYTES:
        raise FormatError("a BluezoneID has 12 bytes, not %d" % len(bluezone_id))
    return _ADVERTISEMENT_HEAD + bytes(bluezone_id)


def classify(data, length, found):
    """Look for Bluezone in an advertisement payload. Allocates nothing and never raises: it runs in the irq.

    Args:
        data: buffer with the AD structures, possibly malformed or truncated.
        length: how many bytes of it are valid.
        found: list of one integer; receives the offset of the 12-byte id when the result is BLUEZONE_ID.

    Returns:
        BLUEZONE_ID, BLUEZONE_PHONE or OTHER. Follows the Android client: an id counts only with the 16-bit service
        and a manufacturer value of exactly 12 bytes under company 8885; of several the last one counts. Phones in the
        background are recognised by the two overflow-area patterns that client filters for.
    """
    at = 0
    has_service = False
    id_at = -1
    phone = False
    while at + 1 < length:
        size = data[at]
        if size == 0 or at + 1 + size > length:
            break
        kind = data[at + 1]
        if kind == _AD_SERVICES16 or kind == _AD_SERVICES16_MORE:
            i = at + 2
            while i + 1 < at + 1 + size:
                if data[i] == 0x56 and data[i + 1] == 0x4E:
                    has_service = True
                i += 2
        elif kind == _AD_MANUFACTURER and size >= 3:
            if data[at + 2] == 0xB5 and data[at + 3] == 0x22:
                id_at = at + 4 if size == 3 + ID_BYTES else -1
            elif data[at + 2] == 0x4C and data[at + 3] == 0x00:  # Apple
                phone = phone or _overflow_area(data, at + 4, size - 3)
        elif kind == _AD_SERVICES128 or kind == _AD_SERVICES128_MORE:
            i = at + 2
            while i + 16 <= at + 1 + size:
                j = 0
                while j < 16 and data[i + j] == _PHONE_SERVICE[j]:
                    j += 1
                phone = phone or j == 16
                i += 16
        at += 1 + size
    if has_service and id_at >= 0:
        found[0] = id_at
        return BLUEZONE_ID
    return BLUEZONE_PHONE if phone else OTHER


# Apple's overflow area: type 01, then 128 hash bits. The clients filter for `01 08 00…` and `01 00…80 00…`:
# the bit that stands for Bluezone's service UUID, in the byte order of the two iOS generations.
_OVERFLOW_BYTES = const(17)


def _overflow_area(data, at, size):
    return size == _OVERFLOW_BYTES and data[at] == 0x01 and (data[at + 1] & 0x08 or data[at + 8] & 0x80) != 0


# --- Sync mode on the air --------------------------------------------------------------------------------------
SYNC_SERVICE_UUID = "7c2e0001-5d3b-4f0a-9a64-0b1d3c9e5a10"
SYNC_CONTROL_UUID = "7c2e0002-5d3b-4f0a-9a64-0b1d3c9e5a10"  # kiosk to token: write, write without response
SYNC_DATA_UUID = "7c2e0003-5d3b-4f0a-9a64-0b1d3c9e5a10"  # token to kiosk: notify
SHORT_CODE_BYTES = 6
SHORT_CODE_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # no 0/O, 1/I: people read it aloud

_SYNC_SERVICE = uuid_bytes(SYNC_SERVICE_UUID)


def sync_scan_response(short_code):
    """The scan response of a token in sync mode: the sync service and the short code as name, 26 bytes.

    The advertisement itself stays the Bluezone one, so that phones do not lose the token while it syncs.
    """
    name = short_code.encode()
    if len(name) != SHORT_CODE_BYTES:
        raise FormatError("a short code has 6 letters, not %d" % len(name))
    return bytes([17, _AD_SERVICES128]) + _SYNC_SERVICE + bytes([1 + len(name), _AD_SHORT_NAME]) + name


def short_code(serial):
    """The six letters on the token's label, from its 8-byte serial."""
    number = int.from_bytes(bytes(serial)[:4], "little")
    letters = ""
    for _ in range(SHORT_CODE_BYTES):
        letters += SHORT_CODE_LETTERS[number % 32]
        number //= 32
    return letters
