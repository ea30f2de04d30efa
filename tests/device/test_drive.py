"""A board that is a drive: a folder stands for it, CircuitPython for nobody."""

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from host_tools.errors import UserError
from host_tools.provisioning.drive import Drive, check_uf2, drives, flash_drive
from host_tools.provisioning.firmware_files import Builds, boards

BOARD = "nrf52840_circuitpython"
NOTE = "Adafruit CircuitPython 10.0.3 on 2026-02-02; Seeed XIAO nRF52840 Sense with nRF52840\nBoard ID:x\n"


def uf2(blocks: int = 3, family: str = "42a852ad") -> bytes:
    """A UF2 file; 42a852ad is the nRF52840's family."""
    head = bytes.fromhex("5546320a57515d9e") + bytes(20) + bytes.fromhex(family)
    return (head.ljust(508, b"\0") + bytes.fromhex("306fb10a")) * blocks


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
    (circuitpy / "tracing").mkdir()
    (circuitpy / "tracing/old.py").write_text("")
    report = flash_drive(BOARD, circuitpy, quiet, builds)
    assert (report.copied, report.removed, report.circuitpython) == (report.files, 1, "10.0.3")
    assert (circuitpy / "code.py").exists()
    assert (circuitpy / "contacts.log").read_bytes() == b"log"
    assert json.loads((circuitpy / "version.json").read_text())["state"] == "complete"
    again = flash_drive(BOARD, circuitpy, quiet, builds)
    assert (again.copied, again.bytes, again.firmware) == (0, 0, report.firmware)


def test_a_drive_that_goes_in_the_middle_starts_nothing(circuitpy: Path, builds: Builds, tmp_path: Path) -> None:
    gone = tmp_path / "gone"

    def pull(what: str, done: int, total: int) -> None:
        if what == "copying settings.py":
            circuitpy.rename(gone)

    with pytest.raises(UserError, match=r"went away while copying settings\.py.* files are on the board and stay"):
        flash_drive(BOARD, circuitpy, pull, builds)
    assert not (gone / "code.py").exists()
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

    report = flash_drive(BOARD, boot, quiet, builds, image, find)
    assert (boot / "circuitpython.uf2").read_bytes() == uf2()
    assert (report.drive, report.uf2_bytes) == (str(circuitpy), 3 * 512)
    with pytest.raises(UserError, match="did not appear"):
        flash_drive(BOARD, boot, quiet, builds, image, find, appears_s=0)
    (boot / "INFO_UF2.TXT").unlink()
    with pytest.raises(UserError, match="is no boot drive"):
        flash_drive(BOARD, boot, quiet, builds, image, find)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is no UF2 file"),
        (uf2()[:-1], "is cut short"),
        (b"\xe9" + bytes(511), "is no UF2 file"),
        (uf2(2) + uf2(1, "575f7f62"), "is for another chip"),
    ],
)
def test_an_image_that_may_not_be_copied(tmp_path: Path, data: bytes, sentence: str) -> None:
    path = tmp_path / "x.uf2"
    path.write_bytes(data)
    with pytest.raises(UserError, match=sentence):
        check_uf2(path, BOARD, boards()[BOARD])
