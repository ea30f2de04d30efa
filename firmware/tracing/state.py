"""What a token must not forget: keys, serial, boot count, how far it has been read, the last time it knew.

Two blocks take turns. A record is appended; the one before it then has its key overwritten, so that the key of a day
gone by is nowhere in the flash. SPEC.md, "Flash".
"""

from . import records
from .const import const

_RECORD_BYTES = const(80)
_KEY_AT = const(12)
_KEY_BYTES = const(32)


class State:
    """The token's state; the fields are those of records.pack_state.

    Attributes:
        flags: records.STATE_*; boot: counts the starts; key_day: days since 1970-01-01 of `daily_key`, 0 unknown;
        daily_key: 32 bytes; serial: 8 bytes; watermark: everything before this sequence number is in a database;
        last_sync_s, last_time_s: Unix s, 0 never.
    """

    def __init__(self):
        self.flags = self.boot = self.key_day = self.watermark = self.last_sync_s = self.last_time_s = 0
        self.daily_key = bytes(_KEY_BYTES)
        self.serial = bytes(8)


class StateStore:
    """Keeps a State in two blocks of a store. Call `load` before `save`."""

    def __init__(self, store, block_a, block_b):
        self._store = store
        self._blocks = (block_a, block_b)
        self._slots = store.block_bytes // _RECORD_BYTES
        self._buf = bytearray(_RECORD_BYTES)
        self._which = 0  # index of the block with the newest record
        self._slot = -1  # its place; -1: there is none
        self._counter = 0

    def load(self, state):
        """Fill `state` with the newest sound record; wipes keys that a loss of power has left behind.

        Returns:
            False when there is no record: a token that has never been provisioned.
        """
        self._slot = -1
        for which in (0, 1):
            for slot in range(self._slots):
                counter = self._read(which, slot, state)
                if counter >= 0 and (self._slot < 0 or (counter - self._counter) & 0xFFFF < 0x8000):
                    self._which, self._slot, self._counter = which, slot, counter
        if self._slot < 0:
            return False
        self._read(self._which, self._slot, state)
        for which in (0, 1):
            for slot in range(self._slots):
                if (which, slot) != (self._which, self._slot):
                    self._wipe(which, slot)
        return True

    def save(self, state):
        """Write `state`. Power may be lost at any moment: `load` then finds the old state or the new one.

        Raises:
            StoreError: the flash refused; the old state stays.
        """
        which, slot = self._which, self._slot + 1
        while slot < self._slots and not self._is_blank(which, slot):
            slot += 1  # a torn record
        if slot >= self._slots:
            which, slot = 1 - which, 0
        if slot == 0:
            self._store.erase(self._blocks[which])
        counter = (self._counter + 1) & 0xFFFF
        records.pack_state(self._buf, counter, state)
        self._store.program(self._offset(which, slot), self._buf)
        old_which, old_slot = self._which, self._slot
        self._which, self._slot, self._counter = which, slot, counter
        if old_slot >= 0:
            self._wipe(old_which, old_slot)

    def _offset(self, which, slot):
        return self._blocks[which] * self._store.block_bytes + slot * _RECORD_BYTES

    def _read(self, which, slot, state):
        self._store.read(self._offset(which, slot), self._buf)
        return records.unpack_state(self._buf, state)

    def _is_blank(self, which, slot):
        self._store.read(self._offset(which, slot), self._buf)
        return all(byte == 0xFF for byte in self._buf)

    def _wipe(self, which, slot):
        # Clears the key's bits; blank places stay blank.
        self._store.read(self._offset(which, slot), self._buf)
        key = memoryview(self._buf)[_KEY_AT : _KEY_AT + _KEY_BYTES]
        if any(key) and not all(byte == 0xFF for byte in self._buf):
            self._store.program(self._offset(which, slot) + _KEY_AT, bytes(_KEY_BYTES))
