"""The token: wires the portable package to the ports of a board and runs the loop.

The same file runs on every board, the virtual one included; boards/*/board.py says what the ports are.
"""

import gc

from tracing import button, patterns, records, wire
from tracing.encounters import Encounters
from tracing.errors import TracingError
from tracing.keys import DAY_S, SLOT_S, KeyChain
from tracing.log import Log
from tracing.messages import INFO_CLOCK_SET, INFO_PROVISIONED
from tracing.schedule import Schedule
from tracing.sightings import SightingRing
from tracing.state import State, StateStore
from tracing.sync import BUSY_FRAGMENT, SyncSession

FIRMWARE_VERSION = b"\x00\x01\x00"

_STATE_BLOCKS = 2  # the first two blocks of the store; the log has the rest
_ENCOUNTERS = 64
_RING_SLOTS = 48
_SILENT_S = 150  # an id not heard for four windows has gone
_SAVE_TIME_EVERY_S = 3600
_SYNC_ADV_INTERVAL_US = 100_000
_BUTTON_POLL_MS = 100
_GOODBYE_MS = 1000
_HANG_UP_MS = 500
_FRAGMENT_BYTES = 244  # fills one link-layer packet; a longer ATT MTU brings nothing more
_PHONE_LIMIT_MS = 10_000  # as the Android client
_PHONE_RETRY_S = 60
_PHONES = 8


