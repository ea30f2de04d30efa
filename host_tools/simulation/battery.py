"""How long a board's battery lasts: `make battery`. Figures are kept in BENCHMARKS.md.

The radio's share comes from the log of the firmware's own schedule, the currents from the [energy] table of board.toml,
where each has its source. None of them has been measured on a token. Light, button, flash and kiosk are not in it.
"""

import sys
from collections.abc import Mapping

import numpy as np
from rich.console import Console
from rich.table import Table

from host_tools.provisioning.firmware_files import boards

from .energy import MONTH_DAYS, Energy, Sleep, account, schedule_maker
from .radio_log import tokens

DEVICES = 20
LOG_S = 7200
LIGHT_RADIO = {"adv_interval_us": 1_000_000, "scan_window_ms": 1050}  # what board.toml says goes with light sleep
TARGET_DAYS = {
    "nrf52840_circuitpython": 10 * MONTH_DAYS,
    "nrf52840_zephyr": 10 * MONTH_DAYS,
    "esp32_c3": 8.0,
    "esp32_c6": 8.0,
}


def rows(name: str, board: Mapping) -> list[tuple[list[str], bool]]:
    """The lines of the table for one board, and whether each keeps its target, which is for the chip's own sleep."""
    energy = Energy.of(board)
    random = np.random.default_rng(1)
    low_mv = board.get("battery", {}).get("low_mv", 0)
    normal = tokens(schedule_maker(board), DEVICES, LOG_S, random).work
    stretched = tokens(schedule_maker(board, low_mv - 1), DEVICES, LOG_S, random).work
    cases = [
        ("the chip's own sleep", normal, Sleep.CHIP),
        ("… low battery: stretched", stretched, Sleep.CHIP),
        ("interpreter as distributed", normal, Sleep.STOCK),
    ]
    if energy.restart_nc:
        light = {**board, "radio": {**board["radio"], **LIGHT_RADIO}}
        cases.append(("… light sleep, this schedule", normal, Sleep.LIGHT))
        cases.append(
            ("… and an event a second", tokens(schedule_maker(light), DEVICES, LOG_S, random).work, Sleep.LIGHT)
        )
    found = []
    for what, work, sleep in cases:
        currents = account(work, energy, sleep)
        days = currents.days(energy)
        target_days = TARGET_DAYS.get(name, 0.0) if work is normal and sleep is Sleep.CHIP else 0.0
        months = f"{days / MONTH_DAYS:.1f} months" if days >= 60 else ""
        found.append(
            (
                [
                    name,
                    f"{energy.battery}, {energy.capacity_mah} mAh",
                    what,
                    f"{currents.advertising_ua:.1f}",
                    f"{currents.listening_ua:.1f}",
                    f"{currents.starting_ua:.1f}",
                    f"{currents.sleep_ua:.1f}",
                    f"{currents.total_ua:.1f}",
                    f"{days:.1f} d",
                    months,
                    f"{target_days:.0f} d" if target_days else "",
                    f"{days / target_days:.2f}" if target_days else "",
                ],
                days >= target_days,
            )
        )
    return found


def main() -> int:
    """Print the table; returns 1 if a target is missed."""
    headings = "board, battery, asleep, advertising, listening, starting windows, sleep, sum, days, , target, ratio"
    table = Table(*headings.split(", "), title="mean current in µA, and how long the battery lasts")
    kept = True
    for name, board in boards().items():
        if "energy" in board:
            for cells, passed in rows(name, board):
                table.add_row(*cells)
                kept = kept and passed
            table.add_section()
    console = Console(width=190)
    console.print(table)
    console.print("PASS" if kept else "FAIL: a target is missed", highlight=False)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
