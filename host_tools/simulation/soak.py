"""Weeks of tokens in minutes: `make soak`. The unmodified firmware in CPython, on a radio that is computed per window.

Each token runs firmware/app.py in a greenlet; a wait hands over to the hub, which moves time to the next token that is
due. The radio knows who is where and lets a window hear what the schedule, the distance and the loss model allow. What
the tokens log is compared with the ground truth of the scenario.
"""

import heapq
import importlib.util
import math
import statistics
import sys
import tracemalloc
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import greenlet

from tracing import keys, log, records
from tracing.sightings import SightingRing
from tracing.state import State, StateStore

from .propagation import Propagation, stream

ROOT = Path(__file__).parents[2]
NEAR_M = 2.0
MEETING_S = 300  # from so long within NEAR_M on, both tokens must have it
DAY_S = 86400
SCAN_PERIOD_S = 37.5
PACKET_LOSS = 0.28  # 20 % per packet and 10 % per window, between tokens


class Flash:
    """NOR flash in memory."""

    block_bytes = 4096

    def __init__(self, blocks: int) -> None:
        self.blocks = blocks
        self.image = bytearray(b"\xff" * (blocks * self.block_bytes))
        self.erases = 0
        self.programmed_bytes = 0

    def read(self, offset: int, buf) -> None:
        """Fill `buf`."""
        buf[:] = self.image[offset : offset + len(buf)]

    def program(self, offset: int, data) -> None:
        """Clear bits."""
        self.programmed_bytes += len(data)
        for i, byte in enumerate(bytes(data)):
            self.image[offset + i] &= byte

    def erase(self, block: int) -> None:
        """Set a block to ones."""
        self.erases += 1
        self.image[block * self.block_bytes : (block + 1) * self.block_bytes] = b"\xff" * self.block_bytes


class Hub:
    """Virtual time for greenlets, in milliseconds."""

    def __init__(self) -> None:
        self.now_ms = 0
        self._due: list[tuple[int, int, greenlet.greenlet]] = []
        self._order = 0
        self._main = greenlet.getcurrent()

    def start(self, function) -> None:
        """Run `function` from now on, in turn with the others."""
        self._push(self.now_ms, greenlet.greenlet(function, self._main))

    def _push(self, at_ms: int, who: greenlet.greenlet) -> None:
        self._order += 1
        heapq.heappush(self._due, (at_ms, self._order, who))

    def sleep(self, ms: int) -> None:
        """Called by a token: go on in `ms`."""
        self._push(self.now_ms + max(int(ms), 1), greenlet.getcurrent())
        self._main.switch()

    def run(self, until_ms: int) -> None:
        """Let time go on until `until_ms`."""
        while self._due and self._due[0][0] <= until_ms:
            self.now_ms, _, who = heapq.heappop(self._due)
            who.switch()
        self.now_ms = until_ms


class Radio:
    """The radio port, computed window by window."""

    def __init__(self, office: "Office", token: "SoakToken", ring: SightingRing) -> None:
        self._office = office
        self._token = token
        self._ring = ring
        self.kiosk = self.intruder = -1
        self.advertising = False
        self.faults = 0
        self.payload = b""
        self.address = b""
        self.interval_us = 1
        self.pairs: list[tuple[bytes, bytes]] = []  # every (address, id) that was on the air, in order

    def start(self) -> None:
        """Nothing to switch on."""

    def change_identity(self, bluezone_id: bytes) -> None:
        """A fresh address with the id."""
        assert not self.advertising
        self.address = self._token.random.randbytes(6)
        self._id = bluezone_id

    def advertise(self, payload: bytes, interval_us: int, scan_response: bytes = b"") -> None:
        """On the air from now on."""
        self.payload = payload
        self.interval_us = interval_us
        self.advertising = True
        if not self.pairs or self.pairs[-1] != (self.address, payload):
            self.pairs.append((self.address, payload))

    def pause(self) -> None:
        """Off the air."""
        self.advertising = False

    stop = pause

    def scan(self, duration_ms: int, interval_us: int, drain) -> bool:
        """A window: what the neighbours send meanwhile, thinned by the loss model, goes into the ring."""
        self._office.hub.sleep(duration_ms)
        for rssi_dbm, radio in self._office.heard(self._token, duration_ms):
            self._ring.offer(1, radio.address, rssi_dbm, radio.payload)
        drain()
        return True

    def wait(self, ms: int) -> None:
        """Sleep."""
        self._office.hub.sleep(ms)

    def wake(self) -> None:
        """Nothing interrupts here."""


class _Port:
    """Ports of which a soak needs little."""

    restless = False

    def __init__(self, random: Random) -> None:
        self._random = random

    def fill(self, buf) -> None:
        buf[:] = self._random.randbytes(len(buf))

    def battery_mv(self) -> int:
        return 3000

    def show(self, _pattern: int) -> None:
        pass

    def take(self) -> int:
        return 0

    def feed(self) -> None:
        pass


