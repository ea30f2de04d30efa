"""The ports of ESP32 boards that are not the radio, and the board made of them. Never seen on hardware yet."""

import gc
import os
import time
from time import sleep_ms, ticks_add, ticks_diff, ticks_ms

import esp32
import machine
import settings

from adapters.button import ContactButton
from adapters.clock import Clock
from adapters.radio import Radio
from adapters.store import PartitionStore
from tracing.patterns import Player

_EPOCH_2000_S = 946_684_800  # this port counts from 2000-01-01
_FIRST_YEAR = 2024  # the chip's clock begins in 2000: earlier than this means never set
_WATCHDOG_MS = 600_000  # longer than a whole sync, and than all cures of the radio take together
_STEP_MS = 20  # how late an event may be noticed; FreeRTOS sleeps in between


def _wake_on(pin, level):
    # The chip wakes when `pin` is at `level`, one of esp32.WAKEUP_*.
    if hasattr(esp32, "wake_on_ext0"):
        esp32.wake_on_ext0(pin, level)
    else:  # C3, C6: no such unit in the chip
        esp32.wake_on_gpio((pin,), level)


class Entropy:
    """Random bytes from the chip; truly random while the radio is on, which the app switches on first."""

    def fill(self, buf):
        """Fill `buf`."""
        buf[:] = os.urandom(len(buf))


class Power:
    """Sleep between two events, and the battery's voltage.

    Args:
        adc_pin: where the divided battery voltage is measured.
        ratio_x100: what to multiply the measured voltage with, times 100.
        button_pin: wakes the board when it has been switched off; on a C3 it must be one of GPIO 0 to 5, on a C6
            of 0 to 7: only those are alive in deep sleep.
    """

    def __init__(self, adc_pin, ratio_x100, button_pin):
        self._button_pin = button_pin
        self._adc = machine.ADC(machine.Pin(adc_pin), atten=machine.ADC.ATTN_11DB)
        self._ratio_x100 = ratio_x100

    def wait(self, ms, woken):
        """Sleep up to `ms`, less when `woken()` turns true."""
        end = ticks_add(ticks_ms(), ms)
        while not woken():
            left_ms = ticks_diff(end, ticks_ms())
            if left_ms <= 0:
                return
            sleep_ms(min(left_ms, _STEP_MS))

    def off(self):
        """Deep sleep until the button is pressed: the board then starts anew."""
        _wake_on(machine.Pin(self._button_pin, machine.Pin.IN, machine.Pin.PULL_UP), esp32.WAKEUP_ALL_LOW)
        machine.deepsleep()

    def battery_mv(self):
        """Battery voltage in millivolts."""
        return self._adc.read_uv() // 1000 * self._ratio_x100 // 100


class Indicator:
    """A light of up to three colours, played by a timer that runs only while a pattern does.

    Args:
        pins: for red, green and blue; boards with one light give it three times.

    Attributes:
        playing: a pattern goes on; it would freeze with the timer.
    """

    def __init__(self, *pins):
        self._pins = [machine.Pin(pin, machine.Pin.OUT, value=0) for pin in pins]
        self._player = Player()
        self._timer = machine.Timer(0)
        self.playing = False

    def show(self, pattern):
        """Show a pattern of tracing.patterns, unless a more important one is on."""
        if self._player.show(pattern, ticks_ms()):
            self._step(None)

    def _step(self, _timer):
        colour, left_ms = self._player.now(ticks_ms())
        self.playing = left_ms > 0
        for i in range(len(self._pins)):
            self._pins[i].value(0)
        for i in range(len(self._pins)):
            if colour >> i & 1:
                self._pins[i].value(1)
        if left_ms:
            self._timer.init(mode=machine.Timer.ONE_SHOT, period=left_ms, callback=self._step)


