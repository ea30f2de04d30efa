"""Messages and fragments of the sync session: what one side packs the other unpacks, and nothing else passes."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracing import kiosk_messages as wire
from tracing.errors import FormatError
from tracing.messages import ANSWERS, REQUESTS, Fragments
from tracing.records import RECORD_BYTES
from tracing.sealing import Seal

INFO_FIELDS = (
    b"\x01\x02\x03\x04\x05\x06\x07\x08", b"\x00\x01\x02", 3, 2987, 7, 1596873600, 3600, 145, 1000, 870, 1596787200,
    37000, 2, 5, 41000, 145,
)  # fmt: skip

NONCE = bytes(range(16))

EXAMPLES = [
    (wire.HELLO, (2, NONCE), "0102" + NONCE.hex()),
    (wire.INFO, (), "02"),
    (wire.TIME, (1596873600, 250), "03805b2e5f fa00"),
    (wire.PULL, (870, 2048), "0466030000 00080000"),
    (wire.ACK, (1000,), "05e8030000"),
    (wire.VERDICT, (wire.VERDICT_EXPOSED,), "0602"),
    (wire.BYE, (), "07"),
    (wire.AUTH, (bytes(16),), "08" + "00" * 16),
    (wire.CHALLENGE, (), "09"),
    (wire.RELEASE, (b"ABCD2345",), "0a 4142434432333435"),
    (wire.HELLO | wire.ANSWER, (2, wire.AUTH_KEY, NONCE, bytes(16)), "810201" + NONCE.hex() + "00" * 16),
    (
        wire.INFO | wire.ANSWER,
        INFO_FIELDS,
        "82 0102030405060708 000102 03 ab0b 0700 805b2e5f 100e0000 91000000 e8030000 66030000 000a2d5f"
        "88900000 02000000 05000000 28a00000 9100",
    ),
    (wire.TIME | wire.ANSWER, (-2,), "83feffffff"),
    (wire.PULL | wire.ANSWER, (1000, 128, 145), "84e8030000 80000000 91000000"),
    (wire.ACK | wire.ANSWER, (1000,), "85e8030000"),
    (wire.VERDICT | wire.ANSWER, (), "86"),
    (wire.BYE | wire.ANSWER, (), "87"),
    (wire.AUTH | wire.ANSWER, (), "88"),
    (wire.CHALLENGE | wire.ANSWER, (b"\1\2\3\4\5",), "89 0102030405"),
    (wire.RELEASE | wire.ANSWER, (18482, bytes(64)), "8a 3248" + "00" * 64),
    (wire.GAP, (870, 872), "8b66030000 68030000"),
    (wire.ERROR, (wire.PULL, wire.ERROR_STATE), "800403"),
]


@pytest.mark.parametrize(("kind", "fields", "expected"), EXAMPLES)
def test_examples(kind, fields, expected):
    data = wire.message(kind, *fields)
    assert data.hex() == expected.replace(" ", "")
    assert wire.parse(data) == (kind, fields)


def test_examples_cover_every_message():
    shown = {kind for kind, _, _ in EXAMPLES}
    requests = set(range(1, len(REQUESTS.split(","))))
    answers = {wire.ANSWER | number for number in range(len(ANSWERS.split(",")))}
    assert shown == requests | answers


@given(st.binary(max_size=80))
def test_any_bytes_parse_or_are_refused(data):
    try:
        kind, fields = wire.parse(data)
    except FormatError:
        return
    assert wire.message(kind, *fields) == data


@given(st.integers(0, 2**32 - 1), st.lists(st.binary(min_size=RECORD_BYTES, max_size=RECORD_BYTES), min_size=1))
def test_records_come_back(first_seq, records):
    assert wire.parse_records(wire.records_message(first_seq, records)) == (first_seq, records)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x8c\x00\x00\x00\x00",  # none
        b"\x8c\x00\x00\x00\x00" + bytes(RECORD_BYTES - 1),
        b"\x8c\x00\x00\x00\x00" + bytes(RECORD_BYTES + 1),
        b"\x84\x00\x00\x00\x00" + bytes(RECORD_BYTES),
    ],
)
def test_not_records(data):
    with pytest.raises(FormatError):
        wire.parse_records(data)


def test_sixteen_sealed_records_fit_two_long_packets():
    sender = link()
    sender.seal(None, Seal(bytes(48)))
    longest = wire.records_message(0, [bytes(RECORD_BYTES)] * 16)
    assert len(longest) + 16 == wire.MESSAGE_MAX_BYTES
    assert [len(piece) for piece in wire.fragments(sender, longest, 247 - 3)] == [244, 227]


# --- Fragments -------------------------------------------------------------------------------------------------


def link():
    return Fragments(wire.MESSAGE_MAX_BYTES, wire.MESSAGE_MAX_BYTES)


def sealed(number):
    """One side of a sealed connection: 0 and 1 understand each other."""
    side = link()
    keys = [bytes(range(48)), bytes(range(48, 96))]
    side.seal(Seal(keys[number]), Seal(keys[1 - number]))
    return side


ENDS = {"clear": (link, link), "sealed": (lambda: sealed(0), lambda: sealed(1))}
either = pytest.mark.parametrize("ends", ENDS.values(), ids=ENDS)


def receive(receiver, pieces):
    """The messages that come out of the fragments."""
    whole = []
    for piece in pieces:
        length = receiver.feed(piece, len(piece))
        if length:
            whole.append(bytes(receiver.inbox[:length]))
    return whole


messages = st.lists(st.binary(min_size=1, max_size=wire.MESSAGE_MAX_BYTES - 16), min_size=1, max_size=6)


def test_fragment_example():
    pieces = list(wire.fragments(link(), wire.message(wire.ACK, 1000), 6))
    crc = zlib.crc32(bytes.fromhex("05e8030000")).to_bytes(4, "little").hex()
    assert [piece.hex() for piece in pieces] == ["8005e8030000", "01" + crc]


@either
@given(sent=messages, size=st.integers(2, 514))
def test_messages_arrive(ends, sent, size):
    sender, receiver = (make() for make in ends)
    pieces = [piece for data in sent for piece in wire.fragments(sender, data, size)]
    assert max(map(len, pieces)) <= size
    assert receive(receiver, pieces) == sent


def test_counter_goes_round():
    sender, receiver = link(), link()
    for number in range(300):
        data = wire.message(wire.ACK, number)
        assert receive(receiver, wire.fragments(sender, data, 20)) == [data]


@either
@given(sent=messages, size=st.integers(2, 60), data=st.data())
def test_no_damage_passes(ends, sent, size, data):
    sender, receiver = (make() for make in ends)
    pieces = [piece for message in sent for piece in wire.fragments(sender, message, size)]
    at = data.draw(st.integers(0, len(pieces) - 1))
    kind = data.draw(st.sampled_from(["drop", "repeat", "flip", "swap", "shorten", "empty"]))
    if kind == "drop":
        del pieces[at]
    elif kind == "repeat":
        pieces.insert(at, pieces[at])
    elif kind == "swap":
        pieces[at : at + 2] = pieces[at : at + 2][::-1]
    elif kind == "shorten":
        pieces[at] = pieces[at][:-1]
    elif kind == "empty":
        pieces[at] = b""
    else:
        bit = data.draw(st.integers(0, len(pieces[at]) * 8 - 1))
        flipped = bytearray(pieces[at])
        flipped[bit // 8] ^= 1 << bit % 8
        pieces[at] = bytes(flipped)
    received = []
    try:
        for piece in pieces:
            received += receive(receiver, [piece])
    except FormatError:
        pass
    assert received == sent[: len(received)]


@pytest.mark.parametrize("length", [0, 1, 4])
def test_shorter_than_any_message(length):
    with pytest.raises(FormatError):
        link().feed(bytes(1 + length), 1 + length)


def test_longer_than_the_limit():
    receiver = Fragments(10, 10)
    assert receiver.feed(b"\x80" + bytes(10), 11) == 0
    with pytest.raises(FormatError):
        receiver.feed(b"\x01\x00", 2)


def test_reset_forgets_half_a_message():
    receiver = link()
    receiver.feed(b"\x80\x05\xe8", 3)
    receiver.reset()
    assert receive(receiver, wire.fragments(link(), b"\x07", 20)) == [b"\x07"]


def test_sealing_begins_with_the_next_message_of_each_direction():
    sender, receiver = link(), link()
    first = list(wire.fragments(sender, b"\x02", 20))
    for side, keys in ((sender, (0, 1)), (receiver, (1, 0))):
        side.seal(*(Seal(bytes([key]) * 48) for key in keys))
    with pytest.raises(FormatError):
        receive(receiver, first)
    sender, receiver = link(), link()
    assert receive(receiver, wire.fragments(sender, b"\x02", 20)) == [b"\x02"]
    for side, keys in ((sender, (0, 1)), (receiver, (1, 0))):
        side.seal(*(Seal(bytes([key]) * 48) for key in keys))
    for _ in range(3):
        assert receive(receiver, wire.fragments(sender, b"\x02", 20)) == [b"\x02"]
        assert receive(sender, wire.fragments(receiver, b"\x82", 20)) == [b"\x82"]
    receiver.reset()
    assert receive(receiver, wire.fragments(link(), b"\x02", 20)) == [b"\x02"]


def test_no_two_messages_are_sealed_alike():
    sender = sealed(0)
    seen = [b"".join(piece[1:] for piece in wire.fragments(sender, b"\x02", 20)) for _ in range(1000)]
    assert len({piece[0] for piece in seen}) > 200
    assert len(set(seen)) == 1000


@pytest.mark.parametrize(("number", "data", "taken"), [
    (0, wire.message(wire.ERROR, wire.AUTH, wire.ERROR_KEY), True),
    (1, wire.message(wire.ERROR, wire.AUTH, wire.ERROR_KEY), False),
    (0, wire.message(wire.AUTH | wire.ANSWER), False),
    (0, b"\x80\x08", False),
])  # fmt: skip
def test_only_a_refusal_of_auth_is_taken_in_the_clear(number, data, taken):
    kiosk = link()
    kiosk.seal(*wire.kiosk_seals(bytes(32), bytes(32)))
    kiosk._opened = number
    pieces = list(wire.fragments(link(), data, 20))
    if taken:
        assert receive(kiosk, pieces) == [data]
    else:
        with pytest.raises(FormatError):
            receive(kiosk, pieces)


@given(messages, st.integers(2, 60))
def test_same_fragment_until_advance(sent, size):
    sender = link()
    sender.outbox[: len(sent[0])] = sent[0]
    sender.start(len(sent[0]))
    one, other = bytearray(size), bytearray(size)
    while sender.pending():
        length = sender.fragment(one, size)
        assert sender.fragment(other, size) == length
        assert one[:length] == other[:length]
        sender.advance(length)
