"""What an nRF52840 with CircuitPython has and the MicroPython VM has not, and the other way round, for PtyBoard.

Made up, and only as deep as the firmware goes. Waiting takes hardly any time.
"""

from pathlib import Path

from chip_fakes import SYS

from host_tools.provisioning.firmware_files import boards, store_blocks

BOARD = "nrf52840_circuitpython"

_MODULES = """
_claim("nRF52840", name="circuitpython", version=(10, 0, 3), mpy=6, machine="Seeed XIAO nRF52840 Sense with nRF52840")
import builtins as _builtins
import hashlib as _sha
import os as _os
import time as _time

# What CircuitPython does not have.
_import, _open = _builtins.__import__, _builtins.open
def _imported(name, *more):
    if name in ("machine", "esp32", "bluetooth"):
        raise ImportError("no module named '%s'" % name)
    return _import(name, *more)
def _opened(path, mode="r"):
    if mode == "r+b" and READ_ONLY:
        raise OSError(30)
    return _open(ROOT + path if path.startswith("/") else path, mode)
_builtins.__import__, _builtins.open = _imported, _opened
def _module(name, **contents):
    made = _Fake()
    for key in contents:
        setattr(made, key, contents[key])
    _sys.modules[name] = made
    return made
_module("hashlib", new=lambda name, data=b"": _sha.sha256(data))
_module("os", listdir=_os.listdir, stat=_os.stat, statvfs=_os.statvfs, urandom=_os.urandom, rename=_os.rename,
        sync=lambda: None)

_skipped_ms = 0
_edges = []
class _Edge:
    def __init__(self, pressed, timestamp):
        self.pressed, self.timestamp = pressed, timestamp
def _ticks_ms():
    return (_time.ticks_ms() + _skipped_ms) & 0x1FFFFFFF
def _sleep(s):
    global _skipped_ms
    _time.sleep_ms(1)
    before_ms = _skipped_ms
    _skipped_ms += int(s * 1000)
    if before_ms // 1000 == _skipped_ms // 1000:
        return
    try:  # a press a second, if the test wants it
        _os.stat(PRESS)
    except OSError:
        return
    _edges.append(_Edge(True, _ticks_ms()))
    _skipped_ms += 100
    _edges.append(_Edge(False, _ticks_ms()))
_module("time", sleep=_sleep, monotonic=_time.time)
_module("supervisor", ticks_ms=_ticks_ms, runtime=_Fake())

class _Pin:
    def __init__(self, name):
        self.value = True
    def switch_to_output(self, value):
        self.value = value
class _Names:
    def __getattr__(self, name):
        return name
_sys.modules["board"] = _Names()
_module("digitalio", DigitalInOut=_Pin)
_module("analogio", AnalogIn=lambda name: _module("_adc", value=20_129, reference_voltage=3.3))
class _Keys:
    def __init__(self, pins, **how):
        self.events = self
    def get(self):
        return _edges.pop(0) if _edges else None
_module("keypad", Keys=_Keys)
_module("alarm", sleep_memory=bytearray(8))
_module("watchdog", WatchDogMode=_module("_modes", RESET=1))
def _reset():
    raise SystemExit
_module("microcontroller", watchdog=_module("_dog", feed=lambda: None), cpu=_module("_cpu", reset_reason=0),
        ResetReason=_module("_reasons", WATCHDOG=1), reset=_reset)
_module("storage", getmount=lambda path: _module("_mount", readonly=READ_ONLY))
_module("traceback", print_exception=lambda kind, error, trace: _sys.print_exception(error))

class _Address:
    RANDOM_STATIC = 1
    def __init__(self, data, kind):
        self.address_bytes, self.type = data, kind
class _Adapter:
    connected, connections = False, ()
    def start_advertising(self, payload, **how):
        pass
    stop_advertising = stop_scan = lambda self: None
    def start_scan(self, **how):
        return []
class _Characteristic:
    READ = WRITE = WRITE_NO_RESPONSE = NOTIFY = 1
    @staticmethod
    def add_to_service(service, uuid, **how):
        return _Characteristic()
class _PacketBuffer:
    def __init__(self, characteristic, **how):
        pass
    def readinto(self, buf):
        return 0
class _BluetoothError(Exception):
    pass
_module("_bleio", adapter=_Adapter(), Address=_Address, Characteristic=_Characteristic, PacketBuffer=_PacketBuffer,
        Attribute=_module("_permissions", OPEN=1, NO_ACCESS=0), UUID=lambda text: text, Service=lambda uuid: uuid,
        BluetoothError=_BluetoothError)
"""


def nrf52840(circuitpy: Path, read_only: bool = False) -> str:
    """Fakes for a board whose drive is `circuitpy`; its log's file is made if there is none, as by boot.py.

    Args:
        read_only: whether the button was held at power-on.
    """
    log = circuitpy / "contacts.log"
    if not log.exists():  # SPEC.md, "Flash under CircuitPython"
        log.write_bytes(b"\xff" * ((store_blocks(boards()[BOARD]) + 2) * 8192 + 4096))
    names = f"ROOT = {str(circuitpy)!r}\nREAD_ONLY = {read_only}\nPRESS = {str(circuitpy.with_suffix('.press'))!r}\n"
    return SYS + names + _MODULES
