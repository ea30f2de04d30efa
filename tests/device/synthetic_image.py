"""An ESP32 image like MicroPython's, made up: sound headers, checksums and partition table, and a program of zeros."""

import hashlib

CHIPS = {"ESP32": (0, 0x1000), "ESP32C3": (5, 0), "ESP32C6": (13, 0)}  # number in the header, where the image begins


def synthetic_image(
    chip: str = "ESP32", version: str = "1.29.0", name: str = "MicroPython", program_bytes: int = 2000
) -> bytes:
    """The bytes of a download, from the boot loader on. As in MicroPython 1.27's, no partition is for files."""
    number, start = CHIPS[chip]
    boot = _program(number, b"a boot loader made up for tests")
    banner = f"3.4.0; {name} v{version} on 2026-05-01\0Generic module with {chip}\0"
    app = _program(number, banner.encode() + bytes(program_bytes))
    entries = [
        (1, 2, 0x9000, 0x6000, "nvs"),
        (1, 1, 0xF000, 0x1000, "phy_init"),
        (0, 0, 0x10000, 0x1F0000, "factory"),
    ]
    table = b"".join(
        b"\xaa\x50" + bytes(entry[:2]) + _u32(entry[2]) + _u32(entry[3]) + entry[4].encode().ljust(16, b"\0") + bytes(4)
        for entry in entries
    )
    table += b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(table).digest()
    image = bytearray(b"\xff" * (0x10000 - start))
    image[: len(boot)] = boot
    image[0x8000 - start : 0x8000 - start + len(table)] = table
    return bytes(image) + app


def _program(chip: int, payload: bytes) -> bytes:
    payload = payload.ljust(-(-len(payload) // 16) * 16, b"\0")
    header = bytearray(24)
    header[:4] = 0xE9, 1, 2, 0x20  # magic, one segment, DIO, 4 MB
    header[12] = chip
    header[23] = 1  # a hash follows
    check = 0xEF
    for byte in payload:
        check ^= byte
    body = bytes(header) + _u32(0x3F400020) + _u32(len(payload)) + payload
    body += bytes(15 - len(body) % 16) + bytes([check])
    return body + hashlib.sha256(body).digest()


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "little")
