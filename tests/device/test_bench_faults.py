"""Every fault of the bench with every command: a sentence, exit status 2, and nothing is lost."""

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import chip_fakes
import pytest
import serial
from line_faults import TALKERS, Line
from pty_board import PtyBoard
from serial.tools.list_ports_common import ListPortInfo

from host_tools import cli
from host_tools.fleet.office import Office
from host_tools.provisioning import commands, diagnosis, key_file, ports, serial_line
from host_tools.provisioning.token_board import TokenBoard

PASSPHRASE = "five words that nobody guesses"
PROVISION = ("provision", "--kiosk-keys", "kiosk.key", "--authority-keys", "authority.key", "--labels", "labels.pdf")
COMMANDS = [("flash",), ("update",), PROVISION, ("identify",), ("verify",), ("wipe", "--yes"), ("logs",), ("repl",)]
COPIES = ("flash", "update")  # those that ask for room and for a version

Plugged = Callable[[Path], AbstractContextManager[str]]  # the port of a board with a fault; its files are in the folder


def talking(number: int) -> Plugged:
    """A line of line_faults; nobody waits for it to change its mind."""
    real = TokenBoard.__init__

    @contextmanager
    def plugged(device: Path) -> Iterator[str]:
        with Line(*TALKERS[number][:2]) as line, pytest.MonkeyPatch.context() as patch:
            patch.setattr(serial_line, "_SERIAL_TIMEOUT_S", 0.05)
            patch.setattr(TokenBoard, "__init__", lambda board, port, patience_s=0: real(board, port, 0))
            yield line.port

    return plugged


def refusing(number: int) -> Plugged:
    """A port that the system does not open."""

    @contextmanager
    def plugged(device: Path) -> Iterator[str]:
        def refuse(self: serial.Serial) -> None:
            raise serial.SerialException(number, f"could not open port {self.port}")

        with Line() as line, pytest.MonkeyPatch.context() as patch:
            patch.setattr(serial.Serial, "open", refuse)
            yield line.port

    return plugged


@contextmanager
def busy(device: Path) -> Iterator[str]:
    """Another program has it."""
    with Line() as line, serial.Serial(line.port, exclusive=True):
        yield line.port


@contextmanager
def asleep(device: Path) -> Iterator[str]:
    """The board goes to sleep when it is spoken to, and takes USB with it."""
    port = device.parent / "ttyACM0"

    def write(self: serial.Serial, data: bytes) -> None:
        port.unlink(missing_ok=True)
        raise serial.SerialException("write failed: [Errno 5] Input/output error")

    with Line() as line, pytest.MonkeyPatch.context() as patch:
        port.symlink_to(line.port)
        patch.setattr(serial.Serial, "write", write)
        yield str(port)


@contextmanager
def no_data(device: Path) -> Iterator[str]:
    """The cable has no data lines: the board is not there at all."""
    yield ""


def claiming(source: str, blocks: int = chip_fakes.LOG_BLOCKS) -> Plugged:
    """A board that is, or has, something else than an ESP32 with room."""

    @contextmanager
    def plugged(device: Path) -> Iterator[str]:
        with PtyBoard(device, chip_fakes.esp32(device, blocks=blocks) + source) as board:
            yield board.port

    return plugged


def unplugged_after(answers: int) -> Plugged:
    """A board that goes in the middle."""

    @contextmanager
    def plugged(device: Path) -> Iterator[str]:
        with PtyBoard(device, chip_fakes.esp32(device, blocks=8), unplug_after_answers=answers) as board:
            yield board.port

    return plugged


SMALL = """
import os as _os
_copy(_os).statvfs = lambda path: (4096, 4096, 256, 3, 3, 0, 0, 0, 0, 255)
"""

# A fault, and what the technician reads with each command.
ANY: dict[str, tuple[Plugged, str]] = {
    "no permission": (refusing(errno.EACCES), 'SUBSYSTEM=="tty", KERNEL=="ttyUSB*|ttyACM*", TAG+="uaccess"'),
    "busy": (busy, "is in use by another program: close its serial monitor or mpremote"),
    "asleep": (asleep, "not on USB any more: the board was unplugged, or it sleeps"),
    "cable without data": (no_data, "plug the board in, with a cable that carries data and not only power"),
    "unplugged at once": (unplugged_after(0), "not on USB any more"),
    **{sentence: (talking(number), sentence) for number, (_, _, sentence) in enumerate(TALKERS)},
}
# Of those that look at what the board is.
WRONG: dict[str, tuple[Plugged, str]] = {
    "old MicroPython": (claiming('_claim("esp32", version=(1, 20, 0))'), "MicroPython 1.20.0; 1.24 or newer is needed"),
    "unknown chip": (
        claiming('_claim("esp32", machine="Board with ESP32S9")'),
        "no board in boards/ for Board with ESP32S9",
    ),
    "no room for the log": (claiming("", blocks=8), 'no partition "log" of 256 blocks'),
}
CASES = [
    *((name, words, *fault) for name, fault in ANY.items() for words in COMMANDS),
    *((name, words, *fault) for name, fault in WRONG.items() for words in COMMANDS if words[0] in COPIES),
    *(
        ("no firmware", words, claiming(""), "has no firmware of this project, or an older one: run `bluezone flash`")
        for words in COMMANDS
        if words[0] not in (*COPIES, "repl")
    ),
    ("no space", ("flash",), claiming(SMALL), "The board has room for 12 KB; the firmware needs"),
    ("no firmware", ("update",), claiming(""), "no complete firmware that can be updated: use `bluezone flash`"),
]


