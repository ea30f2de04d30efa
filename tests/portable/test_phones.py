"""iPhones, whose id must be read over a connection: twenty at once, and forged ones among them."""

import itertools
from hashlib import sha256
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracing import phone_wire, records
from tracing.journal import Journal, Phones
from tracing.sightings import SightingRing
from tracing.state import State

START_S = 1_596_844_800
SLOT_S = 900
PERIOD_S = 37.5
WINDOW_MS = 270
READ_S = 1.2  # connecting, finding, reading, disconnecting
LIMIT_MS = 5000
FOREGROUND, BACKGROUND = 0.85, 0.25  # shares of the windows that hear an iPhone
ADVERTISEMENT = phone_wire.phone_advertisement(False)


class Clock:
    is_set = True
    now_s = float(START_S)

    def now(self):
        return int(self.now_s)


class FakeLog:
    def __init__(self):
        self.records = []

    def append(self, kind_flags, boot, start_s, duration_s, windows, sightings, peak_dbm, mean_dbm, ident):
        self.records.append((ident, start_s, duration_s, windows, kind_flags))


class Button:
    restless = False


class Radio:
    """Hears `heard(random)`, addresses; answers for those in `real`, address → id."""

    def __init__(self, ring, clock, heard, seed):
        self.ring = ring
        self.clock = clock
        self.heard = heard
        self.real = {}
        self.random = Random(seed)
        self.read_at_s = {}
        self.attempts = []
        self.in_vain_ms = 0

    def scan(self, duration_ms, _interval_us, drain):
        for address in self.heard(self.random):
            if self.ring.offer(1, address, -60, ADVERTISEMENT):
                drain()
        self.clock.now_s += duration_ms / 1000
        return True

    def read_phone_id(self, _type, address, limit_ms):
        self.attempts.append((self.clock.now_s, address))
        if address in self.real:
            self.clock.now_s += READ_S
            self.read_at_s.setdefault(address, self.clock.now_s - START_S)
            return self.real[address]
        self.clock.now_s += limit_ms / 1000
        self.in_vain_ms += limit_ms
        return b""


def an_address(kind, number):
    return sha256(b"%s %d" % (kind, number)).digest()[:6]


