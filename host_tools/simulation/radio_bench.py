"""How far the radio schedule is from the optimum: `make bench-radio`. Figures are kept in BENCHMARKS.md.

The bound is Kindt & Chakraborty's (On Optimal Neighbor Discovery, SIGCOMM 2019): two equal devices that may draw I_rad
on average need at least L* = 4·Q·I_rx / I_rad² in the worst case, Q being the charge of an advertising event. With a
probability p that a packet comes through, L* is what one try costs, and x(ε, p) tries are needed. D_L is the measured
quantile over that, D_E = √D_L: how many times more current than an ideal device at equal latency.
"""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from host_tools.provisioning.firmware_files import boards

from .energy import Energy, account, schedule_maker
from .radio_hall import hall
from .radio_log import (
    PHONE_CYCLE_US,
    PHONE_HEARS_TOKEN,
    TOKEN_HEARS_PHONE,
    TOKEN_TOKEN,
    Meetings,
    RadioLog,
    meet,
    phones,
    quantile_s,
    share_within,
    tokens,
)

EPSILON = 1e-3
CONTACTS = 40_000  # each of them judged in both directions
PHONE_CONTACTS = 100_000
CONTACT_S = 300
PATIENCE_S = 900  # contacts are followed so long, for the quantiles
WARM_UP_S = 60
DEVICES = 500
LOG_S = 2000
PHASES = 30
HALL_S = 900
HALL_BOARDS = ("nrf52840_circuitpython", "esp32_c6")

MOST_D_E = 1.10
LEAST_CONTACT = 0.999
LEAST_PHONE = 0.99
HALLS = ((200, 0.999), (500, 0.99))


def tries(epsilon: float, success: float) -> float:
    """The least x at which (1 - success)^M, interpolated linearly between integers M, is not above epsilon."""
    lost = 1 - success
    whole = 0
    while lost ** (whole + 1) > epsilon:
        whole += 1
    return whole + (lost**whole - epsilon) / (lost**whole - lost ** (whole + 1))


def least_latency_s(energy: Energy, radio_ua: float) -> float:
    """L*: seconds that an ideal pair of devices needs with that mean current each."""
    return 4 * energy.adv_event_nc * energy.rx_ua / 1000 / radio_ua**2


@dataclass(frozen=True)
class Gate:
    """A figure and its limit."""

    what: str
    value: float
    limit: float
    at_most: bool = False

    @property
    def passed(self) -> bool:
        """Whether the limit is kept."""
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def __str__(self) -> str:
        # Of shares that must be near 1, the part missed is what tells.
        ratio = self.value / self.limit if self.at_most else (1 - self.value) / (1 - self.limit)
        which = "ratio" if self.at_most else "missed share, ratio"
        return (
            f"{'PASS' if self.passed else 'FAIL'}  {self.what}: {self.value:.5g} "
            f"({'≤' if self.at_most else '≥'} {self.limit:g}; {which} to the limit {ratio:.2f})"
        )


def _radio_numbers(board: Mapping) -> tuple:
    energy = Energy.of(board)
    radio = [board["radio"][key] for key in ("adv_interval_us", "scan_window_ms", "scan_period_ms")]
    return radio, energy.adv_event_nc, energy.rx_ua, energy.window_start_nc


