"""Flashing the firmware to the MicroPython VM behind a serial port, and everything that goes wrong meanwhile."""

import hashlib
import json
import os
import pty
import re
import time
import tty
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import serial
from chip_fakes import SYS
from pty_board import PtyBoard

from host_tools.errors import UserError
from host_tools.provisioning import firmware_files
from host_tools.provisioning.bench import Stopped
from host_tools.provisioning.flash import Flash, Report
from host_tools.provisioning.token_board import TokenBoard

BOARD = "esp32_generic"

ESP32 = """
class _Partition:
    TYPE_DATA = 1
    @staticmethod
    def find(kind, label):
        return [_Partition()] if label == "log" and blocks else []
    def info(self):
        return (1, 6, 0x300000, blocks * 4096, "log", False)
_esp32 = _Fake()
_esp32.Partition = _Partition
_sys.modules["esp32"] = _esp32
"""
CLOCK = """
import machine as _machine
class _RTC:
    def datetime(self, fields):
        with open("clock.txt", "w") as out:
            out.write(repr(fields))
_copy(_machine).RTC = _RTC
"""
SMALL = """
import os as _os
_copy(_os).statvfs = lambda path: (4096, 4096, 256, 3, 3, 0, 0, 0, 0, 255)
"""


def run(board: PtyBoard | str, root: Path, progress: Callable[[str, int, int], None] = lambda *_: None) -> Report:
    """Flash with little patience."""
    port = board if isinstance(board, str) else board.port
    return Flash(BOARD, port, progress, patience_s=1, watch_s=0, root=root).run()


