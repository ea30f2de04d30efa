"""Advertisements: what goes on the air, and what a token takes for Bluezone."""

import random
import uuid

import pytest
from bumble.core import UUID, AdvertisingData
from hypothesis import given
from hypothesis import strategies as st
from two_pythons import both_pythons

from tracing import phone_wire, wire
from tracing.errors import FormatError

IDENT = bytes(range(0xA0, 0xAC))
NOT_FOUND = -9

FLAGS = b"\x02\x01\x06"
SERVICE = b"\x03\x03\x56\x4e"
MANUFACTURER = b"\x0f\xff\xb5\x22" + IDENT
PHONE_SERVICE = uuid.UUID(wire.PHONE_SERVICE_UUID).bytes[::-1]
OVERFLOW = b"\x14\xff\x4c\x00\x01"


class Guarded:
    """Bytes of which only the first `length` may be looked at."""

    def __init__(self, data: bytes, length: int) -> None:
        self._data = data
        self._length = length

    def __getitem__(self, index: int) -> int:
        assert 0 <= index < self._length, "read beyond the payload"
        return self._data[index]


def look(data: bytes, length: int | None = None) -> tuple[int, int]:
    """What `classify` says, and where it found an id."""
    found = [NOT_FOUND]
    length = len(data) if length is None else length
    return wire.classify(Guarded(data, length), length, found), found[0]


def oracle(data: bytes) -> tuple[int, int]:
    """The clients' rules, written as sentences over the structures that are whole."""
    structures = []
    at = 0
    while at + 1 < len(data) and data[at] and at + 1 + data[at] <= len(data):
        structures.append((data[at + 1], at + 2, data[at + 2 : at + 1 + data[at]]))
        at += 1 + data[at]
    services = [value[i : i + 2] for kind, _, value in structures if kind in (2, 3) for i in range(0, len(value), 2)]
    bluezone = [(at, value) for kind, at, value in structures if kind == 0xFF and value[:2] == b"\xb5\x22"]
    if b"\x56\x4e" in services and bluezone and len(bluezone[-1][1]) == 14:
        return wire.BLUEZONE_ID, bluezone[-1][0] + 2
    services = [value[i : i + 16] for kind, _, value in structures if kind in (6, 7) for i in range(0, len(value), 16)]
    areas = [v[3:] for kind, _, v in structures if kind == 0xFF and v[:3] == b"\x4c\x00\x01" and len(v) == 19]
    if PHONE_SERVICE in services or any(area[0] & 0x08 or area[7] & 0x80 for area in areas):
        return wire.BLUEZONE_PHONE, NOT_FOUND
    return wire.OTHER, NOT_FOUND


# Structures that are nearly right are where mistakes hide.
values = st.one_of(
    st.binary(max_size=20),
    st.builds(bytes.__add__, st.sampled_from([b"\xb5\x22", b"\x4c\x00\x01", b"\x4c\x00"]), st.binary(max_size=20)),
    st.just(b"\xb5\x22" + IDENT),
    st.builds(bytes.__add__, st.sampled_from([b"", b"\x0f\x18", b"\x56"]), st.just(b"\x56\x4e")),
    st.just(PHONE_SERVICE),
    st.builds(lambda area: b"\x4c\x00\x01" + area, st.binary(min_size=16, max_size=16)),
)
kinds = st.sampled_from([0x01, 0x02, 0x03, 0x06, 0x07, 0x08, 0xFF])
structures = st.builds(lambda kind, value: bytes([1 + len(value), kind]) + value, kinds, values)
payloads = st.one_of(st.binary(max_size=62), st.lists(structures, max_size=6).map(b"".join))


@given(payloads, st.data())
def test_any_payload_follows_the_clients_rules(data, draw):
    length = draw.draw(st.integers(0, len(data)))
    assert look(data, length) == oracle(data[:length])


def check_classify(cases):
    from tracing.wire import classify

    for data, expected in cases:
        found = [-9]
        assert (classify(memoryview(data), len(data), found), found[0]) == expected, data


