"""The button: bounce is no gesture, a press is never lost, and switching off takes a question and an answer."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracing.button import ASK_OFF, LONG, NOTHING, OFF, SHORT, Button

PERIOD_MS = 1 << 29  # of the shortest counter
STARTS = st.one_of(st.integers(0, PERIOD_MS - 1), st.integers(PERIOD_MS - 20_000, PERIOD_MS - 1))
POLL_MS = 100


class Finger:
    """A button under a finger, in time of its own; `told` gets (ms since the start, gesture)."""

    def __init__(self, start_ms=0):
        self.button = Button()
        self.start_ms = start_ms
        self.now_ms = 0
        self.told = []

    def counter(self, ms):
        return (self.start_ms + ms) % PERIOD_MS

    def edge(self, contact, bounces=()):
        """The contact changes, and bounces back and forth after each of so many ms, an even number of times."""
        for level, after_ms in zip(itertools.cycle((contact, not contact)), (0, *bounces), strict=False):
            self.now_ms += after_ms
            self.button.edge(level, self.counter(self.now_ms))

    def look(self):
        gesture = self.button.update(self.counter(self.now_ms))
        if gesture != NOTHING:
            self.told.append((self.now_ms, gesture))

    def let_pass(self, ms, poll_ms=POLL_MS):
        """Time passes; the loop looks every `poll_ms`, or not at all when that is 0."""
        end_ms = self.now_ms + ms
        while poll_ms and self.now_ms + poll_ms <= end_ms:
            self.now_ms += poll_ms
            self.look()
        self.now_ms = end_ms

    def press(self, ms, poll_ms=POLL_MS):
        self.edge(True)
        self.let_pass(ms, poll_ms)
        self.edge(False)

    def gestures(self):
        return [gesture for _, gesture in self.told]


def meaning(ms):
    """What a press of `ms` is told as, in order, by a loop that looks all the time."""
    if ms < 1500:
        return [SHORT]
    return [LONG] if ms < 8000 else [LONG, ASK_OFF]


LENGTHS = st.one_of(st.integers(60, 12_000), st.sampled_from([60, 1499, 1500, 7999, 8000]))
BOUNCES = st.lists(st.integers(1, 14), max_size=4).map(lambda gaps: gaps[: len(gaps) // 2 * 2])


@given(STARTS, LENGTHS, BOUNCES, BOUNCES, st.integers(10, 29))
def test_a_press_is_told_once_whatever_the_bounce_and_the_wrap(start_ms, held_ms, first, last, poll_ms):
    finger = Finger(start_ms)
    finger.edge(True, first)
    finger.let_pass(held_ms, poll_ms)
    finger.edge(False, last)
    finger.let_pass(1000, poll_ms)
    # The question is repeated on release, unless that was when it was first asked.
    assert list(dict.fromkeys(finger.gestures())) == meaning(held_ms + sum(last))
    assert len(finger.told) <= 3


@given(STARTS, st.lists(st.tuples(st.integers(60, 1400), st.integers(60, 3000)), min_size=1, max_size=30), st.data())
def test_no_press_is_lost_whenever_the_loop_looks(start_ms, presses, data):
    # The loop may look away for as long as three presses take: a scan window, a write to flash, a phone being read.
    finger = Finger(start_ms)
    unseen = 0
    for held_ms, apart_ms in presses:
        looks = data.draw(st.booleans()) or unseen == 2
        finger.press(held_ms, 0)
        finger.let_pass(apart_ms, 0)
        unseen = 0 if looks else unseen + 1
        if looks:
            for _ in range(4):
                finger.look()
    for _ in range(4):
        finger.look()
    assert finger.gestures() == [SHORT] * len(presses)
    assert not finger.button.restless


@given(STARTS, LENGTHS, st.integers(31, 60_000))
def test_a_press_that_was_over_before_the_loop_looked_is_told_by_its_length(start_ms, held_ms, late_ms):
    finger = Finger(start_ms)
    finger.press(held_ms, 0)
    assert finger.button.restless
    finger.let_pass(late_ms, 0)
    finger.look()
    finger.look()
    assert finger.gestures() == meaning(held_ms)[-1:]


@given(STARTS, st.lists(st.tuples(st.booleans(), st.integers(0, 200)), max_size=60), st.data())
def test_whatever_the_contact_does_gestures_are_no_more_than_presses(start_ms, noise, data):
    finger = Finger(start_ms)
    level = False
    presses = 0
    for contact, after_ms in noise:
        finger.let_pass(after_ms, data.draw(st.sampled_from([0, 7, 50])))
        presses += contact and not level
        level = contact
        finger.edge(contact)
    finger.let_pass(100, 0)
    finger.edge(False)
    finger.let_pass(1000, 50)
    assert set(finger.gestures()) <= {SHORT, LONG, ASK_OFF}  # never off: nothing was held for eight seconds
    assert len(finger.told) <= presses


def test_bounce_alone_is_nothing():
    finger = Finger()
    for _ in range(20):
        finger.edge(True, (3, 4, 5, 6))
        finger.edge(False)
        finger.let_pass(300, 10)
    assert finger.told == []


@given(STARTS, st.integers(1500, 7900), st.integers(30, 400))
def test_a_long_press_is_answered_while_the_finger_is_down(start_ms, held_ms, poll_ms):
    finger = Finger(start_ms)
    finger.edge(True)
    finger.let_pass(held_ms + poll_ms, poll_ms)
    (at_ms, gesture), *more = finger.told
    assert gesture == LONG
    assert 1500 <= at_ms < 1500 + poll_ms
    assert more in ([], [(at, ASK_OFF) for at, _ in more])


def asked(held_ms=9000):
    """A finger that has just let go after a very long press, and the question."""
    finger = Finger()
    finger.press(held_ms)
    finger.let_pass(100)
    assert finger.gestures() == [LONG, ASK_OFF, ASK_OFF]
    finger.told.clear()
    return finger


@pytest.mark.parametrize("held_ms", [8000, 9000, 60_000])
def test_a_short_press_while_the_light_asks_switches_off(held_ms):
    # However long the wearer held on: the time to confirm begins when the hand is free.
    finger = asked(held_ms)
    finger.let_pass(4000)
    finger.press(200)
    finger.let_pass(500)
    assert finger.gestures() == [OFF]


def test_a_press_that_began_while_the_light_asked_confirms():
    finger = asked()
    finger.let_pass(4800)
    finger.press(1000)
    finger.let_pass(500)
    assert finger.gestures() == [OFF]


@pytest.mark.parametrize("poll_ms", [POLL_MS, 0])
def test_too_late_a_press_is_a_press_like_any_other(poll_ms):
    finger = asked()
    finger.let_pass(5000, poll_ms)
    finger.press(200, poll_ms)
    finger.let_pass(500)
    finger.press(200)
    finger.let_pass(500)
    assert finger.gestures() == [SHORT, SHORT]


@pytest.mark.parametrize("poll_ms", [POLL_MS, 0])
def test_a_long_press_is_no_confirmation_and_takes_the_question_back(poll_ms):
    finger = asked()
    finger.press(2000, poll_ms)
    finger.let_pass(500)
    finger.press(200)
    finger.let_pass(500)
    assert finger.gestures() == [LONG, SHORT]


def test_a_question_without_answer_is_not_remembered_until_the_counter_comes_round():
    finger = asked()
    finger.let_pass(10_000)
    finger.let_pass(PERIOD_MS - 9000, 0)
    finger.press(200)
    finger.let_pass(500)
    assert finger.gestures() == [SHORT]


def test_a_button_that_stays_down_lets_the_loop_sleep():
    finger = Finger()
    finger.edge(True)
    assert finger.button.restless
    finger.let_pass(7900)
    assert finger.button.restless
    finger.let_pass(200)
    assert not finger.button.restless
    finger.let_pass(3600_000, 1_200_000)
    assert finger.gestures() == [LONG, ASK_OFF]


def test_a_press_of_a_week_is_still_a_very_long_one():
    finger = Finger()
    finger.edge(True)
    finger.let_pass(9000)
    finger.let_pass(PERIOD_MS - 8000, 0)
    finger.edge(False)
    finger.let_pass(100)
    assert finger.gestures() == [LONG, ASK_OFF, ASK_OFF]


def test_more_presses_than_the_ring_holds_run_together():
    finger = Finger()
    for _ in range(20):
        finger.press(100, 0)
        finger.let_pass(100, 0)
    finger.let_pass(500, 10)
    assert finger.gestures() == [SHORT] * 3
    finger.press(100)
    finger.let_pass(500)
    assert finger.gestures() == [SHORT] * 4


def test_edges_are_small_ints_on_every_board():
    # 31 bits with the sign, and counters of up to 30: nothing is allocated in the irq.
    button = Button()
    for now_ms in ((1 << 30) - 100, (1 << 30) - 1):
        button.edge(True, now_ms)
    assert 0 < max(button._edges) < 1 << 30


def test_an_edge_that_is_younger_than_the_look_may_still_bounce():
    # The irq came after the loop had read the clock.
    button = Button()
    button.edge(True, 101)
    assert button.update(100) == NOTHING
    button.edge(False, 105)
    assert [button.update(now_ms) for now_ms in (110, 200, 300)] == [NOTHING] * 3


def test_the_release_of_the_press_that_switched_the_token_on_is_nothing():
    finger = Finger()
    finger.edge(False)
    finger.let_pass(500)
    assert finger.told == []


class InterruptedList(list):
    """The ring of a button; an edge comes while the loop reads it."""

    def __init__(self, items, interrupt):
        super().__init__(items)
        self.interrupt = interrupt

    def __getitem__(self, index):
        item = super().__getitem__(index)
        interrupt, self.interrupt = self.interrupt, None
        if interrupt:
            interrupt()
        return item


@pytest.mark.parametrize("age_ms", range(25, 36))
def test_an_edge_in_the_middle_of_a_look_is_not_lost(age_ms):
    finger = Finger()
    button = finger.button
    finger.edge(True)
    finger.let_pass(200)
    finger.edge(False)
    finger.let_pass(age_ms, 0)
    button._edges = InterruptedList(button._edges, lambda: button.edge(True, finger.now_ms + 1))
    finger.look()
    finger.let_pass(100, 10)
    finger.edge(False)
    finger.let_pass(100, 10)
    # A press again so soon after the release is a bounce of it; later it is a second press.
    assert finger.gestures() == ([SHORT] if age_ms + 1 < 30 else [SHORT, SHORT])
