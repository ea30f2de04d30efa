"""What a wearer sees and does: the light, and the one button, whatever the radio is at."""

import asyncio
import contextlib
import itertools

import pytest

from host_tools.simulation import clock
from host_tools.simulation.board import BUTTON, VirtualBoard
from host_tools.simulation.controller import VirtualController
from host_tools.simulation.flash import open_flash, open_token
from host_tools.simulation.world import World
from tracing import patterns, phone_wire, records

pytestmark = pytest.mark.vm

TOKENS = {"An": "token"}
PATIENCE_S = 1.0  # after a press: debouncing, a scan window, and a little more


class Wearer:
    """An, whose token is looked at and pressed."""

    def __init__(self, world):
        self.world = world
        self.frames = []
        world.air.frames.append(lambda at_s, name, _address, _payload: self.frames.append((at_s, name)))

    @property
    def board(self):
        return self.world.boards["An"]

    @property
    def flash(self):
        return self.world.folder / f"token-{self.board.controller.number}.flash"

    @property
    def seen(self):
        """Every pattern shown so far; what the token shows by itself comes after each scan window."""
        return [pattern for _, pattern in self.board.light]

    async def press(self, seconds):
        """Press the button and let go; returns what was shown from the press to a moment after the release."""
        before = len(self.board.light)
        self.board.press(seconds)
        await asyncio.sleep(seconds + PATIENCE_S)
        return [pattern for _, pattern in self.board.light[before:]]

    async def quiet(self):
        """Wait until a scan window has just ended: the next one is half a minute away."""
        while not self.board.controller.le_scan_enable:
            await asyncio.sleep(0.02)
        while self.board.controller.le_scan_enable:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)

    async def again(self, knows_time=True):
        """Power off, and on again."""
        self.world.processes.kill(self.board)
        if knows_time:
            await self.world.restart_token("An")
            return
        flash = self.flash
        self.world.boards["An"] = VirtualBoard("An", self.world.air, self.board.controller.number)
        await self.world.processes.start(self.board, flash)


def wear(make_scenario, rom, tmp_path, job, devices=TOKENS):
    """Let An wear a token in a world of `devices` and do `job(wearer)`; returns what it returns."""
    scenario = make_scenario(devices, 60)

    async def main():
        world = World(scenario, 5, tmp_path / "run", rom)
        wearer = Wearer(world)
        try:
            await world.start()
            result = await job(wearer)
            world.check()
            return result
        finally:
            await world.close()

    return clock.run(main())


def counted(pattern, seen):
    return [shown for shown in seen if shown == pattern]


# --- How the token is ------------------------------------------------------------------------------------------


def test_a_token_that_works_blinks_about_once_a_minute(make_scenario, rom, tmp_path):
    async def job(an):
        await asyncio.sleep(1200)
        return an.board.light

    light = wear(make_scenario, rom, tmp_path, job)
    assert {pattern for _, pattern in light} == {patterns.ALIVE}
    assert light[0][0] < 5  # and soon after it was switched on
    assert all(20 <= later - earlier <= 90 for (earlier, _), (later, _) in itertools.pairwise(light))


def test_a_short_press_shows_how_the_token_is(make_scenario, rom, tmp_path):
    async def job(an):
        await an.quiet()
        shown = [await an.press(0.1)]
        an.board.battery_mv = lambda: 2300
        shown.append(await an.press(0.1))
        return shown

    assert wear(make_scenario, rom, tmp_path, job) == [[patterns.ALIVE], [patterns.LOW_BATTERY]]


def test_a_token_that_does_not_know_the_time_says_so(make_scenario, rom, tmp_path):
    async def job(an):
        await an.again(knows_time=False)
        await an.quiet()
        return await an.press(0.1), an.seen

    shown, seen = wear(make_scenario, rom, tmp_path, job)
    assert shown == [patterns.CLOCK_UNSET]
    assert set(seen) == {patterns.CLOCK_UNSET}


