"""The light's vocabulary: told apart by rhythm alone, harmless, and on the pages exactly as the firmware has it."""

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from two_pythons import both_pythons

from host_tools import pictures
from tracing import kiosk_messages, patterns
from tracing.button import _CONFIRM_MS
from tracing.patterns import Player, entry

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / "wearer.md", DOCS / "wearer.vi.md"]
SHOWN = range(1, len(pictures.NAMES) + 1)
CONDITIONS = range(patterns.ALIVE, patterns.LOG_NEARLY_FULL + 1)
VERDICTS = (patterns.SAFE, patterns.EXPOSED, patterns.CLERK)
LONGEST_MS = 300_000
PERIOD_MS = 1 << 29
STARTS = st.one_of(st.integers(0, PERIOD_MS - 1), st.integers(PERIOD_MS - 20_000, PERIOD_MS - 1))


def names(numbers):
    return [pictures.NAMES[number - 1] for number in numbers]


def length_ms(pattern):
    player = Player()
    player.show(pattern, 0)
    now_ms = 0
    while left_ms := player.now(now_ms)[1]:
        now_ms += left_ms
    return now_ms


# --- What a wearer sees ----------------------------------------------------------------------------------------


def rhythm(pattern):
    """(blinks in a group, whether it goes on, ms on): what somebody sees who sees no colours and has no watch."""
    _, on_ms, _, blinks, _, groups, _, _ = entry(pattern)
    return blinks, groups > 1, on_ms


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(SHOWN, 2)), ids=lambda n: pictures.NAMES[n - 1])
def test_no_two_patterns_have_the_same_rhythm(one, other):
    *one_shape, one_on_ms = rhythm(one)
    *other_shape, other_on_ms = rhythm(other)
    # Where the number of blinks is the same, they are at least twice as long.
    assert one_shape != other_shape or max(one_on_ms, other_on_ms) >= 2 * min(one_on_ms, other_on_ms)


def test_conditions_are_counted():
    assert [len(pictures.flashes(pattern)) for pattern in CONDITIONS] == [1, 2, 3, 4]
    assert all(length_ms(pattern) < 2000 for pattern in CONDITIONS)


@pytest.mark.parametrize("pattern", VERDICTS, ids=names(VERDICTS))
def test_a_verdict_is_long_enough_to_look_down(pattern):
    assert 10_000 <= length_ms(pattern) <= 12_000


def test_safe_stays_lit_and_done_is_not_taken_for_it():
    assert min(end_ms - begin_ms for begin_ms, end_ms in pictures.flashes(patterns.SAFE)) >= 3000
    for pattern in set(SHOWN) - {patterns.SAFE}:
        assert max(end_ms - begin_ms for begin_ms, end_ms in pictures.flashes(pattern)) <= 1000


@pytest.mark.parametrize("pattern", SHOWN, ids=pictures.NAMES)
def test_nothing_flashes_more_than_three_times_a_second(pattern):
    begins = [begin_ms for begin_ms, _ in pictures.flashes(pattern, 20_000)]
    assert all(fourth - first >= 1000 for first, fourth in zip(begins, begins[3:], strict=False))


def test_lights_last_as_long_as_what_they_stand_for():
    assert length_ms(patterns.SYNC_MODE) == 60_000  # the minute of consent
    assert length_ms(patterns.SYNCING) >= 240_000
    assert 0 <= _CONFIRM_MS - length_ms(patterns.ASK_OFF) <= 100


def test_verdicts_of_the_kiosk_have_their_lights():
    codes = (kiosk_messages.VERDICT_SAFE, kiosk_messages.VERDICT_EXPOSED, kiosk_messages.VERDICT_CLERK)
    assert tuple(patterns.DONE + code for code in codes) == VERDICTS


# --- Who plays it ----------------------------------------------------------------------------------------------


@given(STARTS, st.sampled_from(SHOWN), st.lists(st.integers(1, 5000), max_size=40))
def test_the_player_says_the_same_however_often_it_is_asked(start_ms, pattern, steps_ms):
    player = Player()
    assert player.show(pattern, start_ms)
    lit = pictures.flashes(pattern, LONGEST_MS)
    over_ms = length_ms(pattern)
    since_ms = 0
    for step_ms in steps_ms:
        since_ms += step_ms
        colour, left_ms = player.now((start_ms + since_ms) % PERIOD_MS)
        is_lit = any(begin_ms <= since_ms < end_ms for begin_ms, end_ms in lit)
        assert colour == (entry(pattern)[0] if is_lit else 0)
        changes = [at_ms for at_ms in (*itertools.chain(*lit), over_ms) if at_ms > since_ms]
        assert left_ms == (min(changes) - since_ms if changes else 0)


