"""Boards that show up as drives: an nRF52840's boot loader, which takes a UF2 file, and CircuitPython's CIRCUITPY."""

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from host_tools.matching.durable import sync_folder
from host_tools.provisioning.board_error import BoardError
from host_tools.provisioning.token_board import MANIFEST

BOOT_NOTE = "INFO_UF2.TXT"
CIRCUITPY_NOTE = "boot_out.txt"

_MOUNTS = ("/media/*/*", "/run/media/*/*", "/mnt/*", "/Volumes/*")


class Drive:
    """CIRCUITPY as a place for firmware (copying.Place). Every file is on the drive for good when `write` returns."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.where = str(folder)

    def version(self) -> tuple[str, str]:
        """CircuitPython's version and the board's chip, from the drive's boot_out.txt.

        Raises:
            BoardError: there is none.
        """
        with self._doing("looking at it"):
            text = (self._folder / CIRCUITPY_NOTE).read_text(errors="replace")
        found = re.search(r"CircuitPython (\S+) .*with (\S+)", text)
        if not found:
            raise BoardError(f"{self.where} is not CIRCUITPY: its {CIRCUITPY_NOTE} is not CircuitPython's.")
        return found[1], found[2]

    def files(self, folder: str) -> dict[str, int]:
        """As TokenBoard's."""
        with self._doing("listing its files"):
            place = self._folder / folder
            entries = [path for path in place.iterdir() if path.is_file()] if place.is_dir() else []
            return {path.relative_to(self._folder).as_posix(): path.stat().st_size for path in entries}

    def read(self, path: str) -> bytes:
        """Contents of a file: what is on the drive, not what this computer remembers of having written."""
        with self._doing(f"reading {path}"), open(self._folder / path, "rb") as file:
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            return file.read()

    def sha256(self, path: str) -> str:
        """As TokenBoard's, but computed here: a drive only gives its bytes."""
        return hashlib.sha256(self.read(path)).hexdigest()

    def free_bytes(self) -> int:
        """Free space."""
        with self._doing("asking for its free space"):
            return shutil.disk_usage(self._folder).free

    def manifest(self, folder: str = "") -> dict:
        """As TokenBoard's, of a folder."""
        with self._doing("reading which firmware it has"):
            try:
                manifest = json.loads((self._folder / folder / MANIFEST).read_text())
            except (FileNotFoundError, ValueError):
                return {}
        return manifest if isinstance(manifest, dict) else {}

    def write_manifest(self, manifest: dict, folder: str = "") -> None:
        """As TokenBoard's, in a folder."""
        self.write(f"{folder}/{MANIFEST}".lstrip("/"), json.dumps(manifest).encode())

    def write(self, path: str, data: bytes) -> None:
        """Create or replace a file."""
        with self._doing(f"copying {path}"):
            with open(self._folder / path, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            sync_folder((self._folder / path).parent)

    def make_folder(self, folder: str) -> None:
        """Make a folder unless it is there."""
        with self._doing(f"making the folder {folder}"):
            (self._folder / folder).mkdir(exist_ok=True)

    def remove(self, path: str) -> None:
        """Remove a file."""
        with self._doing(f"removing {path}"):
            (self._folder / path).unlink()
            sync_folder((self._folder / path).parent)

    @contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise BoardError(
                    f"{self.where} cannot be written (while {what}): the token keeps its drive to itself. Hold the "
                    "button while you press reset, then repeat."
                ) from error
            if not self._folder.is_dir():
                raise BoardError(
                    f"The drive {self.where} went away while {what}. Plug the board in with the button held, "
                    "then repeat."
                ) from error
            raise BoardError(f"The drive {self.where} failed while {what}: {error.strerror or error}.") from error


def drives(patterns: Iterable[str] = _MOUNTS) -> list[Path]:
    """The boot drives and CIRCUITPY drives of this PC."""
    found = [path for pattern in patterns for path in sorted(Path("/").glob(pattern.lstrip("/")))]
    return [path for path in found if (path / BOOT_NOTE).is_file() or (path / CIRCUITPY_NOTE).is_file()]
