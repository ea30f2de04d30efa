"""Small worlds of virtual boards and phones, in virtual time."""

import textwrap
from pathlib import Path

import pytest

from host_tools.simulation import scenario
from host_tools.simulation.rom import rom_image

START = "2020-08-10T08:00:00+07:00"


@pytest.fixture(scope="session")
def rom() -> bytes:
    """The firmware of the virtual board."""
    return rom_image()


@pytest.fixture
def make_scenario(tmp_path: Path):
    """Writes a scenario of people around one table, a metre apart, and loads it."""

    def make(devices: dict[str, str], minutes: int, start: str = START, radio: str = "") -> scenario.Scenario:
        text = f'title = "test"\nstart = {start}\nminutes = {minutes}\nkiosk = "kiosk"\n[radio]\n{radio}\n[places]\n'
        text += 'kiosk = { at = [50.0, 50.0], room = "hall" }\n'
        people = ""
        for number, (name, device) in enumerate(devices.items()):
            text += f'seat_{number} = {{ at = [{number}.0, 0.0], room = "room" }}\n'
            people += textwrap.dedent(f"""
                [[people]]
                name = "{name}"
                device = "{device}"
                stays = [["00:00", "seat_{number}"]]
            """)
        path = tmp_path / "scenario.toml"
        path.write_text(text + people, encoding="utf-8")
        return scenario.load(path)

    return make
