"""Virtual time: an asyncio event loop whose clock moves only when nobody has anything left to do at this instant.

Boards (MicroPython VMs in processes of their own) take part: time waits while any of them runs, and moves no further
than the moment until which the first of them sleeps. So a run depends on its seed alone, not on the machine.
"""

import asyncio
import selectors
import time
from typing import Protocol

STUCK_AFTER_S = 30.0  # of real time: a board that computes for so long without a word will never answer


class Participant(Protocol):
    """What the loop must know of a board.

    Attributes:
        busy: true while the board runs; only its own word makes it idle.
        until_ms: when idle, the time at which it wants to be woken; None: by an event only.
    """

    busy: bool
    until_ms: int | None

    def wake(self) -> None:
        """Tell the board that its time has come; makes it busy."""


class BoardStuck(RuntimeError):
    """A board has neither slept nor asked for anything for STUCK_AFTER_S of real time."""


class _Selector(selectors.DefaultSelector):
    loop: "VirtualLoop"

    def select(self, timeout=None):
        if timeout is not None and timeout <= 0:
            return super().select(0)
        loop = self.loop
        if any(board.busy for board in loop.boards):
            ready = super().select(STUCK_AFTER_S)
            if not ready:
                raise BoardStuck("a board stopped answering")
            return ready
        ready = super().select(0)
        if ready:
            return ready
        sleeping = [board.until_ms for board in loop.boards if board.until_ms is not None]
        target_us = min(sleeping) * 1000 if sleeping else None
        if timeout is not None:
            timer_us = loop.now_us + max(1, round(timeout * 1_000_000))
            target_us = timer_us if target_us is None else min(target_us, timer_us)
        if target_us is None:
            return super().select(0.05)  # only the outside world (a thread, a pipe) can go on
        early_s = target_us / 1_000_000 - loop.wall_s()
        if early_s > 0 and (ready := super().select(early_s)):
            loop.now_us = max(loop.now_us, min(round(loop.wall_s() * 1_000_000), target_us))
            return ready
        loop.now_us = max(loop.now_us, target_us)
        for board in loop.boards:
            if board.until_ms is not None and board.until_ms * 1000 <= loop.now_us:
                board.wake()
                break  # one at a time: of two that wake at the same moment, the first has finished before the second
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """The event loop of a simulation. `time()` is seconds since its start, in whole microseconds.

    Attributes:
        boards: the participants, in the order in which they joined.
        now_us: the time.
    """

    _pace_from_s: float | None = None  # of the clock on the wall, when this one stood at 0

    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        self.now_us = 0
        self.boards: list[Participant] = []
        super().__init__(selector)

    def time(self) -> float:
        return self.now_us / 1_000_000

    def run_in_executor(self, executor, func, *args):  # pyright: ignore[reportIncompatibleMethodOverride]
        """What belongs in a thread is done at once and takes no time: a run depends on its seed alone.

        A loop that keeps pace gives it to a thread, as others do.
        """
        if self._pace_from_s is not None:
            return super().run_in_executor(executor, func, *args)
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    def keep_pace(self) -> None:
        """From now on time passes no faster than on the wall: for somebody who watches."""
        self._pace_from_s = time.monotonic() - self.time()

    def wall_s(self) -> float:
        """How far this clock may have come by now."""
        return float("inf") if self._pace_from_s is None else time.monotonic() - self._pace_from_s

    @property
    def now_ms(self) -> int:
        """Whole milliseconds since the start: the boards' time."""
        return self.now_us // 1000


def run(main):
    """Run a coroutine to its end in virtual time; returns its result."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main)
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        loop.close()
