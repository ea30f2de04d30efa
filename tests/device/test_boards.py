"""Every board that is flashed with mpremote: what its files must have, whatever the chip."""

import ast

import pytest

from host_tools import wiring
from host_tools.provisioning.firmware_files import ROOT, boards, build, settings_source

FLASHED = [name for name, board in boards().items() if board.get("method") == "mpremote"]
DRAWN = [*FLASHED, "nrf52840_circuitpython"]


@pytest.mark.parametrize("name", FLASHED)
def test_a_board_has_all_the_settings_that_the_firmware_reads(name):
    given = {line.split(" = ")[0] for line in settings_source(ROOT / "boards" / name / "board.toml").splitlines()}
    read = set()
    for path in (ROOT / "firmware/app.py", ROOT / "firmware/adapters/esp32.py", ROOT / f"boards/{name}/board.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr.isupper() and ast.unparse(node.value).endswith("settings"):
                read.add(node.attr)
    assert read
    assert read <= given


@pytest.mark.parametrize("name", FLASHED)
def test_a_boards_numbers_make_sense(name):
    board = boards()[name]
    radio = board["radio"]
    # One window hears every neighbour: it covers an interval, the random delay, a packet and two channel steps.
    assert radio["scan_window_ms"] * 1000 >= radio["adv_interval_us"] + 11_500
    assert radio["scan_period_ms"] not in (30_000, 60_000)  # locks onto Bluezone's bursts
    assert board["battery"]["stop_mv"] < board["battery"]["low_mv"]
    assert (board["log"]["blocks"] + 2) * 4096 == 1 << 20
    assert board["source"].keys() >= {"radio", "pins", "log"}


@pytest.mark.parametrize("name", FLASHED)
def test_a_boards_firmware_compiles_and_is_told_how_to_deploy(name, tmp_path):
    built = {file.device_path for file in build(name, tmp_path / "built")}
    assert {"app.mpy", "board.mpy", "settings.mpy", "main.py", "boot.py"} <= built
    deploy = (ROOT / "boards" / name / "deploy.md").read_text(encoding="utf-8")
    assert f"BOARD={name}" in deploy


@pytest.mark.parametrize("name", DRAWN)
def test_the_drawing_of_the_wiring_has_the_pins_of_the_board(name):
    assert (wiring.FOLDER / f"{name}.svg").read_text(encoding="utf-8") == wiring.drawing(name), "run `make pictures`"


@pytest.mark.parametrize("language", ["", ".vi"])
def test_the_guide_shows_every_drawing_and_has_every_sentence(language):
    guide = (ROOT / f"docs/technician{language}.md").read_text(encoding="utf-8")
    assert all(f"img/wiring/{name}.svg" in guide for name in DRAWN)
    for command in ("flash", "provision", "identify", "verify", "update", "wipe", "logs", "repl", "labels"):
        assert f"bluezone {command}" in guide, command


def test_a_token_at_work_loads_nothing_of_the_technicians():
    for path in (ROOT / "firmware").rglob("*.py"):
        imported = {
            name
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module])
        }
        assert "service" not in imported, path
        assert "switch" not in imported or path.name == "boot.py"
