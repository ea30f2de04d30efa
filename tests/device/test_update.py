"""A new firmware for a token: wherever the power goes, the token starts with the old firmware or the new one."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import chip_fakes
import pytest
from failing_drive import FailingDrive, PowerLost
from pty_board import PtyBoard

from host_tools.errors import UserError
from host_tools.provisioning import firmware_files
from host_tools.provisioning.copying import Copy
from host_tools.provisioning.drive import Drive
from host_tools.provisioning.firmware_files import Builds, BuiltFile, compile_module
from host_tools.provisioning.update import Staged, Update

pytestmark = pytest.mark.vm
VM = Path(sys.executable).with_name("micropython")

# A firmware of few files with all that matters to a switch: folders, files that change, come and go, its own boot.py
# and switch.py. Each file names its version, and main.py says whether they fit.
FILES = {
    "boot.py": None,
    "switch.py": None,
    "main.py": 'import app, parts.one\nprint("runs", VERSION, app.VERSION, parts.one.VERSION)\n',
    "app.py": "",
    "parts/one.py": "",
}


def firmware(folder: Path, version: int, extra: str) -> list[BuiltFile]:
    """Write a version of it; `extra` is a file that the other version has not."""
    built = []
    for path, text in {**FILES, extra: ""}.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            text = (firmware_files.ROOT / "firmware" / path).read_text()
        target.write_text(f"{text}\n" if path == "switch.py" else f"VERSION = {version}\n{text}")
        built.append(built_file(folder, path))
    return built


def built_file(folder: Path, path: str) -> BuiltFile:
    """A file as `build` describes it."""
    data = (folder / path).read_bytes()
    return BuiltFile(path, hashlib.sha256(data).hexdigest(), len(data))


def start(device: Path, lose_power_at: int | None = None) -> str:
    """What the token prints when it starts; the power may go at an operation on its files before that."""
    script = device.parent / "start.py"
    cut = ""
    if lose_power_at is not None:
        cut = f"""
import os
left = {lose_power_at}
class Cut:
    pass
fake = Cut()
for name in dir(os):
    setattr(fake, name, getattr(os, name))
def counted(what):
    def call(*args):
        global left
        left -= 1
        if left < 0:
            sys.exit(9)
        return what(*args)
    return call
