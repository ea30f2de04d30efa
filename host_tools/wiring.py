"""Drawings of what is soldered to a board, with the pins of its board.toml: `make pictures`."""

from pathlib import Path
from typing import NamedTuple

from host_tools.provisioning.firmware_files import boards

FOLDER = Path(__file__).parents[1] / "docs" / "img" / "wiring"

_WIDTH, _ROW, _TOP = 680, 62, 56
_BOARD_X, _BOARD_WIDTH, _PART_X = 40, 190, 330
_INK, _PAPER, _BOARD, _WIRE = "#1b2430", "#ffffff", "#d7efec", "#33475b"
_ON_BOARD = {"esp32_generic": ("button", "light"), "nrf52840_circuitpython": ("light", "divider")}


class Wire(NamedTuple):
    """From a pin of the board to a part, and from there on."""

    pin: str
    part: str
    ends: str


def wires(name: str) -> list[Wire]:
    """What has to be wired to a board; parts that are on it already are left out."""
    settings = boards()[name]
    pins = settings["pins"]
    there = _ON_BOARD.get(name, ())
    found = [Wire(*_battery(name, settings["energy"]["battery"]))]
    if "divider" not in there:
        found.append(
            Wire(_pin(pins["battery_adc"]), "100 kΩ, 100 kΩ", "between + and − of the cell, this pin in the middle")
        )
    if "button" not in there:
        found.append(Wire(_pin(pins["button"]), "button", "GND"))
    if "light" not in there:
        found += [
            Wire(_pin(pins[colour]), f"220 Ω, {colour}", "light, common −: GND") for colour in ("red", "green", "blue")
        ]
    return found


def drawing(name: str) -> str:
    """The SVG of a board's wiring."""
    rows = wires(name)
    height = _TOP + _ROW * len(rows) + 24
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'font-family="Helvetica, Arial, \'DejaVu Sans\', sans-serif" font-size="15">',
        f"<title>Wiring of {name}: {'; '.join(f'{wire.pin} to {wire.part}, {wire.ends}' for wire in rows)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="{_PAPER}"/>',
        f'<rect x="{_BOARD_X}" y="16" width="{_BOARD_WIDTH}" height="{height - 32}" rx="10" fill="{_BOARD}" '
        f'stroke="{_WIRE}" stroke-width="2"/>',
        f'<text x="{_BOARD_X + 14}" y="40" font-weight="bold" fill="{_INK}">{name}</text>',
    ]
    for row, wire in enumerate(rows):
        y = _TOP + _ROW * row + 26
        edge = _BOARD_X + _BOARD_WIDTH
        lines += [
            f'<circle cx="{edge}" cy="{y}" r="5" fill="{_WIRE}"/>',
            f'<text x="{edge - 14}" y="{y + 5}" text-anchor="end" fill="{_INK}">{wire.pin}</text>',
            f'<path d="M{edge} {y}H{_PART_X}" stroke="{_WIRE}" stroke-width="2"/>',
            f'<rect x="{_PART_X}" y="{y - 22}" width="{_WIDTH - _PART_X - 20}" height="44" rx="6" fill="{_PAPER}" '
            f'stroke="{_WIRE}" stroke-width="2"/>',
            f'<text x="{_PART_X + 12}" y="{y - 4}" font-weight="bold" fill="{_INK}">{wire.part}</text>',
            f'<text x="{_PART_X + 12}" y="{y + 14}" font-size="12" fill="{_INK}">{wire.ends}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


def _battery(name: str, cell: str) -> tuple[str, str, str]:
    if cell == "Li-Po":
        return "5V, GND", "Li-Po cell 3.7 V, 500 mAh", "through its protection and a switch; not with USB"
    return "BAT+, BAT−", f"{cell}, 3 V, in a holder", "take it out before USB is plugged in: it must not be charged"


def _pin(pin: int | str) -> str:
    return f"GPIO {pin}" if isinstance(pin, int) else pin


def main() -> None:
    """Write all drawings anew."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, settings in boards().items():
        if "energy" in settings and settings.get("method") in ("mpremote", "uf2"):
            (FOLDER / f"{name}.svg").write_text(drawing(name), encoding="utf-8")


if __name__ == "__main__":
    main()
