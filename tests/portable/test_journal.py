"""What the journal writes of its own: corrected clocks, and the end of old records."""

import types

import pytest

from tracing import records
from tracing.errors import StoreError
from tracing.journal import Journal
from tracing.sightings import SightingRing

NOW_S = 1_596_873_600


class FakeLog:
    """Notes what it is told; or refuses."""

    def __init__(self):
        self.appended = []
        self.expired = []
        self.refuses = False

    def append(self, *fields):
        self.appended.append(fields)

    def expire(self, now_s, days):
        if self.refuses:
            raise StoreError("worn out")
        self.expired.append((now_s, days))


@pytest.fixture
def log():
    return FakeLog()


@pytest.fixture
def journal(log):
    return Journal(
        SightingRing(4), log, types.SimpleNamespace(is_set=True), types.SimpleNamespace(boot=7, expire_from_s=0)
    )


@pytest.mark.parametrize("correction_s", [-(10**6), -301, 301, 10**8])
def test_a_jump_of_the_clock_is_in_the_log(journal, log, correction_s):
    journal.shift(NOW_S - correction_s, NOW_S, correction_s)
    (fields,) = log.appended
    raw = bytearray(records.RECORD_BYTES)
    records.pack_record(raw, *fields)
    written = records.unpack_record(raw)
    assert written
    kind, boot, before_s, *numbers, ident = written
    assert (kind, boot, before_s) == (records.KIND_EVENT | records.FLAG_CLOCK_SET, 7, NOW_S - correction_s)
    assert numbers == [0] * 5
    assert ident == b"jump" + NOW_S.to_bytes(4, "little") + bytes(4)


@pytest.mark.parametrize("correction_s", [-300, -1, 0, 300])
def test_a_small_correction_and_the_first_setting_are_not(journal, log, correction_s):
    journal.shift(NOW_S - 10**8, NOW_S, correction_s)
    assert log.appended == []


def test_encounters_that_go_on_are_moved_with_the_clock(journal, log):
    for window_s in (NOW_S, NOW_S + 30):
        journal.encounters.note(bytes(12), -60, window_s, records.KIND_ENCOUNTER)
    journal.shift(NOW_S + 40, NOW_S + 1040, 1000)
    journal.settle(NOW_S + 1040, 0)
    assert [fields[2] for fields in log.appended] == [NOW_S + 40, NOW_S + 1000]


def test_old_records_expire_if_the_clock_is_set(journal, log):
    journal.expire(NOW_S, 14)
    journal._clock.is_set = False
    journal.expire(NOW_S + 3600, 14)
    assert log.expired == [(NOW_S, 14)]


def test_flash_that_refuses_does_not_stop_the_token(journal, log):
    log.refuses = True
    journal.expire(NOW_S, 14)
    log.refuses = False
    journal.expire(NOW_S + 3600, 14)
    assert log.expired == [(NOW_S + 3600, 14)]
