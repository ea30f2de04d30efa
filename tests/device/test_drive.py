"""A board that is a drive: a folder stands for it, CircuitPython for nobody."""

import errno
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from host_tools import cli
from host_tools.errors import UserError
from host_tools.provisioning import commands, drive, firmware_files
from host_tools.provisioning.drive import Drive, drives
from host_tools.provisioning.drive_flash import check_uf2, flash_drive, update_drive
from host_tools.provisioning.firmware_files import Builds, boards

BOARD = "nrf52840_circuitpython"
NOTE = "Adafruit CircuitPython 10.0.3 on 2026-02-02; Seeed XIAO nRF52840 Sense with nRF52840\nBoard ID:x\n"


BANNER = b"Adafruit CircuitPython 10.0.3 on 2026-02-02; Seeed XIAO nRF52840 Sense with nRF52840"


def uf2(payloads: tuple[bytes, ...] = (b"", BANNER[:30], BANNER[30:]), family: str = "42a852ad", of: int = 0) -> bytes:
    """A UF2 file; 42a852ad is the nRF52840's family. `of`: so many blocks it claims to have; 0: as many as it has."""
    payloads = (payloads[0], payloads[1].rjust(256, b"\0"), *payloads[2:]) if len(payloads) > 1 else payloads
    blocks = []
    for number, payload in enumerate(payloads):
        head = bytes.fromhex("5546320a57515d9e") + bytes(12) + number.to_bytes(4, "little")
        head += (of or len(payloads)).to_bytes(4, "little") + bytes.fromhex(family) + payload
        blocks.append(head.ljust(508, b"\0") + bytes.fromhex("306fb10a"))
    return b"".join(blocks)


@pytest.fixture(scope="module")
def builds() -> Iterator[Builds]:
    """Built once."""
    with Builds() as builds:
        yield builds


@pytest.fixture
def circuitpy(tmp_path: Path) -> Path:
    """A board in its maintenance mode."""
    folder = tmp_path / "mnt/CIRCUITPY"
    folder.mkdir(parents=True)
    (folder / "boot_out.txt").write_text(NOTE)
    return folder


def quiet(*_: object) -> None:
    """Tells nobody of the progress."""


def test_the_firmware_as_source_and_again_nothing(circuitpy: Path, builds: Builds) -> None:
    (circuitpy / "contacts.log").write_bytes(b"log")
    (circuitpy / "a/tracing").mkdir(parents=True)
    (circuitpy / "a/tracing/old.py").write_text("")
    report = flash_drive(BOARD, circuitpy, quiet, builds)
    assert (report.copied, report.removed, report.circuitpython) == (report.files, 1, "10.0.3")
    assert {path.name for path in circuitpy.glob("*.py")} == {"boot.py", "code.py", "half.py", "safemode.py"}
    assert (circuitpy / "contacts.log").read_bytes() == b"log"
    assert json.loads((circuitpy / "a/version.json").read_text())["state"] == "complete"
    again = flash_drive(BOARD, circuitpy, quiet, builds)
    assert (again.copied, again.bytes, again.firmware) == (0, 0, report.firmware)


def test_a_drive_that_goes_in_the_middle_starts_nothing(circuitpy: Path, builds: Builds, tmp_path: Path) -> None:
    gone = tmp_path / "gone"

    def pull(what: str, done: int, total: int) -> None:
        if what == "copying settings.py":
            circuitpy.rename(gone)

    with pytest.raises(UserError, match=r"went away while copying a/settings\.py.* files are on the board and stay"):
        flash_drive(BOARD, circuitpy, pull, builds)
    assert not (gone / "code.py").exists()
    assert not (gone / "a/code.py").exists()
    gone.rename(circuitpy)
    report = flash_drive(BOARD, circuitpy, quiet, builds)
    assert 0 < report.copied < report.files
    assert (circuitpy / "code.py").exists()


def test_a_drive_that_the_token_keeps_to_itself(
    circuitpy: Path, builds: Builds, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Drive, path: str, data: bytes) -> None:
        with self._doing(f"copying {path}"):
            raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Drive, "write", refuse)
    with pytest.raises(UserError, match=r"Hold the button while you press reset.*Nothing on the board was changed"):
        flash_drive(BOARD, circuitpy, quiet, builds)


@pytest.mark.parametrize(
    ("note", "sentence"),
    [
        (NOTE.replace("10.0.3", "9.2.1"), "has CircuitPython 9.2.1; 10 or newer is needed"),
        (NOTE.replace("with nRF52840", "with nRF52833"), "is an nRF52833"),
        ("UF2 Bootloader 0.6.1", "is not CIRCUITPY"),
    ],
)
def test_another_board_is_left_alone(circuitpy: Path, builds: Builds, note: str, sentence: str) -> None:
    (circuitpy / "boot_out.txt").write_text(note)
    with pytest.raises(UserError, match=sentence):
        flash_drive(BOARD, circuitpy, quiet, builds)
    assert os.listdir(circuitpy) == ["boot_out.txt"]


STARTED = """
import half
assert half.enter()
import settings, tracing.wire
print(settings.NAME, settings.__file__, tracing.wire.__file__)
"""


def started(circuitpy: Path) -> list[str]:
    """What a program that starts as code.py does would load."""
    words = [sys.executable, "-S", "-B", "-c", STARTED]
    return subprocess.run(words, cwd=circuitpy, capture_output=True, text=True, check=True).stdout.split()


