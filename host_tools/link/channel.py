"""Whole messages between kiosk and token: one request, one answer. Nothing here knows Bluetooth."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Protocol

from tracing import kiosk_messages as wire
from tracing.errors import FormatError
from tracing.messages import Fragments

from .errors import AnswerTimeout, LinkLost, SessionBroken, SessionRefused, SessionTooLong

ANSWER_LIMIT_S = 10.0
# A full log takes a minute or two over a poor link. Who answers each time, but late, holds a place no longer than this.
SESSION_LIMIT_S = 300.0

# After these the token hangs up.
_ENDING = (wire.ERROR_BUSY, wire.ERROR_NOT_IN_SYNC_MODE, wire.ERROR_KEY)


class FragmentQueue(Protocol):
    """The part of asyncio.Queue that a session needs."""

    async def get(self) -> bytes | None:
        """The next notification, in order; None once the connection has ended."""
        ...


class Transport(Protocol):
    """Carries fragments to one connected token and back.

    Attributes:
        mtu_payload: how many bytes fit into one write (ATT MTU - 3).
        receive: the notifications.
    """

    @property
    def mtu_payload(self) -> int: ...

    @property
    def receive(self) -> FragmentQueue: ...

    async def write(self, fragment: bytes) -> None:
        """Send one fragment.

        Raises:
            LinkLost: the connection has ended.
        """
        ...


class Channel:
    """The kiosk's end of one connection. Methods raise SessionError; after all but SessionRefused it is over.

    Attributes:
        usable: false once the session is over, and while an answer is due.
    """

    def __init__(self, transport: Transport, answer_limit_s: float = ANSWER_LIMIT_S):
        self._transport = transport
        self._answer_limit_s = answer_limit_s
        self._until_s: float | None = None  # loop time; from the first request on
        self._link = Fragments(wire.MESSAGE_MAX_BYTES, wire.REQUEST_MAX_BYTES)
        self.usable = True

    def seal(self, sync_key: bytes, nonces: bytes) -> None:
        """From the next message of each direction on, everything is sealed; see kiosk_messages.kiosk_seals."""
        self._link.seal(*wire.kiosk_seals(sync_key, nonces))

    @contextlib.contextmanager
    def exchange(self) -> Iterator[None]:
        """One request with all that comes in answer.

        Whatever ends it half-way, cancellation included, leaves an answer on its way: then no further request.
        """
        if not self.usable:
            raise SessionBroken("This session is over. Connect to the token anew.")
        self.usable = False
        try:
            yield
        except SessionRefused as refusal:
            self.usable = refusal.code not in _ENDING
            raise
        except FormatError as error:
            raise self.broken(str(error)) from error
        except TimeoutError as error:
            if self._until_s is not None and asyncio.get_running_loop().time() >= self._until_s:
                raise SessionTooLong(SESSION_LIMIT_S) from error
            raise AnswerTimeout(self._answer_limit_s) from error
        self.usable = True

    def _limit(self) -> asyncio.Timeout:
        now_s = asyncio.get_running_loop().time()
        if self._until_s is None:
            self._until_s = now_s + SESSION_LIMIT_S
        return asyncio.timeout_at(min(now_s + self._answer_limit_s, self._until_s))

    async def request(self, kind: int, *fields: int | bytes) -> tuple:
        """Ask, and return the fields of the answer."""
        with self.exchange():
            await self.send(kind, *fields)
            return self.answer(kind, await self.receive())

    async def send(self, kind: int, *fields: int | bytes) -> None:
        """Send a request; within `exchange`."""
        # A token's buffer for one write is as long as its longest request.
        size = min(self._transport.mtu_payload, wire.REQUEST_MAX_BYTES)
        async with self._limit():
            for fragment in wire.fragments(self._link, wire.message(kind, *fields), size):
                await self._transport.write(fragment)

    async def receive(self) -> bytes:
        """The next whole message; within `exchange`."""
        async with self._limit():
            while True:
                fragment = await self._transport.receive.get()
                if fragment is None:
                    raise LinkLost
                length = self._link.feed(fragment, len(fragment))
                if length:
                    return bytes(self._link.inbox[:length])

    def answer(self, kind: int, data: bytes) -> tuple:
        """The fields of a message that must be the answer to a request of `kind`."""
        answer, fields = wire.parse(data)
        if answer == wire.ERROR:
            asked, why = fields
            if why == wire.ERROR_FORMAT:
                if asked == wire.HELLO:  # whole and in order, yet not understood: firmware of the version before
                    raise SessionRefused(wire.ERROR_VERSION)
                raise self.broken("it could not read the kiosk's request")
            raise SessionRefused(why)
        if answer != kind | wire.ANSWER:
            raise self.broken(f"answer {answer - wire.ANSWER} to request {kind}")
        return fields

    def broken(self, why: str) -> SessionBroken:
        """The error for an answer that cannot be; the session is over."""
        self.usable = False
        return SessionBroken(
            f"The token's answer was damaged on its way ({why}). What was read so far is kept. Try again."
        )
