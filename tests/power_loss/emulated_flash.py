"""NOR flash in RAM whose power can die at any operation and at any byte of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from tracing.errors import StoreError

# What is left in a place when power dies: (before, after) -> bytes of the same length.
Tear = Callable[[bytes, bytes], bytes]


class PowerLoss(Exception):
    """The token is dead. Nothing in the firmware may catch this."""


class Operation(NamedTuple):
    """One program or erase, as the flash has seen it. `before` is the whole image; `noted` is the test's own number."""

    offset: int
    after: bytes
    before: bytes
    erase: bool
    noted: int

    def torn(self, tear: Tear) -> bytearray:
        """The image when power dies in the middle of this operation."""
        image = bytearray(self.before)
        end = self.offset + len(self.after)
        image[self.offset : end] = tear(self.before[self.offset : end], self.after)
        return image


@dataclass
class EmulatedFlash:
    """A store of the port that log.py describes, with counters, worn cells and a switch for the power.

    Attributes:
        stuck: offset -> mask of cells that stay 1 whatever is programmed: worn out, or left unstable by an erase.
        operations: when a list, every program and erase is appended before it happens.
        noted: number that goes into `operations`.
        cut_after: so many programs and erases still work; the next one is torn by `tear`, and raises PowerLoss.
    """

    blocks: int
    block_bytes: int = 256
    image: bytearray = field(default_factory=bytearray)
    stuck: dict[int, int] = field(default_factory=dict)
    operations: list[Operation] | None = None
    noted: int = 0
    cut_after: int | None = None
    tear: Tear = lambda before, after: before
    read_bytes: int = 0
    programmed_bytes: int = 0
    erases: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.image = bytearray(self.image or b"\xff" * (self.blocks * self.block_bytes))
        assert len(self.image) == self.blocks * self.block_bytes
        self.erases = [0] * self.blocks

    def read(self, offset: int, buf: bytearray | memoryview) -> None:
        assert 0 <= offset <= len(self.image) - len(buf), "read beyond the flash"
        self.read_bytes += len(buf)
        buf[:] = self.image[offset : offset + len(buf)]

    def program(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        assert 0 <= offset < offset + len(data) <= len(self.image), "program beyond the flash"
        assert offset // self.block_bytes == (offset + len(data) - 1) // self.block_bytes, (
            "program across a block's end"
        )
        before = self.image[offset : offset + len(data)]
        assert all(new & ~old == 0 for new, old in zip(data, before, strict=True)), "programming cannot set a bit"
        self._do(offset, bytes(data), erase=False)
        self.programmed_bytes += len(data)

    def erase(self, block: int) -> None:
        assert 0 <= block < self.blocks, "erase beyond the flash"
        self._do(block * self.block_bytes, b"\xff" * self.block_bytes, erase=True)
        self.erases[block] += 1

    def _do(self, offset: int, after: bytes, erase: bool) -> None:
        operation = Operation(offset, after, bytes(self.image) if self._watched() else b"", erase, self.noted)
        if self.operations is not None:
            self.operations.append(operation)
        if self.cut_after is not None:
            self.cut_after -= 1
            if self.cut_after < 0:
                self.image[:] = operation.torn(self.tear)
                raise PowerLoss
        self.image[offset : offset + len(after)] = after
        for at, mask in self.stuck.items():
            if offset <= at < offset + len(after):
                self.image[at] |= mask

    def _watched(self) -> bool:
        return self.operations is not None or self.cut_after is not None


class DeadFlash(EmulatedFlash):
    """Can be read; every program and erase is refused as by a chip that does not answer."""

    def _do(self, offset: int, after: bytes, erase: bool) -> None:
        raise StoreError("refused")


def prefix(size: int) -> Tear:
    """The first `size` bytes have been done."""
    return lambda before, after: after[:size] + before[size:]


def suffix(size: int) -> Tear:
    """All but the first `size` bytes have been done."""
    return lambda before, after: before[:size] + after[size:]


def some_bits(seed: int) -> Tear:
    """Of the bits that were to change, any may have changed."""

    def tear(before: bytes, after: bytes) -> bytes:
        chosen = Random(seed).randbytes(len(before))
        return bytes(b ^ ((b ^ a) & c) for b, a, c in zip(before, after, chosen, strict=True))

    return tear


def noise(seed: int) -> Tear:
    """Every bit is what it likes: an erase stopped half-way."""
    return lambda before, after: Random(seed).randbytes(len(before))


def tears(operation: Operation, seeds: int) -> Iterator[Tear]:
    """The ways in which an operation can be cut short: before it, at every byte of a program, after it; torn bits."""
    size = len(operation.after)
    step = max(1, size // 8) if operation.erase else 1
    yield from (prefix(done) for done in range(0, size + 1, step))
    yield from (some_bits(seed) for seed in range(seeds))
    if operation.erase:
        yield from (suffix(left) for left in range(step, size, step))
        yield from (noise(seed) for seed in range(seeds))
