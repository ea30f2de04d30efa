"""What is on the wearer's screen: a card for each token that is being read, by the short code on its label.

Nothing personal outlives its card. A card leaves SHOW_S after the verdict, at once when its wearer says so, and when
the token has been silent for too long.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal

from host_tools.kiosk.charts import DayHistory
from host_tools.kiosk.report import LOW_BATTERY_MV, history
from host_tools.kiosk.service import Desk, TurnedAway, WearerResult
from host_tools.matching.explanation import Explanation, ListVersion, explain
from host_tools.matching.rules import Rules
from host_tools.matching.verdict import Verdict, vietnam_day
from host_tools.storage.store import Encounter
from tracing.wire import short_code

from .around import Around

SHOW_S = 30.0
SILENT_S = 75.0  # a press of the button lasts 60 s
MOST_CARDS = 12
_CHANGES_S = 0.1  # between two pictures of the screen: smooth enough, and few enough for a small computer
_LOOK_S = 3.0  # how often it is looked whether the people around have changed
_BEAT_S = 15.0  # after so long a silence a browser is told that the line still stands
_CODE = re.compile(r"[0-9A-Z]{6}")
_MOST_LOG_DAYS = 60  # a forecast beyond says nothing

State = Literal["found", "reading", "again", "safe", "exposed", "clerk", "failed"]
FINAL: tuple[State, ...] = ("safe", "exposed", "clerk", "failed")


@dataclass(frozen=True)
class Details:
    """What a card tells its wearer.

    Attributes:
        serial: of the token; it stays on the kiosk.
        reasons: of the verdict, in words.
        days: contacts of each day, oldest first.
        previous_sync_s: Unix s; None: this was the first.
        log_days: for how many days of such contacts the token has room; None: nothing to judge by.
    """

    serial: bytes
    verdict: Verdict
    reasons: Explanation
    days: Sequence[DayHistory]
    battery_mv: int
    previous_sync_s: int | None
    log_days: int | None

    @property
    def battery_low(self) -> bool:
        return self.battery_mv < LOW_BATTERY_MV


@dataclass(slots=True)
class Card:
    """One wearer. `done` of `total` records have arrived; `details` come with the verdict."""

    code: str
    state: State = "found"
    done: int = 0
    total: int = 0
    details: Details | None = None
    leaves: asyncio.TimerHandle | None = None


class LiveScreen:
    """A service.Screen that browsers look at. All methods belong to the kiosk's event loop.

    Attributes:
        cards: by short code, in the order in which they came.
        trouble: the radio cannot be used.
    """

    def __init__(self, rules: Rules, around: Around, show_s: float = SHOW_S) -> None:
        self.cards: dict[str, Card] = {}
        self.trouble = False
        self._rules = rules
        self._around = around
        self._show_s = show_s
        self._browsers: set[asyncio.Event] = set()

    @property
    def busy(self) -> bool:
        """Is somebody being served?"""
        return any(card.state not in FINAL for card in self.cards.values())

    # --- What the kiosk tells; see service.Screen ----------------------------------------------------------------

    def found(self, code: str) -> None:
        card = self.cards.get(code)
        if card is not None and card.state in FINAL:
            self._remove(card)
        self._set(code, "found")

    def progress(self, code: str, done: int, total: int) -> None:
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

    def failed(self, code: str, sentence: str, again: bool) -> None:
        card = self.cards.get(code)
        if card is None or card.state != "clerk":
            self._set(code, "again" if again else "failed")

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
        """The wearer reads on: a card with a verdict stays for another while."""
        card = self.cards.get(code)
        if card is None or card.state not in FINAL:
            return None
        return self._set(code, card.state)

    def set_trouble(self, trouble: bool) -> None:
        """Whether the radio can be used."""
        if trouble != self.trouble:
            self.trouble = trouble
            self._tell()

    def _set(self, code: str, state: State) -> Card | None:
        card = self.cards.get(code)
        if card is None:
            if not _CODE.fullmatch(code) or not self._has_room():
                return None
            card = self.cards[code] = Card(code)
        card.state = state
        if card.leaves is not None:
            card.leaves.cancel()
        stays_s = self._show_s if state in FINAL else SILENT_S
        card.leaves = asyncio.get_running_loop().call_later(stays_s, self._remove, card)
        self._tell()
        return card

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
    """A desk whose refusals appear on the screen; see service.Desk."""

    def __init__(self, desk: Desk, screen: LiveScreen) -> None:
        self._desk = desk
        self._screen = screen

    def check_clock(self, now_s: float) -> None:
        self._desk.check_clock(now_s)

    def encounters(self, serial: bytes, now_s: int) -> list[Encounter]:
        try:
            return self._desk.encounters(serial, now_s)
        except TurnedAway:
            self._screen.turned_away(short_code(serial))
            raise

    def told(
        self,
        serial: bytes,
        encounters: list[Encounter],
        verdict: Verdict,
        now_s: int,
        version: ListVersion | None,
    ) -> None:
        self._desk.told(serial, encounters, verdict, now_s, version)


def details(result: WearerResult, rules: Rules) -> Details:
    """What is told of a result."""
    days = {vietnam_day(encounter.start_s) for encounter in result.encounters}
    records_a_day = -(-len(result.encounters) // len(days)) if days else 0
    info = result.info
    return Details(
        serial=info.serial,
        verdict=result.verdict,
        reasons=explain(result.verdict, result.list_version),
        days=history(result.encounters, rules),
        battery_mv=info.battery_mv,
        previous_sync_s=info.last_sync_s or None,
        log_days=min(info.capacity_records // records_a_day, _MOST_LOG_DAYS) if records_a_day else None,
    )
