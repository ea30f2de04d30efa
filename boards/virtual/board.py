"""The virtual board: the ports of a token over the host's virtual radio, a flash file, and virtual time."""

import gc
import os
import struct

import lockstep
import settings
from adapters.clock import Clock
from adapters.radio import Radio
from nor_flash import NorFlash

_BUTTON = 3  # kinds of frame
_MEASURE = 4


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

    def battery_mv(self):
        """Battery voltage in millivolts."""
        return struct.unpack("<H", lockstep.call(31))[0]


class Indicator:
    """The light: tells the host which pattern it shows."""

    def show(self, pattern):
        lockstep.call(32, bytes([pattern]))


def _nothing():
    pass


class Button:
    """The button: the host presses it."""

    def __init__(self):
        self._pressed = False
        self.on_press = _nothing
        lockstep.on(_BUTTON, self._press)

    def _press(self, payload):
        self._pressed = True
        self.on_press()

    def take_press(self):
        """True once per press."""
        pressed = self._pressed
        self._pressed = False
        return pressed


class Board:
    """What `app.Token` asks of a board; every boards/*/board.py has the same names."""

    settings = settings

    def __init__(self):
        self.store = NorFlash(os.getenv("BOARD_FLASH", ""), settings.LOG_BLOCKS + 2)
        self.clock = Clock()
        rtc = os.getenv("BOARD_RTC")
        if rtc:  # a battery-backed clock that the technician has set
            self.clock.set(int(rtc))
        self.entropy = Entropy()
        self.power = Power()
        self.indicator = Indicator()
        self.button = Button()

    def make_radio(self, ring):
        """The radio, filling `ring`; the button ends its waits."""
        radio = Radio(ring, self.power.wait)
        self.button.on_press = radio.wake
        return radio

    def heap_bytes(self):
        """Heap in use, for the technician."""
        return gc.mem_alloc()
