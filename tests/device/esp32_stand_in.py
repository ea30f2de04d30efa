"""The modules that MicroPython has on an ESP32, in virtual time: a chip that sleeps, a radio that must be off then.

Nothing of it is hardware. What the radio does on the air is kept in `Radio.air`.
"""

import calendar
import heapq
import time as real_time
import types
from collections.abc import Callable
from random import Random
from typing import Any, ClassVar, NamedTuple

EPOCH_2000_S = 946_684_800
RESTART_MS = 60  # what the radio takes to be switched on
BLOCK_BYTES = 4096
_CENTRAL_CONNECT, _CENTRAL_DISCONNECT, _SCAN_RESULT, _SCAN_DONE = 1, 2, 5, 6


class Event(NamedTuple):
    """One advertising event."""

    at_ms: int
    address: bytes
    payload: bytes
    response: bytes


class Chip:
    """Time, the button, and sleep. `drift_ppm`: how much too slow the counter runs asleep (RC oscillator)."""

    def __init__(self, drift_ppm: int = 0) -> None:
        self.true_ms = 0  # of the world
        self.lag_us = 0  # what the counter has lost of it
        self.drift_ppm = drift_ppm
        self.asleep = False
        self.slept_ms = 0
        self.naps = 0
        self.fed_ms: list[int] = []
        self.rtc_s = 0
        self.ram = b""
        self.flash = bytearray(b"\xff" * BLOCK_BYTES * 10)
        self.random = Random(1)
        self.radio = Radio(self)
        self.pin = ButtonPin()
        self.wake_level: bool | None = None
        self.shown: list[int] = []
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0

    @property
    def ticks(self) -> int:
        """What ticks_ms says."""
        return self.true_ms - self.lag_us // 1000

    def at(self, true_ms: int, do: Callable[[], None]) -> None:
        """Let `do` happen at a moment of the world."""
        self._order += 1
        heapq.heappush(self._due, (true_ms, self._order, do))

    def press(self, true_ms: int, lasts_ms: int) -> None:
        """A press of the button."""
        self.at(true_ms, lambda: self._contact(True))
        self.at(true_ms + lasts_ms, lambda: self._contact(False))

    def _contact(self, down: bool) -> None:
        self.pin.level = 0 if down else 1
        if not self.asleep and self.pin.armed:  # no edge is seen asleep
            self.pin.handler(self.pin)

    def run(self, ms: int) -> None:
        """Let time pass, awake."""
        end = self.true_ms + ms
        while self._due and self._due[0][0] <= end:
            at, _, do = heapq.heappop(self._due)
            self.true_ms = max(self.true_ms, at)
            do()
        self.true_ms = max(self.true_ms, end)

    def lightsleep(self, ms: int) -> None:
        """Light sleep: ends by the timer, or by the level that the button's pin waits for."""
        assert not self.radio.on, "BLE does not live through it"
        assert ms > 0
        self.asleep = True
        self.naps += 1
        self.pin.armed = False
        begun = self.true_ms
        end = begun + ms + ms * self.drift_ppm // 1_000_000  # the timer is as slow as the counter
        while self.true_ms < end and bool(self.pin.level) != self.wake_level:
            following = self._due[0][0] if self._due else end
            self.run(max(1, min(end, following) - self.true_ms))
        self.asleep = False
        passed_ms = self.true_ms - begun
        self.slept_ms += passed_ms
        self.lag_us += passed_ms * 1000 - passed_ms * 1_000_000_000 // (1_000_000 + self.drift_ppm)

    def modules(self, settings: Any) -> dict[str, Any]:
        """What the firmware imports on this chip."""
        return {
            "time": types.SimpleNamespace(
                time=lambda: self.rtc_s,
                gmtime=lambda s: tuple(real_time.gmtime(s + EPOCH_2000_S))[:8],
                sleep_ms=self.run,
                ticks_ms=lambda: self.ticks & 0x3FFFFFFF,
                ticks_add=lambda a, b: (a + b) & 0x3FFFFFFF,
                ticks_diff=lambda a, b: ((a - b + 0x20000000) & 0x3FFFFFFF) - 0x20000000,
            ),
            "machine": _machine(self),
            "esp32": types.SimpleNamespace(
                Partition=_partition(self), WAKEUP_ALL_LOW=False, WAKEUP_ANY_HIGH=True, wake_on_gpio=self._wake_on_gpio
            ),
            "bluetooth": types.SimpleNamespace(BLE=lambda: self.radio, UUID=lambda value: value),
            "micropython": types.SimpleNamespace(const=lambda value: value),
            "settings": settings,
        }

    def _wake_on_gpio(self, pins: tuple[Any, ...], level: bool) -> None:
        assert pins == (self.pin,)
        self.wake_level = level


