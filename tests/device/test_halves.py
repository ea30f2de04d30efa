"""A new firmware for a token that is a drive: wherever the power goes, it starts with the old firmware or the new one.

A folder stands for CIRCUITPY. What starts is the board's own start/code.py with half.py, in CPython. What a loss of
power does to FAT's directories, or to the 4096 bytes around a write, a folder does not show.
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from failing_drive import FailingDrive, PowerLost, half

from host_tools.errors import UserError
from host_tools.provisioning.drive import Drive
from host_tools.provisioning.firmware_files import Builds, BuiltFile, boards, start_programs, store_blocks
from host_tools.provisioning.halves import FOLDERS, Half, HalfCopy
from host_tools.provisioning.token_service import START_SERVICE

BOARD = "nrf52840_circuitpython"
STARTS = start_programs(BOARD)
# A firmware of few files: folders, files that change, come and go. Each names its version.
FILES = {
    "code.py": 'import app, parts.one\nprint("runs", VERSION, app.VERSION, parts.one.VERSION)\n',
    "boot.py": 'import app\nprint("boots", VERSION, app.VERSION)\n',
    "app.py": "",
    "parts/one.py": "",
}
Files = list[BuiltFile]
VM = Path(sys.executable).with_name("micropython")


def firmware(folder: Path, version: int, extra: str) -> Files:
    """Write a version of it; `extra` is a file that the other versions have not."""
    built = []
    for path, text in {**FILES, extra: ""}.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(f"VERSION = {version}\n{text}")
        data = target.read_bytes()
        built.append(BuiltFile(path, hashlib.sha256(data).hexdigest(), len(data)))
    return built


def nothing(data: bytes) -> bytes:
    return b""


def erased_end(data: bytes) -> bytes:
    return half(data).ljust(len(data), b"\xff")


def start(circuitpy: Path, program: str = "code.py") -> str:
    """What the token prints when CircuitPython starts a program at the root."""
    return subprocess.run(
        [sys.executable, "-S", "-B", program], cwd=circuitpy, capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture
def versions(tmp_path: Path) -> list[Files]:
    """Three firmwares, in 0/, 1/ and 2/."""
    return [firmware(tmp_path / str(version), version, f"only{version}.py") for version in range(3)]


@pytest.fixture
def copied(tmp_path: Path, versions: list[Files]) -> Callable[..., HalfCopy]:
    """Brings a version to a drive, as `flash` does."""

    def copy(drive: Drive, version: int, starts: dict[str, bytes] = STARTS) -> HalfCopy:
        done = HalfCopy(drive, BOARD, tmp_path / str(version), versions[version], starts, lambda *_: None)
        done.run()
        return done

    return copy


@pytest.fixture
def token(tmp_path: Path, copied: Callable[..., HalfCopy]) -> Path:
    """A drive that had version 0 and runs version 1: both halves are in use."""
    circuitpy = tmp_path / "CIRCUITPY"
    circuitpy.mkdir()
    for version in (0, 1):
        copied(Drive(circuitpy), version)
        assert start(circuitpy) == f"runs {version} {version} {version}\n"
        assert start(circuitpy, "boot.py") == f"boots {version} {version}\n"
    return circuitpy


@pytest.mark.parametrize("torn", [nothing, half, erased_end])
def test_at_every_cut_of_an_update_the_token_starts_and_the_next_one_ends_it(
    tmp_path: Path, token: Path, copied: Callable[..., HalfCopy], torn: Callable[[bytes], bytes]
) -> None:
    cut = 0
    while True:
        device = tmp_path / f"cut{cut}"
        shutil.copytree(token, device)
        drive = FailingDrive(device, cut, torn)
        try:
            copied(drive, 2)
        except PowerLost:
            assert start(device) == "runs 1 1 1\n", cut
            assert start(device, "boot.py") == "boots 1 1\n", cut
            copied(Drive(device), 2)
            assert start(device) == "runs 2 2 2\n", cut
            assert not list(device.glob("?/only0.py"))
            cut += 1
            continue
        break
    assert start(device) == "runs 2 2 2\n"
    assert cut > len(FILES) + 5


@pytest.mark.parametrize("torn", [nothing, half, erased_end])
def test_at_every_cut_of_the_first_flash_nothing_half_made_starts(
    tmp_path: Path, copied: Callable[..., HalfCopy], torn: Callable[[bytes], bytes]
) -> None:
    cut = 0
    while True:
        device = tmp_path / f"cut{cut}"
        device.mkdir()
        try:
            copied(FailingDrive(device, cut, torn), 1)
        except PowerLost:
            if (device / "code.py").exists():
                done = subprocess.run(
                    [sys.executable, "-S", "-B", "code.py"], cwd=device, capture_output=True, text=True
                )
                assert done.stdout in ("", "runs 1 1 1\n"), cut
            copied(Drive(device), 1)
            assert start(device) == "runs 1 1 1\n", cut
            cut += 1
            continue
        break
    assert cut > len(FILES) + 5


@pytest.mark.parametrize("path", ["code.py", "boot.py", "app.py", "parts/one.py", "only1.py", "sums"])
@pytest.mark.parametrize("damage", [nothing, half, erased_end])
def test_a_damaged_firmware_does_not_run_while_the_other_is_whole(
    token: Path, path: str, damage: Callable[[bytes], bytes]
) -> None:
    damaged = token / "b" / path
    damaged.write_bytes(damage(damaged.read_bytes()))
    assert start(token) == "runs 0 0 0\n"
    damaged.unlink()
    assert start(token) == "runs 0 0 0\n"


def test_host_and_token_agree_on_what_is_whole(token: Path) -> None:
    assert [Half(Drive(token), folder).number() for folder in FOLDERS] == [0, 1]
    sums = token / "b/sums"
    whole = sums.read_text()
    for text in (
        "",
        "end",
        "\nend",
        "7\nend",
        "x" + whole,
        "-" + whole,
        whole[:-1],
        whole + "\n",
        whole.replace(" ", "", 1),
    ):
        sums.write_text(text)
        assert Half(Drive(token), "b").number() == -1, text
        assert start(token) == "runs 0 0 0\n", text
    (token / "a/app.py").unlink()
    assert start(token) == "No copy of the firmware is whole: run `bluezone flash`.\n"
    assert start(token, "boot.py") == ""


IN_THE_VM = """
import sys, hashlib
class _Hashlib:  # CircuitPython's has `new` alone
    new = lambda name: hashlib.sha256()