def slot_of_phones(real, forge=lambda _random: [], seed=5):
    """A quarter of an hour; `real`: number → share of windows that hear it. Returns (radio, log)."""
    clock, log, ring = Clock(), FakeLog(), SightingRing(40)

    def heard(random):
        packets = [an_address(b"phone", number) for number, share in real.items() if random.random() < share]
        packets += forge(random)
        random.shuffle(packets)
        return packets

    radio = Radio(ring, clock, heard, seed)
    radio.real = {an_address(b"phone", number): sha256(b"id %d" % number).digest()[:12] for number in real}
    journal = Journal(ring, log, clock, State())
    next_s = float(START_S)
    while next_s < START_S + SLOT_S:
        clock.now_s = max(clock.now_s, next_s)
        next_s = clock.now_s + PERIOD_S
        journal.listen(radio, WINDOW_MS, 0, START_S // SLOT_S)
        while journal.phones.due >= 0 and clock.now_s < next_s:
            journal.read_phone_id(radio, Button, LIMIT_MS)
        journal.settle(clock.now())
    journal.settle(clock.now(), 0)
    return radio, log


@pytest.mark.parametrize("share", [FOREGROUND, BACKGROUND])
def test_twenty_iphones_are_all_read_within_the_slot_and_logged(share):
    radio, log = slot_of_phones(dict.fromkeys(range(20), share))
    assert radio.read_at_s.keys() == radio.real.keys()
    assert len(radio.attempts) == 20  # none twice
    spans = {}
    for ident, _, duration_s, _, kind_flags in log.records:
        spans[ident] = spans.get(ident, 0) + duration_s
        assert kind_flags & records.FLAG_CONNECTED
    assert spans.keys() == set(radio.real.values())
    if share == FOREGROUND:
        assert max(radio.read_at_s.values()) < 200
        assert min(spans.values()) > 500


def one_packet_each(random):
    return [random.randbytes(6) for _ in range(54)]


def stubborn(random):
    return [an_address(b"forged", number) for number in range(60) if random.random() < 0.9]


@pytest.mark.parametrize("forge", [one_packet_each, stubborn])
def test_forged_iphones_do_not_starve_real_ones(forge):
    read_at_s, logged = [], 0
    for seed in range(8):
        radio, log = slot_of_phones(dict.fromkeys(range(5), FOREGROUND), forge, seed)
        read_at_s += radio.read_at_s.values()
        logged += len({record[0] for record in log.records} & set(radio.real.values()))
        assert radio.in_vain_ms <= (10_000 + LIMIT_MS) * (SLOT_S / PERIOD_S + 1)
    assert logged >= 33  # of 40
    assert sorted(read_at_s)[20] < 350


# --- One by one ------------------------------------------------------------------------------------------------

SLOT = START_S // SLOT_S


def windows(phones, heard, now_s):
    """One window that hears `heard`; what is then due, or None."""
    for address in heard:
        phones.id_of(1, address, -60, SLOT, now_s)
    phones.note_window(SLOT, now_s)
    return phones.begin(LIMIT_MS)[1] if phones.due >= 0 else None


def test_an_address_that_does_not_answer_rests_twice_as_long_each_time():
    phones = Phones(4)
    tried_s = []
    for now_s in range(START_S, START_S + 6000, 32):
        if windows(phones, [b"phone1"], now_s) is not None:
            tried_s.append(now_s - START_S)
            phones.learn(b"phone1", b"", SLOT, now_s, 2000)
    pauses_s = [later - earlier for earlier, later in itertools.pairwise(tried_s)]
    assert pauses_s == [64, 128, 256, 512, 1024, 1024, 1024, 1024]


def test_after_ten_seconds_in_vain_nobody_is_tried_before_the_next_window():
    phones = Phones(8)
    addresses = [b"phone%d" % number for number in range(5)]
    due = windows(phones, addresses, START_S)
    for _ in range(2):
        phones.learn(due, b"", SLOT, START_S, LIMIT_MS)
        due = phones.begin(LIMIT_MS)[1] if phones.due >= 0 else None
    assert due is None
    assert windows(phones, addresses, START_S + 38) is not None


def test_a_known_id_holds_until_its_slot_ends():
    phones = Phones(4)
    assert windows(phones, [b"phone1"], START_S) == b"phone1"
    phones.learn(b"phone1", b"twelve bytes", SLOT, START_S, 900)
    assert phones.due < 0
    assert phones.id_of(1, b"phone1", -60, SLOT, START_S + 100) == b"twelve bytes"
    assert phones.id_of(1, b"phone1", -70, SLOT + 1, START_S + 900) == b""
    phones.note_window(SLOT + 1, START_S + 900)
    assert phones.begin(LIMIT_MS) == (1, b"phone1", 2000, -70)


def test_who_has_gone_is_not_tried():
    phones = Phones(4)
    windows(phones, [b"phone1"], START_S)
    assert windows(phones, [], START_S + 100) is None


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 400), st.sampled_from(["heard", "read", "failed"]))))
def test_nobody_is_given_the_id_of_somebody_else(steps):
    phones = Phones(6)
    now_s = START_S
    for number, seconds, what in steps:
        now_s += seconds
        slot = now_s // SLOT_S
        address = bytes([number] * 6)
        ident = bytes([number]) * 12
        if what == "heard":
            assert phones.id_of(1, address, -60, slot, now_s) in (b"", ident)
            phones.note_window(slot, now_s)
        else:
            phones.learn(address, ident if what == "read" else b"", slot, now_s, 900)
        if phones.due >= 0:
            assert phones.begin(LIMIT_MS)[0] == 1
