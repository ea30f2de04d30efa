"""The technician's guide, walked on a bench of two made-up ESP32: its commands as printed, in its order.

The boards run the real firmware, in a MicroPython on this computer. The MicroPython image is left out: a board that
obeys esptool is another stand-in (test_esp_chip.py).
"""

import io
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import chip_fakes
import pytest
from pty_board import PtyBoard
from serial.tools.list_ports_common import ListPortInfo

from host_tools import cli
from host_tools.fleet.office import Office
from host_tools.provisioning import commands, ports
from host_tools.provisioning.firmware_files import ROOT
from host_tools.provisioning.token_board import TokenBoard

GUIDE = ROOT / "docs/technician.md"
BOARDS = 2

# What the guide leaves to the reader.
PROVISION = (
    'bluezone provision --kiosk-keys kiosk.key --authority-keys authority.key --unit "CDC Da Nang" --labels labels.pdf'
)
FILLED_IN = {
    "bluezone flash --image ESP32_GENERIC-….bin": "bluezone flash",
    "bluezone provision … --wipe": f"{PROVISION} --wipe",
}
ELSEWHERE = {
    "bluezone provision": "no command but a mention of one",
    "bluezone flash --board nrf52840_circuitpython": "test_drive.py",
    "bluezone flash --board … --download": "test_image_download.py",
    "bluezone flash --board esp32_c3 --image ….bin --offline-image token.bin": "test_flash_command.py",
    "bluezone update --board nrf52840_circuitpython": "test_drive.py",
    "bluezone repl": "test_provision.py: it waits for a person",
}


def commands_of_the_guide() -> list[str]:
    """The whole commands in its parts on keys, the day and what comes later, each once."""
    text = " ".join(GUIDE.read_text(encoding="utf-8").split("## The watchdog")[0].split())
    typed = [code.removeprefix(".venv/bin/") for code in re.findall(r"`([^`]+)`", text)]
    return list(dict.fromkeys(code for code in typed if re.match(r"bluezone [a-z]", code)))


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """The file systems of the boards, which are plugged in, in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BLUEZONE_PASSPHRASE", "five words that nobody guesses")
    real: Callable[[TokenBoard, int], None] = TokenBoard.restart
    monkeypatch.setattr(TokenBoard, "restart", lambda board, watch_s: real(board, 0))  # main.py waits three seconds
    made = [tmp_path / f"device{number}" for number in range(BOARDS)]
    with ExitStack() as stack:
        infos = []
        for folder in made:
            folder.mkdir()
            chip_fakes.press_file(folder).touch()
            fakes = chip_fakes.esp32(folder, watched=True)
            board = stack.enter_context(PtyBoard(folder, fakes))
            infos.append(ListPortInfo(board.port, skip_link_detection=True))
            infos[-1].vid = 0x303A
        monkeypatch.setattr(ports, "comports", lambda: infos)
        yield made


def states(database: Path) -> list[str]:
    """What the ledger says of each token."""
    with Office(database) as office:
        return [row.state for row in office.listing.page("test").rows]


@pytest.mark.vm
def test_the_guides_day(
    folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app = cli.new_app()
    commands.register(app)
    codes: list[str] = []
    walked = []
    for printed in commands_of_the_guide():
        if printed in ELSEWHERE:
            continue
        line = FILLED_IN.get(printed, printed).replace("EXKAVQ …", " ".join(codes))
        monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))  # for `wipe`, which asks
        status = cli.run(app, [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', line)[1:]])
        out, err = capsys.readouterr()
        assert status == 0, (line, out, err)
        walked.append(line)
        if line == PROVISION:
            codes = [found.split()[0] for found in out.splitlines()]
            assert len(set(codes)) == BOARDS
            assert Path("labels.pdf").read_bytes().startswith(b"%PDF")
        if line.startswith("bluezone verify"):
            assert out.count("sound.") == BOARDS
        if line.startswith("bluezone identify"):
            assert out.count("its button was pressed") == BOARDS
        if line.startswith("bluezone logs"):
            assert [found.split()[0] for found in out.splitlines() if " on " in found] == codes
            assert re.search(r"clock_s  \d+ \(20\d\d-\d\d-\d\d \d\d:\d\d UTC\)", out)
        if line.endswith("--wipe"):
            assert all(code in out for code in codes)
            assert states(tmp_path / "kiosk.sqlite") == ["wiped"] * BOARDS
    for command in (
        "key new",
        "key show",
        "flash",
        "provision",
        "verify",
        "identify",
        "labels",
        "update",
        "logs",
        "wipe",
    ):
        assert any(line.startswith(f"bluezone {command}") for line in walked), command
    assert all(set(chip_fakes.flash_file(folder).read_bytes()) == {0xFF} for folder in folders)
    assert states(tmp_path / "kiosk.sqlite") == ["revoked"] * BOARDS
