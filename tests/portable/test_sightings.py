"""The ring between irq and main loop: order, overflow, and that the irq's half allocates nothing."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from two_pythons import both_pythons, on_vm

from tracing import phone_wire, wire
from tracing.sightings import SightingRing

ADDRESS = b"\xc0\x01\x02\x03\x04\x05"


def advertisement(number: int) -> bytes:
    return wire.advertisement(bytes([number]) * 12)


def check_order_and_borrowing(phone):
    from tracing import wire
    from tracing.sightings import SightingRing

    ring = SightingRing(6)
    for number in range(5):
        data = bytearray(wire.advertisement(bytes([number]) * 12))
        address = bytearray([number] * 6)
        assert ring.offer(number & 1, address, -60 - number, data) == (number >= 3)
        for i in range(6):  # both are borrowed: the radio fills them anew
            address[i] = 0xEE
        for i in range(len(data)):
            data[i] = 0xEE
    assert not ring.offer(1, bytes(6), -50, b"\x02\x01\x06")
    assert (ring.dropped, ring.heard) == (0, 6)
    for number in range(5):
        expected = (wire.BLUEZONE_ID, -60 - number, number & 1, bytes([number] * 6), bytes([number]) * 12)
        assert ring.take() == expected
    assert ring.take() is None
    ring.offer(1, b"phone!", -70, phone)
    assert ring.take() == (wire.BLUEZONE_PHONE, -70, 1, b"phone!", b"")
    assert ring.take() is None
    assert (ring.dropped, ring.heard) == (0, 7)


@both_pythons
def test_order_and_borrowing(run):
    run(check_order_and_borrowing, phone_wire.phone_advertisement(False))


def check_no_allocation(kinds):
    import micropython  # pyright: ignore[reportMissingImports]

    from tracing.sightings import SightingRing

    ring = SightingRing(8)
    address = memoryview(b"\xc0\x01\x02\x03\x04\x05")
    offer = ring.offer
    kinds = [memoryview(data) for data in kinds]
    failed = False
    micropython.heap_lock()
    try:
        for _ in range(5):
            for data in kinds:
                offer(1, address, -70, data)
                offer(0, address, 127, data)
    except MemoryError:
        failed = True
    micropython.heap_unlock()
    assert not failed, "offer allocates"
    assert ring.heard == 10 * len(kinds)
    assert ring.dropped > 0


@pytest.mark.vm
def test_offer_works_while_the_heap_is_locked():
    own = advertisement(7)
    phones = [phone_wire.phone_advertisement(True), phone_wire.phone_advertisement(False)]
    others = [b"", b"\x02\x01\x06", own[:-1], b"\x1f" * 31, b"\xff" * 31, bytes(31), b"\x11\x07" + bytes(16)]
    on_vm(check_no_allocation, [own, *phones, *others])


@given(st.integers(4, 9), st.lists(st.one_of(st.none(), st.integers(-127, 20)), max_size=80))
def test_a_queue_that_keeps_the_oldest_and_counts_what_it_refuses(slots, steps):
    ring = SightingRing(slots)
    offered: dict[int, tuple] = {}
    order: list[int] = []
    overflowed = False
    dropped = 0
    for number, rssi_dbm in enumerate(steps):
        if rssi_dbm is None:
            taken = ring.take()
            if not order:
                assert taken is None
                continue
            assert taken is not None
            oldest = order.pop(0)
            assert taken == offered.pop(taken[-1][0])
            assert overflowed or taken[-1][0] == oldest
            overflowed &= bool(order)
            continue
        ring.offer(1, ADDRESS, rssi_dbm, advertisement(number))
        offered[number] = (wire.BLUEZONE_ID, rssi_dbm, 1, ADDRESS, bytes([number]) * 12)
        if len(order) < slots - 1:
            order.append(number)
        else:
            dropped += 1
            overflowed = True
        assert (ring.heard, ring.dropped) == (number + 1 - steps[:number].count(None), dropped)
    for left in range(len(order), 0, -1):
        taken = ring.take()
        assert taken is not None, left
        assert taken == offered.pop(taken[-1][0])
    assert ring.take() is None


def test_the_oldest_stays_when_the_ring_overflows():
    ring = SightingRing(5)
    for number in range(200):
        ring.offer(1, ADDRESS, -60, advertisement(number))
    taken = ring.take()
    assert taken is not None
    assert taken[-1] == bytes([0]) * 12
    assert ring.dropped == 196


def test_overflow_gives_every_sighting_a_chance():
    ring = SightingRing(12)
    kept = Counter()
    rounds = 300
    for _ in range(rounds):
        for number in range(60):
            ring.offer(1, ADDRESS, -60, advertisement(number))
        while (taken := ring.take()) is not None:
            kept[taken[-1][0]] += 1
    fair = rounds * 10 / 59
    assert kept[0] == rounds
    assert all(fair / 2 < kept[number] < fair * 2 for number in range(1, 60)), kept


@pytest.mark.parametrize(("rssi_dbm", "kept"), [(-128, False), (-127, True), (20, True), (21, False), (127, False)])
def test_strengths_that_cannot_be_are_refused(rssi_dbm, kept):
    ring = SightingRing(4)
    ring.offer(1, ADDRESS, rssi_dbm, advertisement(1))
    taken = ring.take()
    assert (taken is not None and taken[1] == rssi_dbm) == kept
    assert (ring.heard, ring.dropped) == (1, 0)


def test_an_id_does_not_outlive_its_slot():
    ring = SightingRing(4)
    ring.offer(1, ADDRESS, -60, advertisement(1))
    assert ring.take() is not None
    for _ in range(4):
        ring.offer(1, ADDRESS, -60, phone_wire.phone_advertisement(True))
        assert ring.take() == (wire.BLUEZONE_PHONE, -60, 1, ADDRESS, b"")


@given(st.binary(max_size=62), st.integers(-128, 127))
def test_no_payload_raises(data, rssi_dbm):
    ring = SightingRing(4)
    ring.offer(0, ADDRESS, rssi_dbm, data)
    assert ring.heard == 1
    ring.take()
    assert ring.take() is None
