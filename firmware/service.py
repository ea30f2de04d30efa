"""What the technician's tools ask of a token over the REPL, while the token itself does not run: `service.Service()`.

Nothing else imports this module: a token at work pays no RAM for it. Answers are dicts of plain values, which the host
reads from their `repr`; none holds an id, a key or a record of the log.
"""

import gc
import time
from binascii import hexlify, unhexlify

import settings

from tracing import patterns, records, wire
from tracing.const import const
from tracing.keys import sha256
from tracing.log import Log
from tracing.sightings import SightingRing
from tracing.state import State, StateStore

try:
    from token_board import Board  # CircuitPython, which has a module `board` of its own
except ImportError:
    from board import Board  # pyright: ignore[reportAttributeAccessIssue]

_STATE_BLOCKS = const(2)  # as in app.py
_SCAN_MS = const(1000)
_LIGHT_MS = const(1500)
_BLINK_MS = const(500)
_POLL_MS = const(20)
_CHUNK_BYTES = const(256)
_SCRATCH_BYTES = const(2048)
_PROBE = b"self-test"


def _digest(*secrets):
    # Tells whether two keys are the same, and nothing about them: they are random.
    return _hex(sha256(b"".join(secrets)).digest())


def _hex(data):
    return hexlify(data).decode()


