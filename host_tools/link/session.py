"""The kiosk's side of a sync session: asks, checks every answer, and hands records over in batches.

The token's side is tracing.sync; both share the formats in tracing.messages.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from host_tools.provisioning.token_keys import KioskRoot
from tracing import kiosk_messages as wire
from tracing.messages import INFO_CLOCK_SET, INFO_PROVISIONED
from tracing.wire import short_code

from .channel import ANSWER_LIMIT_S, Channel, Transport
from .errors import LogSealed, SessionError
from .handshake import authenticate
from .log_opener import LogOpener

BATCH_RECORDS = 2048  # one transaction and one receipt: few enough to lose, many enough to hide the round trips
# A token wears out long before: what a false one says beyond it would have the kiosk hash its way there.
_SEGMENTS_MOST = 1 << 18
_ALL_SEALED = 16  # so many records that do not open, and none that does, are no accident of the flash

Record = tuple[int, bytes]  # sequence number, the record's 28 bytes, opened


@dataclass(frozen=True)
class TokenInfo:
    """What a token says about itself.

    Attributes:
        firmware: major, minor, patch.
        clock_s: Unix seconds, or seconds since the start when the clock is not set.
        oldest_seq, next_seq: the log holds oldest_seq ≤ sequence number < next_seq.
        watermark: everything before it has been acknowledged.
        last_sync_s: Unix seconds; 0: never.
        damaged: places in flash that did not keep what was written; dropped: sightings lost for lack of room.
        segment_records: sequence numbers per segment of the log, that is per key.
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
    segment_records: int


class KioskSession:
    """One conversation over one connection. Methods raise SessionError; after all but SessionRefused it is over.

    Args:
        root: of this kiosk's fleet.
        code: the short code under which the token was found.

    Attributes:
        next_seq: after and during `pull`: everything before has arrived, or is gone for good.
    """

    def __init__(self, transport: Transport, root: KioskRoot, code: str, answer_limit_s: float = ANSWER_LIMIT_S):
        self._channel = Channel(transport, answer_limit_s)
        self._root = root
        self._code = code
        self._log: LogOpener | None = None
        self._limit_seq = 0  # no sequence number is so high
        self.next_seq = 0

    @property
    def usable(self) -> bool:
        """False once the session is over, and while an answer is due."""
        return self._channel.usable

    @property
    def damaged(self) -> int:
        """Records that have arrived and could not be opened."""
        return self._log.damaged if self._log else 0

    async def hello(self) -> None:
        """Open the session: both sides show that they have the token's key."""
        await authenticate(self._channel, self._root.sync_key(self._code))

    async def info(self) -> TokenInfo:
        """What the token says about itself."""
        serial, firmware, flags, battery_mv, boot, *rest = await self._channel.request(wire.INFO)
        info = TokenInfo(
            serial,
            tuple(firmware),
            bool(flags & INFO_CLOCK_SET),
            bool(flags & INFO_PROVISIONED),
            battery_mv,
            boot,
            *rest,
        )
        limit_seq = info.segment_records * _SEGMENTS_MOST
        if not info.oldest_seq <= info.next_seq < limit_seq or short_code(serial) != self._code:
            raise self._channel.broken("it says of itself what cannot be")
        if self._log is None:
            self._log = LogOpener(self._root.log_root(serial), info.segment_records)
            self._limit_seq = limit_seq
        return info

    async def set_time(self, unix_s: float) -> int:
        """Set the token's clock, before any pull; returns the correction in seconds."""
        return (await self._channel.request(wire.TIME, *divmod(round(unix_s * 1000), 1000)))[0]

    async def pull(
        self,
        first_seq: int,
        on_progress: Callable[[int], None] | None = None,
        batch_records: int = BATCH_RECORDS,
    ) -> AsyncIterator[list[Record]]:
        """Records from `first_seq` on, opened, in batches of increasing sequence numbers; after `info`.

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
        watermark = (await self._channel.request(wire.ACK, seq))[0]
        if watermark < seq:
            raise self._channel.broken("it did not keep the receipt")
        return watermark

    async def show_verdict(self, code: int) -> None:
        """Let the token show kiosk_messages.VERDICT_* in light."""
        await self._channel.request(wire.VERDICT, code)

    async def challenge(self) -> bytes:
        """What the health authority's code for this session must fit: 5 bytes."""
        return (await self._channel.request(wire.CHALLENGE))[0]

    async def release(self, code: str) -> tuple[int, bytes]:
        """Hand over the health authority's code.

        Returns:
            UTC day of the token's first daily key, and this key sealed for the authority (64 bytes).

        Raises:
            SessionRefused: ERROR_CODE: another code, at most three in all.
        """
        first_day, escrow = await self._channel.request(wire.RELEASE, code.encode())
        return first_day, escrow

    async def bye(self) -> None:
        """End the session; the token then disconnects."""
        await self._channel.request(wire.BYE)
        self._channel.usable = False

    # --- Pull ----------------------------------------------------------------------------------------------------

    async def _pull(self, batch: list[Record], limit: int, on_progress: Callable[[int], None] | None) -> None:
        assert self._log is not None
        channel = self._channel
        arrived = 0
        with channel.exchange():
            await channel.send(wire.PULL, self.next_seq, limit)
            while True:
                data = await channel.receive()
                if data[0] == wire.RECORDS:
                    arrived += self._open(data, batch)
                elif data[0] == wire.GAP:
                    self._advance(*channel.answer(wire.GAP - wire.ANSWER, data))
                else:
                    after_seq, sent, _ = channel.answer(wire.PULL, data)
                    if after_seq != self.next_seq or sent != arrived:
                        raise channel.broken("records are missing")
                    # Not before a whole batch is there: a worn block at its beginning must not hold up all others.
                    if self._log.damaged >= _ALL_SEALED and not self._log.opened:
                        raise LogSealed
                    return
                if arrived > limit:
                    raise channel.broken("more records than asked for")
                if on_progress is not None:
                    on_progress(self.next_seq)

    def _open(self, data: bytes, batch: list[Record]) -> int:
        # Adds the records of a message to the batch, as far as they open; returns how many there were.
        assert self._log is not None
        first_seq, sealed = wire.parse_records(data)
        self._advance(first_seq, first_seq + len(sealed))
        for seq, record in enumerate(sealed, first_seq):
            opened = self._log.open(seq, record)
            if opened is not None:
                batch.append((seq, opened))
        return len(sealed)

    def _advance(self, first_seq: int, after_seq: int) -> None:
        if first_seq != self.next_seq or not first_seq < after_seq < self._limit_seq:
            raise self._channel.broken(f"record {first_seq} where {self.next_seq} was due")
        self.next_seq = after_seq
