"""A token made of an nRF52840 with MicroPython's Zephyr port: what that port cannot do, and what works around it.

Its limits, read off its sources: no fresh address, ever (`config(addr_mode=…)` does nothing, without a word); no
connections to others; `gap_scan(0)` stops at once; a full event ring and a connection crash it at the default size;
every `gap_advertise` leaks an object until the radio is switched off; some errnos are negative, and FlashArea returns
them; `time()` is uptime. Never seen on hardware yet.
"""

import gc
import os
from time import sleep_ms, ticks_add, ticks_diff, ticks_ms

import machine
import settings
from adapters.button import ContactButton
from adapters.clock import Clock
from adapters.radio import Radio
from adapters.store import PartitionStore
from micropython import const
from zephyr import FlashArea  # pyright: ignore[reportMissingImports]

from tracing.errors import RadioError, StoreError
from tracing.patterns import Player

_BLOCK_BYTES = const(4096)
_EVENT_RING_BYTES = const(4096)
_ENOMEM = const(12)
_WATCHDOG_MS = const(600_000)  # longer than a whole sync, and than all cures of the radio take together
_STEP_MS = const(20)
_NOT_MEASURED_MV = const(0xFFFF)  # not every build of this port has an ADC


def _pin(name, *args, **kwargs):
    port, number = name.split(" ")
    return machine.Pin((port, int(number)), *args, **kwargs)


class _Checked:
    """A FlashArea that raises: the block protocol of an esp32.Partition."""

    def __init__(self, area):
        self._area = area

    def _check(self, answer):
        if answer:
            raise OSError(abs(answer))

    def readblocks(self, block, buf, offset):
        self._check(self._area.readblocks(block, buf, offset))

    def writeblocks(self, block, buf, offset):
        self._check(self._area.writeblocks(block, buf, offset))

    def ioctl(self, operation, argument):
        answer = self._area.ioctl(operation, argument)
        if answer is None or answer < 0:
            raise OSError(abs(answer or 0))
        return answer


class FlashAreaStore(PartitionStore):
    """The store port over a zephyr.FlashArea, whose calls return what others raise.

    Raises:
        StoreError: the area cannot be asked for its size.
    """

    def __init__(self, area):
        try:
            super().__init__(_Checked(area))
        except OSError as error:
            raise StoreError(str(error))


class ZephyrRadio(Radio):
    """The radio of a port that keeps one address for good.

    Raises:
        RadioError: nobody has allowed that, and a token that can be followed must not be on the air.
    """

    def __init__(self, ring, wait):
        if not settings.RADIO_ALLOW_FIXED_ADDRESS:
            raise RadioError(
                "this port keeps one address for good, so that whoever listens can follow the wearer: "
                "the token does not run unless board.toml says allow_fixed_address = true"
            )
        super().__init__(ring, wait)

    def start(self):
        """Switch the radio on, with room for its events."""
        self._ble.config(rxbuf=_EVENT_RING_BYTES)
        super().start()

    def change_identity(self, bluezone_id):
        """Put the id in place; the address stays. What `gap_advertise` has leaked is freed, unless a kiosk is there."""
        self.stop()
        self._identity = bluezone_id
        if self.kiosk < 0:
            self._power_cycle()
        self._ble.gatts_write(self._id_value, bluezone_id)

    def scan(self, duration_ms, interval_us, drain):
        """See Radio; at least 1 ms, for 0 would not mean "for ever" here."""
        return super().scan(max(duration_ms, 1), interval_us, drain)

    def notify(self, handle, fragment):
        """See Radio; this port's "no room" has another sign."""
        try:
            return super().notify(handle, fragment)
        except OSError as error:
            if error.errno == -_ENOMEM:
                return False
            raise

    def read_phone_id(self, address_type, address, limit_ms):
        """Nothing: this port connects to nobody, and the ids of iPhones are not logged."""
        return b""


class Entropy:
    """Random bytes from the chip."""

    def fill(self, buf):
        """Fill `buf`."""
        buf[:] = os.urandom(len(buf))


class Indicator:
    """A light of three colours. Nothing runs by itself: who waits calls `step`."""

    def __init__(self, names, low_is_on):
        self._off = 1 if low_is_on else 0
        self._pins = [_pin(name, machine.Pin.OUT, value=self._off) for name in names]
        self._player = Player()

    def show(self, pattern):
        """Show a pattern of tracing.patterns, unless a more important one is on."""
        if self._player.show(pattern, ticks_ms()):
            self.step()

    def step(self):
        """Switch the lights as the pattern wants them now."""
        colour, _ = self._player.now(ticks_ms())
        for i in range(len(self._pins)):
            self._pins[i].value(self._off ^ (colour >> i & 1))


class PinButton(ContactButton):
    """A button to ground."""

    def __init__(self, name):
        super().__init__()
        self._pin = _pin(name, machine.Pin.IN, machine.Pin.PULL_UP)
        self._pin.irq(self._changed, machine.Pin.IRQ_FALLING | machine.Pin.IRQ_RISING)

    def _changed(self, pin):
        self.edge(not pin.value())

    def is_down(self):
        """Whether the contact is closed now."""
        return not self._pin.value()


class Power:
    """Sleep between two events; looks after the light meanwhile."""

    def __init__(self, indicator, button, watchdog):
        self._indicator = indicator
        self._button = button
        self._watchdog = watchdog

    def wait(self, ms, woken):
        """Sleep up to `ms`, less when `woken()` turns true."""
        end = ticks_add(ticks_ms(), ms)
        while not woken():
            self._indicator.step()
            left_ms = ticks_diff(end, ticks_ms())
            if left_ms <= 0:
                return
            sleep_ms(min(left_ms, _STEP_MS))

    def off(self):
        """Stay still until the button is pressed; then the board starts anew. This port has no deeper sleep."""
        while not self._button.is_down():
            self._watchdog.feed()  # off is as it should be
            sleep_ms(_STEP_MS)
        machine.reset()

    def battery_mv(self):
        """65535: not measured."""
        return _NOT_MEASURED_MV


class Board:
    """The ports of a token; boards/virtual/board.py has the same names."""

    settings = settings

    def __init__(self):
        self.store = FlashAreaStore(FlashArea(settings.LOG_AREA, _BLOCK_BYTES))
        self.clock = Clock()  # unset after every start: this port keeps no time
        self.scratch = None  # … and nothing else
        self.entropy = Entropy()
        self.indicator = Indicator(
            (settings.PINS_RED, settings.PINS_GREEN, settings.PINS_BLUE), settings.PINS_LOW_IS_ON
        )
        self.button = PinButton(settings.PINS_BUTTON)
        self.watchdog = machine.WDT(timeout=_WATCHDOG_MS)  # cannot be stopped; pauses while the chip sleeps
        self.power = Power(self.indicator, self.button, self.watchdog)

    def make_radio(self, ring):
        """The radio, filling `ring`; the button ends its waits.

        Raises:
            RadioError: the fixed address has not been allowed.
        """
        radio = ZephyrRadio(ring, self.power.wait)
        self.button.on_edge = radio.wake
        return radio

    def heap_bytes(self):
        """Heap in use, for the technician."""
        return gc.mem_alloc()