def _contacts(
    listeners: RadioLog, senders: RadioLog, count: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random pairs and starts; a device never meets the one of its own number."""
    listener = random.integers(0, listeners.devices, count)
    sender = (listener + random.integers(1, listeners.devices, count)) % listeners.devices % senders.devices
    start_us = random.integers(WARM_UP_S * 1_000_000, listeners.duration_us - (PATIENCE_S + 60) * 1_000_000, count)
    return listener, sender, start_us


@dataclass(frozen=True)
class PhoneContacts:
    """Contacts between a token and an Android phone."""

    heard: np.ndarray  # share of the phones heard, by the phase of the bursts in which the first window opened
    heard_again: np.ndarray  # … in two windows
    hearing: Meetings


def pair(log: RadioLog, count: int, random: np.random.Generator) -> tuple[Meetings, Meetings]:
    """Contacts of two tokens, in both directions."""
    one, other, start_us = _contacts(log, log, count, random)
    limit_us = PATIENCE_S * 1_000_000
    return (
        meet(log, one, log, other, start_us, limit_us, TOKEN_TOKEN, random),
        meet(log, other, log, one, start_us, limit_us, TOKEN_TOKEN, random),
    )


def with_phones(log: RadioLog, count: int, random: np.random.Generator) -> PhoneContacts:
    """Contacts of 5 minutes between tokens and phones, in both directions."""
    phone_log, phases_us = phones(log.devices, log.duration_us // 1_000_000, random)
    token, phone, start_us = _contacts(log, phone_log, count, random)
    limit_us = CONTACT_S * 1_000_000
    heard = meet(log, token, phone_log, phone, start_us, limit_us, TOKEN_HEARS_PHONE, random)
    hearing = meet(phone_log, phone, log, token, start_us, limit_us, PHONE_HEARS_TOKEN, random)
    phase = (heard.first_window_us - phases_us[phone]) % PHONE_CYCLE_US * PHASES // PHONE_CYCLE_US
    contacts = np.bincount(phase, minlength=PHASES)
    once, again = (np.bincount(phase, us <= limit_us, PHASES) / contacts for us in (heard.latency_us, heard.again_us))
    return PhoneContacts(once, again, hearing)


def judge_board(name: str, board: Mapping, table: Table, random: np.random.Generator) -> list[Gate]:
    """Two tokens of a kind, and a token and a phone: one row of the table, and its gates."""
    energy = Energy.of(board)
    log = tokens(schedule_maker(board), DEVICES, LOG_S, random)
    currents = account(log.work, energy)
    there, back = pair(log, CONTACTS, random)
    within = min(share_within(meetings.latency_us, CONTACT_S) for meetings in (there, back))
    again = min(share_within(meetings.again_us, CONTACT_S) for meetings in (there, back))
    latency_us = np.concatenate((there.latency_us, back.latency_us))
    late_s = quantile_s(latency_us, 1 - EPSILON)
    success = (there.received + back.received) / (there.offered + back.offered)
    d_l = late_s / (tries(EPSILON, success) * least_latency_s(energy, currents.radio_ua))
    d_e = d_l**0.5
    phone = with_phones(log, PHONE_CONTACTS, random)
    by_phone = share_within(phone.hearing.latency_us, CONTACT_S)
    table.add_row(
        name,
        f"{currents.radio_ua:.0f} µA",
        f"{success:.3f}",
        f"{within:.5f}",
        f"{again:.5f}",
        f"{quantile_s(latency_us, 0.5):.0f} / {late_s:.0f} s",
        f"{d_l:.2f}",
        f"{d_e:.3f}",
        f"{phone.heard.min():.4f}",
        f"{phone.heard_again.min():.4f}",
        f"{by_phone:.4f}",
    )
    return [
        Gate(f"{name}: D_E", d_e, MOST_D_E, at_most=True),
        Gate(f"{name}: 5-minute contact noticed, worse direction", within, LEAST_CONTACT),
        Gate(f"{name}: phone heard within 5 minutes, worst of {PHASES} phases", phone.heard.min(), LEAST_PHONE),
        Gate(f"{name}: heard by a phone within 5 minutes", by_phone, LEAST_PHONE),
    ]


def judge_low(name: str, board: Mapping, random: np.random.Generator) -> str:
    """What becomes of 5-minute contacts when a battery is low."""
    normal = tokens(schedule_maker(board), DEVICES, LOG_S, random)
    low = tokens(schedule_maker(board, board["battery"]["low_mv"] - 1), DEVICES, LOG_S, random)
    shares = []
    for listeners, senders in ((normal, low), (low, normal), (low, low)):
        listener, sender, start_us = _contacts(listeners, senders, CONTACTS, random)
        meetings = meet(listeners, listener, senders, sender, start_us, CONTACT_S * 1_000_000, TOKEN_TOKEN, random)
        shares.append(f"{share_within(meetings.latency_us, CONTACT_S):.4f}")
    return (
        f"{name} with a low battery, 5-minute contact: heard by others {shares[0]}, hears others {shares[1]}, "
        f"two of them {shares[2]}"
    )


def judge_halls(name: str, board: Mapping, table: Table, random: np.random.Generator) -> list[Gate]:
    """Crowds of tokens of a kind for 15 minutes: rows of the table, and their gates."""
    gates = []
    energy = Energy.of(board)
    for count, limit in HALLS:
        for adapts in (True, False):
            result = hall(schedule_maker(board), count, HALL_S, random, adapts)
            share = result.share(1)
            table.add_row(
                name,
                str(count),
                "follows the crowd" if adapts else "does not",
                f"{result.neighbours.mean():.0f}" if adapts else "",
                f"{result.adv_interval_ms.mean():.0f} ms",
                f"{result.work.scans / count:.0f}",
                f"{account(result.work, energy).radio_ua:.0f} µA",
                f"{share:.5f}",
                f"{result.share(2):.5f}",
            )
            if adapts:
                gates.append(Gate(f"{name}: pairs of {count} tokens found in 15 minutes", share, limit))
    return gates


def _table(title: str, headings: str) -> Table:
    return Table(*headings.split(", "), title=title)


def main() -> int:
    """Print the tables and the gates; returns 1 if a gate is not kept."""
    began_s = time.monotonic()
    console = Console(width=150)
    random = np.random.default_rng(1)
    measured: dict[str, dict] = {}
    for name, board in boards().items():
        if "energy" in board and not any(_radio_numbers(board) == _radio_numbers(known) for known in measured.values()):
            measured[name] = board  # one of those that differ in their sleep only
    contacts = _table(
        f"two tokens ({CONTACTS} contacts), and a token beside a phone ({PHONE_CONTACTS})",
        "board, radio, p, P(5 min), in 2 windows, median / 99.9 %, D_L, D_E, "
        "hears phone (worst phase), in 2 windows, heard by phone",
    )
    crowds = _table(
        "15 minutes in a hall that all tokens enter at once",
        "board, tokens, schedule, estimate, interval, windows, radio, pairs found, in 2 windows",
    )
    gates = []
    for name, board in measured.items():
        gates += judge_board(name, board, contacts, random)
    for name in HALL_BOARDS:
        gates += judge_halls(name, measured[name], crowds, random)
    console.print(contacts)
    console.print(judge_low(HALL_BOARDS[0], measured[HALL_BOARDS[0]], random), highlight=False)
    console.print(crowds)
    for gate in gates:
        console.print(str(gate), highlight=False)
    console.print(f"{time.monotonic() - began_s:.0f} s", highlight=False)
    return 0 if all(gate.passed for gate in gates) else 1


if __name__ == "__main__":
    sys.exit(main())
