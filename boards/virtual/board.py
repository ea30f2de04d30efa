"""The virtual board: the ports of a token over the host's virtual radio, a flash file, and virtual time."""

import gc
import os
import struct

import lockstep
import settings
from adapters import clock
from adapters.button import ContactButton
from adapters.radio import Radio
from micropython import const
from nor_flash import NorFlash

from tracing.patterns import Player

_BUTTON = const(3)  # kinds of frame
_MEASURE = const(4)


class Entropy:
    """Random bytes from the host, the same for the same seed."""

    def fill(self, buf):
        buf[:] = lockstep.call(30, struct.pack("<H", len(buf)))


class Power:
    """Sleep and battery; notes how full the heap gets."""

    def __init__(self):
        self._peak = 0
        lockstep.on(_MEASURE, self._measure)

    def _measure(self, payload):
        gc.collect()
        lockstep.call(33, struct.pack("<II", gc.mem_alloc(), self._peak))

    def wait(self, ms, woken):
        """Sleep up to `ms`, less when `woken()` turns true."""
        self._peak = max(self._peak, gc.mem_alloc())
        end_ms = lockstep.now_ms + ms
        while lockstep.now_ms < end_ms and not woken():
            lockstep.idle(end_ms)

    def off(self):
        """Switch off: the host ends the process, and starts it again when the wearer switches on."""
        lockstep.call(34)
        while True:
            lockstep.idle(lockstep.now_ms + 1000)

    def battery_mv(self):
        """Battery voltage in millivolts."""
        return struct.unpack("<H", lockstep.call(31))[0]


class Indicator:
    """The light: tells the host which pattern it shows."""

    def __init__(self):
        self._player = Player()

    def show(self, pattern):
        """Show a pattern, unless a more important one is on."""
        if self._player.show(pattern, lockstep.now_ms):
            lockstep.call(32, bytes([pattern]))


class Watchdog:
    """Resets the board when it is not fed: the host ends the process and starts it again."""

    def feed(self):
        """Real progress has been made."""
        lockstep.call(36)


class Scratch:
    """Memory that outlives a reset: a file, which the host takes away when the power is cut."""

    def __init__(self, path):
        self._image = path

    def write(self, data):
        """Keep up to 2048 bytes."""
        with open(self._image, "wb") as file:
            file.write(data)

    def read(self):
        """What was kept last: bytes of any content, b"" when there are none."""
        try:
            with open(self._image, "rb") as file:
                return file.read()
        except OSError:
            return b""


class Clock(clock.Clock):
    """A clock that the host keeps through a reset, as a chip's own."""

    def __init__(self):
        super().__init__()
        rtc = os.getenv("BOARD_RTC")
        if rtc:
            self.set_about(int(rtc))
            self.is_set = True

    def save(self):
        """Let the host keep the time, if it is known."""
        if self.is_set:
            lockstep.call(37, struct.pack("<I", self.now()))


class Board:
    """What `app.Token` asks of a board; every boards/*/board.py has the same names."""

    settings = settings

    def __init__(self):
        self.store = NorFlash(os.getenv("BOARD_FLASH", ""), settings.LOG_BLOCKS + 2)
        self.clock = Clock()
        self.scratch = Scratch(os.getenv("BOARD_FLASH", "") + ".scratch")
        self.entropy = Entropy()
        self.power = Power()
        self.indicator = Indicator()
        self.button = ContactButton()
        self.watchdog = Watchdog()
        lockstep.on(_BUTTON, self._edge)

    def _edge(self, payload):
        self.button.edge(bool(payload[0]))

    def make_radio(self, ring):
        """The radio, filling `ring`; the button ends its waits."""
        radio = Radio(ring, self.power.wait)
        self.button.on_edge = radio.wake
        return radio

    def heap_bytes(self):
        """Heap in use, for the technician."""
        return gc.mem_alloc()