sys.modules["hashlib"] = _Hashlib
sys.path[0] = ""
import half
print(half.enter(), half.enter(), sys.path[0], sys.path.count(sys.path[0]))
"""


@pytest.mark.vm
def test_a_micropython_chooses_the_same(token: Path) -> None:
    script = token / "choose.py"
    script.write_text(IN_THE_VM)
    for chosen, damaged in (("True True b 1", "b"), ("True True a 1", "a"), ("False False  1", "")):
        done = subprocess.run([VM, script], cwd=token, capture_output=True, text=True, check=True)
        assert done.stdout == f"{chosen}\n"
        (token / damaged / "app.py").write_text("")


def test_the_service_that_answers_over_the_repl_is_that_of_the_copy_that_runs(token: Path) -> None:
    for folder in FOLDERS:
        (token / folder / "service.py").write_text(f"class Service:\n    folder = {folder!r}\n")
    words = [sys.executable, "-S", "-B", "-c", f"{START_SERVICE}\nprint(t.folder)"]
    done = subprocess.run(words, cwd=token, capture_output=True, text=True, check=True)
    assert done.stdout == "b\n"


def test_the_same_firmware_again_is_nothing_to_do(token: Path, copied: Callable[..., HalfCopy]) -> None:
    done = copied(FailingDrive(token, 0), 1)
    assert (done.copied, done.removed, done.bytes) == (0, 0, 0)
    assert done.runs


def test_the_halves_take_turns_and_only_what_differs_is_copied(token: Path, copied: Callable[..., HalfCopy]) -> None:
    done = copied(Drive(token), 0)  # which is in the other half still
    assert done.copied == 0
    assert done.before
    assert start(token) == "runs 0 0 0\n"
    assert [Half(Drive(token), folder).number() for folder in FOLDERS] == [2, 1]


def test_other_start_programs_are_for_flash_alone(token: Path, copied: Callable[..., HalfCopy]) -> None:
    changed = {**STARTS, "code.py": STARTS["code.py"] + b"print('newer')\n"}
    done = copied(Drive(token), 1, changed)
    assert not done.runs  # `update` refuses then
    assert (done.copied, done.bytes) == (1, len(changed["code.py"]))
    assert start(token) == "runs 1 1 1\nnewer\n"


def test_both_copies_and_the_log_fit_on_the_drive() -> None:
    settings = boards()[BOARD]
    with Builds() as builds:
        _, built = builds.get(BOARD, compiled=False)
    copy_bytes = sum(-(-file.size // 4096) * 4096 for file in built)
    log_bytes = (store_blocks(settings) + 2) * 8192 + 4096  # SPEC.md, "Flash under CircuitPython"
    assert 2 * copy_bytes + log_bytes < (2 << 20) - (64 << 10)  # what is left over is FAT's and the start programs'


def test_too_little_room_leaves_everything(
    token: Path, copied: Callable[..., HalfCopy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Drive, "free_bytes", lambda _self: 0)
    with pytest.raises(UserError, match="The board has room for"):
        copied(Drive(token), 2)
    assert start(token) == "runs 1 1 1\n"