class ButtonPin:
    """A contact to ground with its interrupt."""

    def __init__(self) -> None:
        self.level = 1
        self.armed = False
        self.handler: Callable[[Any], None] = lambda _pin: None

    def value(self) -> int:
        return self.level

    def irq(self, handler: Callable[[Any], None], trigger: int) -> None:
        assert trigger == 3
        self.handler = handler
        self.armed = True


def _machine(chip: Chip) -> Any:
    class Pin:
        IN, OUT, PULL_UP, IRQ_FALLING, IRQ_RISING = 0, 1, 2, 1, 2

        def __new__(cls, number: int, *_args: int, value: int = 0) -> Any:
            return chip.pin if number == 0 else object.__new__(cls)

        def value(self, level: int) -> None:
            pass

    class Timer:
        ONE_SHOT = 0

        def __init__(self, _number: int) -> None:
            self._run = 0

        def init(self, mode: int, period: int, callback: Callable[[Any], None]) -> None:
            self._run += 1
            run = self._run

            def ring() -> None:
                assert not chip.asleep, "a pattern froze"
                if run == self._run:
                    callback(self)

            chip.at(chip.true_ms + period, ring)

    class RTC:
        def datetime(self, fields: tuple[int, ...] | None = None) -> tuple[int, ...] | None:
            if fields is None:
                return (2000,)
            year, month, day, _, hour, minute, second, _ = fields
            chip.rtc_s = calendar.timegm((year, month, day, hour, minute, second)) - EPOCH_2000_S
            return None

        def memory(self, data: bytes | None = None) -> bytes | None:
            if data is None:
                return chip.ram
            assert len(data) <= 2048
            chip.ram = bytes(data)
            return None

    class ADC:
        ATTN_11DB = 3

        def __init__(self, _pin: Any, atten: int) -> None:
            pass

        def read_uv(self) -> int:
            return 2_000_000

    return types.SimpleNamespace(
        Pin=Pin, Timer=Timer, RTC=RTC, ADC=ADC, lightsleep=chip.lightsleep,
        WDT=lambda timeout: types.SimpleNamespace(feed=lambda: chip.fed_ms.append(chip.true_ms)),
    )  # fmt: skip


