"""Charge, current and days: the arithmetic, and the targets of the boards."""

from dataclasses import replace

import pytest

from host_tools.provisioning.firmware_files import ROOT, boards, settings_source
from host_tools.simulation import battery
from host_tools.simulation.energy import Energy, Sleep, account, schedule_maker
from host_tools.simulation.radio_bench import least_latency_s
from host_tools.simulation.radio_log import Work
from tracing.schedule import LOW

CELL = Energy(
    adv_event_nc=10_000,
    rx_ua=6000,
    window_start_nc=100_000,
    sleep_na=2000,
    stock_sleep_na=50_000,
    battery="cell",
    capacity_mah=240,
    usable_percent=50,
)
MEASURED = [name for name, board in boards().items() if "energy" in board]


def test_charge_becomes_current_and_current_days():
    # Two devices for 100 s: 4 events a second, 1 s of listening in all, one window each.
    found = account(Work(adv_events=800, listened_us=1_000_000, scans=2, device_us=200_000_000), CELL)
    assert found.advertising_ua == pytest.approx(40)
    assert found.listening_ua == pytest.approx(30)
    assert found.starting_ua == pytest.approx(1)
    assert found.radio_ua == pytest.approx(71)
    assert found.total_ua == pytest.approx(73)
    assert found.days(CELL) == pytest.approx(120_000 / 73 / 24)
    work = Work(800, 1_000_000, 2, 200_000_000)
    assert account(work, CELL, Sleep.STOCK).total_ua == pytest.approx(121)
    restarting = replace(CELL, restart_nc=50_000, light_sleep_na=3000)
    light = account(work, restarting, Sleep.LIGHT)
    assert light.advertising_ua == pytest.approx(240)
    assert light.total_ua == pytest.approx(274)
    assert account(work, restarting).total_ua == pytest.approx(73)


def test_the_least_latency_is_the_bounds():
    # 4 · 10 µC · 6 mA / (100 µA)²
    assert least_latency_s(CELL, 100) == pytest.approx(24)


def test_a_schedule_is_made_as_the_board_says():
    board = boards()["nrf52840_circuitpython"]
    schedule = schedule_maker(board)()
    assert schedule.adv_interval_us(128) == board["radio"]["adv_interval_us"]
    assert schedule.level == 0
    assert schedule_maker(board, board["battery"]["low_mv"] - 1)().level == LOW


@pytest.mark.parametrize("name", MEASURED)
def test_every_figure_is_there_and_none_of_it_goes_onto_the_token(name):
    board = boards()[name]
    energy = Energy.of(board)
    assert 0 < energy.sleep_na <= energy.stock_sleep_na
    assert len(board["source"]["energy"]) > 100
    assert "ENERGY" not in settings_source(ROOT / "boards" / name / "board.toml")


@pytest.mark.parametrize("name", battery.TARGET_DAYS)
def test_targets_are_kept(name, monkeypatch):
    monkeypatch.setattr(battery, "LOG_S", 1800)
    monkeypatch.setattr(battery, "DEVICES", 5)
    chip, low, stock, *_ = battery.rows(name, boards()[name])
    assert chip[1], chip
    total = [float(cells[7]) for cells, _ in (chip, low, stock)]
    assert total[1] < 0.6 * total[0] <= total[2]


@pytest.mark.parametrize("name", ["esp32_c3", "esp32_c6", "esp32_generic"])
def test_light_sleep_spares_the_battery_of_a_board_as_distributed(name, monkeypatch):
    monkeypatch.setattr(battery, "LOG_S", 1800)
    monkeypatch.setattr(battery, "DEVICES", 5)
    _, _, stock, light, second = [float(cells[7]) for cells, _ in battery.rows(name, boards()[name])]
    assert second < light < stock


def test_the_radio_stays_on_unless_a_technician_says_otherwise():
    assert {board["power"]["sleep"] for board in boards().values() if "power" in board} == {"modem"}
