"""What the tests of log and state show on plain flash holds on the boards' own stores as well."""

import pytest
from emulated_flash import EmulatedFlash
from other_stores import FILE_RECORDS, FatFile, Partition, file_cuts, over_partition, partition_store
from token_bench import RECORDS, Token, check_cut, cuts, make_flash, workload

from tracing.errors import StoreError


@pytest.mark.parametrize("phase", [0, 3, 6])
def test_power_dies_at_any_step_below_the_file(phase: int) -> None:
    assert file_cuts(phase, 4) > 100


def test_a_block_of_the_file_is_a_segment() -> None:
    assert Token(FatFile(0).restart()).provision().log.segment_records == FILE_RECORDS


def test_a_partition_sees_the_same_operations() -> None:
    flash = make_flash()
    token = Token(over_partition(flash)).provision()
    flash.operations = []
    for number in range(RECORDS):
        flash.noted = number
        token.work(number)
    assert flash.operations == workload()


def test_power_dies_in_a_partition() -> None:
    tried = 0
    for operation, image in cuts(workload(), 101):
        check_cut(operation, image, over_partition)
        tried += 1
    assert tried > 150


class DeadPartition(Partition):
    def ioctl(self, operation: int, argument: int) -> int:
        if operation == 6:
            raise OSError(5)
        return super().ioctl(operation, argument)

    def readblocks(self, block: int, buf, offset: int) -> None:
        raise OSError(5)

    writeblocks = readblocks


class RefusingPartition(Partition):
    def ioctl(self, operation: int, argument: int) -> int:
        return -22 if operation == 6 else super().ioctl(operation, argument)


def test_a_partition_that_refuses_is_an_error() -> None:
    store = partition_store.PartitionStore(DeadPartition(EmulatedFlash(3)))
    assert (store.blocks, store.block_bytes) == (3, 256)
    for refused in (lambda: store.read(0, bytearray(1)), lambda: store.program(0, b"\0"), lambda: store.erase(0)):
        with pytest.raises(StoreError):
            refused()
    with pytest.raises(StoreError):
        partition_store.PartitionStore(RefusingPartition(EmulatedFlash(3))).erase(0)
