"""The ports of a CircuitPython board that are not the radio, and the board made of them. Never seen on hardware yet."""

import gc
import os
import time

import alarm
import analogio
import board
import digitalio
import keypad
import microcontroller
import settings
from micropython import const
from watchdog import WatchDogMode

from adapters.bleio_radio import BleioRadio
from adapters.clock import Clock
from adapters.cures import never
from adapters.file_store import FileStore
from adapters.supervisor_ticks import ticks_add, ticks_diff, ticks_ms
from tracing.button import Button
from tracing.patterns import Player

_IDLE_STEP_MS = const(100)  # how late a phone's or a kiosk's arrival may be noticed
_BRISK_STEP_MS = const(10)  # while somebody is connected or the button is down
_KEY_SCAN_S = 0.02
_WATCHDOG_S = const(600)  # longer than a whole sync, and than all cures of the radio take together
_FULL_SCALE = const(65535)
_OFF_AT = const(2)  # place in sleep memory, which outlives a reset; safemode.py has the two before it
_OFF_MARK = const(0x0F)


class Entropy:
    """Random bytes from the chip."""

    def fill(self, buf):
        """Fill `buf`."""
        buf[:] = os.urandom(len(buf))


def _pin(name):
    return getattr(board, name)


def _output(name, value):
    pin = digitalio.DigitalInOut(_pin(name))
    pin.switch_to_output(value)
    return pin


class Indicator:
    """A light of up to three colours. Nothing runs by itself: who waits calls `step`.

    Args:
        names: of the pins for red, green and blue; boards with one light give it three times.
        low_is_on: whether the lights hang between the supply and their pins.
    """

    def __init__(self, names, low_is_on):
        self._low_is_on = low_is_on
        pins = {name: _output(name, low_is_on) for name in names}
        self._pins = [pins[name] for name in names]
        self._player = Player()

    def show(self, pattern):
        """Show a pattern of tracing.patterns, unless a more important one is on."""
        if self._player.show(pattern, ticks_ms()):
            self.step()

    def step(self):
        """Switch the lights as the pattern wants them now.

        Returns:
            Milliseconds until they may change; 0 when the pattern is over.
        """
        colour, left_ms = self._player.now(ticks_ms())
        self._light(colour)
        return left_ms

    def rest(self):
        """Dark until the next `step`: nobody will call it for seconds."""
        self._light(0)

    def _light(self, colour):
        for pin in self._pins:
            pin.value = self._low_is_on
        for i in range(len(self._pins)):
            if colour >> i & 1:
                self._pins[i].value = not self._low_is_on


def _nothing():
    pass


class KeypadButton:
    """A button to ground. CircuitPython notes its edges with their times, whatever the program is doing.

    Attributes:
        on_edge: called by `poll` when there was an edge.
    """

    def __init__(self, name):
        self._name = name
        self._keys = keypad.Keys((_pin(name),), value_when_pressed=False, pull=True, interval=_KEY_SCAN_S)
        self._button = Button()
        self.on_edge = _nothing

    def poll(self):
        """Look at the edges that came since the last look."""
        event = self._keys.events.get()
        while event:
            self._button.edge(event.pressed, event.timestamp)
            self.on_edge()
            event = self._keys.events.get()

    def take(self):
        """The next gesture, one of tracing.button's; NOTHING mostly."""
        self.poll()
        return self._button.update(ticks_ms())

    @property
    def restless(self):
        """True while there may be something to tell without another edge: call `take` every few hundred ms."""
        return self._button.restless

    def wake_alarm(self):
        """Give the pin up; returns the alarm of its next press."""
        self._keys.deinit()
        return alarm.pin.PinAlarm(_pin(self._name), value=False, pull=True)  # pyright: ignore[reportAttributeAccessIssue]