@both_pythons
def test_cut_and_damaged_payloads(run):
    rng = random.Random(7)
    whole = [
        FLAGS + SERVICE + MANUFACTURER,
        phone_wire.phone_advertisement(True),
        phone_wire.phone_advertisement(False),
    ]
    cases = []
    for _ in range(80):
        data = bytearray(rng.choice(whole))
        data[rng.randrange(len(data))] ^= rng.choice([0, 0, 1 << rng.randrange(8)])
        data = bytes(data[: rng.choice([len(data), rng.randrange(len(data))])])
        cases.append((data, oracle(data)))
    assert {kind for _, (kind, _) in cases} == {wire.OTHER, wire.BLUEZONE_ID, wire.BLUEZONE_PHONE}
    run(check_classify, cases)


ACCEPTED = [
    FLAGS + SERVICE + MANUFACTURER,
    SERVICE + MANUFACTURER,
    MANUFACTURER + SERVICE,
    FLAGS + b"\x03\x02\x56\x4e" + MANUFACTURER,  # "incomplete list" of services
    FLAGS + b"\x05\x03\x0f\x18\x56\x4e" + MANUFACTURER,  # among others
    b"\x05\xff\x4c\x00\x10\x05" + SERVICE + MANUFACTURER,  # besides another company's
    b"\x05\xff\xb5\x22\x01\x02" + SERVICE + MANUFACTURER,  # of two of the same company the last one counts
    SERVICE + MANUFACTURER + b"\x00",
    SERVICE + MANUFACTURER + b"\x1e\x09Blue",  # cut off after all that matters
]

REJECTED = {
    "empty": b"",
    "no service": FLAGS + MANUFACTURER,
    "no manufacturer data": FLAGS + SERVICE,
    "another service": FLAGS + b"\x03\x03\x57\x4e" + MANUFACTURER,
    "service in the other byte order": FLAGS + b"\x03\x03\x4e\x56" + MANUFACTURER,
    "service across two entries": FLAGS + b"\x05\x03\x00\x56\x4e\x00" + MANUFACTURER,
    "another company": FLAGS + SERVICE + b"\x0f\xff\xb6\x22" + IDENT,
    "company in the other byte order": FLAGS + SERVICE + b"\x0f\xff\x22\xb5" + IDENT,
    "eleven bytes": FLAGS + SERVICE + b"\x0e\xff\xb5\x22" + IDENT[:11],
    "thirteen bytes": FLAGS + SERVICE + b"\x10\xff\xb5\x22" + IDENT + b"\x00",
    "another length after it": SERVICE + MANUFACTURER + b"\x04\xff\xb5\x22\x01",
    "the id as service data": FLAGS + SERVICE + b"\x0f\x16\xb5\x22" + IDENT,
    "cut in the id": (FLAGS + SERVICE + MANUFACTURER)[:-1],
    "after the end": FLAGS + SERVICE + b"\x00" + MANUFACTURER,
}


@pytest.mark.parametrize("data", ACCEPTED)
def test_accepted(data):
    kind, at = look(data)
    assert (kind, data[at : at + 12]) == (wire.BLUEZONE_ID, IDENT)
    assert oracle(data) == (kind, at)


