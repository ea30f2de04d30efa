"""`bluezone flash` and `make flash`: what a technician types, forgets, and reads."""

import functools
import json
import os
import subprocess
from pathlib import Path

import pytest
import serial.tools.list_ports
from pty_board import PtyBoard
from serial.tools.list_ports_common import ListPortInfo

from host_tools import cli
from host_tools.provisioning import commands, flash
from host_tools.provisioning.firmware_files import ROOT

LISTED = "Boards for mpremote: esp32_c3, esp32_c6, esp32_generic"


def bluezone(*args: str) -> int:
    """Exit status of the command with nothing but the provisioning part."""
    app = cli.new_app()
    commands.register(app)
    return cli.run(app, args)


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> list[ListPortInfo]:
    """The serial ports that the PC claims to have."""
    found: list[ListPortInfo] = []
    monkeypatch.setattr(serial.tools.list_ports, "comports", lambda: found)
    return found


@pytest.mark.parametrize(
    ("board", "sentence"),
    [
        ("", "BOARD is missing."),
        ("esp33", 'There is no board "esp33".'),
        ("../boards/esp32_generic", 'There is no board "../boards/esp32_generic".'),
        ("virtual", "The board virtual is not flashed with mpremote."),
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
    ("port", "sentence"), [("", "PORT is missing."), ("/dev/x", 'There is no serial port "/dev/x".')]
)
def test_a_port_that_is_not_there(
    port: str, sentence: str, ports: list[ListPortInfo], capsys: pytest.CaptureFixture[str]
) -> None:
    assert bluezone("flash", "--board", "esp32_generic", "--port", port) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"{sentence} No serial port was found: plug the board in, with a cable that carries data")
    assert LISTED in err

    usb = ListPortInfo("/dev/ttyUSB7", skip_link_detection=True)
    usb.description = "CP2102 USB to UART"
    ports.append(usb)
    assert bluezone("flash", "--board", "esp32_generic", "--port", port, "--json") == 2
    out, err = capsys.readouterr()
    assert err.startswith(f"{sentence} Serial ports here: /dev/ttyUSB7 (CP2102 USB to UART).")
    assert json.loads(out) == {"error": err.strip()}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "BOARD is missing."),
        (("BOARD=esp32_generic",), "PORT is missing."),
        (("BOARD=esp32_generic", "PORT=/dev/x"), 'There is no serial port "/dev/x".'),
        (("BOARD=x",), 'There is no board "x".'),
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
    assert LISTED in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.vm
def test_the_report_for_people_and_for_programs(
    project: Path, device: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(flash, "Flash", functools.partial(flash.Flash, watch_s=0, root=project))
    with PtyBoard(device) as board:
        assert bluezone("flash", "--board", "esp32_generic", "--port", board.port) == 0
        out = capsys.readouterr().out
        assert "MicroPython 1.29.0" in out
        assert "all verified, started" in out
        assert bluezone("flash", "--board", "esp32_generic", "--port", board.port, "--json") == 0
        report = json.loads(capsys.readouterr().out)
    assert report["copied"] == 0
    assert report["files"] == len(list(device.rglob("*.mpy"))) + 2
    assert report["micropython"] == "1.29.0"