class Power:
    """Sleep between two events, and the battery's voltage.

    Args:
        name: of the pin where the divided battery voltage is measured.
        enable: of a pin that connects the divider while it is low, or "".
        ratio_x100: what to multiply the measured voltage with, times 100.
        indicator, button: looked after while the program waits.

    Attributes:
        is_brisk: called to learn whether `wait` shall look often.
    """

    def __init__(self, name, enable, ratio_x100, indicator, button):
        self._adc = analogio.AnalogIn(_pin(name))
        self._enable = _output(enable, True) if enable else None
        self._ratio_x100 = ratio_x100
        self._indicator = indicator
        self._button = button
        self.is_brisk = never

    def wait(self, ms, woken):
        """Sleep up to `ms`, less when `woken()` turns true."""
        end = ticks_add(ticks_ms(), ms)
        while True:
            self._button.poll()
            light_ms = self._indicator.step()
            if woken():
                return
            left_ms = ticks_diff(end, ticks_ms())
            if left_ms <= 0:
                return
            step_ms = _BRISK_STEP_MS if self.is_brisk() or self._button.restless else _IDLE_STEP_MS
            if light_ms:
                step_ms = min(step_ms, light_ms)
            time.sleep(min(left_ms, step_ms) / 1000)

    def off(self):
        """Deep sleep until the button is pressed: the board then starts anew."""
        self._indicator.rest()
        alarm.sleep_memory[_OFF_AT] = _OFF_MARK
        alarm.exit_and_deep_sleep_until_alarms(self._button.wake_alarm())

    def stay_off(self):
        """After a reset: back to sleep if only the watchdog, which goes on in some deep sleeps, has ended it."""
        was_off = alarm.sleep_memory[_OFF_AT] == _OFF_MARK
        alarm.sleep_memory[_OFF_AT] = 0
        if was_off and microcontroller.cpu.reset_reason == microcontroller.ResetReason.WATCHDOG:
            self.off()

    def battery_mv(self):
        """Battery voltage in millivolts."""
        if self._enable:
            self._enable.value = False
        value = self._adc.value
        if self._enable:
            self._enable.value = True
        return value * int(self._adc.reference_voltage * 1000) // _FULL_SCALE * self._ratio_x100 // 100


class Watchdog:
    """Resets the chip when it is not fed for two minutes; once started it cannot be stopped."""

    def __init__(self):
        timer = microcontroller.watchdog
        assert timer is not None  # every nRF52840 has one
        self._timer = timer
        self._timer.timeout = _WATCHDOG_S
        self._timer.mode = WatchDogMode.RESET

    def feed(self):
        """Real progress has been made."""
        self._timer.feed()


class CircuitPythonBoard:
    """The ports of a token; boards/virtual/board.py has the same names.

    The clock is unset after every reset: the chip keeps no time, and the token goes on from the last time it wrote
    down.

    Args:
        watched: whether the watchdog is started; service.py has none.

    Raises:
        OSError: the file for the log is missing, or a PC may write to the drive (boot.py).
    """

    settings = settings

    def __init__(self, watched=True):
        self.store = FileStore(open(settings.LOG_FILE, "r+b"), os.sync, settings.LOG_BLOCKS + 2)
        self.clock = Clock()
        self.scratch = None  # the chip's sleep memory is too small for the table of encounters
        self.entropy = Entropy()
        lights = (settings.PINS_RED, settings.PINS_GREEN, settings.PINS_BLUE)
        self.indicator = Indicator(lights, settings.PINS_LOW_IS_ON)
        self.button = KeypadButton(settings.PINS_BUTTON)
        self.power = Power(
            settings.PINS_BATTERY_ADC, settings.PINS_BATTERY_ENABLE, settings.BATTERY_DIVIDER_RATIO_X100,
            self.indicator, self.button,
        )  # fmt: skip
        self.power.stay_off()
        if watched:
            self.watchdog = Watchdog()

    def make_radio(self, ring):
        """The radio, filling `ring`; the button ends its waits."""
        radio = BleioRadio(ring, self.power.wait, self.indicator.rest)
        self.button.on_edge = radio.wake
        self.power.is_brisk = radio.is_connected
        return radio

    def heap_bytes(self):
        """Heap in use, for the technician."""
        return gc.mem_alloc()  # pyright: ignore[reportAttributeAccessIssue]
