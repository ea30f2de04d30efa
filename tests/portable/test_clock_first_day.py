"""A day apart from the kiosk with a clock that runs 5 % wrong and has learned nothing yet: no match may be lost."""

import pytest
from ticking import NOW_S, make_clock

from host_tools.matching.case_index import CaseIndex
from host_tools.matching.exposures import TOLERANCE_S, days_of_encounters, match_encounters
from host_tools.matching.national_list import Case
from host_tools.storage.clock_repair import ClockReading
from host_tools.storage.store import Store
from tracing import records
from tracing.keys import DAY_S, SLOT_S, KeyChain, day_of

SERIAL = bytes(8)
BOOT = 3
CASE_KEY = bytes(range(32))
APART_S = DAY_S
FIRST_S = NOW_S + 1000


class Token:
    """Its clock is fast by `drift_ppm`; it logs whom it hears."""

    def __init__(self, drift_ppm: int) -> None:
        self.clock, self._ticks = make_clock()
        self._drift_ppm = drift_ppm
        self.logged: list[tuple[int, bytes]] = []

    def at(self, true_s: float) -> int:
        """The clock's time when it is truly `true_s`."""
        self._ticks.passed_ms = round((true_s - NOW_S) * 1000) * (1_000_000 + self._drift_ppm) // 1_000_000
        return self.clock.now()

    def sync(self, store: Store, true_s: int) -> None:
        """As the kiosk does it."""
        store.note_clock(SERIAL, ClockReading(BOOT, len(self.logged), self.at(true_s), true_s))
        self.clock.set(true_s)
        store.store_records(SERIAL, [(seq, raw) for seq, (_, raw) in enumerate(self.logged)], true_s)

    def log(self, ident: bytes, first_s: int, last_s: int) -> None:
        start_s, end_s = self.at(first_s), self.at(last_s)
        buf = bytearray(records.RECORD_BYTES)
        flags = records.KIND_ENCOUNTER | records.FLAG_CLOCK_SET
        records.pack_record(buf, flags, BOOT, start_s, end_s - start_s, 20, 25, -55, -60, ident)
        self.logged.append((first_s, bytes(buf)))


def apart(drift_ppm: int, tmp_path, skew_ppm: int = 0):
    """A day between two syncs beside a case with a true clock; (true starts, encounters, exposures)."""
    token = Token(drift_ppm)
    token.clock.skew_ppm = skew_ppm
    case_keys = KeyChain(CASE_KEY, day_of(NOW_S))
    with Store(tmp_path / "kiosk.sqlite") as store:
        token.sync(store, FIRST_S)
        for slot_s in range((FIRST_S // SLOT_S + 1) * SLOT_S, FIRST_S + APART_S - SLOT_S, SLOT_S):
            token.log(case_keys.id_at(slot_s), slot_s + 10, slot_s + SLOT_S - 10)
        wrong_s = token.at(FIRST_S + APART_S) - FIRST_S - APART_S
        token.sync(store, FIRST_S + APART_S)
        encounters = store.encounters(SERIAL)
    case = Case(0, CASE_KEY, NOW_S // DAY_S * DAY_S, NOW_S + 3 * DAY_S, 96)
    index = CaseIndex([case], days_of_encounters(encounters))
    return wrong_s, [first_s for first_s, _ in token.logged], encounters, match_encounters(encounters, index)


@pytest.mark.parametrize("drift_ppm", [50_000, -50_000])
def test_a_day_of_five_percent_loses_no_match(drift_ppm, tmp_path):
    wrong_s, starts, encounters, exposures = apart(drift_ppm, tmp_path)
    assert abs(wrong_s) > 4000  # far more than matching tolerates: without the repair all but the first would be lost
    assert abs(wrong_s) > 30 * TOLERANCE_S
    assert len(encounters) == len(starts) == 95
    assert max(abs(encounter.start_s - true_s) for encounter, true_s in zip(encounters, starts, strict=True)) <= 3
    assert {exposure.bluezone_id for exposure in exposures} == {encounter.bluezone_id for encounter in encounters}


@pytest.mark.parametrize("drift_ppm", [50_000, -50_000])
@pytest.mark.parametrize("left_ppm", [0, 300, -2000])
def test_a_clock_that_is_corrected_is_repaired_as_well(drift_ppm, left_ppm, tmp_path):
    skew_ppm = -drift_ppm * 1_000_000 // (1_000_000 + drift_ppm) + left_ppm
    wrong_s, starts, encounters, exposures = apart(drift_ppm, tmp_path, skew_ppm)
    assert abs(wrong_s) <= abs(left_ppm) * APART_S // 900_000 + 2
    assert max(abs(encounter.start_s - true_s) for encounter, true_s in zip(encounters, starts, strict=True)) <= 3
    assert len(exposures) >= len(starts)