@pytest.mark.parametrize("data", REJECTED.values(), ids=REJECTED.keys())
def test_rejected(data):
    assert look(data) == (wire.OTHER, NOT_FOUND)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x11\x07" + PHONE_SERVICE, wire.BLUEZONE_PHONE),
        (b"\x11\x06" + PHONE_SERVICE, wire.BLUEZONE_PHONE),
        (b"\x21\x07" + bytes(16) + PHONE_SERVICE, wire.BLUEZONE_PHONE),
        (b"\x11\x07" + PHONE_SERVICE[::-1], wire.OTHER),
        (b"\x10\x07" + PHONE_SERVICE[:-1], wire.OTHER),
        (OVERFLOW + b"\x08" + bytes(15), wire.BLUEZONE_PHONE),
        (OVERFLOW + bytes(7) + b"\x80" + bytes(8), wire.BLUEZONE_PHONE),
        (OVERFLOW + b"\xff" * 16, wire.BLUEZONE_PHONE),  # other apps advertise as well
        (OVERFLOW + bytes(16), wire.OTHER),
        (OVERFLOW + b"\xf7" + b"\xff" * 6 + b"\x7f" + b"\xff" * 8, wire.OTHER),
        (b"\x13\xff\x4c\x00\x01\x08" + bytes(14), wire.OTHER),  # too short for an overflow area
        (b"\x14\xff\x4c\x00\x02\x08" + bytes(15), wire.OTHER),  # another of Apple's types
        (b"\x14\xff\x4d\x00\x01\x08" + bytes(15), wire.OTHER),
        (OVERFLOW + b"\x08" + bytes(14), wire.OTHER),  # cut off
    ],
)
def test_phones(data, expected):
    assert look(data) == (expected, NOT_FOUND)


@pytest.mark.parametrize("background", [False, True])
def test_simulated_phones_are_recognised(background):
    data = phone_wire.phone_advertisement(background)
    assert len(data) <= 31
    assert look(data) == (wire.BLUEZONE_PHONE, NOT_FOUND)


@given(st.binary(min_size=12, max_size=12))
def test_own_advertisement(ident):
    data = wire.advertisement(ident)
    assert len(data) == 23
    parsed = AdvertisingData.from_bytes(data).ad_structures
    assert parsed == [(1, b"\x06"), (3, b"\x56\x4e"), (0xFF, b"\xb5\x22" + ident)]
    assert look(data) == (wire.BLUEZONE_ID, 11)


def test_scan_response_as_another_stack_reads_it():
    data = wire.sync_scan_response("EXKAVQ")
    assert len(data) == 26
    parsed = AdvertisingData.from_bytes(data)
    services = parsed.get_all(AdvertisingData.Type.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS)
    assert services == [[UUID(wire.SYNC_SERVICE_UUID)]]
    assert parsed.get(AdvertisingData.Type.SHORTENED_LOCAL_NAME) == "EXKAVQ"


@given(st.uuids())
def test_uuids_in_the_order_of_the_air(value):
    assert wire.uuid_bytes(str(value)) == wire.uuid_bytes(str(value).upper()) == value.bytes[::-1]


def check_short_codes(cases):
    from tracing.wire import short_code

    for serial, expected in cases:
        assert short_code(serial) == expected, serial


@both_pythons
def test_short_codes(run):
    cases = [
        (bytes(8), "222222"),
        (b"\x1f" + bytes(7), "Z22222"),  # the first letter holds the lowest five bits
        (b"\x20" + bytes(7), "232222"),
        (b"\xff" * 8, "ZZZZZZ"),
        (b"\x00\x00\x00\x40" + bytes(4), "222222"),  # six letters hold 30 bits
        (bytes(4) + b"\xff" * 4, "222222"),
    ]
    run(check_short_codes, cases)


@given(st.binary(min_size=8, max_size=8))
def test_short_codes_can_be_read_aloud(serial):
    code = wire.short_code(serial)
    assert len(code) == 6
    assert not set(code) - set("23456789ABCDEFGHJKLMNPQRSTUVWXYZ")
    number = sum("23456789ABCDEFGHJKLMNPQRSTUVWXYZ".index(letter) << 5 * place for place, letter in enumerate(code))
    assert number == sum(byte << 8 * place for place, byte in enumerate(serial[:4])) % 2**30


@pytest.mark.parametrize("length", [0, 11, 13])
def test_an_id_of_another_length_is_refused(length):
    with pytest.raises(FormatError, match=f"not {length}"):
        wire.advertisement(bytes(length))


@pytest.mark.parametrize("code", ["", "ABCDE", "ABCDEFG", "ABCDÉF"])
def test_a_code_of_another_length_is_refused(code):
    with pytest.raises(FormatError):
        wire.sync_scan_response(code)
