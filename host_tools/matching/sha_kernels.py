"""SHA-256 over many key chains side by side, compiled by numba.

One hash of a chain waits for the one before it, so a processor is kept busy only by several chains at once: `ShaUnit`
interleaves some on the SHA instructions of x86, `VectorUnit` puts one chain into each lane of its vectors and runs
anywhere. Kernels take a unit as their first argument and are compiled once for each; numba keeps the machine code
beside this file. All of it stands in one module because numba looks at this file alone to see whether that is stale.

A state is the 32 bytes of a key as eight big-endian words. Checked against hashlib in tests/host/test_expansion.py.
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from host_tools.matching.expansion import CASE_BITS, PREFIX_BYTES
from tracing import keys

WORDS = 8
BLOCK_CHAINS = 48  # hashed in turn: while one group waits for its result the next one begins, all in the first cache

_BLOCK_WORDS = 16
_ROUNDS = 64
_WORD = 0xFFFFFFFF

# FIPS 180-4: fractions of the roots of the first primes.
_PRIMES = [n for n in range(2, 312) if all(n % d for d in range(2, n))]
_K = [int(prime ** (1 / 3) % 1 * (1 << 32)) for prime in _PRIMES]
_INITIAL = [int(prime ** (1 / 2) % 1 * (1 << 32)) for prime in _PRIMES[:WORDS]]


def _rest_of_block(label: bytes) -> list[int]:
    """The words of a block that follow a key of 32 bytes: the label, the padding, the length."""
    text = label + b"\x80"
    text += bytes(4 * (_BLOCK_WORDS - WORDS) - 4 - len(text))
    return [int(word) for word in np.frombuffer(text, ">u4")] + [8 * (keys.KEY_BYTES + len(label))]


class ShaUnit(NamedTuple):
    """The SHA instructions of x86. Where a chain's words lie in a group: word k of chain c at c * 8 + k."""

    chains: int = 4
    chain_stride: int = WORDS
    word_stride: int = 1


class VectorUnit(NamedTuple):
    """Vectors of eight 32-bit lanes, whatever the processor calls them. Word k of chain c lies at k * 8 + c."""

    chains: int = 8
    chain_stride: int = 1
    word_stride: int = 8


def _hashing(label: bytes) -> Any:
    """The intrinsic `hash(unit, words, at)`: every chain of the group at `words[at]` becomes SHA-256(chain + label)."""
    rest = _rest_of_block(label)

    @intrinsic
    def hash_group(_typing: Any, unit: Any, words: Any, at: Any) -> Any:
        emit = _emit_sha if unit.instance_class is ShaUnit else _emit_vector

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            array = context.make_array(signature.args[1])(context, builder, values[1])
            emit(builder, builder.gep(array.data, [values[2]]), rest)
            return context.get_dummy_value()

        return types.void(unit, words, at), generate

    return hash_group


def _place(builder: Any, words: Any, at: int, vector: Any) -> Any:
    """Pointer to a vector at a word of a group."""
    return builder.bitcast(builder.gep(words, [ir.Constant(ir.IntType(64), at)]), vector.as_pointer())


def _load(builder: Any, words: Any, at: int, vector: Any) -> Any:
    value = builder.load(_place(builder, words, at, vector))
    value.align = 4
    return value


def _store(builder: Any, value: Any, words: Any, at: int, vector: Any) -> None:
    builder.store(value, _place(builder, words, at, vector)).align = 4


def _function(builder: Any, name: str, vector: Any, arguments: int) -> Any:
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * arguments), name)
    return lambda *values: builder.call(function, values)


