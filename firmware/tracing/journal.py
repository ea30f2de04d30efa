"""From sightings to the log: what the radio heard becomes encounters, and encounters become records in flash.

An iPhone's id is not in its advertisement: `Phones` knows which was read from which address.
"""

from struct import pack

from . import records, wire
from .const import const
from .encounters import Encounters
from .errors import TracingError

_ENCOUNTERS = const(64)
_NEWCOMERS = const(64)  # sets of four: as many ids as a flood of 200 a second brings in four windows
_PHONES = const(8)
_SILENT_S = const(150)  # an id not heard for four windows has gone
_JUMP_S = const(300)  # a correction beyond it is told in the log

_RETRY_S = const(60)
# Places in an entry of Phones.
_IDENT = const(0)
_TRIED_S = const(1)
_SLOT = const(2)
_TYPE = const(3)


class Journal:
    """What goes on around the token now, and the way into the log.

    Args:
        ring: sightings.SightingRing.
        log: log.Log.
        clock: has `is_set`, whether times are Unix times.
        state: state.State; its `boot` goes into the records.

    Attributes:
        encounters, phones: the tables.
        lost: encounters that the flash did not take.
    """

    def __init__(self, ring, log, clock, state):
        self._ring = ring
        self._log = log
        self._clock = clock
        self._state = state
        self.encounters = Encounters(_ENCOUNTERS, _NEWCOMERS, _SILENT_S, True)
        self.phones = Phones(_PHONES)
        self.lost = 0

    def drain(self, window_s, slot):
        """Take what the ring holds.

        Args:
            window_s: Unix time of the scan window in which it was heard; slot: the quarter of an hour of now.
        """
        while True:
            sighting = self._ring.take()
            if sighting is None:
                return
            kind, rssi_dbm, address_type, address, ident = sighting
            flags = records.KIND_ENCOUNTER | (records.FLAG_CLOCK_SET if self._clock.is_set else 0)
            if kind == wire.BLUEZONE_PHONE:
                ident = self.phones.id_of(address_type, address, slot, window_s)
                flags |= records.FLAG_CONNECTED
            if ident:
                self._write(self.encounters.note(ident, rssi_dbm, window_s, flags))

    def settle(self, now_s, silent_s=_SILENT_S):
        """Write the encounters that are over: not heard for `silent_s`. With 0 all; who is still there begins anew."""
        encounter = self.encounters.pop(now_s - silent_s)
        while encounter:
            self._write(encounter)
            encounter = self.encounters.pop(now_s - silent_s)

    def shift(self, before_s, now_s, correction_s):
        """The clock was moved from `before_s` to `now_s`; `correction_s`: 0 if that set it for the first time."""
        self.encounters.shift(now_s - before_s)
        if not -_JUMP_S <= correction_s <= _JUMP_S:
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
        if record:
            try:
                self._log.append(record[0], self._state.boot, *record[1:])
            except TracingError:
                self.lost += 1


class Phones:
    """Address → id, as long as the id is on the air; of fixed size.

    When it is full, whoever was tried longest ago goes, and before that addresses never tried: a flood of forged
    phones does not make the token forget the ids it has read.

    Args:
        capacity: how many addresses.

    Attributes:
        due: an address that shall be read, or None.
    """

    def __init__(self, capacity):
        self._capacity = capacity
        self._known = {}  # address -> [id or b"", time of the last try, the id's slot, address type]
        self.due = None

    def id_of(self, address_type, address, slot, now_s):
        """The id of the phone at `address` (6 bytes) in quarter of an hour `slot`, or b"" and perhaps it is due."""
        known = self._known
        phone = known.get(address)
        if phone is None:
            if len(known) >= self._capacity:
                del known[min(known, key=lambda other: known[other][_TRIED_S])]
            phone = known[address] = [b"", 0, -1, address_type]
        if phone[_SLOT] == slot:
            return phone[_IDENT]
        if self.due is None and now_s - phone[_TRIED_S] >= _RETRY_S:
            self.due = address
        return b""

    def begin(self, now_s):
        """Somebody is about to read the address that is due: it no longer is.

        Returns:
            (address type, address), or None when it has been forgotten meanwhile.
        """
        address = self.due
        self.due = None
        phone = self._known.get(address)
        if phone is None:
            return None
        phone[_TRIED_S] = now_s
        return phone[_TYPE], address

    def learn(self, address, ident, slot):
        """The id read from `address` is on the air until `slot` ends."""
        phone = self._known.get(address)
        if phone is not None:
            phone[_IDENT] = ident
            phone[_SLOT] = slot