class Token:
    """A token on a board.

    Args:
        board: an object with the ports `store`, `clock`, `entropy`, `power`, `indicator`, `button`, `make_radio`,
            and the numbers of its board.toml in `settings` (boards/virtual/board.py has the contract).
    """

    def __init__(self, board):
        self.board = board
        settings = board.settings
        self.clock = board.clock
        self.ring = SightingRing(_RING_SLOTS)
        self.radio = board.make_radio(self.ring)
        self.radio.start()
        self.schedule = Schedule(
            settings.RADIO_ADV_INTERVAL_US, settings.RADIO_SCAN_WINDOW_MS, settings.RADIO_SCAN_PERIOD_MS
        )
        self.encounters = Encounters(_ENCOUNTERS)
        self.log = Log(board.store, _STATE_BLOCKS, settings.LOG_BLOCKS)
        self.state = State()
        self.state_store = StateStore(board.store, 0, 1)
        self.session = SyncSession(self.log, self)
        self._random = bytearray(1)
        self._phones = {}  # address -> [id or b"", time of the last try, the id's slot, address type]
        self._phone_due = None
        self._advertisement = b""
        self._slot = -1
        self._window_s = 0
        self._next_window_ms = 0
        self._reply = bytearray(_FRAGMENT_BYTES)
        self._lost = 0
        self._serving = False

    def start(self):
        """Find state and log again, count the boot, begin to advertise."""
        state = self.state
        if not self.state_store.load(state):
            self._make_identity()
        state.boot = (state.boot + 1) & 0xFFFF
        self.clock.set_about(state.last_time_s)
        self.state_store.save(state)
        self.log.mount()
        self.keys = KeyChain(state.daily_key, state.key_day)
        self._next_window_ms = self.clock.uptime_ms()
        self._turn_slot()

    def _make_identity(self):
        # Never provisioned: keys and serial of its own, so that the token works and a kiosk can tell.
        key = bytearray(32)
        serial = bytearray(8)
        self.board.entropy.fill(key)
        self.board.entropy.fill(serial)
        self.state.daily_key = bytes(key)
        self.state.serial = bytes(serial)

    def run(self):
        """Work until the power ends."""
        self.start()
        while True:
            self.step()

    def step(self):
        """One round: whatever is due, then sleep until the next thing is."""
        now_s = self.clock.now()
        if now_s // SLOT_S != self._slot:
            self._turn_slot()
        self._obey(self.board.button.take())
        if self.radio.kiosk >= 0 or self.radio.intruder >= 0:
            self._serve_kiosk()
        elif self.session.is_open:
            self._watch_session()
        elif self._may_read_phone():
            self._read_phone()
        if self._ms_to_window() <= 0:
            self._listen()
        self._flush(self.clock.now() - _SILENT_S)
        if not self.radio.advertising:
            self._advertise()
        self.radio.wait(self._ms_to_next())

    # --- The wearer ------------------------------------------------------------------------------------------

    def _obey(self, gesture):
        show = self.board.indicator.show
        if gesture == button.SHORT:
            show(self._condition())
        elif gesture == button.LONG:
            self.open_sync()
        elif gesture == button.ASK_OFF:
            show(patterns.ASK_OFF)
        elif gesture == button.OFF:
            self._switch_off()

    def _condition(self):
        # What the wearer should know now, the most urgent first.
        if self.board.power.battery_mv() < self.board.settings.BATTERY_LOW_MV:
            return patterns.LOW_BATTERY
        if not self.clock.is_set:
            return patterns.CLOCK_UNSET
        log = self.log
        if (log.next_seq - max(self.state.watermark, log.oldest_seq)) * 5 > log.capacity_records * 4:
            return patterns.LOG_NEARLY_FULL
        return patterns.ALIVE

    def _switch_off(self):
        self._flush(self.clock.now())
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
        self._remember(now_s)

    def _remember(self, now_s):
        # A new day's key replaces the old one in flash, and the time known is never far behind.
        state = self.state
        if state.key_day != self.keys.day or now_s - state.last_time_s >= _SAVE_TIME_EVERY_S:
            self._save_time(now_s)

    def _save_time(self, now_s):
        state = self.state
        state.key_day = self.keys.day
        state.daily_key = self.keys.daily_key
        state.last_time_s = now_s
        self.state_store.save(state)

    def _advertise(self):
        if self.session.is_open:
            response = wire.sync_scan_response(wire.short_code(self.state.serial))
            self.radio.advertise(self._advertisement, _SYNC_ADV_INTERVAL_US, response)
        else:
            interval_us = self.schedule.adv_interval_us(self._random_byte())
            self.radio.advertise(self._advertisement, interval_us)

    def _random_byte(self):
        self.board.entropy.fill(self._random)
        return self._random[0]

    # --- Listening -------------------------------------------------------------------------------------------

    def _listen(self):
        self._next_window_ms = self.clock.uptime_ms() + self.schedule.until_next_window_ms(self._random_byte())
        if self.radio.kiosk >= 0:
            return  # the wearer waits: the minute of listening that a sync costs is the lesser evil
        self._window_s = self.clock.now()
        self.radio.pause()  # its own advertisements would blank a part of the window
        self.radio.scan(self.schedule.window_ms, self.schedule.scan_interval_us(), self._drain)
        self._drain()
        gc.collect()  # at a quiet moment, and often: the heap never fragments far
        self.board.indicator.show(self._condition())

    def _drain(self):
        while True:
            sighting = self.ring.take()
            if sighting is None:
                return
            kind, rssi_dbm, address_type, address, ident = sighting
            flags = records.KIND_ENCOUNTER | (records.FLAG_CLOCK_SET if self.clock.is_set else 0)
            if kind == wire.BLUEZONE_PHONE:
                ident = self._phone_id(address_type, address)
                flags |= records.FLAG_CONNECTED
            if ident:
                self._note(ident, rssi_dbm, self._window_s, flags)

    def _note(self, ident, rssi_dbm, window_s, flags):
        if self.encounters.full and not self.encounters.note(ident, rssi_dbm, window_s, flags):
            self._write(self.encounters.pop(window_s))
        self.encounters.note(ident, rssi_dbm, window_s, flags)

    def _flush(self, silent_since_s):
        while True:
            encounter = self.encounters.pop(silent_since_s)
            if encounter is None:
                return
            self._write(encounter)

    def _write(self, encounter):
        try:
            self.log.append(encounter[0], self.state.boot, *encounter[1:])
        except TracingError:
            self._lost += 1

    # --- iPhones ---------------------------------------------------------------------------------------------

    def _phone_id(self, address_type, address):
        # The id read earlier, while it is still on the air; else b"" and a connection that is due.
        phone = self._phones.get(address)
        if phone is None:
            if len(self._phones) >= _PHONES:
                oldest = min(self._phones, key=lambda known: self._phones[known][1])
                del self._phones[oldest]
            phone = self._phones[address] = [b"", 0, -1, address_type]
        if phone[2] == self._slot:
            return phone[0]
        if self._phone_due is None and self._window_s - phone[1] >= _PHONE_RETRY_S:
            self._phone_due = address
        return b""

    def _may_read_phone(self):
        # Not across a slot's end: the address must change on time, and it cannot while connecting.
        return self._phone_due is not None and self._ms_to_slot_end() > _PHONE_LIMIT_MS + 2000

    def _read_phone(self):
        address = self._phone_due
        self._phone_due = None
        phone = self._phones.get(address)
        if phone is None:
            return
        phone[1] = self.clock.now()
        ident = self.radio.read_phone_id(phone[3], address, _PHONE_LIMIT_MS)
        if ident:
            phone[0] = ident
            phone[2] = self._slot

    # --- The kiosk -------------------------------------------------------------------------------------------

    def open_sync(self):
        """The wearer agrees: a kiosk may connect within the next minute."""
        self.session.open(self.clock.uptime_ms())
        self.board.indicator.show(patterns.SYNC_MODE)
        self.radio.pause()
        self._advertise()

    def _watch_session(self):
        if self.session.tick(self.clock.uptime_ms()):
            self.radio.pause()
            self._advertise()

    def _serve_kiosk(self):
        # Returns when the kiosk has gone, or when the loop has something else to do: it calls again at once.
        radio = self.radio
        session = self.session
        if radio.intruder >= 0:
            self._turn_away(radio.intruder)
            radio.intruder = -1
        if not self._serving:
            session.connected()
            self._serving = True
            self.board.indicator.show(patterns.SYNCING)
        while radio.kiosk >= 0 and radio.intruder < 0 and self.clock.now() // SLOT_S == self._slot:
            fragment = radio.take_fragment()
            if fragment is not None:
                session.feed(fragment, len(fragment), self.clock.uptime_ms())
                self._send_answer()
            over = session.tick(self.clock.uptime_ms())
            if over or session.broken or not session.is_open:
                radio.wait(_HANG_UP_MS)  # the last answer is still on its way
                radio.disconnect(radio.kiosk)
                radio.wait(_HANG_UP_MS)
            elif fragment is None:
                if not radio.advertising:
                    self._advertise()
                radio.wait(min(1000, self._ms_to_slot_end()))
        if radio.kiosk < 0:
            self._serving = False
            session.disconnected()
            radio.pause()
            self._advertise()

    def _send_answer(self):
        radio = self.radio
        view = memoryview(self._reply)
        while radio.kiosk >= 0:
            length = self.session.next_fragment(self._reply, min(radio.fragment_bytes(), len(self._reply)))
            if length == 0:
                return
            try:
                if radio.notify(radio.kiosk, view[:length]):
                    self.session.sent(length)
                else:
                    radio.wait(5)
            except OSError:
                return

    def _turn_away(self, handle):
        try:
            self.radio.notify(handle, BUSY_FRAGMENT)
            self.radio.wait(_HANG_UP_MS)
        except OSError:
            pass
        self.radio.disconnect(handle)

    # What the session asks of the token.

    def info(self):
        """The fields of the INFO answer."""
        self._flush(self.clock.now())
        state = self.state
        log = self.log
        flags = (INFO_CLOCK_SET if self.clock.is_set else 0) | (
            INFO_PROVISIONED if state.flags & records.STATE_PROVISIONED else 0
        )
        return (
            state.serial, FIRMWARE_VERSION, flags, self.board.power.battery_mv(), state.boot, self.clock.now(),
            self.clock.uptime_s(), log.oldest_seq, log.next_seq, state.watermark, state.last_sync_s,
            log.capacity_records, log.damaged, self.ring.dropped + self._lost, self.board.heap_bytes(),
        )  # fmt: skip

    def set_time(self, unix_s, ms):
        """Set the clock; returns the correction in seconds."""
        before_s = self.clock.now()
        correction_s = self.clock.set(unix_s, ms)
        if self.state.key_day == 0:
            # The keys of a token that never knew the day begin today.
            self.keys = KeyChain(self.state.daily_key, unix_s // DAY_S)
        self.encounters.shift(unix_s - before_s)
        self._save_time(unix_s)
        return correction_s

    def set_watermark(self, seq):
        """Everything before `seq` is in the kiosk's database."""
        self.state.watermark = seq
        self.state.last_sync_s = self.clock.now()
        self.state_store.save(self.state)

    def show_verdict(self, code):
        """The kiosk's verdict, in light."""
        self.board.indicator.show(patterns.DONE + code)  # SAFE, EXPOSED, CLERK follow it

    # --- Time ------------------------------------------------------------------------------------------------

    def _ms_to_slot_end(self):
        left_s = SLOT_S - self.clock.now() % SLOT_S
        return left_s * 1000 - self.clock.ms_in_second()

    def _ms_to_window(self):
        return self._next_window_ms - self.clock.uptime_ms()

    def _ms_to_next(self):
        if self.radio.kiosk >= 0 or self._may_read_phone():
            return 0
        wait_ms = min(self._ms_to_window(), self._ms_to_slot_end())
        if self.session.is_open:
            wait_ms = min(wait_ms, 1000)
        if self.board.button.restless:
            wait_ms = min(wait_ms, _BUTTON_POLL_MS)
        return max(wait_ms, 0)