def test_off_is_dark_at_once():
    player = Player()
    player.show(patterns.SYNCING, 0)
    assert player.show(patterns.OFF, 100)
    assert player.now(100) == (0, 0)


def test_what_is_over_does_not_come_again_with_the_counter():
    player = Player()
    player.show(patterns.SAFE, 0)
    assert player.now(20_000) == (0, 0)
    assert player.now(PERIOD_MS + 1000) == (0, 0)


@given(STARTS, st.lists(st.tuples(st.sampled_from((patterns.OFF, *SHOWN)), st.integers(0, 4000)), max_size=30))
def test_only_what_is_as_urgent_takes_the_light(start_ms, shows):
    player = Player()
    shown, over_ms, now_ms = patterns.OFF, 0, 0
    for pattern, after_ms in shows:
        now_ms += after_ms
        begins = now_ms >= over_ms or entry(pattern)[6] >= entry(shown)[7]
        assert player.show(pattern, (start_ms + now_ms) % PERIOD_MS) == begins
        if begins:
            shown, over_ms = pattern, now_ms + length_ms(pattern)
        assert bool(player.now((start_ms + now_ms) % PERIOD_MS)[1]) == (now_ms < over_ms)


@pytest.mark.parametrize(
    ("shown", "give_way_to", "hold_against"),
    [
        # The wearer's own hand always gets an answer: sync mode, and the question whether to switch off.
        (VERDICTS, (patterns.SYNC_MODE, patterns.ASK_OFF, *VERDICTS), (*CONDITIONS, patterns.OFF, patterns.DONE)),
        ((patterns.ASK_OFF,), (patterns.SYNC_MODE, patterns.GOODBYE), (*CONDITIONS, patterns.SYNCING)),
        ((patterns.SYNC_MODE, patterns.SYNCING), (patterns.SYNCING, patterns.OFF, patterns.DONE), CONDITIONS),
        ((patterns.DONE,), VERDICTS, (*CONDITIONS, patterns.OFF)),
        ((patterns.GOODBYE,), (), set(SHOWN) - {patterns.GOODBYE}),
        (CONDITIONS, SHOWN, ()),
    ],
)
def test_what_gives_way_to_what(shown, give_way_to, hold_against):
    for before in shown:
        for pattern in (*give_way_to, *hold_against):
            player = Player()
            player.show(before, 0)
            assert player.show(pattern, 10) == (pattern in give_way_to), names([before, pattern])


def check_player():
    from tracing.patterns import SAFE, SYNC_MODE, Player

    player = Player()
    assert player.now(5) == (0, 0)
    assert player.show(SAFE, 1000)
    assert player.now(1000) == (2, 3000)
    assert player.now(4100) == (0, 400)
    assert not player.show(1, 11_499)
    assert player.show(1, 11_500)
    assert player.show(SYNC_MODE, 0x1FFFFFF0)
    assert player.now(0x20000000 - 1) == (4, 85)
    assert player.now(900) == (0, 84)  # the counter has come round


@both_pythons
def test_the_player_on_both_pythons(run):
    run(check_player)


# --- The pages -------------------------------------------------------------------------------------------------


def test_pictures_have_every_pattern_of_the_table():
    assert [getattr(patterns, name) for name in pictures.NAMES] == list(SHOWN)
    assert len(patterns._TABLE) == len(entry(0)) * (len(SHOWN) + 1)


@pytest.mark.parametrize("name", pictures.NAMES)
def test_pictures_are_up_to_date(name):
    drawn = (pictures.FOLDER / pictures.file_name(name)).read_text(encoding="utf-8")
    assert drawn == pictures.picture(name), "run `make pictures`"


def test_there_is_no_picture_of_anything_else():
    assert {path.name for path in pictures.FOLDER.iterdir()} == {pictures.file_name(name) for name in pictures.NAMES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_explains_every_pattern_once(page):
    linked = re.findall(r"!\[[^]]+]\(img/light/([a-z_]+\.svg)\)", page.read_text(encoding="utf-8"))
    assert linked == [pictures.file_name(name) for name in pictures.NAMES]
