"""Which files reach a board, and what becomes of board.toml."""

import subprocess
import sys
from pathlib import Path

import pytest

from host_tools.errors import UserError
from host_tools.provisioning.firmware_files import ROOT, boards, build, firmware_files, settings_source, start_programs


def settings(tmp_path: Path, toml: str) -> dict:
    """The constants made from a board.toml."""
    path = tmp_path / "board.toml"
    path.write_text(toml)
    constants: dict = {}
    exec(settings_source(path), constants)
    return {name: value for name, value in constants.items() if not name.startswith("__")}


def test_tables_become_constants_and_notes_stay_on_the_host(tmp_path: Path) -> None:
    toml = """
    name = "x"
    chip = "ESP32"
    method = "mpremote"
    [radio]
    adv_interval_us = 417_500
    [pins]
    button = 0
    led-red = 2
    inverted = true
    [log]
    partition = 'l"o\\g'
    [notes]
    long = ["anything", 1.5]
    [source]
    radio = "a paper"
    """
    assert settings(tmp_path, toml) == {
        "NAME": "x",
        "RADIO_ADV_INTERVAL_US": 417_500,
        "PINS_BUTTON": 0,
        "PINS_LED_RED": 2,
        "PINS_INVERTED": True,
        "LOG_PARTITION": 'l"o\\g',
    }


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        ("[radio]\ninterval_s = 0.4", "radio.interval_s"),
        ("[radio]\nchannels = [37, 38]", "radio.channels"),
        ("[radio.phone]\nlimit = 1", "radio.phone"),
        ('[pins]\n"a b" = 1', "pins.a b"),
        ("[a]\nb_c = 1\n[a_b]\nc = 2", "a.b_c"),
    ],
)
def test_what_a_token_cannot_use_is_refused_by_name(tmp_path: Path, toml: str, named: str) -> None:
    with pytest.raises(UserError, match=f"{named} cannot become a setting"):
        settings(tmp_path, toml)


def test_a_board_toml_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "boards/odd/board.toml"
    path.parent.mkdir(parents=True)
    path.write_text("name =")
    with pytest.raises(UserError, match=r"boards/odd/board\.toml is not TOML"):
        boards(tmp_path)


@pytest.mark.parametrize("board", boards())
def test_every_board_gets_the_portable_package_and_nothing_of_the_host(board: str) -> None:
    files = {path: source for source, path in firmware_files(board)}
    of_the_host = {"kiosk_log", "kiosk_messages", "phone_wire"}
    tracing = {path.stem for path in (ROOT / "firmware/tracing").glob("*.py")} - of_the_host
    assert {path for path in files if path.startswith("tracing/")} == {f"tracing/{name}.mpy" for name in tracing}
    starts = {"boot.py", "code.mpy" if start_programs(board) else "main.py"}
    assert {"app.mpy", "settings.mpy", *starts} <= files.keys()
    assert all(source.is_file() for source in files.values())


def test_modules_of_a_board_replace_those_of_the_firmware(project: Path) -> None:
    own = project / "boards/esp32_generic/main.py"
    own.write_text("")
    (project / "boards/esp32_generic/lamp.py").write_text("")
    files = {path: source for source, path in firmware_files("esp32_generic", root=project)}
    assert files["main.py"] == own
    assert "lamp.mpy" in files


def test_two_builds_are_equal_and_leave_nothing_old_behind(project: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = build("esp32_generic", out, root=project)
    (out / "left.mpy").write_text("")
    moved = tmp_path / "elsewhere"
    project.rename(moved)
    assert build("esp32_generic", out, root=moved) == first
    on_disk = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert on_disk == [file.device_path for file in first]


def test_a_module_that_does_not_compile_is_named(project: Path, tmp_path: Path) -> None:
    (project / "firmware/app.py").write_text("def broken(:\n")
    with pytest.raises(UserError, match=r"firmware/app\.py does not compile: SyntaxError"):
        build("esp32_generic", tmp_path / "out", root=project)


@pytest.mark.vm
def test_the_vm_reads_the_settings_of_the_esp32(tmp_path: Path) -> None:
    out = tmp_path / "out"
    build("esp32_generic", out)
    done = subprocess.run(
        [
            Path(sys.executable).with_name("micropython"),
            "-c",
            "import settings as s; print(s.NAME, s.RADIO_ADV_INTERVAL_US)",
        ],
        cwd=out, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "esp32_generic 417500\n"