def test_an_update_goes_beside_the_firmware_that_runs(
    circuitpy: Path, builds: Builds, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"no whole firmware, .*: use `bluezone flash`\. Nothing was changed"):
        update_drive(BOARD, circuitpy, quiet, builds)
    flash_drive(BOARD, circuitpy, quiet, builds)
    names = [started(circuitpy)]
    source = firmware_files.settings_source
    monkeypatch.setattr(firmware_files, "settings_source", lambda path: source(path) + "NEW = 1\n")
    with Builds() as later:
        report = update_drive(BOARD, circuitpy, quiet, later)
        again = update_drive(BOARD, circuitpy, quiet, later)
    names.append(started(circuitpy))
    assert [[Path(file).as_posix() for file in files[1:]] for files in names] == [
        [f"{circuitpy.as_posix()}/{half}/{path}" for path in ("settings.py", "tracing/wire.py")] for half in "ab"
    ]
    assert report.before != report.firmware
    assert (again.before, again.copied) == (report.firmware, 0)


def test_a_firmware_whose_start_programs_differ_is_for_flash(
    circuitpy: Path, builds: Builds, monkeypatch: pytest.MonkeyPatch
) -> None:
    flash_drive(BOARD, circuitpy, quiet, builds)
    with (circuitpy / "boot.py").open("a") as file:
        file.write("# another\n")
    before = {path: path.read_bytes() for path in circuitpy.rglob("*.py")}
    with pytest.raises(UserError, match=r"its start programs are to be changed too: use `bluezone flash`\."):
        update_drive(BOARD, circuitpy, quiet, builds)
    assert {path: path.read_bytes() for path in circuitpy.rglob("*.py")} == before
    report = flash_drive(BOARD, circuitpy, quiet, builds)
    assert report.copied == 1


def vouched(data: bytes) -> str:
    """What somebody else found who downloaded it."""
    return hashlib.sha256(data).hexdigest()


def test_from_the_boot_drive_to_a_token(circuitpy: Path, builds: Builds, tmp_path: Path) -> None:
    boot = tmp_path / "mnt/XIAO-SENSE"
    boot.mkdir()
    (boot / "INFO_UF2.TXT").write_text("UF2 Bootloader 0.6.1\n")
    image = tmp_path / "circuitpython.uf2"
    image.write_bytes(uf2())
    later = circuitpy.rename(tmp_path / "later")
    looks = 0

    def find() -> list[Path]:
        nonlocal looks
        looks += 1
        if looks == 3:  # the board has restarted
            later.rename(circuitpy)
        return drives([f"{tmp_path}/mnt/*"])

    with pytest.raises(UserError, match=r"is not an image that boards/nrf52840_circuitpython/board\.toml lists"):
        flash_drive(BOARD, boot, quiet, builds, image, find)
    assert not (boot / "circuitpython.uf2").exists()
    report = flash_drive(BOARD, boot, quiet, builds, image, find, vouched=vouched(uf2()))
    assert (boot / "circuitpython.uf2").read_bytes() == uf2()
    assert (report.drive, report.uf2_bytes) == (str(circuitpy), 3 * 512)
    with pytest.raises(UserError, match="did not appear"):
        flash_drive(BOARD, boot, quiet, builds, image, find, appears_s=0, vouched=vouched(uf2()))
    (boot / "INFO_UF2.TXT").unlink()
    with pytest.raises(UserError, match="is no boot drive"):
        flash_drive(BOARD, boot, quiet, builds, image, find, vouched=vouched(uf2()))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is no UF2 file"),
        (uf2()[:-1], "is cut short"),
        (uf2()[:-512], "is cut short"),
        (uf2()[512:], "is cut short"),
        (uf2()[:512] + uf2()[1024:], "is cut short"),
        (uf2(of=7), "is cut short"),
        (b"\xe9" + bytes(511), "is no UF2 file"),
        (uf2(family="575f7f62"), "is for another chip"),
        (uf2((b"a boot loader",)), "is not CircuitPython"),
        (uf2((BANNER.replace(b"10.0.3", b"9.2.1"),)), "is CircuitPython 9; 10 or newer is needed"),
        (uf2(), "is not an image that boards/nrf52840_circuitpython/board.toml lists"),
    ],
)
def test_an_image_that_may_not_be_copied(tmp_path: Path, data: bytes, sentence: str) -> None:
    path = tmp_path / "x.uf2"
    path.write_bytes(data)
    with pytest.raises(UserError, match=sentence) as caught:
        check_uf2(path, BOARD, boards()[BOARD])
    assert "Nothing was changed." in str(caught.value)


def test_an_image_that_is_vouched_for(tmp_path: Path) -> None:
    path = tmp_path / "x.uf2"
    path.write_bytes(uf2())
    assert check_uf2(path, BOARD, boards()[BOARD], vouched(uf2())) == uf2()
    with pytest.raises(UserError, match="has another SHA-256 than --image-sha256 says"):
        check_uf2(path, BOARD, boards()[BOARD], vouched(b"another"))


def test_the_commands_find_the_drive_and_tell_what_they_did(
    circuitpy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def bluezone(*words: str) -> int:
        app = cli.new_app()
        commands.register(app)
        return cli.run(app, [*words, "--board", BOARD])

    assert bluezone("update", "--drive", str(circuitpy)) == 2
    assert "use `bluezone flash`" in capsys.readouterr().err
    assert bluezone("flash", "--drive", str(circuitpy)) == 0
    assert f"{BOARD} on {circuitpy} (CircuitPython 10.0.3): " in capsys.readouterr().out
    monkeypatch.setattr(drive, "drives", lambda: [circuitpy])
    assert bluezone("update", "--json") == 0
    (told,) = json.loads(capsys.readouterr().out)["boards"]
    assert (told["port"], told["copied"], told["before"]) == (str(circuitpy), 0, told["firmware"])
    assert bluezone("update") == 0
    assert capsys.readouterr().out.endswith("Eject the drive, press reset once.\n")
