"""From sightings to the log: what the radio heard becomes encounters, and encounters become records in flash.

An iPhone's id is not in its advertisement: somebody must connect and read it, and `Phones` knows which was read from
which address.

Short encounters have a budget, so that a flood of forged ids cannot wear the flash or push the log out. It is wide as
long as the table of encounters has room, and narrow as soon as it has not.
"""

from struct import pack, pack_into, unpack_from

from . import patterns, records, wire
from .const import const
from .encounters import Encounters
from .errors import TracingError
from .keys import DAY_S

_ENCOUNTERS = const(64)
_NEWCOMERS = const(64)  # sets of four: as many ids as a flood of 200 a second brings in four windows
_PHONES = const(24)
_SILENT_S = const(150)  # an id not heard for four windows has gone
_JUMP_S = const(300)  # a correction beyond it is told in the log

# The budget, in eighths of a record; a window earns four of them, or one when the table was full not long ago.
_SHORT_WINDOWS = const(4)  # an encounter heard in fewer windows is short
_RECORD = const(8)
_EARNED = const(4)
_EARNED_TIGHT = const(1)
_TIGHT_S = const(1800)
_SPARE_MOST = const(64 * 8)
_SPARE_TIGHT = const(4 * 8)

# Phones: address, its type, windows that heard it (0: a free place), last heard, not to be tried before (both in units
# of 16 s, low 16 bits), failures, the id's slot (low 16 bits), id, last RSSI
_PHONE = const("<6sBBHHBH12sb")
_PHONE_BYTES = const(28)
_WINDOWS = const(7)
_UNIT_BITS = const(4)
_MASK = const(0xFFFF)
_FUTURE = const(0x8000)  # half of it and more is the future

_FIRST_LIMIT_MS = const(2000)  # for the first attempt: an iPhone answers in less, mostly
_FAILED_MOST_MS = const(10_000)  # so long in all may attempts fail between two windows
_FAILURE_WINDOWS = const(8)  # what a failure counts against windows that have heard the address
_REST_UNITS = const(4)  # after the first failure, about a minute
_REST_DOUBLINGS = const(4)
_HERE_UNITS = const(3)  # heard this long ago or less: it may be tried
_GONE_UNITS = const(3)  # gives way when the table is full: not read and silent for two windows,
_KNOWN_GONE_UNITS = const(10)  # … read, and silent for four
_NONE = const(-1)


