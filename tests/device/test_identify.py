"""Which of many tokens on the bench is which: the one that blinks is the one whose label comes next on the sheet."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import chip_fakes
import pytest
from pty_board import PtyBoard

from host_tools import cli
from host_tools.errors import UserError
from host_tools.provisioning import commands, firmware_files, identify
from host_tools.provisioning.bench import Outcome
from host_tools.provisioning.identify import Named, beckon, in_turn, name_of
from host_tools.provisioning.token_board import TokenBoard
from host_tools.provisioning.token_keys import AuthorityRoot, KioskRoot, Roots, token_keys
from host_tools.provisioning.token_service import TokenService
from tracing.wire import short_code

ROOTS = Roots(KioskRoot(b"k" * 32), AuthorityRoot(b"a" * 32))
SERIALS = [bytes([number] * 8) for number in (1, 2, 3)]
BLOCKS = 8


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Boards with the firmware, whose main.py ends at once."""
    made = []
    for number in range(len(SERIALS)):
        folder = tmp_path / f"device{number}"
        firmware_files.build("esp32_generic", folder)
        (folder / "main.py").write_text("")
        made.append(folder)
    return made


@contextmanager
def plugged(folders: list[Path]) -> Iterator[list[str]]:
    """Their ports."""
    with ExitStack() as stack:
        fakes = [chip_fakes.esp32(folder, blocks=BLOCKS) for folder in folders]
        yield [stack.enter_context(PtyBoard(*both)).port for both in zip(folders, fakes, strict=True)]


def give_keys(port: str, serial: bytes) -> None:
    """Make it the token with this serial."""
    keys = token_keys(ROOTS, serial, b"d" * 32, 20_000, b"r" * 16)
    board = TokenBoard(port, patience_s=5)
    try:
        TokenService(board).provision(keys, 0, keys.log_root, 1_790_000_000)
    finally:
        board.close()


@pytest.mark.vm
def test_each_blinks_in_the_order_of_the_labels_and_a_press_goes_on(
    folders: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    app = cli.new_app()
    commands.register(app)
    with plugged(folders) as ports:
        for port, serial in zip(ports[:2], SERIALS[:2], strict=True):
            give_keys(port, serial)
        chip_fakes.press_file(folders[0]).touch()
        words = [word for port in ports for word in ("--port", port)]
        assert cli.run(app, ["identify", *words, "--seconds", "1", "--json"]) == 2
        out, err = capsys.readouterr()
    codes = [short_code(serial) for serial in SERIALS[:2]]
    turns = [line for line in err.splitlines() if "blinks" in line]
    assert turns == [
        f"{turn} of 2: {code} blinks. Stick its label on, press its button."
        for turn, code in enumerate(sorted(codes), 1)
    ]
    told = json.loads(out)
    assert told["boards"] == [{"port": ports[0], "short_code": codes[0]}]
    failed = {one["port"]: one["error"] for one in told["failed"]}
    assert f"The button of {codes[1]} was not pressed within 1 s." in failed[ports[1]]
    assert "has no keys and so no label: run `bluezone provision`" in failed[ports[2]]
    assert chip_fakes.light_file(folders[0]).exists()
    assert not chip_fakes.light_file(folders[2]).exists()


@pytest.mark.vm
def test_a_token_that_was_exchanged_for_another_is_not_taken_for_it(folders: list[Path]) -> None:
    with plugged(folders[:1]) as ports:
        give_keys(ports[0], SERIALS[1])
        named = name_of(ports[0], lambda *_: None, patience_s=5)
        assert named.short_code == short_code(SERIALS[1])
        with pytest.raises(UserError, match="Another token than QQQQQQ is plugged in now"):
            beckon(Named(ports[0], "QQQQQQ"), 1, patience_s=5)


def test_ctrl_c_in_the_middle_tells_who_was_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def press(token: Named, wait_s: int) -> None:
        if token.short_code == "BBBBBB":
            raise KeyboardInterrupt

    monkeypatch.setattr(identify, "beckon", press)
    outcomes = [Outcome(port, Named(port, code)) for port, code in (("3", "CCCCCC"), ("1", "AAAAAA"), ("2", "BBBBBB"))]
    asked: list[str] = []
    assert [(one.port, one.error) for one in in_turn(outcomes, 1, asked.append)] == [
        ("1", ""), ("2", "Stopped."), ("3", "Stopped."),
    ]  # fmt: skip
    assert len(asked) == 2