def contents(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def expected(root: Path, tmp_path: Path, compiled: bool = True) -> dict[str, str]:
    """What `contents` of a flashed board must be, without the manifest."""
    built = firmware_files.build(BOARD, tmp_path / "expected", compiled, root)
    return {file.device_path: file.sha256 for file in built}


def manifest(device: Path) -> dict:
    """The board's own note of what it has."""
    return json.loads((device / "version.json").read_text())


def flashed(device: Path) -> dict[str, str]:
    """`contents` without the manifest."""
    return {path: digest for path, digest in contents(device).items() if path != "version.json"}


@pytest.mark.vm
def test_an_empty_board_gets_everything_and_starts(project: Path, device: Path, tmp_path: Path) -> None:
    with PtyBoard(device) as board:
        report = run(board, project)
        board.wait_for(b"token started on esp32_generic")
    want = expected(project, tmp_path)
    assert flashed(device) == want
    assert report.copied == report.files == len(want)
    assert report.bytes == sum((device / path).stat().st_size for path in want)
    assert report.removed == 0
    assert report.micropython == "1.29.0"
    assert report.notes == ["The board has no clock to set."]
    assert manifest(device)["state"] == "complete"
    assert manifest(device)["files"] == sorted(want)


@pytest.mark.vm
def test_a_running_token_is_interrupted_and_gets_only_what_changed(project: Path, device: Path, tmp_path: Path) -> None:
    with PtyBoard(device) as board:
        run(board, project)
        board.wait_for(b"token started")
        again = run(board, project)
        assert (again.copied, again.bytes, again.removed) == (0, 0, 0)

        (project / "firmware/tracing/patterns.py").write_text("ALIVE = 9\n")
        changed = run(board, project)
        assert changed.copied == 2  # the module, and main.py, which goes first and comes last
    assert flashed(device) == expected(project, tmp_path)


@pytest.mark.vm
def test_what_an_earlier_firmware_left_goes_and_other_files_stay(project: Path, device: Path, tmp_path: Path) -> None:
    ours = ("old_driver.py", "drivers/led.mpy", "app.py", "tracing/log_v1.py")
    for path in (*ours, "notes.txt", "calibration.py"):
        (device / path).parent.mkdir(exist_ok=True)
        (device / path).write_text("")
    (device / "version.json").write_text(
        json.dumps({"state": "complete", "files": ["old_driver.py", "drivers/led.mpy"]})
    )
    with PtyBoard(device) as board:
        report = run(board, project)
    assert report.removed == len(ours)
    assert flashed(device).keys() == expected(project, tmp_path).keys() | {"notes.txt", "calibration.py"}


@pytest.mark.vm
def test_stopped_by_the_technician_then_finished_by_the_same_command(
    project: Path, device: Path, tmp_path: Path
) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if what == "copying tracing/__init__.mpy":
            raise Stopped

    with PtyBoard(device) as board:
        run(board, project)
        for path in (project / "firmware").glob("*/*.py"):
            path.write_text(path.read_text() + "\n_more = 1\n")
        with pytest.raises(UserError, match=r"^Stopped\. \d+ of \d+ files .* Run the same command again"):
            run(board, project, stop)
        assert manifest(device)["state"] == "copying"
        assert not (device / "main.py").exists()  # half a firmware does not start

        seen: list[str] = []
        report = run(board, project, lambda what, done, total: seen.append(what))
    assert seen[0] == "copying tracing/__init__.mpy"  # it goes on where it stopped
    assert flashed(device) == expected(project, tmp_path)
    assert 1 < report.copied < report.files
    assert manifest(device)["state"] == "complete"


@pytest.mark.vm
@pytest.mark.parametrize("bytes_sent", [20, 3_000, 20_000])
def test_unplugged_then_finished_by_the_same_command(
    project: Path, device: Path, tmp_path: Path, bytes_sent: int
) -> None:
    with (
        PtyBoard(device, unplug_after_bytes=bytes_sent) as board,
        pytest.raises(UserError, match=r"broke|stopped answering"),
    ):
        run(board, project)
    assert manifest(device)["state"] == "copying" if (device / "version.json").exists() else not contents(device)
    with PtyBoard(device) as board:
        run(board, project)
        board.wait_for(b"token started")
    assert flashed(device) == expected(project, tmp_path)


@pytest.mark.vm
def test_a_file_that_changes_on_the_board_is_named_and_never_started(project: Path, device: Path) -> None:
    def corrupt(what: str, done: int, total: int) -> None:
        if what == "copying settings.mpy":
            damaged = bytearray((device / "app.mpy").read_bytes())
            damaged[100] ^= 1
            (device / "app.mpy").write_bytes(damaged)

    with PtyBoard(device) as board:
        with pytest.raises(UserError, match=r"^app\.mpy is not on the board as it was sent"):
            run(board, project, corrupt)
        assert not (device / "main.py").exists()
        report = run(board, project)
    assert report.copied == 2  # app.mpy and main.py
    assert manifest(device)["state"] == "complete"


@pytest.mark.vm
@pytest.mark.parametrize(
    ("fakes", "sentence"),
    [
        ('_claim("esp32", version=(1, 23, 0))', "The board has MicroPython 1.23.0; 1.24 or newer is needed"),
        ('_claim("nRF52840", name="circuitpython", version=(10, 0, 3))', "The board runs circuitpython 10.0.3"),
        (
            '_claim("esp32", machine="ESP32C3 module with ESP32C3")',
            "The board is an ESP32C3; esp32_generic is for ESP32.",
        ),
        ('blocks = 0\n_claim("esp32")' + ESP32, 'no partition "log" of 256 blocks'),
        ('blocks = 255\n_claim("esp32")' + ESP32, 'no partition "log" of 256 blocks'),
        (SMALL, "The board has room for 12 KB; the firmware needs"),
    ],
)
def test_a_board_that_cannot_take_the_firmware_is_left_alone(
    project: Path, device: Path, fakes: str, sentence: str
) -> None:
    with PtyBoard(device, SYS + fakes) as board, pytest.raises(UserError, match=re.escape(sentence)) as caught:
        run(board, project)
    assert str(caught.value).endswith("Nothing on the board was changed.")
    assert contents(device) == {}


@pytest.mark.vm
def test_a_token_that_is_turned_down_goes_on_with_its_work(project: Path, device: Path) -> None:
    (device / "main.py").write_text("print('at work')\nwhile True:\n    pass\n")
    with PtyBoard(device, SYS + '_claim("esp32", version=(1, 20, 0))') as board:
        board.wait_for(b"at work")
        with pytest.raises(UserError, match=r"1\.24 or newer is needed"):
            run(board, project)
        board.wait_for(b"at work", times=2)


@pytest.mark.vm
def test_the_clock_is_set_to_utc_and_not_to_local_time(project: Path, device: Path, far_away: None) -> None:
    with PtyBoard(device, SYS + 'blocks = 256\n_claim("esp32")' + ESP32 + CLOCK) as board:
        report = run(board, project)
    year, month, day, weekday, hour, minute, second, _ = json.loads(
        (device / "clock.txt").read_text().replace("(", "[").replace(")", "]")
    )
    on_board = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    assert abs((datetime.now(UTC) - on_board).total_seconds()) < 3000
    assert weekday == on_board.weekday()
    assert report.notes == []


@pytest.mark.vm
def test_a_board_that_cannot_load_our_compiled_files_gets_the_sources(
    project: Path, device: Path, tmp_path: Path
) -> None:
    with PtyBoard(device, SYS + '_claim("linux", mpy=7)') as board:
        report = run(board, project)
        board.wait_for(b"token started")
    assert report.notes[0] == "This MicroPython cannot load our compiled files: it got the sources."
    assert flashed(device) == expected(project, tmp_path, compiled=False)


@pytest.mark.vm
def test_a_firmware_that_fails_at_once_is_reported_with_its_reason(project: Path, device: Path) -> None:
    (project / "firmware/main.py").write_text('raise ValueError("no button on pin 0")\n')
    with (
        PtyBoard(device) as board,
        pytest.raises(
            UserError, match=r"started and failed: ValueError: no button on pin 0\. The firmware .* complete"
        ),
    ):
        Flash(BOARD, board.port, lambda *_: None, patience_s=1, watch_s=10, root=project).run()


def test_a_port_where_nothing_answers(project: Path, silent_port: str) -> None:
    with pytest.raises(UserError, match="Press the board's reset button and repeat") as caught:
        Flash(BOARD, silent_port, lambda *_: None, patience_s=0, root=project).run()
    assert str(caught.value).endswith("Nothing on the board was changed.")


def test_a_port_in_use(project: Path, silent_port: str) -> None:
    with (
        serial.Serial(silent_port, exclusive=True),
        pytest.raises(UserError, match="is in use by another program"),
    ):
        run(silent_port, project)


def test_a_port_without_permission(project: Path, silent_port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: serial.Serial) -> None:
        raise serial.SerialException(13, f"could not open port {self.port}: [Errno 13] Permission denied")

    monkeypatch.setattr(serial.Serial, "open", refuse)
    with pytest.raises(UserError, match="usermod -a -G dialout"):
        run(silent_port, project)


@pytest.mark.vm
def test_a_damaged_manifest_on_the_board_counts_as_none(device: Path) -> None:
    for text in ("", "[1]", '{"files":', "\0"):
        (device / "version.json").write_text(text)
        with PtyBoard(device) as board:
            connection = TokenBoard(board.port, patience_s=1)
            assert connection.manifest() == {}
            connection.close()


@pytest.fixture
def silent_port() -> Iterator[str]:
    """A serial port with nothing behind it."""
    line, port_end = pty.openpty()
    tty.setraw(port_end)
    yield os.ttyname(port_end)
    os.close(line)
    os.close(port_end)


@pytest.fixture(params=["Asia/Ho_Chi_Minh", "America/St_Johns", "CET-1CEST,M1.1.0,M12.5.0", "Pacific/Kiritimati"])
def far_away(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The technician's PC runs on another time; the third has summer time (nearly) all the year."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
