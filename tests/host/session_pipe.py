"""A token's session in memory, a kiosk's storage, and a bad link between them, for the tests of the kiosk's session."""

import asyncio
from random import Random

from host_tools.link.errors import LinkLost
from host_tools.link.session import KioskSession
from host_tools.link.synchronise import synchronise
from host_tools.provisioning.token_keys import AuthorityRoot, KioskRoot, Roots, token_keys
from tracing import kiosk_messages as wire
from tracing.records import FLAG_CLOCK_SET, KIND_ENCOUNTER, RECORD_BYTES, pack_record
from tracing.segment import next_segment_key, segment_seal
from tracing.sync import SyncSession
from tracing.wire import short_code

NOW_S = 1_596_873_600.25
SERIAL = b"\x01\x02\x03\x04\x05\x06\x07\x08"
CODE = short_code(SERIAL)
ROOTS = Roots(KioskRoot(bytes(range(32))), AuthorityRoot(bytes(range(32, 64))))
KEYS = token_keys(ROOTS, SERIAL, bytes(range(64, 96)), 18_480, bytes(16))
SEGMENT_RECORDS = 7
DAMAGED = b"damaged"


def record(number):
    """Record `number` as the storage shall have it."""
    buf = bytearray(RECORD_BYTES)
    flags = KIND_ENCOUNTER | FLAG_CLOCK_SET
    pack_record(buf, flags, 1, 1_596_800_000 + number, 300, 5, 9, -60, -70, number.to_bytes(12, "big"))
    return bytes(buf)


class FakeLog:
    """Records in a list, sealed when they are read. None stands for a place that is blank, DAMAGED for one that is."""

    def __init__(self, records=(), log_root=KEYS.log_root):
        self.records = list(records)
        self.oldest_seq = 0
        self.segment_records = SEGMENT_RECORDS
        self._keys = [log_root]

    @property
    def next_seq(self):
        return len(self.records)

    def read(self, seq, buf, at=0):
        stored = self.records[seq] if self.oldest_seq <= seq < self.next_seq else None
        if stored is None:
            return False
        sealed = bytearray(record(seq) if stored is DAMAGED else stored)
        segment = seq // SEGMENT_RECORDS
        while segment >= len(self._keys):
            self._keys.append(next_segment_key(self._keys[-1]))
        segment_seal(self._keys[segment]).close(seq, sealed, RECORD_BYTES - 4)
        sealed[3] ^= stored is DAMAGED
        buf[at : at + RECORD_BYTES] = sealed
        return True

    def readable(self):
        """What a kiosk can get: number → record."""
        places = enumerate(self.records)
        return {seq: raw for seq, raw in places if raw not in (None, DAMAGED) and seq >= self.oldest_seq}


class FakeToken:
    """A token: log, session, and what survives a restart."""

    def __init__(self, log=None, keys=KEYS):
        self.log = FakeLog() if log is None else log
        self.state = keys.state(int(NOW_S))
        self.times = []
        self.verdicts = []
        self._random = Random(1)
        self.restart()

    @property
    def watermark(self):
        return self.state.watermark

    def restart(self):
        self.session = SyncSession(self.log, self, self.state)

    def random(self, length):
        return self._random.randbytes(length)

    def info(self):
        log = self.log
        return (
            self.state.serial, b"\x00\x01\x02", 3, 2987, 7, int(NOW_S), 3600, log.oldest_seq, log.next_seq,
            self.watermark, 0, 37000, 2, 5, 41000, log.segment_records,
        )  # fmt: skip

    def set_time(self, unix_s, ms):
        self.times.append((unix_s, ms))
        return -2

    def set_watermark(self, seq):
        self.state.watermark = seq

    def show_verdict(self, code):
        self.verdicts.append(code)


class Killed(Exception):
    """The kiosk's process ended."""


