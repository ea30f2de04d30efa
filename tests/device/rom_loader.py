"""An ESP32's boot loader at a pseudo terminal, as deep as esptool goes: its serial protocol, a flash, and faults.

Espressif's "Serial Protocol" has the commands. No chip is behind it: what esptool sends as its stub is accepted and
never run, and the answers are the stub's.
"""

import contextlib
import hashlib
import os
import pty
import select
import threading
import tty
import zlib

FLASH_BYTES = 4 << 20
_MAGIC = {"ESP32": 0x00F01D83, "ESP32-S2": 0x000007C6}
_MAGIC_AT = 0x40001000
_FLASH_ID_AT = 0x3FF42080  # where esptool finds what the flash answered: W0 of the ESP32's SPI
_END, _ESC = b"\xc0", b"\xdb"
_SYNC, _MEM_END, _WRITE_REG, _READ_REG, _SECURITY = 0x08, 0x06, 0x09, 0x0A, 0x14
_BEGIN, _DATA, _DEFLATE_BEGIN, _DEFLATE_DATA, _MD5, _ERASE, _READ = 0x02, 0x03, 0x10, 0x11, 0x13, 0xD0, 0xD2
_WAIT_S = 20


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


def _numbers(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]


class RomLoader:
    """A chip that waits for a download; use it as a context manager.

    Args:
        chip: as esptool calls it.
        flash_log2: of the flash's size, which it reports.
        unplug_after_bytes: the line dies when the host has sent so much.
        flips: an address at which the flash does not keep what is written.

    Attributes:
        flash: its contents; erases: how often all of it was erased.
    """

    def __init__(
        self, chip: str = "ESP32", flash_log2: int = 22, unplug_after_bytes: int | None = None, flips: int | None = None
    ) -> None:
        self.flash = bytearray(b"\x00" * FLASH_BYTES)
        self.erases = 0
        self._chip = chip
        self._flash_id = 0x40EF | flash_log2 << 16
        self._left_bytes = unplug_after_bytes
        self._flips = flips
        self._stub = False
        self._inflate = zlib.decompressobj()
        self._at = 0
        self._pending = b""
        self._line, self._port_end = pty.openpty()
        tty.setraw(self._port_end)
        self.port = os.ttyname(self._port_end)
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._pump, daemon=True)

    def __enter__(self) -> "RomLoader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._stopped)
        self._thread.join(_WAIT_S)
        for end in (self._line, self._port_end, self._stop):
            with contextlib.suppress(OSError):
                os.close(end)

    def _pump(self) -> None:
        while True:
            readable, _, _ = select.select([self._line, self._stop], [], [])
            if self._stop in readable:
                return
            data = os.read(self._line, 65536)
            if self._left_bytes is not None:
                self._left_bytes -= len(data)
                if self._left_bytes < 0:
                    # The other end stays open: esptool opens the port again, and no other test's may have its name.
                    os.close(self._line)
                    self._line = -1
                    return
            self._pending += data
            while (packet := self._packet()) is not None:
                if packet:
                    self._obey(packet)

    def _packet(self) -> bytes | None:
        head, end, rest = self._pending.partition(_END)
        if not end:
            return None
        self._pending = rest
        return head.replace(b"\xdb\xdc", _END).replace(b"\xdb\xdd", _ESC)

    def _send(self, packet: bytes) -> None:
        escaped = packet.replace(_ESC, b"\xdb\xdd").replace(_END, b"\xdb\xdc")
        with contextlib.suppress(OSError):
            os.write(self._line, _END + escaped + _END)

    def _answer(self, command: int, value: int = 0, data: bytes = b"", error: int = 0) -> None:
        status = bytes([1, error]) if error else b"\0\0"
        data += status if self._stub else status.ljust(4, b"\0")
        self._send(bytes([1, command]) + len(data).to_bytes(2, "little") + _u32(value) + data)

    def _obey(self, packet: bytes) -> None:
        if len(packet) < 8 or packet[0]:
            return  # an acknowledgement while the flash is being read
        command, data = packet[1], packet[8:]
        if command == _SYNC:
            for _ in range(8):
                self._answer(command, value=0x20120707)
        elif command == _SECURITY:
            self._answer(command, error=5)  # this chip does not know it
        elif command == _READ_REG:
            at = _numbers(data)[0]
            value = _MAGIC[self._chip] if at == _MAGIC_AT else self._flash_id if at == _FLASH_ID_AT else 0
            self._answer(command, value=value)
        elif command == _MEM_END:
            self._answer(command)
            self._stub = True
            self._send(b"OHAI")
        elif command in (_BEGIN, _DEFLATE_BEGIN):
            self._inflate = zlib.decompressobj()
            self._at = _numbers(data)[3]
            self._answer(command)
        elif command in (_DATA, _DEFLATE_DATA):
            self._write(data[16:] if command == _DATA else self._inflate.decompress(data[16:]))
            self._answer(command)
        elif command == _ERASE:
            self.flash[:] = b"\xff" * FLASH_BYTES
            self.erases += 1
            self._answer(command)
        elif command == _MD5:
            at, size = _numbers(data)[:2]
            self._answer(command, data=hashlib.md5(self.flash[at : at + size]).digest())
        elif command == _READ:
            self._read(command, *_numbers(data)[:3])
        else:
            self._answer(command)

    def _write(self, data: bytes) -> None:
        self.flash[self._at : self._at + len(data)] = data
        if self._flips is not None and self._at <= self._flips < self._at + len(data):
            self.flash[self._flips] ^= 1
        self._at += len(data)

    def _read(self, command: int, at: int, size: int, block: int) -> None:
        self._answer(command)
        for start in range(at, at + size, block):
            self._send(bytes(self.flash[start : min(start + block, at + size)]))
        self._send(hashlib.md5(self.flash[at : at + size]).digest())