class Journal:
    """What goes on around the token now, and the way into the log.

    Args:
        ring: sightings.SightingRing.
        log: log.Log.
        clock: has `is_set`, whether times are Unix times.
        state: state.State; its `boot` goes into the records.
        scratch: memory that outlives a reset, where the encounters that go on are kept; None: there is none.

    Attributes:
        encounters, phones: the tables.
        lost: encounters that the flash did not take, or the budget of short ones.
    """

    def __init__(self, ring, log, clock, state, scratch=None):
        self._ring = ring
        self._log = log
        self._clock = clock
        self._state = state
        self._scratch = scratch
        self._changed = False  # since the encounters were last kept
        self._window_s = self._slot = 0
        self._spare = _SPARE_MOST
        self.encounters = Encounters(_ENCOUNTERS, _NEWCOMERS, _SILENT_S, True)
        self.phones = Phones(_PHONES)
        self.lost = 0

    def start(self):
        """The encounters that went on when the token was reset go on."""
        if self._scratch and self._clock.is_set:
            self.encounters.load(self._scratch.read(), self._clock.now())

    def listen(self, radio, window_ms, interval_us, slot):
        """A scan window of `window_ms`, one channel per `interval_us`, in quarter of an hour `slot`.

        Returns:
            False when the radio did not complete it.

        Raises:
            RadioError: it never does any more.
        """
        self.encounters.heard = 0
        self._slot = slot
        self._window_s = self._clock.now()
        if self._window_s - self.encounters.full_s < _TIGHT_S:
            self._spare = min(self._spare + _EARNED_TIGHT, _SPARE_TIGHT)
        else:
            self._spare = min(self._spare + _EARNED, _SPARE_MOST)
        complete = radio.scan(window_ms, interval_us, self._drain)
        self._drain()
        self.phones.note_window(slot, self._window_s)
        return complete

    def read_phone_id(self, radio, button, limit_ms):
        """Read the id of the phone that is due, for `limit_ms` at most; a press of the button ends it for now."""
        address_type, address, limit_ms, rssi_dbm = self.phones.begin(limit_ms)
        ident = radio.read_phone_id(address_type, address, limit_ms)
        if ident or not button.restless:
            self.phones.learn(address, ident, self._slot, self._clock.now(), limit_ms)
        if ident:
            self._note(ident, rssi_dbm, records.FLAG_CONNECTED)

    def _drain(self):
        while True:
            sighting = self._ring.take()
            if sighting is None:
                return
            kind, rssi_dbm, address_type, address, ident = sighting
            flags = 0
            if kind == wire.BLUEZONE_PHONE:
                ident = self.phones.id_of(address_type, address, rssi_dbm, self._slot, self._window_s)
                flags = records.FLAG_CONNECTED
            if ident:
                self._note(ident, rssi_dbm, flags)

    def _note(self, ident, rssi_dbm, flags):
        self._changed = True
        flags |= records.KIND_ENCOUNTER | (records.FLAG_CLOCK_SET if self._clock.is_set else 0)
        pushed_out = self.encounters.note(ident, rssi_dbm, self._window_s, flags)
        if pushed_out:
            self._spare = min(self._spare, _SPARE_TIGHT)
            self._write(pushed_out)

    def settle(self, now_s, silent_s=_SILENT_S):
        """Write the encounters that are over: not heard for `silent_s`. With 0 all; who is still there begins anew."""
        encounter = self.encounters.pop(now_s - silent_s)
        while encounter:
            self._changed = True
            self._write(encounter)
            encounter = self.encounters.pop(now_s - silent_s)
        if self._changed and self._scratch and self._clock.is_set:
            self._changed = False
            self._scratch.write(self.encounters.dump(now_s))

    def condition(self):
        """The pattern for the light: what the wearer should know now."""
        if not self._clock.is_set:
            return patterns.CLOCK_UNSET
        log = self._log
        if (log.next_seq - max(self._state.watermark, log.oldest_seq)) * 5 > log.capacity_records * 4:
            return patterns.LOG_NEARLY_FULL
        return patterns.ALIVE

    def stop(self, now_s):
        """A reset is coming: what goes on is kept where it outlives that, else written."""
        self.settle(now_s, _SILENT_S if self._scratch and self._clock.is_set else 0)

    def shift(self, before_s, now_s, correction_s):
        """The clock was moved from `before_s` to `now_s`; `correction_s`: 0 if that set it for the first time.

        A jump puts off by a day what expires: whoever moves the clock on, be it in steps, empties no log at once.
        """
        self.encounters.shift(now_s - before_s)
        if not -_JUMP_S <= correction_s <= _JUMP_S:
            self._state.expire_from_s = now_s + DAY_S
            jump = b"jump" + pack("<II", now_s, 0)
            self._write((records.KIND_EVENT | records.FLAG_CLOCK_SET, before_s, 0, 0, 0, 0, 0, jump))

    def expire(self, now_s, days):
        """Erase what is older than `days` days, if the clock is set. What the flash refuses now, it may do later.

        To be called about once an hour, and when the clock has been set.
        """
        if self._clock.is_set:
            try:
                self._log.expire(now_s, days)
            except TracingError:
                pass

    def _write(self, record):
        if record[0] & records.KIND_ENCOUNTER and record[3] < _SHORT_WINDOWS:
            if self._spare < _RECORD:
                self.lost += 1
                return
            self._spare -= _RECORD
        try:
            self._log.append(record[0], self._state.boot, *record[1:])
        except TracingError:
            self.lost += 1


