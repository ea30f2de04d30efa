"""The board's own ports (light, button, power), and what CircuitPython starts: boot.py, code.py, safemode.py."""

import asyncio
import types
from pathlib import Path
from typing import Any

import pytest
from circuit_token import BOARD, ROOT, CircuitToken, SwitchedOff, importing, module, settings_of

from tracing import button, patterns


def test_the_light_shows_the_gestures_and_switching_off_sleeps(live: Any, log_file: Path) -> None:
    shown: list[int] = []

    async def story(room: Any) -> None:
        token = await room.token("Chi", log_file)
        await asyncio.sleep(1)
        show = token.app.board.indicator.show
        token.app.board.indicator.show = lambda pattern: (shown.append(pattern), show(pattern))
        lit = 0
        token.press(2.0)
        for _ in range(400):
            await asyncio.sleep(0.01)
            lit += not token.pins["LED_BLUE"].value
            assert token.pins["LED_RED"].value
        assert 10 < lit < 390
        token.press(0.2)
        await asyncio.sleep(3)
        token.press(8.5)
        await asyncio.sleep(10)
        token.press(0.2)
        with pytest.raises(SwitchedOff):
            await token.done
        assert not token.chip.adapter.advertising
        assert all(pin.value for name, pin in token.pins.items() if name.startswith("LED_"))

        # A watchdog that goes on in the sleep must not switch it on; a press does.
        for reason, stays_off in (("WATCHDOG", True), ("DEEP_SLEEP_ALARM", False)):
            again = CircuitToken("Chi", room.air, 60 + stays_off, log_file)
            again.sleep_memory[:] = token.sleep_memory
            again.reset_reason = reason
            await again.power_on()
            await asyncio.sleep(1)
            assert again.done.done() == stays_off
            if stays_off:
                with pytest.raises(SwitchedOff):
                    again.done.result()
            again.power_off()

    live(story)
    told = [pattern for pattern in shown if pattern in (patterns.SYNC_MODE, patterns.ASK_OFF, patterns.GOODBYE)]
    assert told[0] == patterns.SYNC_MODE
    assert told[-2:] == [patterns.ASK_OFF, patterns.GOODBYE]


def test_a_press_during_a_window_or_a_blocking_call_is_told_afterwards(live: Any, log_file: Path) -> None:
    async def story(room: Any) -> list[int]:
        token = await room.token("Chi", log_file)
        await asyncio.sleep(1)
        token.check()
        gestures: list[int] = []
        take = token.app.board.button.take

        def noted() -> int:
            gesture = take()
            if gesture != button.NOTHING:
                gestures.append(gesture)
            return gesture

        token.app.board.button.take = noted
        token.app.radio.read_phone_id = lambda *_: token.chip.fiber.sleep(8) or b""
        token.app.journal.phones.id_of(1, b"123456", -60, 1, 10_000)
        token.app.journal.phones.note_window(2, 10_000)
        token.app.radio.wake()
        await asyncio.sleep(1)
        token.press(0.1)
        await asyncio.sleep(2)
        token.press(2.5)
        await asyncio.sleep(3)
        assert gestures == []  # it blocks still
        await asyncio.sleep(4)
        token.check()
        return gestures

    assert live(story) == [button.SHORT, button.LONG]


# --- What CircuitPython starts -------------------------------------------------------------------------------------


class Reset(Exception):
    """microcontroller.reset()"""


def reset() -> None:
    raise Reset


def run_program(name: str, modules: dict[str, types.ModuleType]) -> dict[str, Any]:
    """Run one of the board's programs; returns what it has done."""
    names: dict[str, Any] = {}
    with importing(modules, (ROOT / "firmware",)):
        exec(compile((BOARD / name).read_text(encoding="utf-8"), name, "exec"), names)
    return names


