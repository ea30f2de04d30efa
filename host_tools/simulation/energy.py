"""What a board's radio costs: charge by purpose, from a radio log and the [energy] table of its board.toml."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from tracing.schedule import Schedule

from .radio_log import Work

MONTH_DAYS = 365.25 / 12


@dataclass(frozen=True)
class Energy:
    """A board's charges and currents, and its battery; names and units as in board.toml."""

    adv_event_nc: int  # one advertising event, three packets and what surrounds them
    rx_ua: int  # while a scan window is open
    window_start_nc: int  # waking for a scan window and working up what it heard
    sleep_na: int  # between all that, the chip's own: a build that lets it sleep
    stock_sleep_na: int  # … with the interpreter as it is distributed
    battery: str
    capacity_mah: int
    usable_percent: int
    restart_nc: int = 0  # switching the radio off and on between two advertising events; 0: not done on this board
    light_sleep_na: int = 0  # … and sleep in between

    @classmethod
    def of(cls, board: Mapping) -> "Energy":
        """From a parsed board.toml."""
        return cls(**board["energy"])


@dataclass(frozen=True)
class Account:
    """Mean currents of one device in µA."""

    advertising_ua: float
    listening_ua: float
    starting_ua: float
    sleep_ua: float

    @property
    def radio_ua(self) -> float:
        """All but sleep."""
        return self.advertising_ua + self.listening_ua + self.starting_ua

    @property
    def total_ua(self) -> float:
        """The mean current."""
        return self.radio_ua + self.sleep_ua

    def days(self, energy: Energy) -> float:
        """How long the board's battery lasts."""
        return energy.capacity_mah * energy.usable_percent / 100 * 1000 / self.total_ua / 24


class Sleep(Enum):
    """What a board does between advertising events and windows."""

    CHIP = "the chip's own sleep, in a build that lets it"
    STOCK = "as the interpreter sleeps that is distributed"
    LIGHT = "light sleep, the radio started for each advertising event"


def account(work: Work, energy: Energy, sleep: Sleep = Sleep.CHIP) -> Account:
    """The mean currents of a device whose radio did that."""
    device_s = work.device_us / 1e6
    event_nc = energy.adv_event_nc + (energy.restart_nc if sleep is Sleep.LIGHT else 0)
    sleep_na = {Sleep.CHIP: energy.sleep_na, Sleep.STOCK: energy.stock_sleep_na, Sleep.LIGHT: energy.light_sleep_na}
    return Account(
        work.adv_events * event_nc / 1000 / device_s,
        energy.rx_ua * work.listened_us / work.device_us,
        work.scans * energy.window_start_nc / 1000 / device_s,
        sleep_na[sleep] / 1000,
    )


def schedule_maker(board: Mapping, battery_mv: int = 0) -> Callable[[], Schedule]:
    """Makes schedules as firmware/app.py does for a board; with `battery_mv`, of tokens that have measured that."""
    radio, battery = board["radio"], board.get("battery", {})

    def make() -> Schedule:
        schedule = Schedule(
            radio["adv_interval_us"],
            radio["scan_window_ms"],
            radio["scan_period_ms"],
            battery.get("low_mv", 0),
            battery.get("stop_mv", 0),
        )
        if battery_mv:
            schedule.note_battery(battery_mv)
        return schedule

    return make