class PinButton(ContactButton):
    """A button to ground."""

    def __init__(self, pin):
        super().__init__()
        self._number = pin
        self._arm()
        self._down = False

    def _arm(self):
        self._pin = machine.Pin(self._number, machine.Pin.IN, machine.Pin.PULL_UP)
        self._pin.irq(self._changed, machine.Pin.IRQ_FALLING | machine.Pin.IRQ_RISING)

    def _changed(self, pin):
        self._down = not pin.value()
        self.edge(self._down)

    def sleep(self, ms):
        """Light sleep for up to `ms`, less when the button changes. No interrupt tells of that, so it is told here."""
        _wake_on(self._pin, esp32.WAKEUP_ANY_HIGH if self._down else esp32.WAKEUP_ALL_LOW)
        machine.lightsleep(ms)
        self._arm()  # waking by a pin takes it from the interrupt
        if (not self._pin.value()) != self._down:
            self._changed(self._pin)


class LightSleep:
    """The sleep in which BLE does not live: light_sleep.SleepingRadio.

    Args:
        button: a PinButton; indicator: an Indicator.
    """

    def __init__(self, button, indicator):
        self._button = button
        self._indicator = indicator

    @property
    def possible(self):
        """Nothing is being shown to the wearer or asked by them."""
        return not self._indicator.playing and not self._button.restless

    def sleep(self, ms):
        """Sleep up to `ms`, less when the button changes, not at all when it just did."""
        if not self._button.restless:
            self._button.sleep(ms)


class RtcMemory:
    """Memory that outlives a reset, not a loss of power: 2048 bytes in the chip's RTC domain."""

    def __init__(self):
        self._rtc = machine.RTC()

    def write(self, data):
        """Keep up to 2048 bytes."""
        self._rtc.memory(data)

    def read(self):
        """What was kept last, if nothing has spoilt it: bytes of any content, b"" when there are none."""
        return self._rtc.memory()


class ChipClock(Clock):
    """A clock that is kept in the chip's own, which outlives a reset, not a loss of power, and drifts meanwhile."""

    def __init__(self):
        super().__init__()
        self._rtc = machine.RTC()
        if self._rtc.datetime()[0] >= _FIRST_YEAR:
            self.set_about(time.time() + _EPOCH_2000_S)
            self.is_set = True

    def save(self):
        """Write the time, if it is known, into the chip's clock."""
        if self.is_set:
            year, month, day, hour, minute, second, weekday = time.gmtime(self.now() - _EPOCH_2000_S)[:7]
            self._rtc.datetime((year, month, day, weekday, hour, minute, second, 0))


class Esp32Board:
    """The ports of a token on any ESP32 with Bluetooth; boards/virtual/board.py has the same names.

    Args:
        watched: whether the watchdog is started, which then cannot be stopped; service.py has none.

    Raises:
        OSError: there is no partition for the log.
    """

    settings = settings

    def __init__(self, watched=True):
        found = esp32.Partition.find(esp32.Partition.TYPE_DATA, label=settings.LOG_PARTITION)
        if not found:
            raise OSError("there is no partition " + settings.LOG_PARTITION + ": see deploy.md")
        self.store = PartitionStore(found[0])
        self.clock = ChipClock()  # the technician's tool has set it to UTC
        self.scratch = RtcMemory()
        self.entropy = Entropy()
        self.power = Power(settings.PINS_BATTERY_ADC, settings.BATTERY_DIVIDER_RATIO_X100, settings.PINS_BUTTON)
        self.indicator = Indicator(settings.PINS_RED, settings.PINS_GREEN, settings.PINS_BLUE)
        self.button = PinButton(settings.PINS_BUTTON)
        if watched:
            self.watchdog = machine.WDT(timeout=_WATCHDOG_MS)  # from now on the app must feed it

    def make_radio(self, ring):
        """The radio, filling `ring`; the button ends its waits."""
        if settings.POWER_SLEEP == "light":
            from adapters.light_sleep import SleepingRadio  # other boards shall not pay for it

            radio = SleepingRadio(ring, self.power.wait, LightSleep(self.button, self.indicator))
        else:
            radio = Radio(ring, self.power.wait)
        self.button.on_edge = radio.wake
        return radio

    def heap_bytes(self):
        """Heap in use, for the technician."""
        return gc.mem_alloc()
