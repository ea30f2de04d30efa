"""A new firmware for a token that has one: copied beside it, verified, then switched to (firmware/switch.py).

Whenever the power goes, the token starts with the old firmware or with the new one, never with a part of either. Keys
and log are not touched.
"""

import time
from dataclasses import asdict, dataclass

from host_tools.provisioning import firmware_files, ports
from host_tools.provisioning.board_error import BoardError
from host_tools.provisioning.copying import NEXT, Place, Plan, Progress, folders, need_space, same, verify
from host_tools.provisioning.firmware_files import Builds, BuiltFile
from host_tools.provisioning.flash import check_runs, loadable
from host_tools.provisioning.token_board import MANIFEST, TokenBoard

_UNDER = NEXT + "/"
_LIST = f"{NEXT}/list"
_SWITCH = "switch.mpy"
_RUNS_ON = "The token goes on with the firmware it had. Run the same command again: it copies only the rest."


@dataclass
class UpdateReport:
    """What an update did."""

    board: str
    port: str
    firmware: str  # 12 hex digits that name the firmware that the token has now
    before: str  # the same of the one that it had
    copied: int  # files
    removed: int
    bytes: int
    seconds: float

    def as_dict(self) -> dict:
        """For JSON."""
        return asdict(self)


class Update:
    """One update. Arguments as for flash.Flash; `board` may be "" for whichever it is."""

    def __init__(
        self, board: str, port: str, progress: Progress, builds: Builds, patience_s: int = 4, watch_s: int = 8
    ) -> None:
        self._board_name = board
        self._port = port
        self._progress = progress
        self._builds = builds
        self._patience_s = patience_s
        self._watch_s = watch_s
        self._kept = "Nothing on the token was changed."

    def run(self) -> UpdateReport:
        """Do it.

        Raises:
            BoardError: with what happened, what was kept, and what to do.
        """
        started_s = time.monotonic()
        board = None
        try:
            board = TokenBoard(self._port, self._patience_s)
            identity = board.identity()
            name = self._board_name or ports.board_of(identity)
            check_runs(board, identity, name, firmware_files.boards()[name])
            folder, built = loadable(self._builds, name, identity)
            staged = Staged(board, name, built, {file: (folder / file.device_path).read_bytes for file in built})
            if not staged.plan.is_done:
                self._kept = _RUNS_ON
                staged.copy(self._progress)
                self._kept = (
                    "The new firmware is whole and verified; the token takes it at its next start, if it has not yet."
                )
                staged.switch()
            self._progress("watching its start", 1, 1)
            board.restart(self._watch_s)
            board.close()
            if not staged.plan.is_done:
                board = TokenBoard(self._port, self._patience_s)
                if board.manifest() != staged.plan.manifest:
                    raise BoardError(
                        "The token started without the new firmware: use `bluezone flash`, which also can."
                    )
                board.restart(0)
        except BoardError as error:
            raise BoardError(f"{error} {self._kept}") from error
        finally:
            if board:
                board.close()
        plan = staged.plan
        return UpdateReport(
            name, self._port, plan.manifest["firmware"], str(plan.old.get("firmware", "")), len(plan.due),
            len(plan.stale), sum(file.size for file in plan.due), round(time.monotonic() - started_s, 1),
        )  # fmt: skip


class Staged:
    """A firmware on its way into a place that has another one.

    Args:
        contents: of every file, read when it is needed.

    Raises:
        BoardError: the token has no firmware that can switch.
    """

    def __init__(self, place: Place, board: str, built: list[BuiltFile], contents: dict) -> None:
        self._place = place
        self._contents = contents
        self.plan = Plan(place, board, built)
        if self.plan.old.get("state") != "complete" or not {_SWITCH, "switch.py"} & self.plan.there.keys():
            raise BoardError("The board has no complete firmware that can be updated: use `bluezone flash`.")

    def copy(self, progress: Progress) -> None:
        """Bring what differs, and verify it; nothing that the token runs is touched.

        Raises:
            BoardError: the board failed, or has too little room.
        """
        place, plan = self._place, self.plan
        beside = place.files(NEXT)
        if _LIST in beside:
            place.remove(_LIST)  # what it said was of another update
        need_space(place, plan.due, [path for path in plan.there if path.startswith(_UNDER)], plan.there)
        for folder in ["", *folders(plan.due)]:
            place.make_folder((_UNDER + folder).rstrip("/"))
        for folder in folders(plan.due):
            place.make_folder(folder)
        total, done = sum(file.size for file in plan.due), 0
        for file in plan.due:
            progress(f"copying {file.device_path}", done, total)
            if not (self._is_beside(file) and same(place, file, _UNDER)):
                place.write(_UNDER + file.device_path, self._contents[file]())
            done += file.size
        verify(place, plan.due, _UNDER)
        place.write(_UNDER + MANIFEST, plan.manifest_bytes)

    def _is_beside(self, file: BuiltFile) -> bool:
        folder = (_UNDER + file.device_path).rpartition("/")[0]
        return _UNDER + file.device_path in self._place.files(folder)

    def switch(self) -> None:
        """Say that the new firmware counts: from now on the next start takes it.

        Raises:
            BoardError: the board failed.
        """
        plan = self.plan
        gone = [f"-{path}" for path in plan.stale if not path.startswith(_UNDER)]
        come = [f"+{file.device_path}" for file in plan.due]
        self._place.write(_LIST, "\n".join([*gone, *come, f"+{MANIFEST}", "end"]).encode())