@dataclass
class SoakToken:
    """A token and its board."""

    office: "Office"
    number: int
    random: Random
    flash: Flash
    base_id: bytes = b""
    radio: Radio = field(init=False)
    app: Any = field(init=False)

    def power_on(self) -> None:
        """Provision, then run the firmware."""
        given = State()
        given.flags = records.STATE_PROVISIONED
        given.serial = self.random.randbytes(8)
        given.daily_key = self.base_id = self.random.randbytes(32)
        given.key_day = keys.day_of(self.office.start_s)
        given.last_time_s = self.office.start_s
        StateStore(self.flash, 0, 1).save(given)
        port = _Port(self.random)
        board = types.SimpleNamespace(
            settings=self.office.settings, store=self.flash, clock=self.office.clock(), entropy=port, power=port,
            indicator=port, button=port, watchdog=port, heap_bytes=lambda: 0, scratch=None, make_radio=self._make_radio,
        )  # fmt: skip
        board.clock.set(self.office.start_s)
        self.app = self.office.app.Token(board)
        self.office.hub.start(self.app.run)

    def _make_radio(self, ring: SightingRing) -> Radio:
        self.radio = Radio(self.office, self, ring)
        return self.radio

    def encounters(self) -> Iterator[tuple]:
        """The log's records, unpacked."""
        book = log.Log(self.flash, 2, self.flash.blocks - 2)
        book.mount()
        buf = bytearray(records.RECORD_BYTES)
        for seq in range(book.oldest_seq, book.next_seq):
            record = records.unpack_record(buf) if book.read(seq, buf, 0) else None
            if record is not None:
                yield record


