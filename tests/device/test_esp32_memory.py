"""What an ESP32 keeps through a reset: the time, and bytes in its RTC memory. Over stand-ins of the port's modules."""

import calendar
import importlib
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FIRMWARE = str(Path(__file__).parents[2] / "firmware")
EPOCH_2000_S = 946_684_800
NOW_S = 1_800_000_000  # 2027: an earlier year than 2024 means never set


class Chip:
    """What outlives a reset: seconds since 2000-01-01, as after a power-on at first, and 2048 bytes."""

    def __init__(self) -> None:
        self.s = 0
        self.ram = b""
        self.ticks = 0

    def RTC(self) -> "Chip":
        return self

    def datetime(self, fields: tuple[int, ...] | None = None) -> tuple[int, ...] | None:
        if fields is None:
            year, month, day, hour, minute, second, weekday, _, _ = time.gmtime(self.s + EPOCH_2000_S)
            return year, month, day, weekday, hour, minute, second, 0
        year, month, day, _, hour, minute, second, _ = fields
        self.s = calendar.timegm((year, month, day, hour, minute, second)) - EPOCH_2000_S
        return None

    def memory(self, data: bytes | None = None) -> bytes | None:
        if data is None:
            return self.ram
        assert len(data) <= 2048
        self.ram = bytes(data)
        return None


@pytest.fixture
def chip() -> Chip:
    return Chip()


@pytest.fixture
def ports(chip: Chip) -> Iterator[Any]:
    """firmware/adapters/esp32.py on `chip`."""
    clock = types.SimpleNamespace(
        time=lambda: chip.s, gmtime=lambda s: tuple(time.gmtime(s + EPOCH_2000_S))[:8], sleep_ms=int,
        ticks_ms=lambda: chip.ticks, ticks_add=lambda a, b: a + b, ticks_diff=lambda a, b: a - b,
    )  # fmt: skip
    stand_ins = {
        "time": clock, "machine": chip, "esp32": object(), "settings": object(), "bluetooth": object(),
        "micropython": types.SimpleNamespace(const=lambda value: value),
    }  # fmt: skip
    before = dict(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FIRMWARE)
        for name in [name for name in sys.modules if name.partition(".")[0] == "adapters"]:
            patch.delitem(sys.modules, name)
        for name, stand_in in stand_ins.items():
            patch.setitem(sys.modules, name, stand_in)
        yield importlib.import_module("adapters.esp32")
        for name in [name for name in sys.modules if name.partition(".")[0] == "adapters" and name not in before]:
            del sys.modules[name]


def test_a_chip_that_has_never_been_told_the_time_does_not_know_it(ports: Any, chip: Chip) -> None:
    clock = ports.ChipClock()
    assert not clock.is_set
    clock.set_about(NOW_S)
    clock.save()
    assert chip.s == 0  # a time that is only known about is not kept: it would be believed after the reset


def test_the_time_that_was_set_outlives_a_reset(ports: Any, chip: Chip) -> None:
    clock = ports.ChipClock()
    clock.set(NOW_S, 250)
    chip.ticks += 90_000
    clock.save()
    assert chip.s == NOW_S + 90 - EPOCH_2000_S
    chip.s += 5
    again = ports.ChipClock()
    assert again.is_set
    assert again.now() == NOW_S + 95
    chip.ticks += 86_400_000
    again.set(NOW_S + 90_000)  # an hour off, but it was not this clock that was set before
    assert again.skew_ppm == 0


def test_bytes_outlive_a_reset(ports: Any) -> None:
    memory = ports.RtcMemory()
    assert memory.read() == b""
    memory.write(memoryview(bytes(range(200)))[3:])
    assert ports.RtcMemory().read() == bytes(range(3, 200))