class FakeStorage:
    """Keeps records in memory. `dies` names the moment at which the kiosk is killed."""

    def __init__(self):
        self.records = {}
        self.synced = []
        self.clocks = []
        self.dies = None

    def next_seq(self, serial):
        assert serial == SERIAL
        return max(self.records, default=-1) + 1

    def store_records(self, serial, records, received_s):
        assert serial == SERIAL
        if self.dies == "before":
            raise Killed
        assert len(dict(records)) == len(records)
        before = len(self.records)
        for seq, raw in records:
            assert self.records.setdefault(seq, raw) == raw
        if self.dies == "after":
            raise Killed
        return len(self.records) - before

    def note_clock(self, serial, reading):
        self.clocks.append(reading)

    def note_sync(self, serial, info, now_s):
        assert serial == SERIAL
        self.synced.append((info, now_s))


class Pipe:
    """A connection between a kiosk and a token; the transport of the session. Counts fragments and their bytes.

    Args:
        faults: what happens to which fragment, counted over both directions: {number: (kind, argument)}.
        before_each: called with the number of each fragment before it goes.

    Attributes:
        heard: the fragments as they went, each with whether it came from the kiosk.
    """

    def __init__(self, token, mtu=247, faults=None, before_each=None):
        self.token = token
        self.mtu_payload = mtu - 3
        self.receive = asyncio.Queue()
        self.alive = True
        self.count = 0
        self.bytes = 0
        self.heard = []
        self._faults = faults or {}
        self._before_each = before_each
        self._held = {}
        token.session.connected()

    def cut(self):
        if self.alive:
            self.alive = False
            self.token.session.disconnected()
            self.receive.put_nowait(None)

    def _damaged(self, direction, fragment):
        # What arrives in place of the fragment.
        kind, argument = self._faults.get(self.count, ("", 0))
        if self._before_each is not None:
            self._before_each(self.count)
        self.heard.append((direction == "up", fragment))
        self.count += 1
        self.bytes += len(fragment)
        arriving = [fragment]
        if kind == "cut":
            self.cut()
            return []
        if kind == "drop":
            arriving = []
        elif kind == "repeat":
            arriving = [fragment, fragment]
        elif kind == "flip":
            bit = argument % (len(fragment) * 8)
            flipped = bytearray(fragment)
            flipped[bit // 8] ^= 1 << bit % 8
            arriving = [bytes(flipped)]
        elif kind == "late":
            self._held[direction] = fragment
            return []
        held = self._held.pop(direction, None)
        return arriving if held is None else [*arriving, held]

    async def write(self, fragment):
        if not self.alive:
            raise LinkLost
        assert len(fragment) <= self.mtu_payload
        session = self.token.session
        now_ms = round(asyncio.get_running_loop().time() * 1000)
        for piece in self._damaged("up", fragment):
            session.feed(piece, len(piece), now_ms)
        buf = bytearray(self.mtu_payload)
        while self.alive and (length := session.next_fragment(buf, self.mtu_payload)):
            piece = bytes(buf[:length])
            assert session.next_fragment(buf, self.mtu_payload) == length  # no room in the radio: once more
            assert bytes(buf[:length]) == piece
            session.sent(length)
            for arriving in self._damaged("down", piece):
                self.receive.put_nowait(arriving)
        if session.tick(now_ms) or session.broken:
            self.cut()


def now():
    return NOW_S


def kiosk_session(transport, root=ROOTS.kiosk, code=CODE):
    """A kiosk's session over a transport."""
    return KioskSession(transport, root, code)


async def sync_once(token, storage, mtu=247, faults=None, before_each=None, press=True, root=ROOTS.kiosk):
    """The button, a connection, a whole sync. Returns its result and the pipe."""
    if press:
        token.session.open(round(asyncio.get_running_loop().time() * 1000))
    pipe = Pipe(token, mtu, faults, before_each)
    session = kiosk_session(pipe, root)
    try:
        result = await synchronise(session, storage, now)
        await session.show_verdict(wire.VERDICT_SAFE)
        await session.bye()
        return result, pipe
    finally:
        pipe.cut()
