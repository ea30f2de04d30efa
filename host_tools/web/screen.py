"""What is on the wearer's screen: a card for each token that is being read, by the short code on its label.

Nothing personal outlives its card. A card leaves SHOW_S after the verdict, READ_S after it when its wearer reads on, at
once when they say so, and when the token has been silent for too long.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import structlog

from host_tools.errors import UserError
from host_tools.fleet.clock import ClockWrong
from host_tools.fleet.desk import TurnedAway
from host_tools.kiosk.charts import DayHistory
from host_tools.kiosk.contracts import Desk, WearerResult
from host_tools.kiosk.report import LOW_BATTERY_MV, history
from host_tools.matching.assessment import Judged
from host_tools.matching.explanation import Explanation, explain
from host_tools.matching.rules import Rules
from host_tools.matching.verdict import Verdict, vietnam_day
from host_tools.storage.store import Encounter
from tracing.wire import short_code

from .around import Around
from .cases import OLD_S
from .failures import Failure, failure_of

SHOW_S = 30.0
READ_S = 120.0  # for so long a wearer may read on; then whoever reads may be another
SILENT_S = 75.0  # a press of the button lasts 60 s
_RELEASE_S = 330.0  # a token hangs up after 300 s
MOST_CARDS = 12
_CHANGES_S = 0.1  # between two pictures of the screen: smooth enough, and few enough for a small computer
_log = structlog.get_logger()
_LOOK_S = 3.0  # how often it is looked whether the people around have changed
_BEAT_S = 15.0  # after so long a silence a browser is told that the line still stands
_CODE = re.compile(r"[0-9A-Z]{6}")
_MOST_LOG_DAYS = 60  # a forecast beyond says nothing

# What keeps wearers from being served, the one that says most first.
Trouble = Literal["clock", "database", "radio"]
TROUBLES: tuple[Trouble, ...] = ("clock", "database", "radio")
State = Literal["found", "reading", "again", "release", "safe", "exposed", "clerk", "failed", "released"]
FINAL: tuple[State, ...] = ("safe", "exposed", "clerk", "failed", "released")
# What a token has proved to be due to it. Any device may call itself by its code; that takes nothing from the screen.
_ANSWERED: tuple[State, ...] = ("safe", "exposed", "clerk", "released")


@dataclass(frozen=True)
class Details:
    """What a card tells its wearer.

    Attributes:
        serial: of the token; it stays on the kiosk.
        reasons: of the verdict, in words.
        days: contacts of each day, oldest first.
        previous_sync_s: Unix s; None: this was the first.
        log_days: for how many days of such contacts the token has room; None: nothing to judge by.
        list_old: the list is, or may be, too old to rely upon.
    """

    serial: bytes
    verdict: Verdict
    reasons: Explanation
    days: Sequence[DayHistory]
    battery_mv: int
    previous_sync_s: int | None
    log_days: int | None
    list_old: bool

    @property
    def battery_low(self) -> bool:
        return self.battery_mv < LOW_BATTERY_MV


@dataclass(slots=True)
class Card:
    """One wearer. `done` of `total` records have arrived; `details` come with the verdict, `failure` instead of it.

    `gone_by_s` (time of the event loop) is when one with a verdict leaves, whatever happens.
    """

    code: str
    state: State = "found"
    done: int = 0
    total: int = 0
    details: Details | None = None
    failure: Failure | None = None
    gone_by_s: float = 0.0
    leaves: asyncio.TimerHandle | None = None


class LiveScreen:
    """A kiosk.contracts.Screen that browsers look at. All methods belong to the kiosk's event loop.

    Attributes:
        cards: by short code, in the order in which they came.
        troubles: what cannot be used.
    """

    def __init__(self, rules: Rules, around: Around, show_s: float = SHOW_S) -> None:
        self.cards: dict[str, Card] = {}
        self.troubles: set[Trouble] = set()
        self._rules = rules
        self._around = around
        self._show_s = show_s
        self._browsers: set[asyncio.Event] = set()

    @property
    def trouble(self) -> Trouble | None:
        """What the screen tells of."""
        return next((kind for kind in TROUBLES if kind in self.troubles), None)

    # --- What the kiosk tells; see contracts.Screen ---------------------------------------------------------------

    def found(self, code: str) -> None:
        card = self.cards.get(code)
        if card is not None and card.state in _ANSWERED:
            return
        self._end(code)
        self._set(code, "found")

    def progress(self, code: str, done: int, total: int) -> None:
        self._end(code)
        card = self._set(code, "reading")
        if card is not None:
            card.done, card.total = done, total

    def finished(self, code: str, result: WearerResult) -> None:
        own = short_code(result.info.serial)
        if own != code and code in self.cards:  # it called itself otherwise than its label
            self._remove(self.cards[code])
        card = self._set(own, "exposed" if result.verdict.kind == "exposed" else "safe")
        if card is not None:
            card.details = details(result, self._rules)

    def failed(self, code: str, error: UserError, again: bool) -> None:
        card = self.cards.get(code)
        if card is not None and card.state in _ANSWERED:
            return
        card = self._set(code, "again" if again else "failed")
        if card is not None:
            card.failure = failure_of(error)

    # --- What the desk for releases tells; see release_desk.ReleaseScreen -----------------------------------------

    def handing_over(self, code: str) -> None:
        card = self.cards.get(code)
        if card is not None:
            self._remove(card)
        self._set(code, "release")

    def handed_over(self, code: str, released: bool) -> None:
        card = self.cards.get(code)
        if released:
            self._set(code, "released")
        elif card is not None:
            self._remove(card)

    # --- What the ledger tells -----------------------------------------------------------------------------------

    def turned_away(self, code: str) -> None:
        """The wearer is to see the clerk."""
        self._set(code, "clerk")

    # --- Cards ---------------------------------------------------------------------------------------------------

    def clear(self, code: str) -> None:
        """The wearer has seen enough."""
        card = self.cards.get(code)
        if card is not None and card.state in FINAL:
            self._remove(card)

    def stay(self, code: str) -> Card | None:
        """The wearer reads on: a card with a verdict stays for another while, up to READ_S after it came."""
        card = self.cards.get(code)
        if card is None or card.state not in FINAL:
            return None
        return self._set(code, card.state)

    def set_trouble(self, kind: Trouble, there: bool) -> None:
        """A trouble has come, or gone; saying so again changes nothing."""
        if there != (kind in self.troubles):
            _log.warning("trouble" if there else "trouble is over", kind=kind)
            self.troubles.symmetric_difference_update((kind,))
            self._tell()

    def _set(self, code: str, state: State) -> Card | None:
        card = self.cards.get(code)
        if card is None:
            if not _CODE.fullmatch(code) or not self._has_room():
                return None
            card = self.cards[code] = Card(code)
        loop = asyncio.get_running_loop()
        stays_s = _RELEASE_S if state == "release" else SILENT_S
        if state in FINAL:
            if card.state not in FINAL:
                card.gone_by_s = loop.time() + max(READ_S, self._show_s)
            stays_s = min(self._show_s, card.gone_by_s - loop.time())
        card.state = state
        if card.leaves is not None:
            card.leaves.cancel()
        card.leaves = loop.call_later(stays_s, self._remove, card)
        self._tell()
        return card

    def _end(self, code: str) -> None:
        card = self.cards.get(code)
        if card is not None and card.state in FINAL:
            self._remove(card)

    def _has_room(self) -> bool:
        if len(self.cards) < MOST_CARDS:
            return True
        # Who is only heard gives way: a device may call itself anything.
        idle = next((card for card in self.cards.values() if card.state == "found"), None)
        if idle is not None:
            self._remove(idle)
        return idle is not None

    def _remove(self, card: Card) -> None:
        if card.leaves is not None:
            card.leaves.cancel()
        card.details = None
        if self.cards.get(card.code) is card:
            del self.cards[card.code]
        self._tell()

    # --- Browsers ------------------------------------------------------------------------------------------------

    def picture(self) -> str:
        """The screen as JSON: codes, states and progress, and how many people are around."""
        near, far = self._around.counts()
        cards = [[card.code, card.state, card.done, card.total] for card in self.cards.values()]
        return json.dumps({"cards": cards, "near": near, "far": far, "trouble": self.trouble})

    async def pictures(self) -> AsyncIterator[str]:
        """The screen now and whenever it changes; empty when nothing has for a while."""
        told, silent_s = "", 0.0
        changed = asyncio.Event()
        self._browsers.add(changed)
        try:
            while True:
                changed.clear()
                now = self.picture()
                if now != told or silent_s >= _BEAT_S:
                    yield "" if now == told else now
                    told, silent_s = now, 0.0
                    await asyncio.sleep(_CHANGES_S)
                try:
                    async with asyncio.timeout(_LOOK_S):
                        await changed.wait()
                except TimeoutError:
                    silent_s += _LOOK_S
        finally:
            self._browsers.discard(changed)

    def _tell(self) -> None:
        for changed in self._browsers:
            changed.set()


class ShowingDesk:
    """A desk whose refusals appear on the screen; see kiosk.contracts.Desk.

    Args:
        check_clock: raises ClockWrong for reasons that the desk does not know.
    """

    def __init__(self, desk: Desk, screen: LiveScreen, check_clock: Callable[[float], Awaitable[None]]) -> None:
        self._desk = desk
        self._screen = screen
        self._check_clock = check_clock

    async def check_clock(self, now_s: float) -> None:
        try:
            await self._check_clock(now_s)
            await self._desk.check_clock(now_s)
        except ClockWrong:
            self._screen.set_trouble("clock", True)
            raise
        self._screen.set_trouble("clock", False)

    async def encounters(self, serial: bytes, now_s: int) -> list[Encounter]:
        try:
            return await self._desk.encounters(serial, now_s)
        except TurnedAway:
            self._screen.turned_away(short_code(serial))
            raise

    async def told(self, serial: bytes, judged: Judged, now_s: int) -> None:
        await self._desk.told(serial, judged, now_s)


def details(result: WearerResult, rules: Rules) -> Details:
    """What is told of a result."""
    version = result.list_version
    days = {vietnam_day(encounter.start_s) for encounter in result.encounters}
    records_a_day = -(-len(result.encounters) // len(days)) if days else 0
    info = result.info
    return Details(
        serial=info.serial,
        verdict=result.verdict,
        reasons=explain(result.verdict, version),
        days=history(result.encounters, rules),
        battery_mv=info.battery_mv,
        previous_sync_s=info.last_sync_s or None,
        log_days=min(info.capacity_records // records_a_day, _MOST_LOG_DAYS) if records_a_day else None,
        list_old=version is not None and (version.age_s or 0) >= OLD_S,
    )
