"""What iPhones advertise: for the simulator and for tests. Not shipped to tokens, which only recognise it."""

from . import wire

_FLAGS = b"\x02\x01\x1a"
_NAME = b"Bluezone"


def phone_advertisement(background):
    """The payload of an iPhone with Bluezone: service and name, or in the background the overflow area."""
    if background:
        area = bytearray(16)
        area[0] = 0x08  # the hash bit that stands for the service; SPEC.md, "iPhones"
        return _FLAGS + b"\x14\xff\x4c\x00\x01" + bytes(area)
    service = bytes([17, 0x07]) + wire.uuid_bytes(wire.PHONE_SERVICE_UUID)
    # 31 bytes hold no more than the name's first eight letters, which are all of it.
    return _FLAGS + service + bytes([1 + len(_NAME), 0x09]) + _NAME
