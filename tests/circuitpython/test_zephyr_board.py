"""The Zephyr board: refuses to run with an address that never changes, and works around the rest."""

import importlib.util
import types
from typing import Any

import pytest
from circuit_token import ROOT, importing, module, settings_of

from tracing.errors import RadioError, StoreError

BOARD = ROOT / "boards" / "nrf52840_zephyr"
ID = bytes(range(12))


class Bluetooth:
    """MicroPython's `bluetooth.BLE` as far as this board's own code goes: notes the calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.notify_errno = 0
        self.scans: list[tuple] = []

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            self.calls.append(name + "".join(f" {option}={value}" for option, value in options.items()))
            if name == "config" and args == ("mac",):
                return 1, b"\xc0 same"
            if name == "gatts_register_services":
                return (1,), (2, 3)
            if name == "gatts_notify" and self.notify_errno:
                raise OSError(self.notify_errno, "")
            if name == "gap_scan":
                self.scans.append(args)
                raise OSError(22, "")
            return None

        return call


class Area:
    """zephyr.FlashArea: returns codes."""

    def __init__(self, code: int = 0) -> None:
        self.code = code
        self.calls: list[tuple] = []

    def readblocks(self, *args: Any) -> int:
        self.calls.append(args)
        return self.code

    writeblocks = readblocks

    def ioctl(self, operation: int, argument: int) -> int:
        return {4: 64, 5: 4096}.get(operation, self.code)


class Pin:
    """machine.Pin"""

    IN, OUT, PULL_UP, IRQ_FALLING, IRQ_RISING = range(5)

    def __init__(self, where: tuple[str, int], *_args: int, **_options: int) -> None:
        assert where[0] == "gpio0"
        self.irq = lambda *_: None
        self.value = lambda *_: 1


def load(ble: Bluetooth, allowed: bool, area: Area | None = None) -> Any:
    """The board's module."""
    modules = {
        "bluetooth": module("bluetooth", BLE=lambda: ble, UUID=str),
        "machine": module("machine", WDT=lambda timeout: None, Pin=Pin),
        "micropython": module("micropython", const=lambda value: value),
        "settings": module("settings", **(settings_of(BOARD) | {"RADIO_ALLOW_FIXED_ADDRESS": allowed})),
        "time": module(
            "time", ticks_ms=lambda: 0, ticks_add=lambda a, b: a + b, ticks_diff=lambda a, b: a - b, sleep_ms=None
        ),
        "zephyr": module("zephyr", FlashArea=lambda number, block_bytes: area or Area()),
    }
    with importing(modules | {"board": module("board")}, (ROOT / "firmware",)):
        spec = importlib.util.spec_from_file_location("zephyr_board", BOARD / "board.py")
        assert spec is not None
        assert spec.loader is not None
        made = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
    return made


def test_it_does_not_run_unless_a_fixed_address_is_allowed() -> None:
    assert settings_of(BOARD)["RADIO_ALLOW_FIXED_ADDRESS"] is False
    ble = Bluetooth()
    with pytest.raises(RadioError, match="follow the wearer"):
        load(ble, False).Board().make_radio(None)
    assert ble.calls == []


def test_allowed_it_changes_the_id_alone_and_frees_what_advertising_leaks() -> None:
    ble = Bluetooth()
    radio = load(ble, True).Board().make_radio(types.SimpleNamespace(heard=0))
    radio.start()
    assert ble.calls[:2] == ["config rxbuf=4096", "active"]
    ble.calls.clear()
    radio.change_identity(ID)
    assert ble.calls.index("gap_advertise") < ble.calls.index("active") < ble.calls.index("gatts_write")
    radio.kiosk = 1
    ble.calls.clear()
    radio.change_identity(ID)
    assert "active" not in ble.calls  # the kiosk may stay
    assert radio.read_phone_id(1, b"123456", 10_000) == b""


def test_a_scan_of_no_length_is_asked_for_nobody() -> None:
    ble = Bluetooth()
    radio = load(ble, True).Board().make_radio(types.SimpleNamespace(heard=0))
    assert not radio.scan(0, 90_000, None)
    assert ble.scans[0][0] == 1


def test_no_room_has_either_sign() -> None:
    ble = Bluetooth()
    radio = load(ble, True).Board().make_radio(types.SimpleNamespace(heard=0))
    radio.start()
    assert radio.notify(1, b"x")
    for ble.notify_errno in (-12, 12):
        assert not radio.notify(1, b"x")
    ble.notify_errno = -128
    with pytest.raises(OSError, match="128"):
        radio.notify(1, b"x")


def test_codes_that_the_flash_returns_are_errors() -> None:
    store = load(Bluetooth(), True, Area()).Board().store
    assert (store.blocks, store.block_bytes) == (64, 4096)
    store.read(4100, bytearray(3))
    store.program(4100, b"abc")
    store.erase(1)
    assert [(block, len(buf), at) for block, buf, at in store._partition._area.calls] == [(1, 3, 4)] * 2
    failing = load(Bluetooth(), True, Area(-5)).Board().store
    for operation in (
        lambda: failing.read(0, bytearray(1)), lambda: failing.program(0, b"x"), lambda: failing.erase(0)
    ):  # fmt: skip
        with pytest.raises(StoreError, match="5"):
            operation()
