"""Entries of the national list as arrays, and the engines that expand them into BluezoneIDs.

An engine hashes key chains: on the processor's SHA instructions, in its vector units, or with hashlib, which is slow
and always there. The numba kernels are imported when the first engine is asked for, not before.

A state is a key of 32 bytes as eight big-endian words; states are uint32 arrays (n, 8).
"""

import hashlib
from collections.abc import Iterator
from functools import cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tracing import keys

Array = npt.NDArray[Any]

# What of an entry with 96 ids a day decides on its ids: the key of the day of slot `first`, and the slots that count,
# both included. A slot's number is Unix s // 900.
ENTRY = np.dtype([("key", "u1", keys.KEY_BYTES), ("first", "<u4"), ("last", "<u4")])

CASE_BITS = 24  # of a packed id; above them stand the 40 bits of its prefix
PREFIX_BYTES = 5
MAX_CASES = 1 << CASE_BITS


class Engine(Protocol):
    """What hashes. All methods release the interpreter's lock where they can."""

    name: str

    def first_sub_keys(self, states: Array) -> None:
        """Daily keys become first sub keys, in place."""
        ...

    def advance(self, states: Array, steps: Array) -> None:
        """Hash row i `steps[i]` times (int64, >= 0), in place."""
        ...

    def fill(self, sub_keys: Array, first: Array, last: Array, cases: Array, ids: Array, free: Array) -> None:
        """Pack a day's ids of each chain, from its first sub key on.

        Args:
            first, last: (n,) int64, the day's slots that count, 0 … 95, both included.
            cases: (n,) uint64 below 2**24.
            ids: uint64, receives prefix << 24 | case, those of slot i from `free[i]` on, in the order of the rows.
            free: (96,) int64, moved on.
        """
        ...


class _KernelEngine:
    def __init__(self, name: str, unit: Any) -> None:
        from host_tools.matching import sha_kernels

        self._kernels = sha_kernels
        self._unit = unit
        self.name = name

    def first_sub_keys(self, states: Array) -> None:
        self._kernels.first_sub_keys(self._unit, states)

    def advance(self, states: Array, steps: Array) -> None:
        self._kernels.advance(self._unit, states, np.argsort(-steps), steps)

    def fill(self, sub_keys: Array, first: Array, last: Array, cases: Array, ids: Array, free: Array) -> None:
        self._kernels.fill(self._unit, sub_keys, first, last, cases, ids, free)


class HashlibEngine:
    """The oracle of the others."""

    name = "hashlib"

    def first_sub_keys(self, states: Array) -> None:
        for row in states:
            row[:] = words_of(keys.first_sub_key(_bytes_of(row)))

    def advance(self, states: Array, steps: Array) -> None:
        for row, count in zip(states, steps, strict=True):
            row[:] = words_of(keys.daily_key_after(_bytes_of(row), count))

    def fill(self, sub_keys: Array, first: Array, last: Array, cases: Array, ids: Array, free: Array) -> None:
        for row, sub_key in enumerate(sub_keys):
            state = _bytes_of(sub_key)
            for slot in range(last[row] + 1):
                if slot >= first[row]:
                    prefix = int(keys.bluezone_id(state)[:PREFIX_BYTES].hex(), 16)
                    ids[free[slot]] = prefix << CASE_BITS | int(cases[row])
                    free[slot] += 1
                state = keys.next_sub_key(state)


def words_of(key: bytes) -> Array:
    """Keys, one behind the other, as states (n * 8,)."""
    return np.frombuffer(key, ">u4").astype(np.uint32)


def _bytes_of(state: Array) -> bytes:
    return state.astype(">u4").tobytes()


def engines() -> Iterator[Engine]:
    """The engines that work here, the fastest first; hashlib's is always the last.

    One that cannot be compiled or disagrees with hashlib on a few keys is left out.
    """
    for name, unit in _units().items():
        candidate = _KernelEngine(name, unit)
        if _agrees(candidate):
            yield candidate
    yield HashlibEngine()


@cache
def engine() -> Engine:
    """The fastest engine that works here."""
    return next(engines())


def _units() -> dict[str, Any]:
    try:
        from llvmlite import binding

        from host_tools.matching import sha_kernels
    except (ImportError, OSError):  # OSError: LLVM's library does not fit this system
        return {}
    units: dict[str, Any] = {"sha": sha_kernels.ShaUnit()} if binding.get_host_cpu_features().get("sha") else {}
    return units | {"vector": sha_kernels.VectorUnit()}


def _agrees(candidate: Engine) -> bool:
    keys_tried = [hashlib.sha256(bytes([n])).digest() for n in range(11)]
    states = words_of(b"".join(keys_tried)).reshape(-1, 8)
    try:
        candidate.advance(states, np.arange(11) % 4)
        candidate.first_sub_keys(states)
    except Exception:  # numba fails in many ways on processors that it does not know; hashlib can do the work
        return False
    expected = [keys.first_sub_key(keys.daily_key_after(key, n % 4)) for n, key in enumerate(keys_tried)]
    return _bytes_of(states) == b"".join(expected)


def entries_of(daily_keys: Array, start_s: Array, end_s: Array) -> Array:
    """The ENTRY of cases with 96 ids a day.

    The slots that count are those of `case_index.case_slots`: from the one in which time_start lies to the last one
    that begins before time_end.

    Args:
        daily_keys: (n, 32) bytes.
        start_s, end_s: (n,) int64, time_start and time_end.
    """
    entries = np.zeros(len(daily_keys), ENTRY)
    entries["key"] = daily_keys
    entries["first"] = start_s // keys.SLOT_S
    entries["last"] = np.maximum((end_s - 1) // keys.SLOT_S, start_s // keys.SLOT_S)
    return entries


def as_texts(entries: Array) -> Array:
    """Entries as byte strings, which numpy can sort and look up."""
    return np.ascontiguousarray(entries).view(f"S{ENTRY.itemsize}")


def states_of(entries: Array) -> Array:
    """The daily keys of entries as states, of the day of each one's first slot."""
    return words_of(np.ascontiguousarray(entries["key"]).tobytes()).reshape(-1, 8)


def ids_at(using: Engine, entries: Array, slots: Array) -> Array:
    """The BluezoneID of each entry in a slot of its own: (n, 12) bytes, recomputed from its daily key.

    Args:
        slots: (n,) int64, at or after the day of the entry's `first`.
    """
    states = states_of(entries)
    per_day = keys.SLOTS_PER_DAY
    using.advance(states, slots // per_day - entries["first"].astype(np.int64) // per_day)
    using.first_sub_keys(states)
    using.advance(states, slots % per_day)
    return ids_in(states)


def ids_in(sub_keys: Array) -> Array:
    """The BluezoneID of each sub key (n, 8): (n, 12) bytes."""
    return sub_keys.astype(">u4").view("u1").reshape(-1, keys.KEY_BYTES)[:, list(keys._ID_FROM)]


def prefixes_of(bluezone_ids: Array) -> Array:
    """The first 40 bits of ids (n, 12) as uint64."""
    prefixes = np.zeros(len(bluezone_ids), np.uint64)
    for column in range(PREFIX_BYTES):
        prefixes <<= np.uint64(8)
        prefixes |= bluezone_ids[:, column]
    return prefixes
