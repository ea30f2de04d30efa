"""CIRCUITPY holds the firmware twice, in the folders `a` and `b`; at a start the board's start/half.py chooses one.

A new one goes into the folder that does not run, and its list of sums last: wherever the power goes, the token starts
with the old firmware or the new one. The programs that choose lie at the root, and an update never touches them.
"""

from hashlib import sha256
from pathlib import Path

from host_tools.provisioning.copying import Copy, Plan, Progress, verify
from host_tools.provisioning.drive import Drive
from host_tools.provisioning.firmware_files import BuiltFile
from host_tools.provisioning.token_board import MANIFEST

FOLDERS = ("a", "b")  # as start/half.py has them
_SUMS = "sums"
_END = "end"
_RUNS_ON = "The token goes on with the firmware it had. Run the same command again: it copies only the rest."


class Half:
    """One of the two folders, as a place for firmware (copying.Place)."""

    def __init__(self, drive: Drive, folder: str) -> None:
        self._drive = drive
        self.folder = folder
        self._under = f"{folder}/"
        self.where = drive.where

    def files(self, folder: str) -> dict[str, int]:
        """As the drive's, without this folder's name."""
        found = self._drive.files((self._under + folder).rstrip("/"))
        return {path.removeprefix(self._under): size for path, size in found.items()}

    def sha256(self, path: str) -> str:
        """As the drive's."""
        return self._drive.sha256(self._under + path)

    def free_bytes(self) -> int:
        """As the drive's."""
        return self._drive.free_bytes()

    def manifest(self) -> dict:
        """As the drive's."""
        return self._drive.manifest(self.folder)

    def write_manifest(self, manifest: dict) -> None:
        """As the drive's."""
        self._drive.write_manifest(manifest, self.folder)

    def write(self, path: str, data: bytes) -> None:
        """As the drive's."""
        self._drive.write(self._under + path, data)

    def make_folder(self, folder: str) -> None:
        """As the drive's."""
        self._drive.make_folder((self._under + folder).rstrip("/"))

    def remove(self, path: str) -> None:
        """As the drive's."""
        self._drive.remove(self._under + path)

    def number(self) -> int:
        """The number of the firmware in it, by the rule of start/half.py; -1: none, or not whole.

        Raises:
            BoardError: the drive failed.
        """
        if _SUMS not in self.files(""):
            return -1
        lines = self._drive.read(self._under + _SUMS).decode(errors="replace").split("\n")
        if lines.pop() != _END or len(lines) < 2 or not lines[0].isdecimal():
            return -1
        return int(lines[0]) if all(self._has(line) for line in lines[1:]) else -1

    def _has(self, line: str) -> bool:
        digest, _, path = line.partition(" ")
        return path in self.files(path.rpartition("/")[0]) and self.sha256(path) == digest

    def write_sums(self, number: int, built: list[BuiltFile]) -> None:
        """Say that the firmware in it is whole; the higher number runs.

        Raises:
            BoardError: the drive failed.
        """
        lines = [str(number), *(f"{file.sha256} {file.device_path}" for file in built), _END]
        self.write(_SUMS, "\n".join(lines).encode())

    def forget(self, built: list[BuiltFile]) -> int:
        """From now on nothing in it runs. What no version.json has to name goes too: a torn one names nothing.

        Returns:
            Files removed, without the list of sums.

        Raises:
            BoardError: the drive failed.
        """
        there = self.files("")
        if _SUMS in there:
            self.remove(_SUMS)
        strays = there.keys() - {file.device_path for file in built} - {_SUMS, MANIFEST}
        for path in sorted(strays):
            self.remove(path)
        return len(strays)


class HalfCopy:
    """A firmware on its way to a drive.

    Args:
        built: what lies in `folder`; starts: the programs at the root of the drive, name → contents.

    Attributes:
        runs: whether a firmware on the drive is whole and starts, and `run` would not touch it.
        before: 12 hex digits that name the firmware that ran, or "".
        files: of the firmware, copied: of them now; removed: files of an earlier firmware; bytes: copied.
        kept: what is on the board whatever happens next, as a sentence.

    Raises:
        BoardError: the drive failed.
    """

    def __init__(
        self,
        drive: Drive,
        board: str,
        folder: Path,
        built: list[BuiltFile],
        starts: dict[str, bytes],
        progress: Progress,
    ) -> None:
        self._drive = drive
        self._board = board
        self._folder = folder
        self._built = built
        self._progress = progress
        numbered = sorted(((half.number(), half) for half in (Half(drive, name) for name in FOLDERS)), key=_by_number)
        (_, self._other), (self._number, self._running) = numbered
        there = drive.files("")
        self._due_starts = {
            name: data
            for name, data in starts.items()
            if name not in there or drive.sha256(name) != sha256(data).hexdigest()
        }
        self.runs = self._number >= 0 and not self._due_starts
        self.before = str(self._running.manifest().get("firmware", "")) if self._number >= 0 else ""
        self.files = len(built) + len(starts)
        self.copied = self.removed = self.bytes = 0
        self.kept = "Nothing on the board was changed."

    def run(self) -> None:
        """Bring what is missing or different.

        Raises:
            BoardError: the drive failed, or has too little room.
        """
        if self._number < 0 or not Plan(self._running, self._board, self._built).is_done:
            self._copy()
        if self._due_starts:
            self.kept = "It will not start before the same command has been run again, which copies only the rest."
            self._write_starts()
        self.kept = "The firmware on the board is complete."

    def _copy(self) -> None:
        target = self._other
        self._drive.make_folder(target.folder)
        copy = Copy(target, self._board, self._folder, self._built, self._progress)
        strays = 0
        try:
            strays = target.forget(self._built)
            copy.run()
            target.write_sums(self._number + 1, self._built)
        finally:
            self.copied, self.removed, self.bytes = copy.copied, copy.removed + strays, copy.bytes
            self.kept = _RUNS_ON if self.runs else copy.kept

    def _write_starts(self) -> None:
        for name, data in self._due_starts.items():
            self._progress(f"copying {name}", 0, len(data))
            self._drive.write(name, data)
            self.copied += 1
            self.bytes += len(data)
        verify(
            self._drive,
            [BuiltFile(name, sha256(data).hexdigest(), len(data)) for name, data in self._due_starts.items()],
        )


def _by_number(numbered: tuple[int, Half]) -> int:
    return numbered[0]