def _partition(chip: Chip) -> Any:
    class Partition:
        TYPE_DATA = 1

        @classmethod
        def find(cls, _type: int, label: str) -> list[Any]:
            return [cls()]

        def ioctl(self, op: int, block: int) -> int:
            if op == 6:
                chip.flash[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES] = b"\xff" * BLOCK_BYTES
            return {4: len(chip.flash) // BLOCK_BYTES, 5: BLOCK_BYTES, 6: 0}[op]

        def readblocks(self, block: int, buf: Any, offset: int) -> None:
            at = block * BLOCK_BYTES + offset
            buf[:] = chip.flash[at : at + len(buf)]

        def writeblocks(self, block: int, data: Any, offset: int) -> None:
            at = block * BLOCK_BYTES + offset
            for i, byte in enumerate(bytes(data)):
                chip.flash[at + i] &= byte

    return Partition


class Radio:
    """`bluetooth.BLE`: every start gives it its fixed address back, and it has services only once registered."""

    FIXED: ClassVar[bytes] = b"fixed!"

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        self.on = False
        self.starts = 0
        self.air: list[Event] = []
        self.neighbours: list[bytes] = []  # payloads that each scan hears
        self._address = self.FIXED
        self._handler: Callable[[int, Any], None] | None = None
        self._services = False
        self._since_ms = -1  # advertising; negative: not
        self._interval_ms = 0
        self._payload = self._response = b""
        self._scan = 0  # number of the one that goes on; 0: none
        self._scans = 0
        self.connected = False

    def active(self, on: bool) -> None:
        if on and not self.on:
            self._chip.run(RESTART_MS)
            self.starts += 1
            self._address = self.FIXED
        elif not on:
            assert self._since_ms < 0, "switched off while it advertises"
            assert not self._scan, "switched off while it scans"
            assert not self.connected, "switched off under a connection"
            self._services = False
        self.on = on

    def irq(self, handler: Callable[[int, Any], None]) -> None:
        self._handler = handler

    def config(self, name: str | None = None, addr_mode: int = 0) -> Any:
        assert self.on
        if name == "mac":
            return 1, self._address
        if self._since_ms < 0 and not self._scan:  # else it is ignored, without a word
            self._address = self._chip.random.randbytes(6)
        return None

    def gatts_register_services(self, _services: Any) -> tuple[tuple[int, ...], ...]:
        assert self.on
        self._services = True
        return (1,), (2, 3)

    def gatts_set_buffer(self, _handle: int, _length: int) -> None:
        assert self._services

    def gatts_write(self, _handle: int, data: bytes) -> None:
        assert self._services
        self.readable = bytes(data)

    def gap_advertise(self, interval_us: int | None, data: bytes = b"", resp_data: bytes = b"") -> None:
        assert self.on
        self._stop_advertising()
        if interval_us is not None:
            assert self._services
            self._since_ms = self._chip.true_ms
            self._interval_ms = interval_us // 1000
            self._payload, self._response = bytes(data), bytes(resp_data)

    def _stop_advertising(self) -> None:
        if self._since_ms >= 0:
            for at_ms in range(self._since_ms, self._chip.true_ms, self._interval_ms):
                self.air.append(Event(at_ms, self._address, self._payload, self._response))
        self._since_ms = -1

    def gap_scan(self, ms: int | None, _interval: int = 0, _window: int = 0, _active: bool = False) -> None:
        assert self.on
        if ms is None:
            self._scan = 0
            return
        assert self._since_ms < 0, "its own advertisements would blank a part of the window"
        self._scans += 1
        self._scan = number = self._scans
        for payload in self.neighbours:
            self._chip.at(self._chip.true_ms + ms // 2, lambda payload=payload: self._hear(number, payload))
        self._chip.at(self._chip.true_ms + ms, lambda: self._end_scan(number))

    def _hear(self, number: int, payload: bytes) -> None:
        if self._scan == number and self._handler:
            self._handler(_SCAN_RESULT, (1, b"\x01" * 6, 0, -60, payload))

    def _end_scan(self, number: int) -> None:
        if self._scan == number and self._handler:
            self._scan = 0
            self._handler(_SCAN_DONE, None)

    def connect(self, lasts_ms: int) -> None:
        """A central connects, if there is anything to connect to, and leaves."""
        if self._since_ms < 0 or self.connected or not self._handler:
            return
        self._stop_advertising()
        self.connected = True
        self._handler(_CENTRAL_CONNECT, (1, 1, b"phone!"))
        self._chip.at(self._chip.true_ms + lasts_ms, self._leave)

    def _leave(self) -> None:
        self.connected = False
        if self._handler:
            self._handler(_CENTRAL_DISCONNECT, (1, 1, b"phone!"))

    def gap_disconnect(self, _handle: int) -> bool:
        self._chip.at(self._chip.true_ms + 20, self._leave)
        return True
