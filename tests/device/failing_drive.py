"""CIRCUITPY, or a token's files in a folder, where the power goes while they are written."""

from collections.abc import Callable
from pathlib import Path

from host_tools.provisioning.drive import Drive


class PowerLost(Exception):
    """The board has none from now on."""


def half(data: bytes) -> bytes:
    """What is left of a write that was cut in the middle."""
    return data[: len(data) // 2]


class FailingDrive(Drive):
    """The power goes at the operation that is counted down to; a write then leaves what `torn` makes of it."""

    def __init__(self, folder: Path, operations: int, torn: Callable[[bytes], bytes] = half) -> None:
        super().__init__(folder)
        self.left = operations
        self._torn = torn

    def _spend(self) -> bool:
        self.left -= 1
        return self.left < 0

    def write(self, path: str, data: bytes) -> None:
        if self._spend():
            super().write(path, self._torn(data))
            raise PowerLost
        super().write(path, data)

    def make_folder(self, folder: str) -> None:
        if self._spend():
            raise PowerLost
        super().make_folder(folder)

    def remove(self, path: str) -> None:
        if self._spend():
            raise PowerLost
        super().remove(path)
