"""Copies a built firmware to where a board keeps it, and verifies it there; once more finishes what was interrupted.

The order makes every interruption harmless: the program that starts goes first and comes back last, so that a board
with half a firmware starts nothing; the manifest says "copying" meanwhile and names old and new files, so that the next
run knows what to clear away. `update` has another order, which never leaves a token without a firmware.
"""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from host_tools.provisioning.board_error import BoardError
from host_tools.provisioning.firmware_files import BuiltFile
from host_tools.provisioning.token_board import MANIFEST

NEXT = "next"  # firmware/switch.py
_STARTS = ("code.py", "main.py")  # CircuitPython, MicroPython; a board with the first has no use for the second
_BLOCK_BYTES = 4096
_SPARE_BLOCKS = 2  # littlefs writes the new before it frees the old

Progress = Callable[[str, int, int], None]  # what is being done, bytes done, bytes in all


class Shown(Protocol):
    """Where a board keeps its firmware, to be looked at. Paths are relative to it; everything raises BoardError."""

    def files(self, folder: str) -> dict[str, int]: ...

    def sha256(self, path: str) -> str: ...

    def manifest(self) -> dict: ...


class Place(Shown, Protocol):
    """A board's file system: over its serial port (TokenBoard), or as a drive (Drive)."""

    where: str  # for people

    def free_bytes(self) -> int: ...

    def write_manifest(self, manifest: dict) -> None: ...

    def write(self, path: str, data: bytes) -> None: ...

    def make_folder(self, folder: str) -> None: ...

    def remove(self, path: str) -> None: ...


class Plan:
    """What differs between a board and a firmware.

    Attributes:
        manifest: what the board's manifest shall be; old: what it is.
        due: files to bring; stale: paths to remove; there: files on the board, path → bytes.
    """

    def __init__(self, place: Shown, board: str, built: list[BuiltFile]) -> None:
        self.manifest = {
            "state": "complete",
            "board": board,
            "firmware": firmware_digest(built),
            "files": [file.device_path for file in built],
        }
        self.old = place.manifest()
        self.there = _listing(place, built, self.old)
        self.stale = _stale(self.there, built, self.old)
        self.due = [file for file in built if file.device_path not in self.there or not same(place, file)]

    @property
    def manifest_bytes(self) -> bytes:
        """The manifest as it lies on the board."""
        return json.dumps(self.manifest).encode()

    @property
    def is_done(self) -> bool:
        """Whether the board has the firmware, and nothing of another."""
        return self.old == self.manifest and not self.due and not self.stale

    @property
    def known(self) -> list[str]:
        """All paths that are the token's, before and after."""
        return sorted({*self.manifest["files"], *our_files(self.old), *self.stale})


class Copy:
    """One copy.

    Attributes:
        copied: files copied now; removed: files of an earlier firmware; bytes: copied.
        kept: what is on the board whatever happens next, as a sentence.
    """

    def __init__(self, place: Place, board: str, folder: Path, built: list[BuiltFile], progress: Progress) -> None:
        self._place = place
        self._board = board
        self._folder = folder
        self._built = built
        self._progress = progress
        self._start = next(file for name in _STARTS for file in built if file.device_path == name)
        self.copied = self.removed = self.bytes = 0
        self.kept = "Nothing on the board was changed."

    def run(self) -> None:
        """Do it.

        Raises:
            BoardError: the board failed, or has too little room.
        """
        place = self._place
        plan = Plan(place, self._board, self._built)
        if plan.due or plan.stale:
            need_space(place, plan.due, [*plan.stale, *(file.device_path for file in plan.due)], plan.there)
            start = self._start.device_path
            # Whatever happens now, the next run knows which files were ours; and without its start nothing starts.
            place.write_manifest({**plan.manifest, "state": "copying", "files": plan.known})
            self._note_kept(sum(file not in plan.due for file in self._built if file.device_path != start))
            if start in plan.there:
                place.remove(start)
            for path in plan.stale:
                place.remove(path)
            self._write(plan.due)
            self.removed = len(plan.stale)
        if not plan.is_done:
            place.write_manifest(plan.manifest)
        self.kept = "The firmware on the board is complete."

    def _write(self, due: list[BuiltFile]) -> None:
        others = [file for file in due if file is not self._start]
        total = sum(file.size for file in (*others, self._start))
        there = len(self._built) - len(others) - 1
        for name in folders(others):
            self._place.make_folder(name)
        for file in (*others, self._start):
            if file is self._start:
                verify(self._place, others)
            self._progress(f"copying {file.device_path}", self.bytes, total)
            self._place.write(file.device_path, (self._folder / file.device_path).read_bytes())
            self.copied += 1
            self.bytes += file.size
            self._note_kept(there + self.copied)
        verify(self._place, [self._start])

    def _note_kept(self, there: int) -> None:
        self.kept = (
            f"{there} of {len(self._built)} files are on the board and stay; it will not start with a part of its "
            "firmware. Run the same command again: it copies only the rest."
        )