@pytest.mark.parametrize(("parts_of_ten", "expected"), [(7, patterns.ALIVE), (9, patterns.LOG_NEARLY_FULL)])
def test_a_token_whose_log_is_nearly_full_says_so(make_scenario, rom, tmp_path, parts_of_ten, expected):
    async def job(an):
        an.world.processes.kill(an.board)
        _, full = open_token(open_flash(an.flash))
        for number in range(full.capacity_records * parts_of_ten // 10):
            ident = number.to_bytes(12, "little")
            full.append(records.KIND_ENCOUNTER, 1, an.world.scenario.start_s, 60, 2, 3, -60, -65, ident)
        await an.world.restart_token("An")
        await an.quiet()
        return await an.press(0.1)

    assert wear(make_scenario, rom, tmp_path, job) == [expected]


# --- Presses ---------------------------------------------------------------------------------------------------


def test_a_long_press_opens_sync_mode_for_a_minute(make_scenario, rom, tmp_path):
    async def job(an):
        await an.quiet()
        shown = await an.press(2.0)
        pressed_s = asyncio.get_running_loop().time() - 2.0 - PATIENCE_S
        (answered_s,) = (at_s for at_s, pattern in an.board.light if pattern == patterns.SYNC_MODE)
        readable = [bool(an.board.controller.le_legacy_advertiser.scan_response_data)]
        await asyncio.sleep(61.0)
        readable.append(bool(an.board.controller.le_legacy_advertiser.scan_response_data))
        return shown, answered_s - pressed_s, readable

    shown, after_s, readable = wear(make_scenario, rom, tmp_path, job)
    assert shown == [patterns.SYNC_MODE]
    assert 1.5 <= after_s <= 1.7  # while the finger is still down
    assert readable == [True, False]


@pytest.mark.parametrize(("held_s", "expected"), [(0.1, patterns.ALIVE), (2.0, patterns.SYNC_MODE)])
def test_a_press_during_a_scan_window_is_not_lost(make_scenario, rom, tmp_path, held_s, expected):
    async def job(an):
        await an.quiet()
        while not an.board.controller.le_scan_enable:
            await asyncio.sleep(0.01)
        return await an.press(held_s)

    # The first is the token's own, at the end of the window.
    assert wear(make_scenario, rom, tmp_path, job) == [patterns.ALIVE, expected]


def test_a_long_press_while_a_phone_is_read_is_not_lost(make_scenario, rom, tmp_path):
    async def job(an):
        connected = asyncio.Event()
        an.world.phones["Lan"].device.on("connection", lambda _connection: connected.set())
        await connected.wait()
        return await an.press(2.0)

    assert patterns.SYNC_MODE in wear(make_scenario, rom, tmp_path, job, TOKENS | {"Lan": "iphone"})


@pytest.mark.parametrize(("held_s", "expected"), [(0.1, patterns.ALIVE), (2.0, patterns.SYNC_MODE)])
def test_a_press_ends_the_wait_for_a_phone_that_does_not_answer(make_scenario, rom, tmp_path, held_s, expected):
    async def job(an):
        an.world._called["forged"] = (0.5, 0.5, "room")
        forged = VirtualController("forged", an.world.air, 90)  # advertises as an iPhone, and nobody is there
        while an.board._connecting is None:
            an.world.air.advertise(forged, 0, True, phone_wire.phone_advertisement(False))
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        waits = an.board._connecting is not None
        pressed_s = asyncio.get_running_loop().time()
        await an.press(held_s)
        answered_s = min(at_s for at_s, pattern in an.board.light if pattern == expected and at_s > pressed_s)
        return waits, answered_s - pressed_s

    waits, after_s = wear(make_scenario, rom, tmp_path, job)
    assert waits
    assert after_s <= (1.7 if expected == patterns.SYNC_MODE else 0.5)


def test_bounce_makes_one_press_of_one_press(make_scenario, rom, tmp_path):
    async def bounce(an, contact):
        for level in (contact, not contact, contact, not contact, contact):
            an.board._send(BUTTON, bytes([level]))
            await asyncio.sleep(0.004)

    async def job(an):
        await an.quiet()
        before = len(an.board.light)
        await bounce(an, True)
        await asyncio.sleep(0.2)
        await bounce(an, False)
        await asyncio.sleep(PATIENCE_S)
        for _ in range(3):  # and nothing of a contact that has only trembled
            await bounce(an, True)
            an.board._send(BUTTON, b"\0")
            await asyncio.sleep(0.3)
        return an.seen[before:]

    assert wear(make_scenario, rom, tmp_path, job) == [patterns.ALIVE]


def test_presses_in_quick_succession_are_all_answered(make_scenario, rom, tmp_path):
    async def job(an):
        await an.quiet()
        before = len(an.board.light)
        for _ in range(5):
            an.board.press(0.08)
            await asyncio.sleep(0.16)
        await asyncio.sleep(PATIENCE_S)
        return an.seen[before:]

    assert wear(make_scenario, rom, tmp_path, job) == [patterns.ALIVE] * 5


# --- Off and on ------------------------------------------------------------------------------------------------


def test_asked_and_confirmed_it_switches_off_and_goes_on_where_it_was(make_scenario, rom, tmp_path):
    async def job(an):
        await asyncio.sleep(400)  # An and Bình have met
        await an.quiet()
        shown = await an.press(9.0) + await an.press(0.2)
        await asyncio.sleep(2.0)
        assert an.board.switched_off
        off_s = asyncio.get_running_loop().time()
        await asyncio.sleep(300)
        on_air = [at_s for at_s, name in an.frames if name == "An" and at_s > off_s]
        listening = an.board.controller.le_scan_enable

        kept, found = open_token(open_flash(an.flash))

        await an.again()
        await asyncio.sleep(60)
        new, after = open_token(open_flash(an.flash))
        back = [at_s for at_s, name in an.frames if name == "An" and at_s > off_s]
        start_s = an.world.scenario.start_s
        return shown, on_air, listening, kept, new, found.next_seq, after.next_seq, back, an.seen, off_s + start_s

    shown, on_air, listening, kept, new, next_seq, after_seq, back, seen, off_s = wear(
        make_scenario, rom, tmp_path, job, TOKENS | {"Bình": "token"}
    )
    # The question is asked while the finger is down, and again when it lets go, which is when the time begins.
    assert shown == [patterns.SYNC_MODE, patterns.ASK_OFF, patterns.ASK_OFF, patterns.GOODBYE]
    assert not on_air
    assert not listening
    assert next_seq >= 1  # what was in RAM has been written
    assert 0 <= off_s - kept.last_time_s <= 5
    assert back
    assert (new.serial, new.daily_key, new.key_day) == (kept.serial, kept.daily_key, kept.key_day)
    assert new.boot == kept.boot + 1
    assert after_seq >= next_seq
    assert seen[0] == patterns.ALIVE


@pytest.mark.parametrize("then", ["nothing", "late", "long"])
def test_asked_but_not_confirmed_it_stays_on(make_scenario, rom, tmp_path, then):
    async def job(an):
        await an.quiet()
        await an.press(9.0)
        with contextlib.suppress(KeyError):
            wait_s, held_s = {"late": (5.0, 0.2), "long": (1.0, 2.0)}[then]
            await asyncio.sleep(wait_s)
            await an.press(held_s)
        await asyncio.sleep(100)
        from_s = asyncio.get_running_loop().time()
        await asyncio.sleep(100)
        on_air = [at_s for at_s, name in an.frames if name == "An" and at_s > from_s]
        return an.board.switched_off, len(on_air), an.seen

    switched_off, on_air, seen = wear(make_scenario, rom, tmp_path, job)
    assert not switched_off
    assert on_air > 100
    assert patterns.GOODBYE not in seen
    assert seen[-1] == patterns.ALIVE
    assert len(counted(patterns.SYNC_MODE, seen)) == (2 if then == "long" else 1)


def test_a_button_held_down_in_a_bag_does_not_keep_the_token_awake(make_scenario, rom, tmp_path):
    async def job(an):
        await an.quiet()
        an.board._send(BUTTON, b"\1")
        await asyncio.sleep(120)  # consent has run out too
        await an.quiet()
        asleep_until_ms = an.board.until_ms
        now_ms = round(asyncio.get_running_loop().time() * 1000)
        return an.board.switched_off, asleep_until_ms - now_ms

    switched_off, asleep_ms = wear(make_scenario, rom, tmp_path, job)
    assert not switched_off
    assert asleep_ms > 10_000