def _emit_sha(builder: Any, words: Any, rest: list[int]) -> None:
    """One block of every chain with `sha256rnds2`, which does two rounds on (A B E F) and (C D G H)."""
    vector = ir.VectorType(ir.IntType(32), 4)
    two_rounds = _function(builder, "llvm.x86.sha256rnds2", vector, 3)
    schedule_1 = _function(builder, "llvm.x86.sha256msg1", vector, 2)
    schedule_2 = _function(builder, "llvm.x86.sha256msg2", vector, 2)

    def constant(numbers: list[int]) -> Any:
        return ir.Constant(vector, numbers)

    def shuffle(a: Any, b: Any, lanes: list[int]) -> Any:
        return builder.shuffle_vector(a, b, constant(lanes))

    # The instructions want the words from the highest to the lowest.
    abef = constant([_INITIAL[k] for k in (5, 4, 1, 0)])
    cdgh = constant([_INITIAL[k] for k in (7, 6, 3, 2)])
    chains = range(ShaUnit().chains)
    states = [(abef, cdgh) for _ in chains]
    messages = [
        [*(_load(builder, words, WORDS * c + k, vector) for k in (0, 4)), constant(rest[:4]), constant(rest[4:])]
        for c in chains
    ]
    for at in range(0, _ROUNDS, 4):
        for c in chains:
            low, high = states[c]
            m0, m1, m2, m3 = messages[c]
            keyed = builder.add(m0, constant(_K[at : at + 4]))
            high = two_rounds(high, low, keyed)
            if at < _ROUNDS - _BLOCK_WORDS:
                m0 = schedule_2(builder.add(schedule_1(m0, m1), shuffle(m2, m3, [1, 2, 3, 4])), m3)
            low = two_rounds(low, high, shuffle(keyed, keyed, [2, 3, 0, 0]))
            states[c], messages[c] = (low, high), [m1, m2, m3, m0]
    for c in chains:
        low, high = builder.add(states[c][0], abef), builder.add(states[c][1], cdgh)
        _store(builder, shuffle(low, high, [3, 2, 7, 6]), words, WORDS * c, vector)
        _store(builder, shuffle(low, high, [1, 0, 5, 4]), words, WORDS * c + 4, vector)


def _emit_vector(builder: Any, words: Any, rest: list[int]) -> None:
    """One block of every chain, each in its own lane: the rounds as FIPS 180-4 writes them."""
    lanes = VectorUnit().chains
    vector = ir.VectorType(ir.IntType(32), lanes)
    funnel = _function(builder, f"llvm.fshr.v{lanes}i32", vector, 3)
    add, xor, both, either = builder.add, builder.xor, builder.and_, builder.or_

    def constant(number: int) -> Any:
        return ir.Constant(vector, [number & _WORD] * lanes)

    def rotated(x: Any, *counts: int) -> Any:
        first, second, *third = (funnel(x, x, constant(n)) for n in counts)
        return xor(xor(first, second), third[0]) if third else xor(first, second)

    w = [_load(builder, words, lanes * k, vector) for k in range(WORDS)] + [constant(word) for word in rest]
    a, b, c, d, e, f, g, h = (constant(word) for word in _INITIAL)
    for t in range(_ROUNDS):
        now = t % _BLOCK_WORDS
        if t >= _BLOCK_WORDS:
            w2, w7, w15 = w[(t - 2) % _BLOCK_WORDS], w[(t - 7) % _BLOCK_WORDS], w[(t - 15) % _BLOCK_WORDS]
            sigma_0 = xor(rotated(w15, 7, 18), builder.lshr(w15, constant(3)))
            sigma_1 = xor(rotated(w2, 17, 19), builder.lshr(w2, constant(10)))
            w[now] = add(add(w[now], sigma_0), add(w7, sigma_1))
        choice = xor(g, both(e, xor(f, g)))
        majority = either(both(a, b), both(c, either(a, b)))
        t1 = add(add(add(h, rotated(e, 6, 11, 25)), choice), add(w[now], constant(_K[t])))
        t2 = add(rotated(a, 2, 13, 22), majority)
        a, b, c, d, e, f, g, h = add(t1, t2), a, b, c, add(d, t1), e, f, g
    for k, value in enumerate((a, b, c, d, e, f, g, h)):
        _store(builder, add(value, constant(_INITIAL[k])), words, lanes * k, vector)


_hash_key = _hashing(b"")
_hash_labelled = _hashing(keys._SUB_KEY_LABEL)

