"""The ports of ESP32 boards that are not the radio: entropy, power, light, button. Never seen on hardware yet."""

import os
from time import sleep_ms, ticks_add, ticks_diff, ticks_ms

import machine

_STEP_MS = 20  # how late an event may be noticed; FreeRTOS sleeps in between
_DEBOUNCE_MS = 50


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
    """

    def __init__(self, adc_pin, ratio_x100):
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

    def battery_mv(self):
        """Battery voltage in millivolts."""
        return self._adc.read_uv() // 1000 * self._ratio_x100 // 100


class Indicator:
    """One light on one pin: so many short flashes as the pattern's number says."""

    def __init__(self, pin):
        self._pin = machine.Pin(pin, machine.Pin.OUT, value=0)
        self._timer = machine.Timer(0)
        self._edges = 0

    def show(self, pattern):
        """Show a pattern of `tracing.patterns`; it ends by itself."""
        self._edges = 2 * pattern
        if pattern:
            self._timer.init(mode=machine.Timer.PERIODIC, period=120, callback=self._edge)

    def _edge(self, timer):
        self._edges -= 1
        self._pin.value(self._edges & 1)
        if self._edges <= 0:
            self._pin.value(0)
            timer.deinit()


def _nothing():
    pass


class Button:
    """A button to ground.

    Attributes:
        on_press: called on a press, in the irq.
    """

    def __init__(self, pin):
        self._pressed = False
        self._last = ticks_ms()
        self.on_press = _nothing
        self._pin = machine.Pin(pin, machine.Pin.IN, machine.Pin.PULL_UP)
        self._pin.irq(self._press, machine.Pin.IRQ_FALLING)

    def _press(self, _pin):
        now = ticks_ms()
        if ticks_diff(now, self._last) > _DEBOUNCE_MS:
            self._pressed = True
            self.on_press()
        self._last = now

    def take_press(self):
        """True once per press."""
        pressed = self._pressed
        self._pressed = False
        return pressed