class Office:
    """Tokens that work, meet and go home, day after day.

    Args:
        tokens: how many.
        seed: of everything.
        start_s: Unix time of the first midnight (UTC).
    """

    def __init__(self, tokens: int, seed: int, start_s: int) -> None:
        self.hub = Hub()
        self.start_s = start_s
        self.model = Propagation()
        self.random = stream(seed, "office")
        self.app, self.clock = self._firmware()
        self.settings = types.SimpleNamespace(
            RADIO_ADV_INTERVAL_US=250_000, RADIO_SCAN_WINDOW_MS=270, RADIO_SCAN_PERIOD_MS=37_500, LOG_BLOCKS=254,
            BATTERY_LOW_MV=2500, BATTERY_STOP_MV=2200,
        )  # fmt: skip
        self.tokens = [SoakToken(self, number, stream(seed, f"token {number}"), Flash(256)) for number in range(tokens)]
        # Who sits with whom, in turns of 5 to 90 minutes: table by token. Seats are 1 m apart; tables are in rooms of
        # their own, out of range, so that an encounter is as long as the meeting that made it.
        self.table = [number // 2 for number in range(tokens)]
        self.at_work = False
        self.since_ms: dict[tuple[int, int], int] = {}
        self.meetings: list[tuple[int, int, int, int]] = []

    def _firmware(self):
        # The firmware's `time` is MicroPython's: give it one on the hub's time while its modules load.
        hub = self.hub
        clock_time = types.ModuleType("time")
        clock_time.ticks_ms = lambda: hub.now_ms & 0x3FFFFFFF  # type: ignore[attr-defined]
        clock_time.ticks_diff = lambda a, b: ((a - b + 0x20000000) & 0x3FFFFFFF) - 0x20000000  # type: ignore[attr-defined]
        real = sys.modules["time"]
        sys.modules["time"] = clock_time
        try:
            clock = _load("soak_clock", ROOT / "firmware/adapters/clock.py")
        finally:
            sys.modules["time"] = real
        app = _load("soak_app", ROOT / "firmware/app.py")
        vars(app)["gc"] = types.SimpleNamespace(collect=lambda: None)  # CPython's would take most of the time
        return app, clock.Clock

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
                elif not near and (a, b) in self.since_ms:
                    self.meetings.append((a, b, self.since_ms.pop((a, b)), now_ms))

    def heard(self, listener: SoakToken, duration_ms: int) -> Iterator[tuple[int, Radio]]:
        """(RSSI, radio) of everything that a window hears."""
        if not self.at_work:
            return
        random = listener.random
        for other in self.tokens:
            if other is listener or not other.radio.advertising:
                continue
            if self.table[other.number] != self.table[listener.number]:
                continue
            mean_dbm = self.model.mean_dbm(1.0, True)
            events = duration_ms * 1000 / other.radio.interval_us
            for _ in range(int(events) + (random.random() < events % 1)):
                rssi_dbm = round(mean_dbm + random.gauss(0, 4))
                if random.random() >= PACKET_LOSS and rssi_dbm >= self.model.sensitivity_dbm:
                    yield rssi_dbm, other.radio

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


def _load(name: str, path: Path):
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class SoakResult:
    """What came of it.

    Attributes:
        meetings: times two people were within 2 m for MEETING_S or more.
        missed: those that a token's log lacks: hearer, heard, from and to in Unix s.
        duration_errors_s: estimated minus true duration, of each meeting in each log.
        broken_identities: addresses that were on the air with two ids, or ids with two addresses.
        memory_growth: bytes that the process holds more after the last day than after the second.
    """

    meetings: int
    missed: list[tuple[int, int, float, float]]
    duration_errors_s: list[float]
    broken_identities: int
    memory_growth: int
    records: int

    @property
    def duration_sd_s(self) -> float:
        """Standard deviation of the duration errors, in seconds."""
        return statistics.pstdev(self.duration_errors_s)


def soak(days: int, tokens: int, seed: int = 1, on_day=lambda day: None) -> SoakResult:
    """Run the soak and judge it."""
    office = Office(tokens, seed, 1_597_017_600)
    sizes: list[int] = []
    tracemalloc.start()

    def day_over(day: int) -> None:
        # Keys of past slots are on the truth's account, not the firmware's: `pairs` and the trace grow with time.
        kept = sum(sys.getsizeof(token.radio.pairs) + 150 * len(token.radio.pairs) for token in office.tokens)
        sizes.append(tracemalloc.get_traced_memory()[0] - kept - 120 * len(office.meetings))
        on_day(day)

    office.live(days, day_over)
    tracemalloc.stop()
    return judge(office, sizes[-1] - sizes[min(1, len(sizes) - 1)])


def judge(office: Office, memory_growth: int) -> SoakResult:
    """Compare logs with the truth."""
    owner: dict[bytes, int] = {}
    for token in office.tokens:
        for _, payload in token.radio.pairs:
            owner[payload[-12:]] = token.number
    spans: dict[tuple[int, int], list[tuple]] = {}
    count = 0
    for token in office.tokens:
        for record in token.encounters():
            count += 1
            spans.setdefault((token.number, owner[record[8]]), []).append(record)
    missed, errors = [], []
    long_meetings = [m for m in office.meetings if m[3] - m[2] >= MEETING_S * 1000]
    for a, b, from_ms, to_ms in long_meetings:
        from_s, to_s = office.start_s + from_ms / 1000, office.start_s + to_ms / 1000
        for hearer, heard in ((a, b), (b, a)):
            inside = [r for r in spans.get((hearer, heard), []) if r[2] < to_s + 60 and r[2] + r[3] > from_s - 60]
            if not inside:
                missed.append((hearer, heard, from_s, to_s))
                continue
            if _alone(office, hearer, heard, from_ms, to_ms):
                errors.append(estimated_duration_s(inside) - (to_s - from_s))
    broken = 0
    for token in office.tokens:
        pairs = set(token.radio.pairs)
        broken += len(pairs) - min(len({p[0] for p in pairs}), len({p[1] for p in pairs}))
    return SoakResult(len(long_meetings), missed, errors, broken, memory_growth, count)


def estimated_duration_s(found: list[tuple]) -> float:
    """Duration of a meeting from its records: last - first + T (2/p - 1), with p the share of windows that heard it."""
    first_s, last_s = min(r[2] for r in found), max(r[2] + r[3] for r in found)
    windows = sum(r[4] for r in found)
    share = min(1.0, windows / ((last_s - first_s) / SCAN_PERIOD_S + 1))
    return last_s - first_s + SCAN_PERIOD_S * (2 / share - 1)


def _alone(office: Office, a: int, b: int, from_ms: int, to_ms: int) -> bool:
    """Whether the pair met at no other time close to this meeting, so that its records are its own."""
    first, second = min(a, b), max(a, b)
    return not any(
        m[0] == first and m[1] == second and (m[2], m[3]) != (from_ms, to_ms)
        and m[2] < to_ms + 1_200_000 and m[3] > from_ms - 1_200_000
        for m in office.meetings
    )  # fmt: skip


def main() -> int:
    """`make soak`: 14 days of 20 tokens; prints the figures and fails on any that is not met."""
    days, tokens = 14, 20
    result = soak(days, tokens, on_day=lambda day: print(f"day {day + 1} of {days}", flush=True))
    checks = [
        (f"encounters of 5 minutes within 2 m missed, of {2 * result.meetings}", len(result.missed), 0),
        ("identities broken", result.broken_identities, 0),
        ("SD of the duration error in s, limit 45", result.duration_sd_s, 45),
        ("growth in bytes after day 2, limit 64 KiB", result.memory_growth, 65536),
    ]
    failed = False
    for what, value, limit in checks:
        good = value <= limit and not math.isnan(value)
        failed |= not good
        print(f"{'PASS' if good else 'FAIL'}  {what}: {value:.1f}")
    for hearer, heard, from_s, to_s in result.missed:
        print(f"missed: token {hearer} did not log token {heard} from {from_s:.0f} to {to_s:.0f} (Unix s)")
    print(f"{result.records} records in {tokens} logs")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