class Phones:
    """Address → id, as long as the id is on the air; of fixed size.

    Whoever is heard longest is read first. An address that does not answer waits, each time twice as long, and loses
    eight windows of its standing; after ten seconds in vain nobody is tried until the next window. So forged iPhones,
    which anybody can advertise, cost the real ones some turns and the battery no more than that.

    Args:
        capacity: how many addresses, 28 bytes each.

    Attributes:
        due: place of the address that `begin` gives, the next one to be read; negative: none.
    """

    def __init__(self, capacity):
        self._buf = bytearray(capacity * _PHONE_BYTES)
        self.due = _NONE
        self._failed_ms = 0  # since the last window

    def id_of(self, address_type, address, rssi_dbm, slot, now_s):
        """An advertisement was heard: the id of the phone at `address` (6 bytes) in quarter of an hour `slot`, or b"".

        Args:
            now_s: Unix time of the scan window.
        """
        buf = self._buf
        now = now_s >> _UNIT_BITS & _MASK
        at = self._find(address)
        if at < 0:
            at = self._make_room(now, slot)
            if at >= 0:
                pack_into(_PHONE, buf, at, address, address_type, 1, now, now, 0, (slot - 1) & _MASK, b"", rssi_dbm)
            return b""
        _, _, windows, heard, rest, failures, known, ident, _ = unpack_from(_PHONE, buf, at)
        if heard != now:
            windows = min(windows + 1, 0xFF)
            pack_into(_PHONE, buf, at, address, address_type, windows, now, rest, failures, known, ident, rssi_dbm)
        return ident if known == slot & _MASK else b""

    def note_window(self, slot, now_s):
        """A scan window has ended: who has failed may be tried again, one after the other."""
        self._failed_ms = 0
        self._choose(slot, now_s)

    def begin(self, limit_ms):
        """(address type, address, ms to try for, its last RSSI) of the phone that is due."""
        address, address_type, _, _, _, failures, _, _, rssi_dbm = unpack_from(_PHONE, self._buf, self.due)
        return address_type, address, limit_ms if failures else _FIRST_LIMIT_MS, rssi_dbm

    def learn(self, address, ident, slot, now_s, tried_ms):
        """What came of reading `address`: 12 bytes, on the air until `slot` ends, or b"" after `tried_ms` in vain."""
        if not ident:
            self._failed_ms += tried_ms
        at = self._find(address)
        if at >= 0:
            _, address_type, windows, heard, rest, failures, known, _, rssi_dbm = unpack_from(_PHONE, self._buf, at)
            if ident:
                failures = 0
                known = slot & _MASK
            else:
                rest = ((now_s >> _UNIT_BITS) + (_REST_UNITS << min(failures, _REST_DOUBLINGS))) & _MASK
                failures = min(failures + 1, 0xFF)
            pack_into(
                _PHONE, self._buf, at, address, address_type, windows, heard, rest, failures, known, ident, rssi_dbm
            )
        self._choose(slot, now_s)

    def _find(self, address):
        buf = self._buf
        at = buf.find(address)
        while at >= 0 and (at % _PHONE_BYTES or buf[at + _WINDOWS] == 0):
            at = buf.find(address, at + 1)
        return at

    def _choose(self, slot, now_s):
        self.due = _NONE
        if self._failed_ms >= _FAILED_MOST_MS:
            return
        now = now_s >> _UNIT_BITS & _MASK
        best = -0x10000
        for at in range(0, len(self._buf), _PHONE_BYTES):
            _, _, windows, heard, rest, failures, known, _, _ = unpack_from(_PHONE, self._buf, at)
            standing = windows - failures * _FAILURE_WINDOWS
            if (
                windows and known != slot & _MASK and (now - heard) & _MASK <= _HERE_UNITS
                and (now - rest) & _MASK < _FUTURE and standing > best
            ):  # fmt: skip
                best = standing
                self.due = at

    def _make_room(self, now, slot):
        # A free one; else that of the longest silent; else that of who has failed most; else none.
        found = _NONE
        most = 0
        for at in range(0, len(self._buf), _PHONE_BYTES):
            _, _, windows, heard, _, failures, known, _, _ = unpack_from(_PHONE, self._buf, at)
            if windows == 0:
                return at
            silent = (now - heard) & _MASK
            claim = failures
            if silent > (_KNOWN_GONE_UNITS if known == slot & _MASK else _GONE_UNITS):
                claim = 0x100 + silent
            if claim > most:
                most = claim
                found = at
        return found
