"""The kiosk's side of a sync session: asks, checks every answer, and hands records over in batches.

The token's side is tracing.sync; both share the formats in tracing.messages. Nothing here knows Bluetooth: a transport
carries fragments.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from host_tools.errors import UserError
from host_tools.storage.clock_repair import ClockReading
from tracing import kiosk_messages as wire
from tracing.errors import FormatError
from tracing.messages import INFO_CLOCK_SET, INFO_PROVISIONED, Fragments
from tracing.records import unpack_record

ANSWER_LIMIT_S = 10.0
BATCH_RECORDS = 2048  # one transaction and one receipt: few enough to lose, many enough to hide the round trips

Record = tuple[int, bytes]  # sequence number, the 28 bytes as they lie in the token's flash


class SessionError(UserError):
    """A sync session that did not come to its end. What has been stored stays stored, and the next one resumes."""


class SessionRefused(SessionError):
    """The token said no; the session may go on. `code` is one of kiosk_messages.ERROR_*."""

    def __init__(self, code: int):
        super().__init__(_REFUSALS.get(code, f"The token refused, with a code this kiosk does not know ({code})."))
        self.code = code


class SessionBroken(SessionError):
    """The token said something that cannot be, or the session was left in the middle: connect anew."""


class LinkLost(SessionError):
    """The connection ended."""

    def __init__(self, what: str = "The connection to the token was lost.") -> None:
        super().__init__(f"{what} What was read so far is kept. Hold the token near the kiosk and try again.")


class AnswerTimeout(SessionError):
    """The token did not answer in time."""


class LogRestarted(SessionError):
    """The token's log ends before what is already stored under its serial."""


_REFUSALS = {
    wire.ERROR_NOT_IN_SYNC_MODE: "The token is not in sync mode. Ask the wearer to press its button, then try again.",
    wire.ERROR_BUSY: "Another kiosk is reading this token. Try again when it has finished.",
    wire.ERROR_STATE: "The token did not expect this request. Try again; what was read so far is kept.",
    wire.ERROR_VERSION: "The token and this kiosk speak different versions. Update the older of the two.",
    wire.ERROR_RANGE: "The token refused a time or a place in its log. Check the kiosk's clock, then try again.",
}


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


@dataclass(frozen=True)
class TokenInfo:
    """What a token says about itself.

    Attributes:
        firmware: major, minor, patch.
        clock_s: Unix seconds, or seconds since the start when the clock is not set.
        oldest_seq, next_seq: the log holds oldest_seq ≤ sequence number < next_seq.
        watermark: everything before it has been acknowledged.
        last_sync_s: Unix seconds; 0: never.
        damaged: records skipped because their CRC did not fit; dropped: sightings lost for lack of room.
    """

    serial: bytes
    firmware: tuple[int, ...]
    clock_set: bool
    provisioned: bool
    battery_mv: int
    boot: int
    clock_s: int
    uptime_s: int
    oldest_seq: int
    next_seq: int
    watermark: int
    last_sync_s: int
    capacity_records: int
    damaged: int
    dropped: int
    heap_bytes: int


