"""Blocking programs in virtual time: a fiber sleeps, and the event loop of the simulation goes on meanwhile."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import greenlet


class PowerCut(BaseException):
    """The board has no power any more."""


class Fiber:
    """A program of a board, in a greenlet of its own.

    Args:
        function: what it does.

    Attributes:
        done: a future of what `function` returns, or of the exception that ended it.
        dead: the power is off; nothing of the program happens any more.
    """

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._greenlet = greenlet.greenlet(self._run)
        self.done: asyncio.Future = asyncio.get_running_loop().create_future()
        self.dead = False

    def start(self) -> "Fiber":
        """Let it run, from the next turn of the event loop on."""
        asyncio.get_running_loop().call_soon(self._resume)
        return self

    def cut(self) -> None:
        """Take the power away."""
        self.dead = True
        if not self.done.done():
            self.done.cancel()

    def _run(self) -> None:
        try:
            result = self._function()
        except PowerCut:
            return
        except Exception as error:
            self.done.set_exception(error)
        else:
            self.done.set_result(result)

    def _resume(self) -> None:
        if not self.dead:
            self._greenlet.parent = greenlet.getcurrent()
            self._greenlet.switch()

    def _pause(self) -> None:
        parent = self._greenlet.parent
        assert parent is not None
        parent.switch()
        if self.dead:
            raise PowerCut

    def sleep(self, seconds: float) -> None:
        """Called by the program: go on in so long."""
        asyncio.get_running_loop().call_later(max(seconds, 0.0), self._resume)
        self._pause()

    def wait_for(self, coroutine: Coroutine) -> Any:
        """Called by the program: wait for what the event loop does; returns its result."""
        task = asyncio.ensure_future(coroutine)
        task.add_done_callback(lambda _: self._resume())
        self._pause()
        return task.result()
