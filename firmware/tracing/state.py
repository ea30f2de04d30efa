"""What a token must not forget: keys, serial, boot count, how far it has been read, the last time it knew.

Two blocks take turns. A block is a list of records, each with one part of the state; the last one of a part counts.
Keys that move on have records of their own, twice: an old key is overwritten in place as soon as the new one is safe,
and costs nothing but itself. A block counts when it is complete; only then are keys in the other one overwritten.
SPEC.md, "State", has the bytes.
"""

from . import records
from .const import const
from .errors import StoreError
from .keys import KEY_BYTES

_UNIT = const(16)
_FIRST_UNIT = const(2)  # behind the two marks of a complete block
_PARTS = const(4)
_LARGEST = const(160)  # record
_KEY_BYTES = const(32)
_NOT_A_RECORD = const(-1)
_WIPED_KEY = const(-2)
_WIPED_UNITS = const(3)
_ATTEMPTS = const(3)  # places tried for one record before the block is given up
_ESCROW_BYTES = const(64)


class State:
    """The token's state.

    Attributes:
        flags: records.STATE_*; boot: counts the starts.
        serial: 8 bytes; sync_key, code_key: 32 bytes; escrow: 64 bytes, the key of `first_day` (days since 1970-01-01)
            as only the health authority can open it.
        key_day: day of `daily_key`, 0 unknown; daily_key: 32 bytes.
        log_segment, log_key: the log's newest segment, and its key of 32 bytes (tracing.segment).
        watermark: everything before this sequence number is in a database.
        last_sync_s, last_time_s: Unix s, 0 never. expire_from_s: nothing is erased for its age before (Unix s).
        skew_ppm: how much the clock is slow.
        keeper: the StateStore that it was loaded from.
    """

    def __init__(self):
        self.flags = self.boot = self.first_day = self.key_day = self.log_segment = self.watermark = 0
        self.last_sync_s = self.last_time_s = self.expire_from_s = self.skew_ppm = 0
        self.daily_key = self.log_key = self.sync_key = self.code_key = bytes(KEY_BYTES)
        self.serial = bytes(8)
        self.escrow = bytes(_ESCROW_BYTES)
        self.keeper = None

    def keep(self):
        """Save it where it came from.

        Raises:
            StoreError: as StateStore.save.
        """
        self.keeper.save(self)  # pyright: ignore[reportAttributeAccessIssue]  there since it was loaded