class KioskSession:
    """One conversation over one connection. Methods raise SessionError; after all but SessionRefused it is over.

    Attributes:
        usable: false once the session is over, and while an answer is due.
        next_seq: after and during `pull`: everything before has arrived, or is gone for good.
    """

    def __init__(self, transport: Transport, answer_limit_s: float = ANSWER_LIMIT_S):
        self._transport = transport
        self._answer_limit_s = answer_limit_s
        self._link = Fragments(wire.MESSAGE_MAX_BYTES, wire.REQUEST_MAX_BYTES)
        self.usable = True
        self.next_seq = 0

    async def hello(self) -> None:
        """Open the session. Version 2 will authenticate here."""
        chosen = await self._request(wire.HELLO, wire.PROTOCOL_VERSION)
        if chosen != (wire.PROTOCOL_VERSION, wire.AUTH_NONE):
            self.usable = False
            raise SessionRefused(wire.ERROR_VERSION)

    async def info(self) -> TokenInfo:
        """What the token says about itself."""
        serial, firmware, flags, battery_mv, boot, *rest = await self._request(wire.INFO)
        info = TokenInfo(
            serial,
            tuple(firmware),
            bool(flags & INFO_CLOCK_SET),
            bool(flags & INFO_PROVISIONED),
            battery_mv,
            boot,
            *rest,
        )
        if info.oldest_seq > info.next_seq:
            raise self._broken("its log ends before it begins")
        return info

    async def set_time(self, unix_s: float) -> int:
        """Set the token's clock, before any pull; returns the correction in seconds."""
        return (await self._request(wire.TIME, *divmod(round(unix_s * 1000), 1000)))[0]

    async def pull(
        self,
        first_seq: int,
        on_progress: Callable[[int], None] | None = None,
        batch_records: int = BATCH_RECORDS,
    ) -> AsyncIterator[list[Record]]:
        """Records from `first_seq` on, in batches of increasing sequence numbers.

        Between two batches the session is free for other requests, and leaving the loop is harmless. When the session
        fails, what had arrived whole comes as a last batch before the error.

        Args:
            on_progress: called with `next_seq` as it moves.
        """
        self.next_seq = first_seq
        while True:
            begin_seq = self.next_seq
            batch: list[Record] = []
            try:
                await self._pull(batch, batch_records, on_progress)
            except SessionError:
                if batch:
                    yield batch
                raise
            if batch:
                yield batch
            if self.next_seq < begin_seq + batch_records:
                return

    async def acknowledge(self, seq: int) -> int:
        """Everything before `seq` is stored for good; returns the token's watermark."""
        watermark = (await self._request(wire.ACK, seq))[0]
        if watermark < seq:
            raise self._broken("it did not keep the receipt")
        return watermark

    async def show_verdict(self, code: int) -> None:
        """Let the token show kiosk_messages.VERDICT_* in light."""
        await self._request(wire.VERDICT, code)

    async def bye(self) -> None:
        """End the session; the token then disconnects."""
        await self._request(wire.BYE)
        self.usable = False

    # --- One request, one answer -------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _exchange(self) -> Iterator[None]:
        # Whatever ends an exchange half-way, cancellation included, leaves an answer on its way: no further request.
        if not self.usable:
            raise SessionBroken("This session is over. Connect to the token anew.")
        self.usable = False
        try:
            yield
        except SessionRefused as refusal:
            self.usable = refusal.code != wire.ERROR_BUSY
            raise
        except FormatError as error:
            raise self._broken(str(error)) from error
        except TimeoutError as error:
            raise AnswerTimeout(
                f"The token has not answered for {self._answer_limit_s:.0f} seconds. What was read so far is kept. "
                "Ask the wearer to press its button again, then try again."
            ) from error
        self.usable = True

    async def _request(self, kind: int, *fields: int) -> tuple:
        with self._exchange():
            await self._send(kind, *fields)
            return self._answer(kind, await self._receive())

    async def _send(self, kind: int, *fields: int) -> None:
        # A token's buffer for one write is as long as its longest request.
        size = min(self._transport.mtu_payload, wire.REQUEST_MAX_BYTES)
        async with asyncio.timeout(self._answer_limit_s):
            for fragment in wire.fragments(self._link, wire.message(kind, *fields), size):
                await self._transport.write(fragment)

    async def _receive(self) -> bytes:
        async with asyncio.timeout(self._answer_limit_s):
            while True:
                fragment = await self._transport.receive.get()
                if fragment is None:
                    raise LinkLost
                length = self._link.feed(fragment, len(fragment))
                if length:
                    return bytes(self._link.inbox[:length])

    def _answer(self, kind: int, data: bytes) -> tuple:
        answer, fields = wire.parse(data)
        if answer == wire.ERROR:
            if fields[1] == wire.ERROR_FORMAT:
                raise self._broken("it could not read the kiosk's request")
            raise SessionRefused(fields[1])
        if answer != kind | wire.ANSWER:
            raise self._broken(f"answer {answer - wire.ANSWER} to request {kind}")
        return fields

    def _broken(self, why: str) -> SessionBroken:
        self.usable = False
        return SessionBroken(
            f"The token's answer was damaged on its way ({why}). What was read so far is kept. Try again."
        )

    # --- Pull ----------------------------------------------------------------------------------------------------

    async def _pull(self, batch: list[Record], limit: int, on_progress: Callable[[int], None] | None) -> None:
        with self._exchange():
            await self._send(wire.PULL, self.next_seq, limit)
            while True:
                data = await self._receive()
                if data[0] == wire.RECORDS:
                    batch.extend(self._records(data))
                elif data[0] == wire.GAP:
                    self._advance(*self._answer(wire.GAP - wire.ANSWER, data))
                else:
                    after_seq, sent, _ = self._answer(wire.PULL, data)
                    if after_seq != self.next_seq or sent != len(batch):
                        raise self._broken("records are missing")
                    return
                if len(batch) > limit:
                    raise self._broken("more records than asked for")
                if on_progress is not None:
                    on_progress(self.next_seq)

    def _records(self, data: bytes) -> list[Record]:
        first_seq, raw = wire.parse_records(data)
        if any(unpack_record(record) is None for record in raw):
            raise self._broken("a record's checksum does not fit")
        self._advance(first_seq, first_seq + len(raw))
        return list(enumerate(raw, first_seq))

    def _advance(self, first_seq: int, after_seq: int) -> None:
        if first_seq != self.next_seq or after_seq <= first_seq:
            raise self._broken(f"record {first_seq} where {self.next_seq} was due")
        self.next_seq = after_seq


