"""A token made of a board with a classic ESP32: see board.toml for pins and numbers, deploy.md for how."""

import gc

import machine
import settings
from adapters.clock import Clock
from adapters.esp32 import Entropy, Indicator, PinButton, Power
from adapters.radio import Radio
from adapters.store import PartitionStore
from esp32 import Partition

_EPOCH_2000_S = 946_684_800  # this port counts from 2000-01-01
_FIRST_YEAR = 2024  # the chip's clock begins in 2000: earlier than this means never set


class Board:
    """The ports of a token; boards/virtual/board.py has the same names."""

    settings = settings

    def __init__(self):
        found = Partition.find(Partition.TYPE_DATA, label=settings.LOG_PARTITION)
        if not found:
            raise OSError("there is no partition " + settings.LOG_PARTITION + ": see deploy.md")
        self.store = PartitionStore(found[0])
        self.clock = Clock()
        self._read_rtc()
        self.entropy = Entropy()
        self.power = Power(settings.PINS_BATTERY_ADC, settings.BATTERY_DIVIDER_RATIO_X100, settings.PINS_BUTTON)
        self.indicator = Indicator(settings.PINS_LED, settings.PINS_LED, settings.PINS_LED)  # one light says it all
        self.button = PinButton(settings.PINS_BUTTON)

    def _read_rtc(self):
        # The chip's clock survives a reset, not a loss of power; the technician's tool has set it to UTC.
        import time

        if machine.RTC().datetime()[0] >= _FIRST_YEAR:
            self.clock.set(time.time() + _EPOCH_2000_S)

    def make_radio(self, ring):
        """The radio, filling `ring`; the button ends its waits."""
        radio = Radio(ring, self.power.wait)
        self.button.on_edge = radio.wake
        return radio

    def heap_bytes(self):
        """Heap in use, for the technician."""
        return gc.mem_alloc()
