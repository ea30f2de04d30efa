"""One wire definition: formats of bytes, UUIDs and company numbers stand in firmware/tracing and nowhere else."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRACING = "firmware/tracing/"
PRODUCT = {
    path.relative_to(ROOT).as_posix(): path
    for folder in ("firmware", "boards", "host_tools")
    for path in sorted((ROOT / folder).rglob("*.py"))
}

# Who else may take bytes apart, and why.
LINE_TO_THE_VM = "the simulator's own line between host and VM"
EXCEPTIONS = {
    "firmware/adapters/file_store.py": "slots of a file under CircuitPython, which know nothing of what they hold",
    "boards/virtual/board.py": LINE_TO_THE_VM,
    "boards/virtual/bluetooth.py": LINE_TO_THE_VM,
    "boards/virtual/lockstep.py": LINE_TO_THE_VM,
    "boards/virtual/main.py": "maps the firmware's image into the VM's memory",
    "host_tools/simulation/board.py": LINE_TO_THE_VM,
    "host_tools/simulation/processes.py": LINE_TO_THE_VM,
    "host_tools/simulation/air.py": "adds up digests for the radio trace",
    "host_tools/link/bumble_backend.py": "standard Bluetooth AD structures, for bleak",
    "host_tools/provisioning/escrow.py": "the escrow, which a token carries and cannot open",
    "host_tools/provisioning/drive_flash.py": "UF2, Microsoft's format of an image",
    "host_tools/provisioning/image.py": "the image tools' readers are called from_bytes and let struct.error escape",
    "host_tools/provisioning/token_board.py": "mpremote lets struct.error escape",
}
PACKERS = {"struct", "ustruct", "uctypes", "ctypes", "construct", "array"}
CONVERSIONS = {"from_bytes", "to_bytes", "pack", "pack_into", "unpack", "unpack_from", "iter_unpack"}

# What a portable module may import besides its own package.
ALLOWED_IMPORTS = {"struct", "hashlib", "binascii"}
# The ports' ciphers, each under its own name.
CIPHERS = {
    TRACING + "sealing.py": {"cryptolib"},
    TRACING + "other_aes.py": {"aesio", "cryptography.hazmat.primitives.ciphers"},
}
# Not even as built-ins: input, output, and what hides either.
FORBIDDEN_CALLS = {"open", "print", "input", "exec", "eval", "__import__"}

LINES = 300

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
COMPANY, SERVICE = 8885, 0x4E56
# As they stand on the air, and as hex digits.
MARKS = (b"\xb5\x22", b"\x56\x4e", b"22b5", b"b522", b"4e56", b"564e")


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.Module) -> Iterator[str]:
    """Names of the modules that a module imports; relative ones begin with a dot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def takes_bytes_apart(tree: ast.Module) -> bool:
    if PACKERS & {name.partition(".")[0] for name in imported(tree)}:
        return True
    return any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CONVERSIONS
        for node in ast.walk(tree)
    )


def constants(tree: ast.Module) -> Iterator[object]:
    """All literals but docstrings and other strings that stand alone."""
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in alone:
            yield node.value


def test_only_tracing_takes_bytes_apart():
    found = {name for name, path in PRODUCT.items() if not name.startswith(TRACING) and takes_bytes_apart(parsed(path))}
    assert found == set(EXCEPTIONS)


@pytest.mark.parametrize(
    "source",
    [
        "import struct",
        "from struct import pack",
        "import ctypes.util",
        "x = int.from_bytes(data, 'little')",
        "y = number.to_bytes(4, 'big')",
        "z = formats.unpack_from('<I', data)",
    ],
)
def test_taking_apart_is_noticed(source):
    assert takes_bytes_apart(ast.parse(source))


def test_every_uuid_stands_in_one_place():
    places = Counter()
    for name, path in PRODUCT.items():
        for value in constants(parsed(path)):
            if isinstance(value, str):
                places.update((match.group().lower(), name) for match in UUID.finditer(value))
    assert {name for _, name in places} == {"firmware/tracing/wire.py"}
    assert len(places) == 5
    assert set(places.values()) == {1}


def test_bluezones_numbers_stand_in_one_module():
    found = set()
    for name, path in PRODUCT.items():
        for value in constants(parsed(path)):
            as_bytes = value.lower().encode() if isinstance(value, str) else value
            marked = isinstance(as_bytes, bytes) and any(mark in as_bytes for mark in MARKS)
            if marked or (type(value) is int and value in (COMPANY, SERVICE)):
                found.add(name)
    assert found == {"firmware/tracing/wire.py"}


@pytest.mark.parametrize("name", [name for name in PRODUCT if name.startswith(TRACING)])
def test_portable_modules_stay_portable(name):
    tree = parsed(PRODUCT[name])
    outside = {module for module in imported(tree) if not module.startswith(".")}
    assert outside <= ALLOWED_IMPORTS | CIPHERS.get(name, set())
    assert not any(module.startswith("..") for module in imported(tree))
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & FORBIDDEN_CALLS
    floats = [value for value in constants(tree) if isinstance(value, float)]
    divisions = [node for node in ast.walk(tree) if isinstance(node, ast.Div)]
    assert not floats + divisions, "a board's floats cannot hold a Unix time"


@pytest.mark.parametrize("name", [name for name in PRODUCT if name.startswith("firmware/")])
def test_modules_of_the_firmware_stay_short(name):
    lines = len(PRODUCT[name].read_text(encoding="utf-8").splitlines())
    assert lines <= LINES
