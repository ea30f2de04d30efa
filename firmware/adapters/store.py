"""Flash as the log wants it (read, program, erase), over an `esp32.Partition`."""

from tracing.errors import StoreError


class PartitionStore:
    """A partition of NOR flash.

    Args:
        partition: an esp32.Partition. Its block protocol programs without erasing when an offset is given, erases
            with ioctl 6, and raises OSError.

    Attributes:
        block_bytes, blocks: its geometry.
    """

    def __init__(self, partition):
        self._partition = partition
        self.blocks = partition.ioctl(4, 0)
        self.block_bytes = partition.ioctl(5, 0)

    def read(self, offset, buf):
        """Fill `buf` from `offset`.

        Raises:
            StoreError: the chip refused.
        """
        try:
            self._partition.readblocks(offset // self.block_bytes, buf, offset % self.block_bytes)
        except OSError as error:
            raise StoreError(str(error))

    def program(self, offset, data):
        """Clear the bits that are 0 in `data`; never crosses a block.

        Raises:
            StoreError: the chip refused.
        """
        try:
            self._partition.writeblocks(offset // self.block_bytes, data, offset % self.block_bytes)
        except OSError as error:
            raise StoreError(str(error))

    def erase(self, block):
        """Set a whole block to 0xFF.

        Raises:
            StoreError: the chip refused.
        """
        try:
            if self._partition.ioctl(6, block):
                raise StoreError("erase")
        except OSError as error:
            raise StoreError(str(error))
