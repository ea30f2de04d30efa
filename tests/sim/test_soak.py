"""A short soak: the unmodified firmware in CPython over a day of an office, against the truth."""

from math import exp, factorial
from random import Random

import pytest

from host_tools.simulation import soak, soak_office, soak_token
from host_tools.simulation.soak_office import DWELL_MS, PACKET_LOSS, Hearing
from tracing.keys import SLOT_S


def test_a_day_of_four_tokens_misses_nothing():
    result = soak.soak(days=1, tokens=4, seed=3)
    assert result.meetings >= 5
    assert result.missed == []
    assert result.unheard <= result.unheard_limit
    assert result.unheard_expected < 1
    assert result.broken_identities == 0
    assert result.records > 20
    assert result.duration_sd_s <= 60  # few meetings: a wide bound; the long soak has the real one


def test_firmware_that_does_not_log_what_came_through_is_noticed(monkeypatch):
    monkeypatch.setattr(soak_token.SightingRing, "offer", lambda *_: False)
    result = soak.soak(days=1, tokens=4, seed=3)
    assert result.unheard <= result.unheard_limit
    assert len(result.missed) == 2 * result.meetings - result.unheard > 0


def test_a_channel_that_takes_more_than_chance_allows_is_noticed(monkeypatch):
    monkeypatch.setattr(soak_office.Office, "received", lambda *_: [])
    result = soak.soak(days=1, tokens=4, seed=3)
    assert result.missed == []
    assert result.unheard == 2 * result.meetings > result.unheard_limit


@pytest.mark.parametrize(("windows", "turn"), [(2, 99), (8, 99), (8, 4), (12, 3)])
def test_the_odds_are_those_that_come_out(windows, turn):
    # Against the rule itself, drawn many times; the id changes after `turn` windows.
    random = Random(1)
    rounds = 20_000
    too_little, odds = 0, 0.0
    for _ in range(rounds):
        hearing = Hearing()
        for number in range(windows):
            address = bytes([number // turn])
            hearing.window(number * 37_500, address, random.random() >= PACKET_LOSS, PACKET_LOSS)
        too_little += not hearing.certain
        odds = hearing.odds_against
    assert abs(too_little / rounds - odds) <= 4 * (odds / rounds) ** 0.5 + 1e-4


def test_windows_far_apart_or_of_two_ids_make_nothing_certain():
    hearing = Hearing()
    for at_ms, address, received in ((0, b"a", True), (DWELL_MS + 1, b"a", True), (DWELL_MS + 2, b"b", True)):
        hearing.window(at_ms, address, received, 0.3)
    assert not hearing.certain
    hearing.window(2 * DWELL_MS, b"b", True, 0.3)
    assert hearing.certain


@pytest.mark.parametrize("expected", [0.0, 0.01, 0.7, 3.0, 20.0])
def test_the_limit_is_passed_less_than_once_in_a_thousand_times(expected):
    limit = soak.poisson_limit(expected)

    def beyond(number):
        return 1 - sum(exp(-expected) * expected**k / factorial(k) for k in range(number + 1))

    assert beyond(limit) <= 0.001
    assert limit == 0 or beyond(limit - 1) > 0.001


@pytest.mark.parametrize(("unheard", "code"), [(0, 0), (50, 1)])
def test_a_gate_that_is_missed_is_told_by_the_exit_status(monkeypatch, capsys, unheard, code):
    result = soak.SoakResult(100, [], unheard, 0.5, [1.0, -1.0], 0, 0, 300)
    monkeypatch.setattr(soak, "soak", lambda *_args, **_options: result)
    assert soak.main() == code
    assert capsys.readouterr().out.count("FAIL") == code


def test_a_slot_that_ends_while_the_token_listens_ends_on_time():
    office = soak_office.Office(2, seed=5, start_s=soak.START_S)
    turned_ms: list[int] = []

    class Noting(soak_token.Radio):
        def change_identity(self, bluezone_id: bytes) -> None:
            super().change_identity(bluezone_id)
            turned_ms.append(office.hub.now_ms % (SLOT_S * 1000))
            self.slot = office.hub.now_ms // (SLOT_S * 1000)

        def advertise(self, payload: bytes, interval_us: int, scan_response: bytes = b"") -> None:
            super().advertise(payload, interval_us, scan_response)
            assert office.hub.now_ms // (SLOT_S * 1000) == self.slot, "an id whose slot is over"

    for token in office.tokens:
        token._make_radio = lambda ring, token=token: vars(token).setdefault("radio", Noting(office, token, ring))
    office.live(days=4)
    late = [each for each in turned_ms[2:] if each]
    assert len(turned_ms) >= 2 * 4 * 96
    assert late  # some windows did lie across a slot's end
    assert max(late) <= soak_token.SETTINGS.RADIO_SCAN_WINDOW_MS