class Service:
    """The token's store and parts, without its watchdog.

    Raises:
        OSError: there is no place for the log (deploy.md).
    """

    def __init__(self):
        self._board = Board(watched=False)
        self._store = self._board.store
        self._load()

    def _load(self):
        self._state = State()
        self._states = StateStore(self._store, 0, 1)
        self._known = self._states.load(self._state)

    # --- Keys --------------------------------------------------------------------------------------------------

    def identity(self):
        """Who it is: `known` (it has a state), `provisioned`, `serial`, `first_day`, `escrow`, `log_segment`, and
        digests by which a host that has the keys knows them: `fixed_keys` (sync, code), `moving_keys` (day, log).
        """
        state = self._state
        return {
            "known": self._known,
            "provisioned": bool(state.flags & records.STATE_PROVISIONED),
            "serial": _hex(state.serial),
            "first_day": state.first_day,
            "escrow": _hex(state.escrow),
            "log_segment": state.log_segment,
            "fixed_keys": _digest(state.sync_key, state.code_key),
            "moving_keys": _digest(state.daily_key, state.log_key),
        }

    def provision(self, now_s, first_day, log_segment, serial, daily_key, sync_key, log_key, code_key, escrow):
        """Replace keys and serial (all in hex) and forget what is known of earlier ones; the log is left alone.

        As a whole, whenever the power goes: afterwards the token has the old keys or the new ones.
        """
        state = self._state
        state.flags = records.STATE_PROVISIONED
        state.first_day = state.key_day = first_day
        state.log_segment = log_segment
        state.last_time_s = now_s
        state.boot = state.watermark = state.last_sync_s = state.expire_from_s = 0
        state.serial, state.daily_key, state.sync_key, state.log_key, state.code_key, state.escrow = [
            unhexlify(text) for text in (serial, daily_key, sync_key, log_key, code_key, escrow)
        ]
        self._states.save(state)
        self._load()  # what the answer tells has been read back from the flash
        return self.identity()

    # --- Wiping ------------------------------------------------------------------------------------------------

    def blocks(self):
        """How many blocks the store has; the first two hold keys, the others the log."""
        return self._store.blocks

    def erase(self, first, count):
        """Erase blocks of the store, and what a reset of the chip would have handed on.

        Returns:
            Whether all of them read as ones now.
        """
        if self._board.scratch:
            self._board.scratch.write(bytes(_SCRATCH_BYTES))
        blank = True
        zeros = bytes(_CHUNK_BYTES)
        buf = bytearray(_CHUNK_BYTES)
        size = self._store.block_bytes
        for block in range(first, first + count):
            if block < _STATE_BLOCKS:  # an erase that loses power may leave what was there: not a key
                for at in range(0, size, _CHUNK_BYTES):
                    self._store.program(block * size + at, zeros)
            self._store.erase(block)
            for at in range(0, size, _CHUNK_BYTES):
                self._store.read(block * size + at, buf)
                blank = blank and min(buf) == 0xFF
        if first < _STATE_BLOCKS:
            self._load()
        return blank

    # --- Questions ---------------------------------------------------------------------------------------------

    def diagnostics(self):
        """How it has fared, in numbers; nothing of whom it has met."""
        state = self._state
        log = Log(self._store, _STATE_BLOCKS, settings.LOG_BLOCKS, state)
        if self._known:
            log.mount()
        gc.collect()
        return {
            "board": settings.NAME,
            "starts": state.boot,
            "last_time_s": state.last_time_s,
            "last_sync_s": state.last_sync_s,
            "skew_ppm": state.skew_ppm,
            "log_oldest_seq": log.oldest_seq,
            "log_next_seq": log.next_seq,
            "log_capacity": log.capacity_records,
            "log_damaged": log.damaged,
            "unread": log.next_seq - max(state.watermark, log.oldest_seq),
            "slots_repaired": getattr(self._store, "repaired", 0),
            "battery_mv": self._board.power.battery_mv(),
            "clock_s": self._board.clock.now() if self._board.clock.is_set else 0,
            "heap_bytes": self._board.heap_bytes(),
        }

    def self_test(self, button_ms=0):
        """Try each part: name → "" when it works, else what is wrong. The lights are for the technician to see.

        Args:
            button_ms: how long to wait for a press; 0: the button is not asked about.
        """
        parts = {"flash": self._try_flash, "battery": self._try_battery, "light": self._try_light}
        found = {}
        for name in parts:
            found[name] = self._tried(parts[name])
        if button_ms:
            found["button"] = self._tried(lambda: self._try_button(button_ms))
        found["radio"] = self._tried(self._try_radio)
        return found

    def _tried(self, part):
        try:
            return part()
        except Exception as error:  # whatever it is, the technician is to read it beside the other parts
            return repr(error)

    def _try_flash(self):
        if self._known:
            clock = self._board.clock
            self._state.last_time_s = clock.now() if clock.is_set else self._state.last_time_s + 1
            self._states.save(self._state)  # which writes what has changed, and reads it back
            return ""
        buf = bytearray(_PROBE)  # nothing to lose: it has no keys yet
        self._store.erase(0)
        kept = records.keeps(self._store, 0, buf)
        self._store.erase(0)
        return "" if kept else "the flash does not keep what is written"

    def _try_battery(self):
        mv = self._board.power.battery_mv()
        return "" if mv >= settings.BATTERY_STOP_MV else str(mv) + " mV"

    def _try_light(self):
        for pattern in (patterns.ERROR, patterns.DONE, patterns.CLOCK_UNSET):  # red, green, blue
            self._board.indicator.show(patterns.OFF)
            self._board.indicator.show(pattern)
            self._pause(_LIGHT_MS)
        return ""

    def beckon(self, wait_ms):
        """Blink until the button is pressed, `wait_ms` at most. Whether it was; earlier presses do not count."""
        button = self._board.button
        light = self._board.indicator
        while button.take():
            pass
        for waited_ms in range(0, wait_ms, _POLL_MS):
            if waited_ms % _BLINK_MS == 0:
                light.show((patterns.SYNC_MODE, patterns.OFF)[waited_ms // _BLINK_MS % 2])
            if button.take():
                light.show(patterns.DONE)
                return True
            self._pause(_POLL_MS)
        light.show(patterns.OFF)
        return False

    def _try_button(self, wait_ms):
        return "" if self.beckon(wait_ms) else "not pressed"

    def _try_radio(self):
        ring = SightingRing(8)
        radio = self._board.make_radio(ring)
        radio.start()
        try:
            ident = bytearray(12)
            self._board.entropy.fill(ident)
            radio.change_identity(bytes(ident))
            radio.advertise(wire.advertisement(bytes(ident)), 100_000)
            if not radio.advertising:
                return "it does not advertise"
            radio.pause()
            return "" if radio.scan(_SCAN_MS, 100_000, ring.take) else "it does not scan"
        finally:
            radio.stop()

    def _pause(self, ms):
        time.sleep(ms / 1000)
