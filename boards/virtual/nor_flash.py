"""A file as NOR flash: programming clears bits, erasing sets a whole block to ones. Runs on the VM and on CPython."""

import os

from tracing.errors import StoreError


class NorFlash:
    """The flash image at `path`; made, all erased, when it does not exist.

    Attributes:
        block_bytes, blocks: its geometry.
    """

    def __init__(self, path, blocks, block_bytes=4096):
        self.blocks = blocks
        self.block_bytes = block_bytes
        try:
            os.stat(path)
        except OSError:
            with open(path, "wb") as image:
                for _ in range(blocks * block_bytes // 256):
                    image.write(b"\xff" * 256)
        self._image = open(path, "r+b")  # noqa: SIM115  open as long as the board has power

    def read(self, offset, buf):
        """Fill `buf` from `offset`."""
        self._image.seek(offset)
        if self._image.readinto(buf) != len(buf):
            raise StoreError("beyond the end of the flash")

    def program(self, offset, data):
        """Clear the bits that are 0 in `data`.

        Raises:
            StoreError: across a block's end, or a bit would have to become 1.
        """
        if offset // self.block_bytes != (offset + len(data) - 1) // self.block_bytes:
            raise StoreError("a program operation across a block's end")
        old = bytearray(len(data))
        self.read(offset, old)
        for i in range(len(data)):
            if data[i] & ~old[i]:
                raise StoreError("programming cannot set a bit")
        self._image.seek(offset)
        self._image.write(data)
        self._image.flush()

    def erase(self, block):
        """Set a whole block to 0xFF."""
        if not 0 <= block < self.blocks:
            raise StoreError("beyond the end of the flash")
        self._image.seek(block * self.block_bytes)
        for _ in range(self.block_bytes // 64):
            self._image.write(b"\xff" * 64)
        self._image.flush()
