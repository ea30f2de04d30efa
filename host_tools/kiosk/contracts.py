"""What service.Kiosk works with: a screen, a desk that knows the ledger, tokens that come for a release.

A screen belongs to the event loop, and so do a desk's methods; what they ask of the database is theirs to put into
threads.
"""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from host_tools.errors import UserError
from host_tools.link.session import KioskSession, TokenInfo
from host_tools.link.synchronise import SyncResult
from host_tools.matching.assessment import Judged
from host_tools.matching.explanation import ListVersion
from host_tools.matching.verdict import Verdict
from host_tools.storage.store import Encounter, Store


@dataclass(frozen=True)
class WearerResult:
    """All that the kiosk can tell one wearer.

    Attributes:
        encounters: what the token has logged and the database still holds.
        verdict: of those encounters against the list.
        list_version: which list that was, if the kiosk knows.
    """

    info: TokenInfo
    sync: SyncResult
    encounters: list[Encounter]
    verdict: Verdict
    finished_s: int
    list_version: ListVersion | None = None


class Screen(Protocol):
    """What the kiosk shows. `code` is the short code on the token's label."""

    def found(self, code: str) -> None:
        """A token in sync mode has been heard; the connection begins."""

    def progress(self, code: str, done: int, total: int) -> None:
        """Records that have arrived, of how many."""

    def finished(self, code: str, result: WearerResult) -> None:
        """Everything is stored and judged."""

    def failed(self, code: str, error: UserError, again: bool) -> None:
        """Something went wrong, in a sentence for the clerk; `again`: the kiosk tries once more by itself."""


class Desk(Protocol):
    """What the ledger says about the tokens that come (host_tools.fleet.desk)."""

    async def check_clock(self, now_s: float) -> None:
        """Raises UserError when the kiosk's clock cannot be right: it would put a false one into the token."""

    async def encounters(self, serial: bytes, now_s: int) -> list[Encounter]:
        """What the wearer may be judged by. Raises TurnedAway when the token is not for who holds it."""
        ...

    async def told(self, serial: bytes, judged: Judged, now_s: int) -> None:
        """The wearer has been told the verdict."""


class Releases(Protocol):
    """Tokens that are awaited for a release, not for a sync (host_tools.kiosk.release_desk)."""

    def holds(self, code: str) -> bool:
        """Is the token awaited? Then it gets no sync."""
        ...

    def ready(self, code: str) -> bool:
        """May the awaited token be served now?"""
        ...

    async def serve(self, code: str, session: AbstractAsyncContextManager[KioskSession]) -> None:
        """One visit of the awaited token."""


class OpenDesk:
    """A desk without a ledger: every token is its wearer's."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def check_clock(self, now_s: float) -> None:
        """Any time will do."""

    async def encounters(self, serial: bytes, now_s: int) -> list[Encounter]:
        """All that is stored."""
        return await asyncio.to_thread(self._store.encounters, serial)

    async def told(self, serial: bytes, judged: Judged, now_s: int) -> None:
        """Nothing is kept of it."""


class NoReleases:
    """Every token comes for a sync."""

    def holds(self, code: str) -> bool:
        """None is awaited."""
        return False

    def ready(self, code: str) -> bool:
        """None is awaited."""
        return False

    async def serve(self, code: str, session: AbstractAsyncContextManager[KioskSession]) -> None:
        """None is awaited."""