class RecordStorage(Protocol):
    """Where records go (host_tools.storage.store)."""

    def next_seq(self, serial: bytes) -> int:
        """One more than the highest sequence number stored of this token; 0 when there is none."""
        ...

    def store_records(self, serial: bytes, records: list[Record], received_s: int) -> int:
        """Store in one transaction; what is there already is left alone. Returns how many were new."""
        ...

    def note_clock(self, serial: bytes, reading: ClockReading) -> object:
        """Remember how far the token's clock was off."""
        ...

    def note_sync(self, serial: bytes, info: TokenInfo, now_s: int) -> object:
        """Remember a finished sync."""
        ...


@dataclass(frozen=True)
class SyncResult:
    """What a sync brought: `correction_s` of the token's clock, records that were new, where the next one begins."""

    info: TokenInfo
    correction_s: int
    new_records: int
    next_seq: int


async def synchronise(
    session: KioskSession,
    storage: RecordStorage,
    now: Callable[[], float],
    on_progress: Callable[[TokenInfo, int], None] | None = None,
) -> SyncResult:
    """Open the session, set the time, and bring everything that is not stored yet into the storage.

    Each batch is stored in one transaction and only then acknowledged. The session stays open, for the verdict.

    Args:
        now: Unix seconds.
        on_progress: called with the token's info and the sequence number up to which records have arrived.

    Raises:
        SessionError: with everything that had arrived whole stored.
    """
    await session.hello()
    info = await session.info()
    true_s = now()
    correction_s = await session.set_time(true_s)
    serial = info.serial
    storage.note_clock(serial, ClockReading(info.boot, info.next_seq, info.clock_s, int(true_s)))
    first_seq = storage.next_seq(serial)
    if first_seq > info.next_seq:
        raise LogRestarted(
            "This token's log ends before records that are already stored under its serial: it was reset. "
            "Nothing was stored. A technician must provision it again, with a new serial."
        )
    acknowledged = None
    if first_seq > info.watermark:
        # The receipt for an earlier session was lost with its link. A token that restarted since does not know what
        # it sent then, and sends it again.
        try:
            acknowledged = await session.acknowledge(first_seq)
        except SessionRefused as refusal:
            if refusal.code != wire.ERROR_RANGE:
                raise
            first_seq = info.watermark
    new_records = 0

    def report(next_seq: int) -> None:
        if on_progress is not None:
            on_progress(info, next_seq)

    async for batch in session.pull(first_seq, report):
        new_records += storage.store_records(serial, batch, int(now()))
        if session.usable:  # else this is the last batch of a broken session, and the loop ends with its error
            acknowledged = await session.acknowledge(batch[-1][0] + 1)
    if acknowledged is None or acknowledged < session.next_seq:
        await session.acknowledge(session.next_seq)
    storage.note_sync(serial, info, int(now()))
    return SyncResult(info, correction_s, new_records, session.next_seq)