def firmware_digest(built: list[BuiltFile]) -> str:
    """12 hex digits that name a firmware."""
    return sha256("".join(file.sha256 for file in built).encode()).hexdigest()[:12]


def folders(files: list[BuiltFile]) -> list[str]:
    """The folders that hold files, but for the root."""
    return sorted({file.device_path.rpartition("/")[0] for file in files} - {""})


def same(place: Shown, file: BuiltFile, under: str = "") -> bool:
    """Whether a file that is there has the right contents; `under` is a folder with "/"."""
    return place.sha256(under + file.device_path) == file.sha256


def verify(place: Shown, files: list[BuiltFile], under: str = "") -> None:
    """Compare files that were sent.

    Raises:
        BoardError: one is not as it was sent.
    """
    for file in files:
        if not same(place, file, under):
            raise BoardError(
                f"{file.device_path} is not on the board as it was sent. If it happens again, the board's flash is "
                "worn out or the cable is bad."
            )


def need_space(place: Place, due: list[BuiltFile], freed: list[str], there: dict[str, int]) -> None:
    """Check that there is room for files, `freed` having been removed.

    Raises:
        BoardError: there is not.
    """
    needed = sum(_on_disk(file.size) for file in due) + _SPARE_BLOCKS * _BLOCK_BYTES
    free = place.free_bytes() + sum(_on_disk(there.get(path, 0)) for path in freed)
    if free < needed:
        raise BoardError(
            f"The board has room for {free // 1024} KB; the firmware needs {needed // 1024} KB. Remove files that "
            f"are not the token's: {place.where}."
        )


def our_files(manifest: dict) -> set[str]:
    """The paths that a manifest names."""
    return {path for path in manifest.get("files", ()) if isinstance(path, str)}


def _listing(place: Shown, built: list[BuiltFile], old: dict) -> dict[str, int]:
    ours = {file.device_path for file in built} | our_files(old)
    there: dict[str, int] = {}
    for folder in sorted({path.rpartition("/")[0] for path in ours} | {"", NEXT}):
        there |= place.files(folder)
    return there


def _stale(there: dict[str, int], built: list[BuiltFile], old: dict) -> list[str]:
    # What an earlier firmware left: what its manifest names, everything else in our folders, and at the root whatever
    # hides a module of ours (MicroPython prefers x.py to x.mpy). Other files at the root belong to somebody else.
    # In `next` only the list matters, which would act at the next start; the rest is overwritten by the next update.
    paths = {file.device_path for file in built}
    modules = {path.rpartition(".")[0] for path in paths}
    own = {path.rpartition("/")[0] for path in paths} - {""} | {NEXT}
    return sorted(
        path
        for path in there.keys() - paths - {MANIFEST}
        if path in our_files(old)
        or path.rpartition("/")[0] in own
        or (path.endswith((".py", ".mpy")) and path.rpartition(".")[0] in modules)
    )


def _on_disk(size: int) -> int:
    return -(-size // _BLOCK_BYTES) * _BLOCK_BYTES
