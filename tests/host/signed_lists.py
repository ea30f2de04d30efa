"""An authority's key, and lists that it signed, for tests."""

from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from host_tools.authority.lists import list_bytes
from host_tools.matching.cases import Case
from host_tools.matching.list_statement import Statement

DAY_S = 86400
DAY = 18482 * DAY_S  # 2020-08-08
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key()
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(32))


def case(number: int, index: int = 0) -> Case:
    """One of many cases: those of different numbers have different keys."""
    return Case(index, sha256(str(number).encode()).digest(), DAY, DAY + DAY_S, 96)


def content(*numbers: int, kind: str = "F0") -> bytes:
    return list_bytes(kind, [case(number) for number in numbers])


def signature(
    data: bytes,
    version: int = 1,
    first: int = 1,
    kind: str = "F0",
    key: Ed25519PrivateKey = KEY,
    published_s: int = DAY,
) -> bytes:
    return Statement(kind, first, version, published_s, sha256(data).hexdigest()).signed(key)


def put(path: Path, data: bytes, signed: bytes | None) -> None:
    """Place a list where a source looks for it, with or without a signature."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    beside = path.with_name(path.name + ".sig")
    beside.unlink(missing_ok=True)
    if signed is not None:
        beside.write_bytes(signed)


def numbers_of(cases: list[Case], at_most: int = 100) -> list[int]:
    """Which cases these are."""
    known = {case(number).daily_key: number for number in range(at_most)}
    return [known[each.daily_key] for each in cases]
