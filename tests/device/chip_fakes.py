"""What an ESP32 has and the MicroPython VM has not, as Python source for PtyBoard: made up, and only as deep as needed.

The partition behaves like NOR flash and lies in a file, so that a test sees the bytes that a thief would read.
"""

from pathlib import Path

LOG_BLOCKS = 256

SYS = """
import sys as _sys
class _Fake:
    pass
def _copy(module):
    fake = _Fake()
    for name in dir(module):
        setattr(fake, name, getattr(module, name))
    _sys.modules[module.__name__] = fake
    return fake
class _Implementation:
    def __init__(self, name="micropython", version=(1, 29, 0, ""), mpy=2822, machine="Board with ESP32"):
        self._items = (name, version)
        self._mpy = mpy
        self._machine = machine
    def __getitem__(self, index):
        return self._items[index]
def _claim(platform, **implementation):
    fake = _copy(_sys)
    fake.platform = platform
    fake.implementation = _Implementation(**implementation)
"""

_ESP32 = """
_claim("esp32")
import os as _os
import time as _time

def _sleep(s):  # takes no time: what a board would wait for has happened, if the test wants it to
    try:
        _os.stat(PRESS)
    except OSError:
        return
    for level in (0, 1):
        _Pin.watched.level = level
        _Pin.watched.on_edge(_Pin.watched)
        _time.sleep_ms(40)  # longer than it bounces

_EPOCH_2000_S = 946_684_800

def _now():
    try:
        with open(CLOCK) as file:
            return int(_time.time()) + int(file.read())
    except OSError:
        return _EPOCH_2000_S  # the clock was never set

_board_time = _copy(_time)
_board_time.sleep = _sleep
_board_time.time = lambda: _now() - _EPOCH_2000_S
_board_time.gmtime = lambda s: _time.gmtime(s + _EPOCH_2000_S)

class _Partition:
    TYPE_DATA = 1
    @staticmethod
    def find(kind, label):
        return [_Partition()] if label == "log" else []
    def __init__(self):
        self._image = open(FLASH, "r+b")
    def info(self):
        return (1, 6, 0x300000, BLOCKS * 4096, "log", False)
    def ioctl(self, what, block):
        if what == 4:
            return BLOCKS
        if what == 5:
            return 4096
        self._image.seek(block * 4096)
        for _ in range(16):
            self._image.write(b"\\xff" * 256)
        self._image.flush()
        return 0
    def readblocks(self, block, buf, offset):
        self._image.seek(block * 4096 + offset)
        self._image.readinto(buf)
    def writeblocks(self, block, data, offset):
        old = bytearray(len(data))
        self.readblocks(block, old, offset)
        for i in range(len(data)):
            old[i] &= data[i]
        self._image.seek(block * 4096 + offset)
        self._image.write(old)
        self._image.flush()

class _Pin:
    IN = OUT = PULL_UP = IRQ_FALLING = IRQ_RISING = 1
    def __init__(self, number, *_how, value=1):
        self.level = value
    def value(self, level=None):
        if level:
            with open(LIGHT, "a") as file:
                file.write("*")
        return self.level
    def irq(self, on_edge, *_how):
        self.on_edge = on_edge
        _Pin.watched = self

class _ADC:
    ATTN_11DB = 3
    def __init__(self, pin, atten):
        pass
    def read_uv(self):
        return 1_950_000

class _Timer:
    ONE_SHOT = 0
    def __init__(self, number):
        pass
    def init(self, **_how):
        pass

class _RTC:
    def memory(self, data=None):
        if data is None:
            try:
                with open(SCRATCH, "rb") as file:
                    return file.read()
            except OSError:
                return b""
        with open(SCRATCH, "wb") as file:
            file.write(data)
    def datetime(self, fields=None):
        if fields is None:
            year, month, day, hour, minute, second, weekday = _time.gmtime(_now())[:7]
            return (year, month, day, weekday, hour, minute, second, 0)
        year, month, day, _, hour, minute, second = fields[:7]
        with open(CLOCK, "w") as file:
            file.write(str(int(_time.mktime((year, month, day, hour, minute, second, 0, 0))) - int(_time.time())))

class _WDT:
    def __init__(self, timeout):
        assert WATCHED, "nobody feeds a watchdog here"
    def feed(self):
        pass

import machine as _machine
_machine = _copy(_machine)
_machine.Pin, _machine.ADC, _machine.Timer, _machine.RTC, _machine.WDT = _Pin, _ADC, _Timer, _RTC, _WDT
_esp32 = _Fake()
_esp32.Partition = _Partition
_sys.modules["esp32"] = _esp32

class _BLE:
    _mac = b"\\0" * 6
    def active(self, on):
        pass
    def irq(self, handler):
        self._handler = handler
    def config(self, name=None, addr_mode=None):
        if addr_mode is not None:
            self._mac = _os.urandom(6)
        return (1, self._mac)
    def gatts_register_services(self, services):
        return ((1,), (2, 3))
    def gatts_set_buffer(self, handle, length):
        pass
    def gatts_write(self, handle, value):
        pass
    def gap_advertise(self, interval_us, payload=None, resp_data=None):
        if RADIO_BROKEN and interval_us:
            raise OSError(5)
    def gap_scan(self, ms, interval_us=0, window_us=0, active=False):
        self._handler(6, None)
_bluetooth = _Fake()
_bluetooth.BLE = _BLE
_bluetooth.UUID = lambda text: text
_sys.modules["bluetooth"] = _bluetooth
"""


def esp32(device: Path, radio_broken: bool = False, blocks: int = LOG_BLOCKS, watched: bool = False) -> str:
    """Fakes for a board whose file system is `device`; flash, scratch memory and clock lie in files beside it.

    Args:
        watched: whether a watchdog may be started, as only a token at work does.
    """
    flash = flash_file(device)
    if not flash.exists():
        flash.write_bytes(b"\xff" * (4096 * blocks))
    names = (
        f"FLASH = {str(flash)!r}\nSCRATCH = {str(device.with_suffix('.scratch'))!r}\n"
        f"CLOCK = {str(device.with_suffix('.clock'))!r}\nBLOCKS = {blocks}\nRADIO_BROKEN = {radio_broken}\n"
        f"WATCHED = {watched}\nPRESS = {str(press_file(device))!r}\nLIGHT = {str(light_file(device))!r}\n"
    )
    return SYS + names + _ESP32


def flash_file(device: Path) -> Path:
    """The log's partition."""
    return device.with_suffix(".flash")


def press_file(device: Path) -> Path:
    """While it is there, somebody presses the button whenever the token waits."""
    return device.with_suffix(".press")


def light_file(device: Path) -> Path:
    """A byte for every time that a light went on."""
    return device.with_suffix(".light")
