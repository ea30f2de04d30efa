"""`bluezone flash` and `make flash`: what a technician types, forgets, and reads."""

import functools
import hashlib
import json
import os
import subprocess
from pathlib import Path

import chip_fakes
import pytest
from pty_board import PtyBoard
from serial.tools.list_ports_common import ListPortInfo
from synthetic_image import synthetic_image

from host_tools import cli
from host_tools.provisioning import commands, esp_chip, firmware_files, flash
from host_tools.provisioning import ports as provisioning_ports
from host_tools.provisioning.board_error import BoardError
from host_tools.provisioning.firmware_files import ROOT

LISTED = "Boards: esp32_c3, esp32_c6, esp32_generic, nrf52840_circuitpython."


def bluezone(*args: str) -> int:
    """Exit status of the command with nothing but the provisioning part."""
    app = cli.new_app()
    commands.register(app)
    return cli.run(app, args)


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> list[ListPortInfo]:
    """The serial ports that the PC claims to have."""
    found: list[ListPortInfo] = []
    monkeypatch.setattr(provisioning_ports, "comports", lambda: found)
    return found


@pytest.mark.parametrize(
    ("board", "sentence"),
    [
        ("esp33", 'There is no board "esp33".'),
        ("../boards/esp32_generic", 'There is no board "../boards/esp32_generic".'),
        ("virtual", "The board virtual is not flashed with this command: boards/virtual/deploy.md."),
        (
            "nrf52840_zephyr",
            "The board nrf52840_zephyr is not flashed with this command: boards/nrf52840_zephyr/deploy.md. It is built "
            "and flashed with Zephyr's own tool, and refuses to run: whoever listens could follow its wearer",
        ),
    ],
)
def test_a_board_that_cannot_be_meant(board: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert bluezone("flash", "--board", board, "--port", "/dev/null") == 2
    out, err = capsys.readouterr()
    assert err.startswith(sentence)
    assert LISTED in err
    assert "Traceback" not in err
    assert out == ""


@pytest.mark.parametrize(
    ("port", "sentence"),
    [("", "PORT is missing, and no board was found."), ("/dev/x", 'There is no serial port "/dev/x".')],
)
def test_a_port_that_is_not_there(
    port: str, sentence: str, ports: list[ListPortInfo], capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--port", port) if port else ()
    assert bluezone("flash", "--board", "esp32_generic", *where) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"{sentence} No serial port was found: plug the board in, with a cable that carries data")

    usb = ListPortInfo("/dev/ttyUSB7", skip_link_detection=True)
    usb.description = "CP2102 USB to UART"
    ports.append(usb)
    assert bluezone("flash", "--board", "esp32_generic", *where, "--json") == 2
    out, err = capsys.readouterr()
    assert err.startswith(f"{sentence} Serial ports here: /dev/ttyUSB7 (CP2102 USB to UART).")
    assert json.loads(out) == {"error": err.strip()}


@pytest.mark.parametrize("board", [(), ("--board", "esp32_c3")])
def test_boards_of_several_kinds_with_an_image(
    board: tuple[str, ...],
    ports: list[ListPortInfo],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A boot loader is looked for at the ESP32s alone; the others are told how they are served."""
    image = tmp_path / "image.bin"
    image.write_bytes(synthetic_image("ESP32C3"))
    for name, vendor in (("A", 0x303A), ("B", 0x239A), ("C", 0x10C4), ("D", 0x2886), ("mouse", 0x046D)):
        ports.append(ListPortInfo(f"/dev/tty{name}", skip_link_detection=True))
        ports[-1].vid = vendor
    asked = []

    def no_chip(port: str, *_: object) -> None:
        asked.append(port)
        raise BoardError("no boot loader")

    monkeypatch.setattr(esp_chip, "EspChip", no_chip)
    vouched = hashlib.sha256(image.read_bytes()).hexdigest()
    assert bluezone("flash", "--image", str(image), "--image-sha256", vouched, *board, "--json") == 2
    failed = {told["port"]: told["error"] for told in json.loads(capsys.readouterr().out)["failed"]}
    assert sorted(asked) == ["/dev/ttyA", "/dev/ttyC"]
    assert failed.keys() == {"/dev/ttyA", "/dev/ttyB", "/dev/ttyC", "/dev/ttyD"}
    assert all("repeat with --board nrf52840_circuitpython" in failed[f"/dev/tty{name}"] for name in "BD")


def test_a_port_named_by_its_link_is_the_same_board(ports: list[ListPortInfo], tmp_path: Path) -> None:
    """As in /dev/serial/by-id."""
    port, link = tmp_path / "ttyB", tmp_path / "by-id"
    port.touch()
    link.symlink_to(port)
    ports.append(ListPortInfo(str(port), skip_link_detection=True))
    ports[-1].vid = 0x239A
    with pytest.raises(BoardError, match="takes CircuitPython and its firmware as a drive"):
        provisioning_ports.check_boot_loader(str(link))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("BOARD=esp32_generic", "PORT=/dev/x"), 'There is no serial port "/dev/x".'),
        (("PORT=/dev/null /dev/y",), 'There is no serial port "/dev/y".'),
        (("BOARD=x",), 'There is no board "x". ' + LISTED),
    ],
)
def test_make_flash_ends_in_a_sentence(words: tuple[str, ...], sentence: str) -> None:
    env = {name: value for name, value in os.environ.items() if name not in ("BOARD", "PORT", "MAKEFLAGS")}
    # -o: the environment is the one this test runs in, whatever its age.
    done = subprocess.run(
        ["make", "--no-print-directory", "-o", ".venv/.ready", "flash", *words],
        cwd=ROOT, env=env, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(sentence)
    assert "Traceback" not in done.stderr


@pytest.mark.vm
def test_the_report_for_people_and_for_programs(
    project: Path, device: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(flash, "Flash", functools.partial(flash.Flash, watch_s=0))
    monkeypatch.setattr(firmware_files, "Builds", functools.partial(firmware_files.Builds, project))
    with PtyBoard(device, chip_fakes.esp32(device)) as board:
        assert bluezone("flash", "--port", board.port) == 0  # it finds out by itself which board it is
        out = capsys.readouterr().out
        assert out.startswith(f"esp32_generic on {board.port} (MicroPython 1.29.0, ")
        assert "all verified, started" in out
        assert "Note:" not in out
        assert bluezone("flash", "--board", "esp32_generic", "--port", board.port, "--json") == 0
        told = json.loads(capsys.readouterr().out)
    (report,) = told["boards"]
    assert told["failed"] == []
    assert report["copied"] == 0
    assert report["files"] == len(list(device.rglob("*.mpy"))) + 2
    assert report["micropython"] == "1.29.0"
    assert report["self_test"] == {"flash": "", "battery": "", "light": "", "radio": ""}


def test_an_offline_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    given, out = tmp_path / "given.bin", tmp_path / "out.bin"
    given.write_bytes(synthetic_image())
    words = ("flash", "--board", "esp32_generic", "--image", str(given), "--offline-image", str(out), "--json")
    assert bluezone(*words) == 2
    assert "is not an image that boards/esp32_generic/board.toml lists" in json.loads(capsys.readouterr().out)["error"]
    vouched = hashlib.sha256(given.read_bytes()).hexdigest()
    assert bluezone(*words, "--image-sha256", vouched[:-1]) == 2
    assert "takes all 64 hex digits" in json.loads(capsys.readouterr().out)["error"]
    assert bluezone(*words, "--image-sha256", vouched) == 0
    first = json.loads(capsys.readouterr().out)
    listed = firmware_files.boards()
    listed["esp32_generic"]["image"]["sha256"] = [hashlib.sha256(given.read_bytes()).hexdigest()]
    monkeypatch.setattr(firmware_files, "boards", lambda root=ROOT: listed)
    assert bluezone(*words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == first
    assert told["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert told["bytes"] == out.stat().st_size == 4 << 20
    assert bluezone("flash", "--board", "esp32_generic", "--image-sha256", vouched) == 2
    assert capsys.readouterr().err.startswith("--image-sha256 is that of an --image")
    assert bluezone("flash", "--board", "esp32_generic", "--offline-image", str(out)) == 2
    assert capsys.readouterr().err.startswith("An offline image needs BOARD and --image")