def boot(log_file: Path, held: bool) -> list[str]:
    """Run boot.py; returns what it did to the drive."""
    done: list[str] = []
    supervisor = types.SimpleNamespace(ble_workflow=True)
    pin = types.SimpleNamespace(value=not held, switch_to_input=lambda _pull: None, deinit=lambda: None)
    files = module(
        "os",
        stat=lambda path: Path(path).stat(),
        rename=lambda old, new: (done.append(f"rename to {new}"), log_file.with_name("new").rename(new)),
    )
    run_program(
        "boot.py",
        {
            "board": module("board", D1="D1"),
            "digitalio": module("digitalio", DigitalInOut=lambda _pin: pin, Pull=types.SimpleNamespace(UP=1)),
            "os": files,
            "settings": module("settings", **(settings_of(BOARD) | {"LOG_FILE": str(log_file), "LOG_BLOCKS": 1})),
            "storage": module(
                "storage",
                disable_usb_drive=lambda: done.append("drive off"),
                remount=lambda path, readonly: done.append(f"remount {path} {readonly}"),
            ),
            "supervisor": module("supervisor", runtime=supervisor),
        },
    )
    assert not supervisor.ble_workflow
    return done


@pytest.fixture
def new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where boot.py shall make the log's file; the drive's root is the test's folder."""
    real = open
    monkeypatch.setattr(
        "builtins.open",
        lambda path, *args, **kw: real(tmp_path / "new" if path == "/contacts.new" else path, *args, **kw),
    )
    return tmp_path / "contacts.log"


def test_boot_takes_the_drive_and_makes_the_file_once(new_file: Path, file_store: Any) -> None:
    assert boot(new_file, held=False) == ["drive off", "remount / False", f"rename to {new_file}"]
    assert new_file.stat().st_size == file_store.file_bytes(3)
    new_file.write_bytes(b"a log of months")
    assert boot(new_file, held=False) == ["drive off", "remount / False"]
    assert new_file.read_bytes() == b"a log of months"


def test_boot_leaves_the_drive_to_the_pc_while_the_button_is_held(new_file: Path) -> None:
    assert boot(new_file, held=True) == []
    assert not new_file.exists()


def code(readonly: bool, token: Any) -> bytearray:
    """Run code.py with `token` in place of app.Token; returns the sleep memory."""
    memory = bytearray([0xB2, 3, 0])
    run_program(
        "code.py",
        {
            "alarm": module("alarm", sleep_memory=memory),
            "app": module("app", Token=token),
            "microcontroller": module("microcontroller", reset=reset),
            "storage": module("storage", getmount=lambda _path: types.SimpleNamespace(readonly=readonly)),
            "supervisor": module("supervisor", runtime=types.SimpleNamespace(autoreload=True)),
            "time": module("time", sleep=lambda _s: None),
            "token_board": module("token_board", Board=lambda: None),
        },
    )
    return memory


def test_code_resets_the_chip_when_the_token_fails(capsys: pytest.CaptureFixture[str]) -> None:
    def fails(_board: None) -> None:
        raise OSError("no file")

    with pytest.raises(Reset):
        code(False, fails)
    assert "no file" in capsys.readouterr().err


def test_code_lets_a_technician_interrupt_and_forgets_old_crashes() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        code(False, lambda _board: types.SimpleNamespace(run=interrupted))
    assert code(False, lambda _board: types.SimpleNamespace(run=lambda: None)) == b"\xb2\0\0"


def test_code_runs_no_token_while_a_pc_writes_to_the_drive(capsys: pytest.CaptureFixture[str]) -> None:
    code(True, None)
    assert "does not run" in capsys.readouterr().out


def test_safe_mode_is_left_again_later_after_each_crash() -> None:
    memory = bytearray(b"\xff\xff\x0f")  # as it may be after a loss of power
    pauses = []

    def crash(reason: str) -> None:
        runtime = types.SimpleNamespace(safe_mode_reason=reason)
        reasons = types.SimpleNamespace(BROWNOUT="BROWNOUT")
        with pytest.raises(Reset):
            run_program(
                "start/safemode.py",
                {
                    "alarm": module("alarm", sleep_memory=memory),
                    "microcontroller": module("microcontroller", reset=reset),
                    "supervisor": module("supervisor", runtime=runtime, SafeModeReason=reasons),
                    "time": module("time", sleep=pauses.append),
                },
            )

    for _ in range(12):
        crash("HARD_FAULT")
    assert pauses[:3] == [5, 10, 20]
    assert pauses[7:] == [640] * 5
    crash("BROWNOUT")
    assert pauses[-1] == 600
    assert memory[2] == 0x0F  # that the wearer has switched it off is not forgotten