fake.rename, fake.remove = counted(os.rename), counted(os.remove)
sys.modules["os"] = fake
"""
    script.write_text(f"import sys\nsys.path[0] = ''\n{cut}\nimport boot\nimport main\n")
    done = subprocess.run([VM, script], cwd=device, capture_output=True, text=True, check=lose_power_at is None)
    return done.stdout


@pytest.fixture
def versions(tmp_path: Path) -> tuple[list[BuiltFile], list[BuiltFile]]:
    """The old firmware, in old/, and the new one, in new/."""
    return firmware(tmp_path / "old", 1, "went.py"), firmware(tmp_path / "new", 2, "came/two.py")


@pytest.fixture
def flashed(tmp_path: Path, device: Path, versions: tuple[list[BuiltFile], list[BuiltFile]]) -> Path:
    """A token with the old firmware."""
    Copy(Drive(device), "toy", tmp_path / "old", versions[0], lambda *_: None).run()
    assert start(device) == "runs 1 1 1\n"
    return device


def update(drive: Drive, new: Path, built: list[BuiltFile]) -> None:
    """All that the host does."""
    staged = Staged(drive, "toy", built, {file: (new / file.device_path).read_bytes for file in built})
    staged.copy(lambda *_: None)
    staged.switch()


def operations(tmp_path: Path, flashed: Path, built: list[BuiltFile]) -> int:
    """How many a whole update takes."""
    trial = tmp_path / "trial"
    shutil.copytree(flashed, trial)
    drive = FailingDrive(trial, 10_000)
    update(drive, tmp_path / "new", built)
    return 10_000 - drive.left


def test_at_every_cut_while_copying_the_token_starts_and_the_next_update_ends_it(
    tmp_path: Path, flashed: Path, versions: tuple[list[BuiltFile], list[BuiltFile]]
) -> None:
    built = versions[1]
    cuts = operations(tmp_path, flashed, built)
    assert cuts > 10
    for cut in range(cuts):
        device = tmp_path / f"cut{cut}"
        shutil.copytree(flashed, device)
        with pytest.raises(PowerLost):
            update(FailingDrive(device, cut), tmp_path / "new", built)
        assert start(device) == "runs 1 1 1\n", cut
        update(Drive(device), tmp_path / "new", built)
        assert start(device) == "runs 2 2 2\n", cut
        assert_whole(device, built)


def test_at_every_cut_while_switching_the_next_start_goes_on(
    tmp_path: Path, flashed: Path, versions: tuple[list[BuiltFile], list[BuiltFile]]
) -> None:
    update(Drive(flashed), tmp_path / "new", versions[1])
    cut = 0
    while True:
        device = tmp_path / f"switch{cut}"
        shutil.copytree(flashed, device)
        if start(device, lose_power_at=cut):
            break  # it has switched before the power went
        for again in (0, 1):  # and goes once more, a little later
            start(device, lose_power_at=again)
        assert start(device) == "runs 2 2 2\n", cut
        assert_whole(device, versions[1])
        cut += 1
    assert cut > len(versions[1])


def assert_whole(device: Path, built: list[BuiltFile]) -> None:
    """The token has this firmware and nothing of another."""
    assert not (device / "next/list").exists()
    assert not (device / "went.py").exists()
    for file in built:
        assert built_file(device, file.device_path) == file


def test_without_a_firmware_that_can_switch_nothing_is_changed(
    tmp_path: Path, flashed: Path, versions: tuple[list[BuiltFile], list[BuiltFile]]
) -> None:
    (flashed / "switch.py").unlink()
    before = sorted(os.listdir(flashed))
    with pytest.raises(UserError, match="use `bluezone flash`"):
        update(Drive(flashed), tmp_path / "new", versions[1])
    assert sorted(os.listdir(flashed)) == before


@pytest.fixture
def builds(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Builds]:
    """The real firmware, from a tree that a test may change."""
    with Builds(project) as builds:
        yield builds


def test_over_a_serial_line(project: Path, device: Path, builds: Builds) -> None:
    folder, built = builds.get("esp32_generic")
    Copy(Drive(device), "esp32_generic", folder, built, lambda *_: None).run()
    (project / "firmware/tracing/patterns.py").write_text("ALIVE = 9\n")
    (project / "firmware/tracing/new.py").write_text("")
    with (
        Builds(project) as later,
        PtyBoard(device, chip_fakes.esp32(device)) as board,
    ):
        report = Update("", board.port, lambda *_: None, later, patience_s=5, watch_s=0).run()
        board.wait_for(b"token started", times=2)
        again = Update("", board.port, lambda *_: None, later, patience_s=5, watch_s=0).run()
    assert (report.copied, report.removed, report.board) == (2, 0, "esp32_generic")
    assert report.firmware != report.before
    assert (again.copied, again.before) == (0, report.firmware)
    assert (device / "tracing/new.mpy").exists()


class ToyBuilds(Builds):
    """A version of the small firmware, with a compiled file of which a board tells that it can load it."""

    def __init__(self, folder: Path, version: int, extra: str) -> None:
        super().__init__()
        built = firmware(folder, version, extra)
        compile_module(folder / "app.py", folder / "app.mpy", "app.mpy")
        self._version = (
            folder,
            [file for file in built if file.device_path != "app.py"] + [built_file(folder, "app.mpy")],
        )

    def get(self, board: str, compiled: bool = True) -> tuple[Path, list[BuiltFile]]:
        return self._version


# What is kept, as the technician reads it; what the token starts then; and how many answers later it is cut next.
KEPT = {
    "Nothing on the token was changed": ({"runs 1 1 1\n"}, 6),
    "The token goes on with the firmware it had": ({"runs 1 1 1\n"}, 3),
    "The new firmware is whole and verified": ({"runs 1 1 1\n", "runs 2 2 2\n"}, 1),
}


def test_over_a_serial_line_that_is_cut_the_token_starts_and_the_next_update_ends_it(
    tmp_path: Path, device: Path
) -> None:
    said, started = [], set()
    answers = 0
    with ToyBuilds(tmp_path / "old", 1, "went.py") as old, ToyBuilds(tmp_path / "new", 2, "came/two.py") as new:
        folder, built = old.get("")
        Copy(Drive(device), "esp32_generic", folder, built, lambda *_: None).run()
        while True:
            cut = tmp_path / f"cut{answers}"
            shutil.copytree(device, cut)
            with PtyBoard(cut, chip_fakes.esp32(cut), unplug_after_answers=answers) as board:
                try:
                    Update("", board.port, lambda *_: None, new, patience_s=5, watch_s=0).run()
                    break
                except UserError as error:
                    (kept,) = (kept for kept in KEPT if kept in str(error))
            runs = start(cut)
            assert runs in KEPT[kept][0], (answers, kept)
            started.add(runs)
            if kept not in said or answers % 16 == 0:
                said.append(kept)
                with PtyBoard(cut, chip_fakes.esp32(cut)) as board:
                    Update("", board.port, lambda *_: None, new, patience_s=5, watch_s=0).run()
                assert start(cut) == "runs 2 2 2\n", answers
                assert_whole(cut, new.get("")[1])
            answers += KEPT[kept][1]
    assert set(said) == set(KEPT)
    assert started == {"runs 1 1 1\n", "runs 2 2 2\n"}
    assert start(cut) == "runs 2 2 2\n"
