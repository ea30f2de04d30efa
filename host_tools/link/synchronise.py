"""A whole sync: what the token has and the database lacks, stored in transactions, each then acknowledged."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from host_tools.storage.clock_repair import ClockReading
from tracing.kiosk_messages import ERROR_RANGE

from .errors import LogRestarted, SessionRefused
from .session import BATCH_RECORDS, KioskSession, Record, TokenInfo


class RecordStorage(Protocol):
    """Where records go (host_tools.storage.store). Called in threads: others are served while it waits for its turn."""

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
    """What a sync brought.

    Attributes:
        correction_s: of the token's clock.
        new_records: how many were stored; damaged: how many arrived and could not be opened.
        next_seq: where the next sync begins.
    """

    info: TokenInfo
    correction_s: int
    new_records: int
    next_seq: int
    damaged: int = 0


async def synchronise(
    session: KioskSession,
    storage: RecordStorage,
    now: Callable[[], float],
    on_progress: Callable[[TokenInfo, int], None] | None = None,
    batch_records: int = BATCH_RECORDS,
) -> SyncResult:
    """Open the session, set the time, and bring everything that is not stored yet into the storage.

    Each batch is stored in one transaction and only then acknowledged. The session stays open, for the verdict.

    Args:
        now: Unix seconds.
        on_progress: called with the token's info and the sequence number up to which records have arrived.
        batch_records: how many are stored in one transaction at most.

    Raises:
        SessionError: with everything that had arrived whole stored.
    """
    await session.hello()
    info = await session.info()
    true_s = now()
    correction_s = await session.set_time(true_s)
    serial = info.serial
    reading = ClockReading(info.boot, info.next_seq, info.clock_s, int(true_s))
    await asyncio.to_thread(storage.note_clock, serial, reading)
    first_seq = await asyncio.to_thread(storage.next_seq, serial)
    if first_seq > info.next_seq:
        raise LogRestarted
    acknowledged = None
    if first_seq > info.watermark:
        # The receipt for an earlier session was lost with its link. A token that restarted since does not know what
        # it sent then, and sends it again.
        try:
            acknowledged = await session.acknowledge(first_seq)
        except SessionRefused as refusal:
            if refusal.code != ERROR_RANGE:
                raise
            first_seq = info.watermark
    new_records = 0

    def report(next_seq: int) -> None:
        if on_progress is not None:
            on_progress(info, next_seq)

    async for batch in session.pull(first_seq, report, batch_records):
        new_records += await asyncio.to_thread(storage.store_records, serial, batch, int(now()))
        if session.usable:  # else this is the last batch of a broken session, and the loop ends with its error
            acknowledged = await session.acknowledge(batch[-1][0] + 1)
    if acknowledged is None or acknowledged < session.next_seq:
        await session.acknowledge(session.next_seq)
    await asyncio.to_thread(storage.note_sync, serial, info, int(now()))
    return SyncResult(info, correction_s, new_records, session.next_seq, session.damaged)
