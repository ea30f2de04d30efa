"""The boards' own stores over flash that loses power: a file under CircuitPython, a partition of an ESP32."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import ModuleType

from emulated_flash import EmulatedFlash, PowerLoss
from log_bench import fields, log_key, packed, pulled
from token_bench import DAILY_KEYS, FIRST_DAY, Token

LBA, SECTOR = 512, 4096
FILE_BLOCKS = 5
FILE_RECORDS = 126  # per block of 3584 bytes
BEFORE = FILE_RECORDS - 2  # records in the log when the workload begins
MORE = 4


def adapter(name: str) -> ModuleType:
    """A module of firmware/adapters, which is no package of the host's."""
    path = Path(__file__).parents[2] / "firmware" / "adapters" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


file_store = adapter("file_store")
partition_store = adapter("store")


class Partition:
    """What esp32.Partition promises of its block protocol: with an offset it programs, and never erases."""

    def __init__(self, flash: EmulatedFlash) -> None:
        self.flash = flash

    def ioctl(self, operation: int, argument: int) -> int:
        if operation == 6:
            self.flash.erase(argument)
            return 0
        return {4: self.flash.blocks, 5: self.flash.block_bytes}[operation]

    def readblocks(self, block: int, buf, offset: int) -> None:
        self.flash.read(block * self.flash.block_bytes + offset, buf)

    def writeblocks(self, block: int, buf, offset: int) -> None:
        self.flash.program(block * self.flash.block_bytes + offset, buf)


def over_partition(flash: EmulatedFlash):
    """The token's store on an ESP32."""
    return partition_store.PartitionStore(Partition(flash))


class FatFile:
    """A file in one piece under CircuitPython: each sector of the flash that a write touches is erased, then programmed
    page by page. Power can die at each of those steps, before it or in the middle of it.

    Args:
        phase: LBAs between the beginning of a sector and the beginning of the file.
    """

    def __init__(self, phase: int) -> None:
        self._begin = phase * LBA
        self.image = bytearray(b"\xff" * (file_store.file_bytes(FILE_BLOCKS) + 2 * SECTOR))
        self._at = 0
        self.steps = 0
        self.steps_left: int | None = None
        self.torn = False

    def restart(self, steps_left: int | None = None, torn: bool = False):
        """Power is back, and goes again after so many steps; returns the token's store."""
        self.steps, self.steps_left, self.torn = 0, steps_left, torn
        return file_store.FileStore(self, lambda: None, FILE_BLOCKS)

    def seek(self, offset: int) -> None:
        self._at = self._begin + offset

    def readinto(self, buf) -> int:
        buf[:] = self.image[self._at : self._at + len(buf)]
        return len(buf)

    def write(self, data) -> int:
        wanted = bytearray(self.image)
        wanted[self._at : self._at + len(data)] = data
        for sector in range(self._at // SECTOR * SECTOR, self._at + len(data), SECTOR):
            if wanted[sector : sector + SECTOR] != self.image[sector : sector + SECTOR]:
                self._step(sector, b"\xff" * SECTOR)
                for page in range(sector, sector + SECTOR, LBA):
                    self._step(page, bytes(wanted[page : page + LBA]))
        return len(data)

    def _step(self, at: int, after: bytes) -> None:
        self.steps += 1
        if self.steps_left is not None and self.steps > self.steps_left:
            if self.torn:
                half = len(after) // 2
                self.image[at : at + half] = after[:half]
                rest = Random(self.steps).randbytes(len(after) - half)
                before = self.image[at + half : at + len(after)]
                self.image[at + half : at + len(after)] = bytes(a & b for a, b in zip(before, rest, strict=True))
            raise PowerLoss
        self.image[at : at + len(after)] = after


def work(token: Token) -> Iterator[int]:
    """Records across the end of a segment, the time and a new day's key; yields how many records there are."""
    for number in range(BEFORE, BEFORE + MORE):
        assert token.log.append(*fields(number)) == number
        if number == BEFORE + 2:
            token.state.last_time_s += 3600
            token.state.key_day, token.state.daily_key = FIRST_DAY + 1, DAILY_KEYS[1]
            token.state.keep()
        yield number + 1


def file_cuts(phase: int, step: int) -> int:
    """Cut the work short at every `step`th step of the flash, and look; how many cuts that were."""
    file = FatFile(phase)
    token = Token(file.restart()).provision()
    for number in range(BEFORE):
        token.log.append(*fields(number))
    start = bytes(file.image)
    token = Token(file.restart())
    file.steps = 0
    assert list(work(token))[-1] == BEFORE + MORE
    cuts = [(steps, torn) for steps in range(file.steps) for torn in (False, True)][phase::step]
    for steps, torn in cuts:
        file.image[:] = start
        token = Token(file.restart())
        file.steps, file.steps_left, file.torn = 0, steps, torn
        done = BEFORE
        try:
            for done in work(token):  # noqa: B007  how far it came
                pass
        except PowerLoss:
            pass
        check_file(file, done)
    return len(cuts)


def check_file(file: FatFile, done: int) -> None:
    """Every record whose append returned is there, the keys are in step, and no old one is left."""
    token = Token(file.restart())
    assert token.known
    found = pulled(token.log)
    assert all(found[seq] == packed(seq) for seq in range(done))
    assert found.keys() <= set(range(done + 1))
    segment = token.state.log_segment
    assert token.state.log_key == log_key(segment)
    assert log_key(segment - 1) not in file.image if segment else True
    assert (DAILY_KEYS[0] in file.image) == (token.state.key_day == FIRST_DAY)
    seq = token.log.append(*fields(1000))
    assert seq >= done
    again = Token(file.restart())
    assert pulled(again.log)[seq] == packed(1000)
    assert again.state.log_key == log_key(seq // FILE_RECORDS)
