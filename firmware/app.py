"""The token: wires the portable package to the ports of a board and runs the loop.

The same file runs on every board, the virtual one included; boards/*/board.py says what the ports are.
"""

import gc

from tracing import button, patterns, records, wire
from tracing.const import const
from tracing.errors import TracingError
from tracing.journal import Journal
from tracing.keys import DAY_S, KEY_BYTES, SLOT_S, KeyChain
from tracing.log import Log
from tracing.messages import INFO_CLOCK_SET, INFO_PROVISIONED
from tracing.schedule import LOW, STOP, Schedule
from tracing.sightings import SightingRing
from tracing.state import State, StateStore
from tracing.sync import SyncSession
from tracing.visit import Visit

_FIRMWARE_VERSION = const(b"\x00\x01\x00")

_STATE_BLOCKS = const(2)  # the first two blocks of the store; the log has the rest
_RING_SLOTS = const(40)
_SAVE_TIME_EVERY_S = const(3600)
_SYNC_ADV_INTERVAL_US = const(100_000)
_BUTTON_POLL_MS = const(100)
_SOON_MS = const(1000)
_GOODBYE_MS = const(1000)
_PHONE_LIMIT_MS = const(5000)
_LISTENED = const(1)
_ADVERTISED = const(2)


class Token:
    """A token on a board.

    Args:
        board: its ports, and the numbers of its board.toml in `settings`; boards/virtual/board.py has the contract.
    """

    def __init__(self, board):
        self.board = board
        settings = board.settings
        self.clock = board.clock
        self.ring = SightingRing(_RING_SLOTS)
        self.radio = board.make_radio(self.ring)
        self.radio.start()
        self.schedule = Schedule(
            settings.RADIO_ADV_INTERVAL_US, settings.RADIO_SCAN_WINDOW_MS, settings.RADIO_SCAN_PERIOD_MS,
            settings.BATTERY_LOW_MV, settings.BATTERY_STOP_MV,
        )  # fmt: skip
        self.state = State()
        self.log = Log(board.store, _STATE_BLOCKS, settings.LOG_BLOCKS, self.state)
        self.journal = Journal(self.ring, self.log, self.clock, self.state, board.scratch)
        self.state_store = StateStore(board.store, 0, 1)
        self.session = SyncSession(self.log, self, self.state)
        self.visit = Visit(self.radio, self.session, self.clock)
        self._advertisement = b""
        self._slot = -1
        self._progress = 0

    def start(self):
        """Find state and log again, count the boot, begin to advertise."""
        state = self.state
        if not self.state_store.load(state):
            self._make_identity()
        state.boot = (state.boot + 1) & 0xFFFF
        self.clock.set_about(state.last_time_s)
        self.clock.skew_ppm = state.skew_ppm
        state.keep()
        self.log.mount()
        self.journal.start()
        self.keys = KeyChain(state.daily_key, state.key_day)
        self._next_window_ms = self.clock.uptime_ms()
        self._turn_slot()

    def _make_identity(self):
        # Never provisioned: keys and serial of its own, so that the token works. No kiosk has the keys to it.
        state = self.state
        state.daily_key, state.sync_key, state.log_key, state.code_key = [self.random(KEY_BYTES) for _ in range(4)]
        state.serial = self.random(8)

    def run(self):
        """Work until the power ends.

        Raises:
            TracingError: the board needs a reset. What the table holds has been kept for that, or logged.
        """
        try:
            self.start()
            while True:
                self.step()
        except TracingError:
            self.board.indicator.show(patterns.ERROR)
            raise
        finally:
            self.journal.stop(self.clock.now())

    def step(self):
        """One round: whatever is due, then sleep until the next thing is."""
        now_s = self.clock.now()
        if now_s // SLOT_S != self._slot:
            self._turn_slot()
        self._obey(self.board.button.take())
        if self.radio.kiosk >= 0 or self.visit.handle >= 0:
            self._serve_kiosk()
        elif self.session.is_open:
            if self.session.tick(self.clock.uptime_ms()):
                self.board.indicator.show(patterns.OFF)
                self._advertise_anew()
        elif self._may_read_phone():
            self.journal.read_phone_id(self.radio, self.board.button, _PHONE_LIMIT_MS)
        if self._next_window_ms <= self.clock.uptime_ms():
            self._listen()
        self.journal.settle(self.clock.now())
        if not self.radio.advertising and self.clock.now() // SLOT_S == self._slot:
            self._advertise()  # else the id is over: the next round begins with the new one
        self.radio.wait(self._ms_to_next())

    # --- The wearer ------------------------------------------------------------------------------------------

    def _obey(self, gesture):
        show = self.board.indicator.show
        if gesture == button.SHORT:
            show(self._condition())
        elif gesture == button.LONG:
            self.open_sync()
        elif gesture == button.ASK_OFF:
            self.session.consent_until = None  # the same press has opened it on the way
            self._advertise_anew()
            show(patterns.ASK_OFF)
        elif gesture == button.OFF:
            self._switch_off()

    def _condition(self):
        if self.schedule.level >= LOW or self.board.power.battery_mv() < self.board.settings.BATTERY_LOW_MV:
            return patterns.LOW_BATTERY
        return self.journal.condition()

    def _switch_off(self):
        self.journal.settle(self.clock.now(), 0)
        self.radio.stop()
        self._save_time(self.clock.now())
        self.board.indicator.show(patterns.GOODBYE)
        self.radio.wait(_GOODBYE_MS)
        self.board.power.off()

    # --- Identity --------------------------------------------------------------------------------------------

    def _turn_slot(self):
        # Old id with new address, or the reverse, must never be on the air: everything stops, both change, then on.
        now_s = self.clock.now()
        self.radio.stop()
        bluezone_id = self.keys.id_at(now_s)
        self.radio.change_identity(bluezone_id)
        self._advertisement = wire.advertisement(bluezone_id)
        self._slot = now_s // SLOT_S
        self._advertise()
        # A new day's key replaces the old one in flash, and the time known is never far behind.
        if self.state.key_day != self.keys.day or now_s - self.state.last_time_s >= _SAVE_TIME_EVERY_S:
            self._save_time(now_s)

    def _save_time(self, now_s):
        state = self.state
        state.key_day = self.keys.day
        state.daily_key = self.keys.daily_key
        state.last_time_s = now_s
        state.skew_ppm = self.clock.skew_ppm
        state.keep()
        self.clock.save()
        self.journal.expire(now_s, self.board.settings.LOG_DAYS)

    def _advertise(self):
        if self.session.is_open:
            interval_us = _SYNC_ADV_INTERVAL_US
            response = wire.sync_scan_response(wire.short_code(self.state.serial))
        else:
            response = b""
            interval_us = self.schedule.adv_interval_us(self.random(1)[0])
        self.radio.advertise(self._advertisement, interval_us, response)
        if self.radio.advertising:
            self._progressed(_ADVERTISED)

    def _progressed(self, how):
        # The watchdog is fed by what a token is for: it has listened and it has advertised since the last time.
        self._progress |= how
        if self._progress == _LISTENED | _ADVERTISED:
            self._progress = 0
            self.board.watchdog.feed()

    # --- Listening -------------------------------------------------------------------------------------------

    def _listen(self):
        self._next_window_ms = self.clock.uptime_ms() + self.schedule.until_next_window_ms(self.random(1)[0])
        if self.visit.handle >= 0 and self.session.is_open:
            return  # the wearer waits: the minute of listening that a sync costs is the lesser evil
        self.radio.pause()  # its own advertisements would blank a part of the window
        if self.schedule.note_battery(self.board.power.battery_mv()) == STOP:
            self._switch_off()  # while there is enough left to close the log
        journal = self.journal
        if journal.listen(self.radio, self.schedule.window_ms, self.schedule.scan_interval_us(), self._slot):
            self.schedule.note_window(journal.encounters.heard)
            self._progressed(_LISTENED)
        gc.collect()  # at a quiet moment, and often: the heap never fragments far
        self.board.indicator.show(self._condition())

    def _may_read_phone(self):
        # Not across a slot's end: the address must change on time, and it cannot while connecting. Nor while the
        # wearer presses the button: the light must answer at once.
        if self.journal.phones.due < 0 or self.board.button.restless:
            return False
        return self.clock.ms_to(SLOT_S) > _PHONE_LIMIT_MS + 2000

    # --- The kiosk -------------------------------------------------------------------------------------------

    def open_sync(self):
        """The wearer agrees: a kiosk may connect within the next minute. Whoever is connected now has had its turn."""
        if self.radio.kiosk >= 0:
            self.radio.disconnect(self.radio.kiosk)
        self.session.open(self.clock.uptime_ms())
        self.board.indicator.show(patterns.SYNC_MODE)
        self._advertise_anew()

    def _advertise_anew(self):
        self.radio.pause()
        self._advertise()

    def _serve_kiosk(self):
        if self.visit.serve(self.clock.uptime_ms() + self.clock.ms_to(SLOT_S)):
            show = self.board.indicator.show
            if self.visit.handle < 0:
                show(patterns.SYNC_MODE if self.session.is_open else patterns.OFF)
                self._advertise_anew()
            elif self.session.is_open:  # else it is somebody whom the wearer has not asked for
                show(patterns.SYNCING)

    # What the session asks of the token.

    def random(self, length):
        """`length` random bytes."""
        buf = bytearray(length)
        self.board.entropy.fill(buf)
        return bytes(buf)

    def info(self):
        """The fields of the INFO answer."""
        self.journal.settle(self.clock.now(), 0)
        state = self.state
        log = self.log
        flags = (INFO_CLOCK_SET if self.clock.is_set else 0) | (
            INFO_PROVISIONED if state.flags & records.STATE_PROVISIONED else 0
        )
        return (
            state.serial, _FIRMWARE_VERSION, flags, self.board.power.battery_mv(), state.boot, self.clock.now(),
            self.clock.uptime_s(), log.oldest_seq, log.next_seq, state.watermark, state.last_sync_s,
            log.capacity_records, log.damaged, self.ring.dropped + self.journal.lost, self.board.heap_bytes(),
            log.segment_records,
        )  # fmt: skip

    def set_time(self, unix_s, ms):
        """Set the clock; returns the correction in seconds."""
        before_s = self.clock.now()
        correction_s = self.clock.set(unix_s, ms)
        if self.state.key_day == 0:
            # The keys of a token that never knew the day begin today.
            self.keys = KeyChain(self.state.daily_key, unix_s // DAY_S)
        self.journal.shift(before_s, unix_s, correction_s)
        self._save_time(unix_s)
        return correction_s

    def set_watermark(self, seq):
        """Everything before `seq` is in the kiosk's database."""
        self.state.watermark = seq
        self.state.last_sync_s = self.clock.now()
        self.state.keep()
        self.board.indicator.show(patterns.DONE)

    def show_verdict(self, code):
        """The kiosk's verdict, in light."""
        self.board.indicator.show(patterns.DONE + code)  # SAFE, EXPOSED, CLERK follow it

    # --- Time ------------------------------------------------------------------------------------------------

    def _ms_to_next(self):
        busy = self.session.is_open or self.radio.kiosk >= 0 or self.visit.handle >= 0
        if not busy and self._may_read_phone():
            return 0
        if self.clock.now() // SLOT_S != self._slot:
            return 0  # the slot has ended in this very round, perhaps while the token was listening
        wait_ms = min(self._next_window_ms - self.clock.uptime_ms(), self.clock.ms_to(SLOT_S))
        if busy or not self.radio.advertising:
            wait_ms = min(wait_ms, _SOON_MS)
        if self.board.button.restless:
            wait_ms = min(wait_ms, _BUTTON_POLL_MS)
        return max(wait_ms, 0)
