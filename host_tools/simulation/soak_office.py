"""The office of the soak: who meets whom, what the channel lets through, and how likely too little was.

The radio is computed per scan window: distance and the loss model decide about each packet.
"""

from collections.abc import Iterator
from typing import NamedTuple

from .flash import MemoryFlash
from .propagation import Propagation, stream
from .soak_token import Firmware, Hub, Radio, SoakToken
from .world import make_roots

DAY_S = 86400
PACKET_LOSS = 0.28  # 20 % per packet and 10 % per window, between tokens
DWELL_MS = 115_000  # an id heard in two windows so close together is admitted, whatever the jitter of the windows
LONG_AGO_MS = -(1 << 40)
FLASH_BLOCKS = 256


class Meeting(NamedTuple):
    """Two tokens a metre apart, from … to (ms).

    Attributes:
        certain: for each of the two as the hearer, whether two windows of one id came through within DWELL_MS, so that
            the log must have it.
        odds_against: … the chance that this would not be so, by the loss model alone.
    """

    a: int
    b: int
    from_ms: int
    to_ms: int
    certain: tuple[bool, bool]
    odds_against: tuple[float, float]


class Hearing:
    """What one token has received of another while they sit together, window by window."""

    def __init__(self) -> None:
        self.certain = False
        self._address = b""
        self._heard_ms = LONG_AGO_MS
        # Chances that it is not certain yet and the id on the air was last heard: not lately, or 1, 2, 3 windows ago.
        self._chances = [1.0, 0.0, 0.0, 0.0]

    @property
    def odds_against(self) -> float:
        """The chance that it would not be certain by now."""
        return sum(self._chances)

    def window(self, now_ms: int, address: bytes, received: bool, lost: float) -> None:
        """A window in which the other was on the air under `address`; `lost`: the chance that nothing came through."""
        if address != self._address:  # another id with it
            self._address = address
            self._heard_ms = LONG_AGO_MS
            self._chances = [self.odds_against, 0.0, 0.0, 0.0]
        never, one, two, three = self._chances
        self._chances = [(never + three) * lost, never * (1 - lost), one * lost, two * lost]
        if received:
            self.certain |= now_ms - self._heard_ms <= DWELL_MS
            self._heard_ms = now_ms


class Office:
    """Tokens that work, meet and go home, day after day.

    Args:
        tokens: how many.
        seed: of everything.
        start_s: Unix time of the first midnight (UTC).
    """

    def __init__(self, tokens: int, seed: int, start_s: int) -> None:
        self.hub = Hub()
        self.firmware = Firmware(self.hub)
        self.start_s = start_s
        self.roots = make_roots(seed)
        self.model = Propagation()
        self.random = stream(seed, "office")
        self.tokens = [
            SoakToken(self, number, stream(seed, f"token {number}"), MemoryFlash(FLASH_BLOCKS))
            for number in range(tokens)
        ]
        # Who sits with whom, in turns of 5 to 90 minutes: table by token. Seats are 1 m apart; tables are in rooms of
        # their own, out of range, so that an encounter is as long as the meeting that made it.
        self.table = [number // 2 for number in range(tokens)]
        self.at_work = False
        self.since_ms: dict[tuple[int, int], int] = {}
        self.hearings: dict[tuple[int, int], Hearing] = {}
        self.meetings: list[Meeting] = []

    # --- People --------------------------------------------------------------------------------------------------

    def near(self, a: int, b: int) -> bool:
        """Whether two tokens are at one table now, that is a metre apart."""
        return self.at_work and self.table[a] == self.table[b]

    def move(self) -> None:
        """People change tables, two at each; keeps the ground truth."""
        order = list(range(len(self.tokens)))
        self.random.shuffle(order)
        for place, number in enumerate(order):
            if self.random.random() < 0.5:
                self.table[number] = place // 2 if self.random.random() < 0.9 else 100 + number
        seats: dict[int, int] = {}
        for number, table in enumerate(self.table):
            seats[table] = seats.get(table, 0) + 1
            if seats[table] > 2:
                self.table[number] = 100 + number
        self._note()

    def _note(self) -> None:
        now_ms = self.hub.now_ms
        for a in range(len(self.tokens)):
            for b in range(a + 1, len(self.tokens)):
                near = self.near(a, b)
                if near and (a, b) not in self.since_ms:
                    self.since_ms[a, b] = now_ms
                    self.hearings[a, b], self.hearings[b, a] = Hearing(), Hearing()
                elif not near and (a, b) in self.since_ms:
                    ways = self.hearings.pop((a, b)), self.hearings.pop((b, a))
                    certain = ways[0].certain, ways[1].certain
                    odds_against = ways[0].odds_against, ways[1].odds_against
                    self.meetings.append(Meeting(a, b, self.since_ms.pop((a, b)), now_ms, certain, odds_against))

    # --- The channel ---------------------------------------------------------------------------------------------

    def heard(self, listener: SoakToken, duration_ms: int) -> Iterator[tuple[int, Radio]]:
        """(RSSI in dBm, radio) of every packet that a window of `listener` receives."""
        for other in self.tokens:
            if other is listener or not self.near(listener.number, other.number) or not other.radio.advertising:
                continue
            strengths = self.received(listener, other, duration_ms)
            events = duration_ms * 1000 / other.radio.interval_us
            lost = PACKET_LOSS ** int(events) * (1 - events % 1 * (1 - PACKET_LOSS))
            hearing = self.hearings[listener.number, other.number]
            hearing.window(self.hub.now_ms, other.radio.address, bool(strengths), lost)
            for rssi_dbm in strengths:
                yield rssi_dbm, other.radio

    def received(self, listener: SoakToken, other: SoakToken, duration_ms: int) -> list[int]:
        """Strength in dBm of each packet of `other` that comes through in a window."""
        random = listener.random
        mean_dbm = self.model.mean_dbm(1.0, True)
        events = duration_ms * 1000 / other.radio.interval_us
        strengths = []
        for _ in range(int(events) + (random.random() < events % 1)):
            rssi_dbm = round(mean_dbm + random.gauss(0, 4))
            if random.random() >= PACKET_LOSS and rssi_dbm >= self.model.sensitivity_dbm:
                strengths.append(rssi_dbm)
        return strengths

    def live(self, days: int, on_day=lambda day: None) -> None:
        """Let days pass: 8 hours of work each, from 01:00 UTC (08:00 in Vietnam)."""
        for token in self.tokens:
            token.power_on()
        for day in range(days):
            begin_ms = day * DAY_S * 1000
            self.hub.run(begin_ms + 3600 * 1000)
            self.at_work = True
            end_ms = begin_ms + 9 * 3600 * 1000
            while self.hub.now_ms < end_ms:
                self.move()
                self.hub.run(min(end_ms, self.hub.now_ms + self.random.randrange(300, 5400) * 1000))
            self.at_work = False
            self._note()
            self.hub.run(begin_ms + DAY_S * 1000)
            on_day(day)