# Where the bytes of the prefix lie in a sub key's words.
_PREFIX_WORD = tuple(at // 4 for at in keys._ID_FROM[:PREFIX_BYTES])
_PREFIX_SHIFT = tuple(24 - at % 4 * 8 for at in keys._ID_FROM[:PREFIX_BYTES])


@njit(nogil=True, cache=True, inline="always")
def _gather(unit, states, begin, count, words):
    """Rows of `states` into groups; lanes to spare keep what they had."""
    for i in range(count):
        at = i // unit.chains * (unit.chains * WORDS) + i % unit.chains * unit.chain_stride
        for k in range(WORDS):
            words[at + k * unit.word_stride] = states[begin + i, k]


@njit(nogil=True, cache=True)
def first_sub_keys(unit, states):
    """Daily keys (n, 8) become first sub keys, in place."""
    words = np.zeros(BLOCK_CHAINS * WORDS, np.uint32)
    for begin in range(0, len(states), unit.chains):
        count = min(unit.chains, len(states) - begin)
        _gather(unit, states, begin, count, words)
        _hash_labelled(unit, words, 0)
        for i in range(count):
            for k in range(WORDS):
                states[begin + i, k] = words[i * unit.chain_stride + k * unit.word_stride]


@njit(nogil=True, cache=True)
def advance(unit, states, order, steps):
    """Hash row i of `states` (n, 8) `steps[i]` times, in place. `order`: rows by falling number of steps."""
    words = np.zeros(BLOCK_CHAINS * WORDS, np.uint32)
    for begin in range(0, len(order), unit.chains):
        count = min(unit.chains, len(order) - begin)
        for i in range(count):
            for k in range(WORDS):
                words[i * unit.chain_stride + k * unit.word_stride] = states[order[begin + i], k]
        for step in range(1, steps[order[begin]] + 1):
            _hash_key(unit, words, 0)
            for i in range(count):
                row = order[begin + i]
                if steps[row] == step:
                    for k in range(WORDS):
                        states[row, k] = words[i * unit.chain_stride + k * unit.word_stride]


@njit(nogil=True, cache=True, inline="always")
def _packed(unit, words, at, case):
    """The id of the chain whose words begin at `at`: prefix and case."""
    prefix = np.uint64(0)
    for word, shift in zip(_PREFIX_WORD, _PREFIX_SHIFT):  # noqa: B905 (numba knows no `strict`)
        byte = words[at + word * unit.word_stride] >> np.uint32(shift) & np.uint32(0xFF)
        prefix = prefix << np.uint64(8) | np.uint64(byte)
    return prefix << np.uint64(CASE_BITS) | case


@njit(nogil=True, cache=True)
def fill(unit, sub_keys, first, last, cases, ids, free):
    """Pack the prefixes of a day's ids of each chain with the number of its case.

    Args:
        sub_keys: (n, 8), the first of the day.
        first, last: (n,), slots of the day that count, both included.
        cases: (n,) uint64.
        ids: receives prefix << 24 | case, those of slot i from `free[i]` on.
        free: (96,), moved on.
    """
    words = np.zeros(BLOCK_CHAINS * WORDS, np.uint32)
    group_words = unit.chains * WORDS
    at = np.array([i // unit.chains * group_words + i % unit.chains * unit.chain_stride for i in range(BLOCK_CHAINS)])
    for begin in range(0, len(sub_keys), BLOCK_CHAINS):
        count = min(BLOCK_CHAINS, len(sub_keys) - begin)
        groups = (count + unit.chains - 1) // unit.chains
        _gather(unit, sub_keys, begin, count, words)
        until, whole = 0, True
        for row in range(begin, begin + count):
            until = max(until, last[row])
            whole &= first[row] == 0 and last[row] == keys.SLOTS_PER_DAY - 1
        for slot in range(until + 1):
            if whole:  # nearly always: a case of fourteen days has twelve such at least
                place = free[slot]
                for i in range(count):
                    ids[place + i] = _packed(unit, words, at[i], cases[begin + i])
                free[slot] = place + count
            else:
                for i in range(count):
                    if first[begin + i] <= slot <= last[begin + i]:
                        ids[free[slot]] = _packed(unit, words, at[i], cases[begin + i])
                        free[slot] += 1
            if slot < until:
                for group in range(groups):
                    _hash_key(unit, words, group * group_words)


@njit(nogil=True, cache=True)
def straight_line(unit, hashes):
    """Nothing but about `hashes` hashes, as fast as the unit can: the limit that `fill` is measured against."""
    words = np.arange(BLOCK_CHAINS * WORDS).astype(np.uint32)
    for _ in range(hashes // (BLOCK_CHAINS // unit.chains * unit.chains)):
        for group in range(BLOCK_CHAINS // unit.chains):
            _hash_key(unit, words, group * unit.chains * WORDS)
    return words[0]
