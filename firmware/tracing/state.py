"""What a token must not forget: keys, serial, boot count, how far it has been read, the last time it knew.

Two blocks take turns; each change is a record appended. Earlier records stay as copies as long as they hold the same
daily key; when it changes, theirs is overwritten, so that the key of a day gone by is nowhere in the flash. SPEC.md,
"Flash".
"""

from . import records
from .const import const
from .errors import StoreError

_RECORD_BYTES = const(80)
_KEY_AT = const(14)
_KEY_BYTES = const(32)
_ATTEMPTS = const(3)  # places tried for one record before the flash is given up


class State:
    """The token's state; the fields are those of records.pack_state.

    Attributes:
        flags: records.STATE_*; boot: counts the starts; key_day: days since 1970-01-01 of `daily_key`, 0 unknown;
        daily_key: 32 bytes; serial: 8 bytes; watermark: everything before this sequence number is in a database;
        last_sync_s, last_time_s: Unix s, 0 never; skew_ppm: of the clock, 0 unknown.
    """

    def __init__(self):
        self.flags = self.boot = self.key_day = self.watermark = self.last_sync_s = self.last_time_s = self.skew_ppm = 0
        self.daily_key = bytes(_KEY_BYTES)
        self.serial = bytes(8)


class StateStore:
    """Keeps a State in two blocks of a store. Call `load` before `save`."""

    def __init__(self, store, block_a, block_b):
        self._store = store
        self._blocks = (block_a, block_b)
        self._slots = store.block_bytes // _RECORD_BYTES
        self._buf = bytearray(_RECORD_BYTES)
        self._key = memoryview(self._buf)[_KEY_AT : _KEY_AT + _KEY_BYTES]
        self._forget()

    def _forget(self):
        # Nothing stored yet is as if the second block were full.
        self._which = 1  # index of the block with the newest record
        self._slot = self._slots - 1  # its place
        self._counter = 0  # of the newest record; the first one has 1

    def load(self, state):
        """Fill `state` with the newest sound record; wipes keys that a loss of power has left behind.

        Returns:
            False when there is no record: a token that has never been provisioned.

        Raises:
            StoreError: the flash refused.
        """
        self._forget()
        for which in (0, 1):
            for slot in range(self._slots):
                counter = self._read(which, slot, state)
                if counter >= self._counter:
                    self._which, self._slot, self._counter = which, slot, counter
        if self._counter == 0:
            return False
        self._read(self._which, self._slot, state)
        self._wipe_other_keys(state.daily_key)
        return True

    def save(self, state):
        """Write `state`. Power may be lost at any moment: `load` then finds the old state or the new one.

        Raises:
            StoreError: the flash refused; `load` finds the old state or the new one.
        """
        which, slot = self._which, self._slot
        counter = self._counter + 1
        for _ in range(_ATTEMPTS):
            slot += 1
            while slot < self._slots and not self._is_blank(which, slot):
                slot += 1  # a torn record
            if slot >= self._slots:
                if which != self._which:
                    break  # the one block is full, the other one unusable
                which, slot = 1 - which, 0
                self._store.erase(self._blocks[which])
            records.pack_state(self._buf, counter, state)
            if records.keeps(self._store, self._offset(which, slot), self._buf):
                self._which, self._slot, self._counter = which, slot, counter
                self._wipe_other_keys(state.daily_key)
                return
        raise StoreError("the flash does not keep what is written")

    def _offset(self, which, slot):
        return self._blocks[which] * self._store.block_bytes + slot * _RECORD_BYTES

    def _read(self, which, slot, state):
        self._store.read(self._offset(which, slot), self._buf)
        return records.unpack_state(self._buf, state)

    def _is_blank(self, which, slot):
        self._store.read(self._offset(which, slot), self._buf)
        return min(self._buf) == 0xFF

    def _wipe_other_keys(self, daily_key):
        # Clears the bits of every key in both blocks that is not this one, or a part of one; blank places stay blank.
        for which in (0, 1):
            for slot in range(self._slots):
                at = self._offset(which, slot) + _KEY_AT
                self._store.read(at, self._key)
                if self._key != daily_key and min(self._key) < 0xFF and max(self._key):
                    self._store.program(at, bytes(_KEY_BYTES))
