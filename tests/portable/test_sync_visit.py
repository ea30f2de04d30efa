"""Visits at the radio's port: no room for notifications, a second kiosk, strangers, links that end."""

import itertools
from collections.abc import Iterator
from typing import SupportsIndex

import pytest
from sync_bench import SYNC_KEY, Bench, received, refusal, some

from tracing import kiosk_messages as wire
from tracing import messages
from tracing.sync import BUSY_FRAGMENT
from tracing.visit import Visit

FOREVER_MS = 10**9


class FakeRadio:
    """The radio port, as far as a visit uses it. Waiting moves the clock.

    Attributes:
        room: whether there is room for the next notification, one answer after the other; "gone" ends the connection.
    """

    def __init__(self, size: int) -> None:
        self.now_ms = 1000
        self.kiosk = self.intruder = -1
        self.size = size
        self.written: list[bytes] = []
        self.notified: list[tuple[int, bytes]] = []
        self.disconnected: list[int] = []
        self.room: Iterator[bool | str] = itertools.repeat(True)

    def uptime_ms(self) -> int:
        return self.now_ms

    def wait(self, ms: int) -> None:
        self.now_ms += ms

    def fragment_bytes(self) -> int:
        return self.size

    def take_fragment(self) -> bytes | None:
        return self.written.pop(0) if self.written else None

    def notify(self, handle: int, fragment: bytes) -> bool:
        room = next(self.room)
        if room == "gone":
            raise OSError
        if room:
            self.notified.append((handle, bytes(fragment)))
        return bool(room)

    def disconnect(self, handle: int) -> None:
        self.disconnected.append(handle)
        if handle == self.kiosk:
            self.kiosk = -1
            self.written.clear()


class Hall:
    """A token with its radio; kiosks that are connected have handles."""

    def __init__(self, records: int = 3, size: int = 20) -> None:
        self.bench = Bench(some(records), size=size).press()
        self.radio = FakeRadio(size)
        self.visit = Visit(self.radio, self.bench.session, self.radio)

    def kiosk_comes(self, handle: int) -> None:
        self.radio.kiosk = handle
        self.bench.link.reset()

    def serve(self) -> bool:
        return self.visit.serve(FOREVER_MS)

    def ask(self, kind: int, *fields: int | bytes, seals: tuple = ()) -> list:
        self.radio.written += self.bench.fragments(wire.message(kind, *fields))
        if seals:
            self.bench.link.seal(*seals)
        self.serve()
        said = [received(self.bench.link, piece) for _, piece in self.radio.notified]
        self.radio.notified.clear()
        return [data[0] if data[0] == wire.RECORDS else wire.parse(data) for data in said if data]

    def greet(self) -> bytes:
        nonce = bytes(16)
        ((_, fields),) = self.ask(wire.HELLO, 2, nonce)
        return nonce + fields[2]

    def open(self, handle: int = 1) -> None:
        self.kiosk_comes(handle)
        nonces = self.greet()
        proof = messages.kiosk_proof(SYNC_KEY, nonces)
        assert self.ask(wire.AUTH, proof, seals=wire.kiosk_seals(SYNC_KEY, nonces)) == [(wire.AUTH | wire.ANSWER, ())]


def test_a_visit():
    hall = Hall(40)
    assert not hall.serve()
    hall.kiosk_comes(1)
    assert hall.serve()
    hall.open()
    assert hall.ask(wire.PULL, 0, 0) == [wire.RECORDS] * 3 + [(wire.PULL | wire.ANSWER, (40, 40, 0))]
    assert not hall.radio.disconnected
    assert hall.ask(wire.BYE) == [(wire.BYE | wire.ANSWER, ())]
    assert hall.radio.disconnected == [1]
    assert hall.visit.handle == -1


@pytest.mark.parametrize("refusals", [1, 7, 1999])
def test_no_room_for_a_while_costs_nothing(refusals):
    """ENOMEM: each fragment arrives once, in order."""
    hall = Hall(40)
    hall.open()
    hall.radio.room = itertools.cycle([False] * refusals + [True])
    assert hall.ask(wire.PULL, 0, 17) == [wire.RECORDS] * 2 + [(wire.PULL | wire.ANSWER, (17, 17, 0))]


@pytest.mark.parametrize("room", [False, "gone"])
def test_a_peer_that_takes_nothing_is_sent_away(room):
    hall = Hall(40)
    hall.open()
    began_ms = hall.radio.now_ms
    hall.radio.room = itertools.chain([True, True], itertools.repeat(room))
    hall.ask(wire.PULL, 0, 0)
    assert hall.radio.disconnected == [1]
    assert hall.radio.now_ms - began_ms <= 11_000
    hall.radio.room = itertools.repeat(True)
    hall.open(2)
    assert hall.ask(wire.PULL, 0, 0)[-1] == (wire.PULL | wire.ANSWER, (40, 40, 0))


def test_a_second_kiosk_is_told_and_the_first_goes_on():
    hall = Hall()
    hall.open()
    hall.radio.intruder = 9
    hall.serve()
    assert hall.radio.notified.pop() == (9, BUSY_FRAGMENT)
    assert hall.radio.disconnected == [9]
    assert hall.ask(wire.INFO)[0][0] == wire.INFO | wire.ANSWER


@pytest.mark.parametrize("proof", [bytes(16), None])
def test_a_stranger_is_sent_away_and_the_next_kiosk_gets_its_turn(proof):
    hall = Hall()
    hall.kiosk_comes(1)
    hall.greet()
    if proof:
        assert hall.ask(wire.AUTH, proof) == refusal(wire.AUTH, wire.ERROR_KEY)
    else:
        hall.radio.wait(7999)
        hall.serve()
        assert not hall.radio.disconnected
        hall.radio.wait(1)
        hall.serve()
    assert hall.radio.disconnected == [1]
    hall.open(2)


def test_one_who_never_stops_writing_is_sent_away():
    class Busy(list):
        """Each time it is looked at, a little time has passed and another fragment is there."""

        def __bool__(self):
            return True

        def pop(self, _at: SupportsIndex = 0) -> bytes:
            hall.radio.wait(100)
            return hall.bench.fragments(wire.message(wire.INFO))[0]

    hall = Hall()
    hall.kiosk_comes(1)
    began_ms = hall.radio.now_ms
    hall.radio.written = Busy()
    hall.serve()
    assert hall.radio.disconnected == [1]
    assert hall.radio.now_ms - began_ms < 10_000


def test_of_one_kiosks_session_nothing_passes_to_the_next():
    hall = Hall()
    hall.open()
    hall.kiosk_comes(2)  # in the place of the first, between two looks
    assert hall.serve()
    assert hall.ask(wire.INFO) == refusal(wire.INFO, wire.ERROR_STATE)
    hall.greet()


def test_without_the_button_one_is_refused_and_sent_away():
    hall = Hall()
    hall.bench.session.consent_until = None
    hall.kiosk_comes(1)
    assert hall.ask(wire.HELLO, 2, bytes(16)) == refusal(wire.HELLO, wire.ERROR_NOT_IN_SYNC_MODE)
    assert hall.radio.disconnected == [1]


def test_a_long_answer_is_interrupted_when_something_else_is_due():
    hall = Hall(40)
    hall.open()
    hall.radio.written += hall.bench.fragments(wire.message(wire.PULL, 0, 0))
    hall.visit.serve(hall.radio.now_ms)
    assert not hall.radio.notified
    hall.serve()
    assert len(hall.radio.notified) > 60
