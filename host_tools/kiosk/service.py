"""The kiosk at work: finds tokens in sync mode, pulls their logs, matches, and tells the wearer.

Knows neither screen nor adapter: a Screen (contracts.py) shows what happens, an Adapter reaches the tokens.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import structlog

from host_tools.errors import UserError
from host_tools.fleet.desk import TurnedAway
from host_tools.link.adapter import Adapter
from host_tools.link.bluetooth import FoundToken, connected, tokens_in_sync_mode
from host_tools.link.errors import AnswerTimeout, LinkLost, SessionError
from host_tools.link.session import KioskSession, TokenInfo
from host_tools.link.synchronise import synchronise
from host_tools.matching.assessment import Judged, Listed, assess
from host_tools.matching.case_finder import CaseFinder
from host_tools.matching.explanation import ListVersion
from host_tools.matching.national_list import NationalList
from host_tools.matching.rules import Rules
from host_tools.provisioning.token_keys import KioskRoot
from host_tools.storage.store import Store
from tracing.kiosk_messages import VERDICT_CLERK, VERDICT_EXPOSED, VERDICT_SAFE

from .contracts import Desk, NoReleases, OpenDesk, Releases, Screen, WearerResult

ATTEMPTS = 3  # per press of the button; a link that breaks is taken up again where it broke
REST_S = 3.0  # a token that has just been served may still be on the air as it was
CONSENT_S = 60.0  # after so long a press of the button has run out
AT_ONCE = 16  # whoever fills the air with false tokens fills no more than that of the kiosk
_FAULT = "The kiosk has a fault, which its log describes. What was read so far is kept. Call the technician."
_log = structlog.get_logger()


class Kiosk:
    """One kiosk.

    Args:
        adapter: reaches the tokens.
        store: the database.
        cases: the national list.
        rules: what counts as a close contact.
        root: of the fleet whose tokens are served.
        now: Unix seconds.
        screen: shows what happens.
        list_version: which list `cases` is, for the explanations.
        index: folder of the slot index for long lists; None: always hashlib.
        desk: the ledger; by default there is none.
        releases: which tokens come for a release; by default none.

    Attributes:
        listed: what wearers are judged by now.
        scanning: tokens that come are heard.
        link_lost: since `run` began, a session has ended without its token saying so: perhaps the adapter has gone.
    """

    listed: Listed

    def __init__(
        self,
        adapter: Adapter,
        store: Store,
        cases: NationalList,
        rules: Rules,
        root: KioskRoot,
        now: Callable[[], float],
        screen: Screen,
        list_version: ListVersion | None = None,
        index: Path | None = None,
        desk: Desk | None = None,
        releases: Releases | None = None,
    ) -> None:
        self._adapter = adapter
        self._store = store
        self._index = index
        self._rules = rules
        self._root = root
        self._now = now
        self._screen = screen
        self._desk = desk or OpenDesk(store)
        self._releases = releases or NoReleases()
        self.use_list(cases, list_version)
        self._serving: dict[str, asyncio.Task] = {}  # by address
        # By address: attempts that failed, and the loop time before which it is left alone.
        self._tried: dict[str, tuple[int, float]] = {}
        self._radio = asyncio.Semaphore(1)  # adapters connect to one device at a time
        self.scanning = self.link_lost = False

    @property
    def busy(self) -> bool:
        """Is a token being read?"""
        return bool(self._serving)

    def use_list(self, cases: NationalList, version: ListVersion | None) -> None:
        """Judge by this list from the next wearer on. May take seconds for a long list, so call it in a thread."""
        finder = CaseFinder(cases.cases, self._index)  # the index keeps what it has: only new entries are expanded
        self.listed = Listed(cases, finder, version)  # at once: a wearer is never judged by parts of two lists

    async def run(self) -> None:
        """Serve whoever comes, until cancelled.

        Raises:
            AdapterMissing: at the beginning only: bleak does not say when an adapter goes.
        """
        self.link_lost = False
        async with tokens_in_sync_mode(self._adapter) as found:
            self.scanning = True
            try:
                while True:
                    token = await found.get()
                    if token.short_code and token.address not in self._serving:
                        self._serve(token)
            finally:
                self.scanning = False
                tasks = list(self._serving.values())
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _serve(self, token: FoundToken) -> None:
        if self._releases.holds(token.short_code):
            ready = self._releases.ready(token.short_code)  # whatever has become of its visits before
        else:
            _, rest_until_s = self._tried.get(token.address, (0, 0.0))
            ready = asyncio.get_running_loop().time() >= rest_until_s
        if ready and len(self._serving) < AT_ONCE:
            self._serving[token.address] = asyncio.create_task(self._attempt(token))

    async def _attempt(self, token: FoundToken) -> None:
        address = token.address
        attempt = self._tried.get(address, (0, 0.0))[0] + 1
        rest_s = REST_S
        try:
            if self._releases.holds(token.short_code):
                rest_s = CONSENT_S + REST_S  # who came for a release is told no verdict for the same press
                await self._releases.serve(token.short_code, self._session(token))
            else:
                await self._one(token)
            attempt = 0
        except UserError as error:  # of the session or of the database: the sentence is for the clerk
            self.link_lost |= isinstance(error, LinkLost | AnswerTimeout)
            self._screen.failed(token.short_code, error, attempt < ATTEMPTS)
            if attempt >= ATTEMPTS:
                attempt = 0
                rest_s = CONSENT_S
        except Exception:  # a fault of the kiosk's own: the next wearer may have more luck
            _log.exception("a token was not served")
            self._screen.failed(token.short_code, UserError(_FAULT), False)
            rest_s = CONSENT_S
        finally:
            now_s = asyncio.get_running_loop().time()
            self._tried[address] = (attempt, now_s + rest_s)
            for old in [old for old, (_, until_s) in self._tried.items() if until_s + CONSENT_S < now_s]:
                del self._tried[old]
            del self._serving[address]

    async def _one(self, token: FoundToken) -> None:
        code = token.short_code
        self._screen.found(code)
        now = self._from_now_on()
        async with self._session(token) as session:
            begun: list[int] = []

            def progress(info: TokenInfo, next_seq: int) -> None:
                if not begun:
                    begun.append(next_seq)
                self._screen.progress(code, next_seq - begun[0], max(info.next_seq - begun[0], 0))

            result = await synchronise(session, self._store, now, progress)
            serial = result.info.serial
            try:
                encounters = await self._desk.encounters(serial, int(now()))
            except TurnedAway as error:
                await session.show_verdict(VERDICT_CLERK)
                with contextlib.suppress(SessionError):
                    await session.bye()
                self._screen.failed(code, error, False)
                return
            cases, finder, version = self.listed
            verdict = assess(encounters, cases, finder, self._rules)
            await session.show_verdict(VERDICT_EXPOSED if verdict.kind == "exposed" else VERDICT_SAFE)
            await self._desk.told(serial, Judged(encounters, verdict, version), int(now()))
            with contextlib.suppress(SessionError):
                await session.bye()  # everything is stored: a link that is lost now costs nothing
        now_s = int(now())
        version = version.at(now_s) if version else None
        self._screen.finished(code, WearerResult(result.info, result, encounters, verdict, now_s, version))

    def _from_now_on(self) -> Callable[[], float]:
        """The time that has been checked goes on evenly: a clock that is set meanwhile does not change this session."""
        loop = asyncio.get_running_loop()
        lead_s = self._now() - loop.time()
        return lambda: lead_s + loop.time()

    @contextlib.asynccontextmanager
    async def _session(self, token: FoundToken) -> AsyncIterator[KioskSession]:
        await self._desk.check_clock(self._now())
        async with contextlib.AsyncExitStack() as stack:
            async with self._radio:
                transport = await stack.enter_async_context(connected(self._adapter, token))
            yield KioskSession(transport, self._root, token.short_code)
