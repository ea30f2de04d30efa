"""A box of boards on one PC: 20 made-up ESP32 behind pseudo terminals, served at once; one of them is unplugged."""

import functools
import json
import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import chip_fakes
import pytest
from pty_board import PtyBoard
from serial.tools.list_ports_common import ListPortInfo

from host_tools import cli
from host_tools.errors import UserError
from host_tools.provisioning import commands, firmware_files, flash, ports
from host_tools.provisioning.bench import Stopped, serve
from host_tools.provisioning.copying import Progress
from host_tools.provisioning.firmware_files import Builds

BOARDS = 20
UNPLUGGED = 7


def bluezone(*args: str) -> int:
    """Exit status of the command with nothing but the provisioning part."""
    app = cli.new_app()
    commands.register(app)
    return cli.run(app, args)


@pytest.mark.vm
def test_twenty_boards_at_once_and_one_of_them_is_unplugged(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(flash, "Flash", functools.partial(flash.Flash, watch_s=0, patience_s=20))
    monkeypatch.setattr(firmware_files, "Builds", functools.partial(Builds, project))
    folders = [tmp_path / f"board{number}" for number in range(BOARDS)]
    with ExitStack() as stack:
        boards = []
        for number, folder in enumerate(folders):
            folder.mkdir()
            unplug = 20_000 if number == UNPLUGGED else None
            boards.append(stack.enter_context(PtyBoard(folder, chip_fakes.esp32(folder), unplug)))
        infos = [ListPortInfo(board.port, skip_link_detection=True) for board in boards]
        for info in infos:
            info.vid = 0x303A
        monkeypatch.setattr(ports, "comports", lambda: infos)
        assert bluezone("flash", "--json") == 2
        out, err = capsys.readouterr()
        told = json.loads(out)
        whole = {report["port"]: report for report in told["boards"]}
        assert whole.keys() == {board.port for board in boards} - {boards[UNPLUGGED].port}
        assert all(report["copied"] == report["files"] for report in whole.values())
        assert all(report["self_test"]["radio"] == "" for report in whole.values())
        assert [failed["port"] for failed in told["failed"]] == [boards[UNPLUGGED].port]
        assert err.startswith(f"{boards[UNPLUGGED].port}: ")
        for number, board in enumerate(boards):
            if number != UNPLUGGED:
                board.wait_for(b"token started on esp32_generic")
    with Builds(project) as builds:
        _, built = builds.get("esp32_generic")
    for number, folder in enumerate(folders):
        if number != UNPLUGGED:
            assert {file.device_path for file in built} <= {
                path.relative_to(folder).as_posix() for path in folder.rglob("*")
            }
    assert not (folders[UNPLUGGED] / "main.py").exists()


def test_each_board_has_its_own_fate_in_the_order_of_the_ports() -> None:
    def work(port: str, progress: Progress) -> str:
        if port == "b":
            raise UserError("b failed.")
        return port.upper()

    outcomes = serve(["a", "b", "c"], work)
    assert [(outcome.port, outcome.done, outcome.error) for outcome in outcomes] == [
        ("a", "A", ""), ("b", None, "b failed."), ("c", "C", ""),
    ]  # fmt: skip


def test_ctrl_c_lets_each_board_end_its_step_and_tells_of_each() -> None:
    def work(port: str, progress: Progress) -> str:
        if port == "quick":
            return "done before"
        if port == "b":
            os.kill(os.getpid(), signal.SIGINT)
        for _ in range(6000):  # a minute, which no PC needs
            progress("one step of many", 0, 1)
            time.sleep(0.01)
        raise AssertionError("nobody stopped it")

    outcomes = serve(["quick", "a", "b"], work)
    assert [(outcome.port, outcome.done, outcome.error) for outcome in outcomes] == [
        ("quick", "done before", ""), ("a", None, "Stopped."), ("b", None, "Stopped."),
    ]  # fmt: skip


def test_a_second_ctrl_c_loses_nothing_of_what_boards_have_done() -> None:
    def until_stopped(progress: Progress) -> None:
        for _ in range(1_000_000):
            progress("one step of many", 0, 1)

    def work(port: str, progress: Progress) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Stopped):
            until_stopped(progress)
        os.kill(os.getpid(), signal.SIGINT)
        return "the end of its step"

    before = signal.getsignal(signal.SIGINT)  # a shell ignores it for what it starts in the background
    (outcome,) = serve(["a"], work)
    assert (outcome.done, outcome.error) == ("the end of its step", "")
    assert signal.getsignal(signal.SIGINT) is before
