"""The ports of ESP32 boards that are not the radio: entropy, power, light, button. Never seen on hardware yet."""

import os
from time import sleep_ms, ticks_add, ticks_diff, ticks_ms

import esp32
import machine

from adapters.button import ContactButton
from tracing.patterns import Player

_STEP_MS = 20  # how late an event may be noticed; FreeRTOS sleeps in between


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
        button_pin: wakes the board when it has been switched off.
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
        esp32.wake_on_ext0(machine.Pin(self._button_pin, machine.Pin.IN, machine.Pin.PULL_UP), esp32.WAKEUP_ALL_LOW)
        machine.deepsleep()

    def battery_mv(self):
        """Battery voltage in millivolts."""
        return self._adc.read_uv() // 1000 * self._ratio_x100 // 100


class Indicator:
    """A light of up to three colours, played by a timer that runs only while a pattern does.

    Args:
        pins: for red, green and blue; boards with one light give it three times.
    """

    def __init__(self, *pins):
        self._pins = [machine.Pin(pin, machine.Pin.OUT, value=0) for pin in pins]
        self._player = Player()
        self._timer = machine.Timer(0)

    def show(self, pattern):
        """Show a pattern of tracing.patterns, unless a more important one is on."""
        if self._player.show(pattern, ticks_ms()):
            self._step(None)

    def _step(self, _timer):
        colour, left_ms = self._player.now(ticks_ms())
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
        self._pin = machine.Pin(pin, machine.Pin.IN, machine.Pin.PULL_UP)
        self._pin.irq(self._changed, machine.Pin.IRQ_FALLING | machine.Pin.IRQ_RISING)

    def _changed(self, pin):
        self.edge(not pin.value())