@pytest.fixture
def bench(tmp_path: Path, device: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the fleet's key files; no time is lost with waiting."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BLUEZONE_PASSPHRASE", PASSPHRASE)
    monkeypatch.setattr(key_file, "_SCRYPT", {"n": 1 << 4, "r": 8, "p": 1})
    key_file.save(Path("kiosk.key"), key_file.new_root("kiosk"), PASSPHRASE)
    key_file.save(Path("authority.key"), key_file.new_root("authority"), PASSPHRASE)
    monkeypatch.setattr(diagnosis, "_LISTEN_S", 0.3)
    nothing: list[ListPortInfo] = []
    monkeypatch.setattr(ports, "comports", lambda: nothing)
    return tmp_path


def garbled(path: Path) -> None:
    path.write_text(path.read_text().replace('"sealed"', '"seal'))


def changed(path: Path) -> None:
    """One character of what is sealed."""
    told = json.loads(path.read_text())
    told["sealed"] = ("B" if told["sealed"][0] == "A" else "A") + told["sealed"][1:]
    path.write_text(json.dumps(told))


@pytest.mark.parametrize("which", ["kiosk.key", "authority.key"])
@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (Path.unlink, "There is no key file at {}"),
        (garbled, "{} is not a key file, or it is damaged"),
        (lambda path: path.write_bytes(b"\xff" * 100), "{} is not a key file, or it is damaged"),
        (changed, "The passphrase does not open {}, or the file was changed"),
        (lambda path: os.environ.update(BLUEZONE_PASSPHRASE="forgotten"), "does not open kiosk.key"),
        (lambda path: path.write_bytes(Path("spare.key").read_bytes()), "{} holds the root of the"),
    ],
)
def test_without_its_keys_a_fleet_gets_no_token(
    bench: Path,
    device: Path,
    capsys: pytest.CaptureFixture[str],
    which: str,
    spoil: Callable[[Path], None],
    sentence: str,
) -> None:
    other = {"kiosk.key": "authority.key", "authority.key": "kiosk.key"}[which]
    Path("spare.key").write_bytes(Path(other).read_bytes())
    spoil(Path(which))
    app = cli.new_app()
    commands.register(app)
    with PtyBoard(device, chip_fakes.esp32(device, blocks=8)) as board:
        assert cli.run(app, [*PROVISION, "--port", board.port]) == 2
        assert board.heard_bytes == 0
    err = capsys.readouterr().err
    assert sentence.format(which) in err
    assert "Nothing was done." in err
    assert not (bench / "kiosk.sqlite").exists()
    assert not (bench / "labels.pdf").exists()


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a board."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.vm
@pytest.mark.parametrize(
    ("words", "fault", "sentence"),
    [pytest.param(words, fault, sentence, id=f"{name}-{words[0]}") for name, words, fault, sentence in CASES],
)
def test_a_fault_is_told_in_a_sentence_and_nothing_is_lost(
    bench: Path, device: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], fault: Plugged, sentence: str
) -> None:
    app = cli.new_app()
    commands.register(app)
    (device / "notes.txt").write_text("somebody's own file")
    as_json = () if words[0] == "repl" else ("--json",)
    with fault(device) as port:
        assert cli.run(app, [*words, *(("--port", port) if port else ()), *as_json]) == 2
    out, err = capsys.readouterr()
    assert sentence in err
    assert "Traceback" not in err
    if as_json:
        told = json.loads(out)
        assert sentence in (told["error"] if "error" in told else told["failed"][0]["error"])
        assert not told.get("boards")
    assert contents(device) == {"notes.txt": b"somebody's own file"}
    assert not (bench / "labels.pdf").exists()
    with Office(bench / "kiosk.sqlite") as office:
        assert office.listing.page("test").total == 0
