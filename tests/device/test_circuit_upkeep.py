"""A token with CircuitPython at the technician's serial port: the real firmware as flashed, in a MicroPython VM."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import circuit_fakes
import pytest
from pty_board import PtyBoard

from host_tools import cli
from host_tools.fleet.office import Office
from host_tools.provisioning import commands, firmware_files, key_file, upkeep
from host_tools.provisioning.drive_flash import flash_drive, update_drive
from host_tools.provisioning.firmware_files import Builds
from host_tools.provisioning.token_board import TokenBoard

pytestmark = pytest.mark.vm
BOARD = circuit_fakes.BOARD
PASSPHRASE = "five words that nobody guesses"
NOTE = "Adafruit CircuitPython 10.0.3 on 2026-02-02; Seeed XIAO nRF52840 Sense with nRF52840\n"
PROVISION = ("provision", "--kiosk-keys", "kiosk.key", "--authority-keys", "authority.key")


@pytest.fixture
def circuitpy(tmp_path: Path) -> Path:
    """A flashed board's drive."""
    folder = tmp_path / "CIRCUITPY"
    folder.mkdir()
    (folder / "boot_out.txt").write_text(NOTE)
    with Builds() as builds:
        flash_drive(BOARD, folder, lambda *_: None, builds)
    return folder


@contextmanager
def plugged(circuitpy: Path, read_only: bool = False) -> Iterator[str]:
    """The port of the board."""
    with PtyBoard(circuitpy, circuit_fakes.nrf52840(circuitpy, read_only), circuit=True) as board:
        yield board.port


@pytest.fixture
def bluezone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, dict]]:
    """Runs a command in a folder with a fleet's key files; its exit status and its answer."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BLUEZONE_PASSPHRASE", PASSPHRASE)
    monkeypatch.setattr(key_file, "_SCRYPT", {"n": 1 << 4, "r": 8, "p": 1})
    real: Callable[[TokenBoard, int], None] = TokenBoard.restart
    monkeypatch.setattr(TokenBoard, "restart", lambda board, watch_s: real(board, min(watch_s, 1)))
    for kind in ("kiosk", "authority"):
        key_file.save(Path(f"{kind}.key"), key_file.new_root(kind), PASSPHRASE)

    def run(*words: str) -> tuple[int, dict]:
        app = cli.new_app()
        commands.register(app)
        status = cli.run(app, [*words, "--json"])
        return status, json.loads(capsys.readouterr().out)

    return run


def test_each_command_for_tokens_serves_it(
    circuitpy: Path, tmp_path: Path, bluezone: Callable[..., tuple[int, dict]]
) -> None:
    circuitpy.with_suffix(".press").touch()
    with plugged(circuitpy) as port:
        at = ("--port", port)
        status, told = bluezone(*PROVISION, *at)
        assert (status, told["failed"]) == (0, []), told
        (token,) = told["boards"]
        status, told = bluezone("verify", *at, "--button", "5")
        (sound,) = told["boards"]
        assert (status, sound["wrong"]) == (0, [])
        assert (sound["board"], sound["short_code"], sound["clock_off_s"]) == (BOARD, token["short_code"], None)
        assert (
            sound["firmware"] == sound["newest"] == json.loads((circuitpy / "a/version.json").read_text())["firmware"]
        )
        assert sound["self_test"] == {"flash": "", "battery": "", "light": "", "button": "", "radio": ""}
        status, told = bluezone("logs", *at)
        assert (told["boards"][0]["firmware"], told["boards"][0]["board"]) == (sound["firmware"], BOARD)
        assert bluezone("identify", *at) == (
            0,
            {"boards": [{"port": port, "short_code": token["short_code"]}], "failed": []},
        )
        status, told = bluezone("wipe", "--yes", *at)
        assert (status, told["boards"][0]["short_code"]) == (0, token["short_code"])
    with Office(tmp_path / "kiosk.sqlite") as office:
        assert office.ledger.standing(bytes.fromhex(token["serial"])).state == "revoked"
    assert set((circuitpy / "contacts.log").read_bytes()) == {0xFF}


def test_the_copy_that_runs_is_compared_and_the_programs_that_choose_it(
    circuitpy: Path, bluezone: Callable[..., tuple[int, dict]], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = firmware_files.settings_source
    with monkeypatch.context() as patch, Builds() as later:
        patch.setattr(firmware_files, "settings_source", lambda path: source(path) + "NEW = 1\n")
        report = update_drive(BOARD, circuitpy, lambda *_: None, later)  # into b
    with plugged(circuitpy) as port:
        (newer,) = bluezone("verify", "--port", port)[1]["boards"]
        (numbers,) = bluezone("logs", "--port", port)[1]["boards"]
        (circuitpy / "b/app.py").write_text("")
        with (circuitpy / "safemode.py").open("a") as file:
            file.write("#")
        (older,) = bluezone("verify", "--port", port)[1]["boards"]
    unprovisioned = "It is not provisioned: run `bluezone provision`."
    assert newer["firmware"] == numbers["firmware"] == report.firmware
    assert newer["wrong"] == [
        f"It has firmware {report.firmware}, this computer has {report.before}: run `bluezone update`.", unprovisioned
    ]  # fmt: skip
    assert older["firmware"] == report.before
    assert older["wrong"] == [
        "Damaged on the token: safemode.py. Run `bluezone flash`; twice for one token: its flash is worn out.",
        unprovisioned,
    ]


@pytest.mark.parametrize("command", [("flash",), ("update",)])
def test_firmware_does_not_come_over_the_serial_port(
    circuitpy: Path, bluezone: Callable[..., tuple[int, dict]], command: tuple[str, ...]
) -> None:
    with plugged(circuitpy) as port:
        before = {path: path.read_bytes() for path in circuitpy.rglob("*.py")}
        status, told = bluezone(*command, "--port", port)
    assert status == 2
    assert "takes its firmware as a drive: hold its button while you press reset" in told["failed"][0]["error"]
    assert "Nothing on the" in told["failed"][0]["error"]
    assert {path: path.read_bytes() for path in circuitpy.rglob("*.py")} == before


def test_a_board_that_was_started_with_its_button_held(
    circuitpy: Path, bluezone: Callable[..., tuple[int, dict]]
) -> None:
    with plugged(circuitpy, read_only=True) as port:
        for words in (("verify",), ("logs",), ("wipe", "--yes"), PROVISION):
            status, told = bluezone(*words, "--port", port)
            assert status == 2
            assert "Eject the drive, press reset, then repeat. Nothing was changed." in told["failed"][0]["error"]


def test_its_prompt_is_handed_over(circuitpy: Path) -> None:
    with PtyBoard(circuitpy, circuit_fakes.nrf52840(circuitpy), circuit=True) as board:
        assert upkeep.repl(board.port, lambda words: 7, patience_s=5) == 7
        board.wait_for(b">>> ")