class StateStore:
    """Keeps a State in two blocks of a store. Call `load` before `save`."""

    def __init__(self, store, block_a, block_b):
        self._store = store
        self._blocks = (block_a, block_b)
        self._units = store.block_bytes // _UNIT
        self._buf = bytearray(_LARGEST)
        self._head = memoryview(self._buf)[:_UNIT]
        self._key = memoryview(self._buf)[records.STATE_KEY_AT : records.STATE_KEY_AT + _KEY_BYTES]
        self._unit = bytearray(_UNIT)
        self._forget()

    def _forget(self):
        # Nothing stored yet is as if the second block were full.
        self._which = 1  # index of the block that counts
        self._next = self._units  # where in it the next record goes
        self._generation = 0
        self._at = bytearray(_PARTS)  # where in it the newest record of a part begins; 0: nowhere

    def load(self, state):
        """Fill `state` with what is stored; wipes keys that a loss of power has left, and mends what has been damaged.

        Returns:
            False when nothing is stored, or a part has been lost for good: a token that must be provisioned.

        Raises:
            StoreError: the flash refused.
        """
        state.keeper = self
        self._forget()
        marks = 0
        for which in (0, 1):
            generations = (self._generation_at(which, 0), self._generation_at(which, 1))
            if max(generations) > self._generation:
                self._which = which
                self._generation = max(generations)
                marks = min(generations)
        if not self._generation:
            return False
        copies = self._read_all(state)
        if not min(copies):
            self._at = bytearray(_PARTS)  # the next save goes over to the other block, whose mark must be the later one
            self._next = self._units
            state.__init__()  # nothing of the rest is of use without the keys
            state.keeper = self
            return False
        self._clean(0)
        self._clean(1)
        if not marks:
            self._go_over(state)
        for part in range(len(copies)):
            if copies[part] < 2:
                self._append(part, state)
        return True

    def save(self, state):
        """Write what has changed in `state`. Power may be lost at any moment: of each key, of the time, and of all else
        together `load` then finds the old or the new.

        Raises:
            StoreError: the flash refused, or does not keep what is written; `load` finds as after a loss of power.
        """
        if not self._generation:
            self._go_over(state)
            return
        for part in range(_PARTS):
            records.pack_state_part(self._buf, part, state)
            if not self._is_stored(part):
                self._append(part, state)

    # --- Reading ---------------------------------------------------------------------------------------------

    def _offset(self, which, unit):
        return self._blocks[which] * self._store.block_bytes + unit * _UNIT

    def _generation_at(self, which, unit):
        self._store.read(self._offset(which, unit), self._head)
        return records.unpack_state_block(self._buf)

    def _look(self, which, unit):
        # What is there: a part, whose record is then in the buffer, _WIPED_KEY, or _NOT_A_RECORD.
        at = self._offset(which, unit)
        self._store.read(at, self._head)
        part = records.state_part(self._buf)
        if part < 0:
            return _NOT_A_RECORD
        size = records.STATE_PART_BYTES[part]
        if unit + size // _UNIT > self._units:
            return _NOT_A_RECORD
        self._store.read(at, memoryview(self._buf)[:size])
        if records.is_sound(self._buf, 0, size):
            return part
        return _WIPED_KEY if part <= records.PART_LOG_KEY and not max(self._key) else _NOT_A_RECORD

    def _units_of(self, found):
        return _WIPED_UNITS if found == _WIPED_KEY else records.STATE_PART_BYTES[found] // _UNIT if found >= 0 else 1

    def _read_all(self, state):
        # Fills `state` from the block that counts; returns how many copies there are of keys and state.
        copies = [0] * records.PART_TIME
        unit = self._next = _FIRST_UNIT
        while unit < self._units:
            part = self._look(self._which, unit)
            after = unit + self._units_of(part)
            if part != _NOT_A_RECORD or min(self._head) < 0xFF:
                self._next = after
            if part >= 0:
                again = self._is_stored(part)
                if part < records.PART_TIME:
                    copies[part] = copies[part] + 1 if again or part == records.PART_STATE else 1
                if not again:
                    self._at[part] = unit
                    records.unpack_state_part(self._buf, part, state)
            unit = after
        return copies

    def _is_stored(self, part):
        # Whether the newest record of the part is the one in the buffer.
        if not self._at[part]:
            return False
        at = self._offset(self._which, self._at[part])
        for i in range(0, records.STATE_PART_BYTES[part], _UNIT):
            self._store.read(at + i, self._unit)
            if self._unit != memoryview(self._buf)[i : i + _UNIT]:
                return False
        return True

    def _is_blank(self, which, unit, units):
        for i in range(unit, unit + units):
            self._store.read(self._offset(which, i), self._unit)
            if min(self._unit) < 0xFF:
                return False
        return True

    # --- Writing ---------------------------------------------------------------------------------------------

    def _append(self, part, state):
        unit = self._next
        for copy in range(2 if part <= records.PART_LOG_KEY else 1):
            unit = self._write(self._which, unit, part, state)
            if not unit:
                self._go_over(state)
                return
            if copy == 0:
                self._at[part] = unit
            unit += self._units_of(part)
            self._next = unit
        if part <= records.PART_LOG_KEY:
            self._clean(self._which)

    def _write(self, which, unit, part, state):
        # Writes a record of the part to a blank place from `unit` on; where it is, 0: nowhere.
        units = self._units_of(part)
        for _ in range(_ATTEMPTS):
            while unit + units <= self._units and not self._is_blank(which, unit, units):
                unit += 1
            if unit + units > self._units:
                break
            size = records.pack_state_part(self._buf, part, state)
            if records.keeps(self._store, self._offset(which, unit), memoryview(self._buf)[:size]):
                return unit
            self._store.program(self._offset(which, unit), bytes(size))  # a part of a key may be there
            unit += units
        return 0

    def _go_over(self, state):
        # Begins the other block with two records of each part. The marks come last: until one of them is there, the
        # block left behind counts, and nothing in it has been touched.
        which = 1 - self._which
        at = bytearray(_PARTS)
        self._store.erase(self._blocks[which])
        unit = _FIRST_UNIT
        for part in range(_PARTS):
            for _ in range(2):
                unit = self._write(which, unit, part, state)
                if not unit:
                    raise StoreError("the flash does not keep what is written")
                at[part] = at[part] or unit
                unit += self._units_of(part)
        marks = 0
        for place in (0, 1):
            records.pack_state_block(self._buf, self._generation + 1)
            marks += records.keeps(self._store, self._offset(which, place), self._head)
        if not marks:
            raise StoreError("the flash does not keep what is written")
        self._which = which
        self._next = unit
        self._generation += 1
        self._at = at
        self._clean(1 - which)

    def _clean(self, which):
        # Overwrites every key but the newest, and whatever is no record: parts of keys may be in it.
        unit = _FIRST_UNIT
        while unit < self._units:
            part = self._look(which, unit)
            at = self._offset(which, unit)
            if part == _NOT_A_RECORD:
                if min(self._head) < 0xFF and max(self._head):
                    self._store.program(at, bytes(_UNIT))
            elif 0 <= part <= records.PART_LOG_KEY and (which != self._which or unit < self._at[part]):
                self._store.program(at + records.STATE_KEY_AT, bytes(_KEY_BYTES))
            unit += self._units_of(part)
