"""A clock that was ahead leaves times that have not come: an admin says whose clock is right, and kiosks go on."""

import pytest
from fleet_kit import CLERK, NOON_S, serial, synced

from host_tools.fleet.clock import DIFFER_S, EARLIEST_S, ClockWatch, ClockWrong
from host_tools.fleet.health import health

AHEAD_S = NOON_S + 30 * 86_400
ADMIN = "minh"


@pytest.fixture
def synced_ahead(office, hands):
    """Two tokens were read by a kiosk that was a month ahead, the third one by one that was right."""
    hands.at_s = NOON_S
    synced(office, serial(3))
    hands.at_s = AHEAD_S - 60
    synced(office, serial(1))
    hands.at_s = AHEAD_S
    synced(office, serial(2))
    hands.at_s = NOON_S + 60
    return office


def last_syncs(office):
    return {token.serial: token.last_sync_s for token in office.store.tokens()}


def test_syncs_by_a_clock_that_was_ahead(synced_ahead, hands):
    office = synced_ahead
    with pytest.raises(ClockWrong, match=r"another kiosk's was ahead: an admin can say so"):
        office.desk.check_clock(hands.now())
    found = office.clock.found()
    assert (found.syncs, found.latest_sync_s, found.published_s) == (2, AHEAD_S, None)
    assert office.clock.trust(ADMIN) == found
    office.desk.check_clock(hands.now())
    assert health(office.database, office.now).ok
    assert last_syncs(office) == {serial(1): None, serial(2): None, serial(3): NOON_S}
    (row,) = office.audit.rows(actor=ADMIN)
    assert row.action == "trust clock"
    assert row.detail == {"syncs": 2, "latest_sync_s": AHEAD_S, "published_s": None}
    assert not office.clock.found()
    hands.at_s = NOON_S - 86_400  # what is true holds as before
    with pytest.raises(ClockWrong, match="the last sync was at"):
        office.desk.check_clock(hands.now())


def test_a_list_signed_by_a_clock_that_was_ahead(office, hands):
    with pytest.raises(ClockWrong, match=r"the authority's was ahead: an admin can say so"):
        office.clock.check_list(hands.now(), AHEAD_S)
    assert office.clock.found().published_s == AHEAD_S
    office.clock.trust(ADMIN)
    for _ in range(2):
        office.clock.check_list(hands.now(), AHEAD_S)
        assert health(office.database, office.now, AHEAD_S).ok
        assert not office.clock.found()
    # Another one that lies ahead, and an honest one of tomorrow when the clock is set back to today.
    for published_s in (AHEAD_S + 86_400, NOON_S + 86_400):
        with pytest.raises(ClockWrong):
            office.clock.check_list(hands.now(), published_s)
        assert not health(office.database, office.now, published_s).ok
        assert office.clock.found().published_s == published_s


def test_what_the_clock_has_reached_meanwhile_speaks_for_it(synced_ahead, hands):
    with pytest.raises(ClockWrong):
        synced_ahead.clock.check_list(hands.now(), AHEAD_S)
    hands.at_s = AHEAD_S
    assert not synced_ahead.clock.found()
    synced_ahead.clock.check_list(hands.now(), AHEAD_S)


def test_nothing_is_trusted_where_nothing_speaks_against_it(office, hands):
    """Two minutes ahead, as another kiosk's clock may be, are nothing."""
    hands.at_s = NOON_S + DIFFER_S
    synced(office, serial(1))
    hands.at_s = NOON_S
    assert not office.clock.trust(ADMIN)
    assert last_syncs(office) == {serial(1): NOON_S + DIFFER_S}
    assert office.audit.rows(actor=ADMIN) == []


def test_a_clock_before_all_tokens_is_not_right_whoever_says_so(synced_ahead, hands):
    before = last_syncs(synced_ahead)
    hands.at_s = EARLIEST_S - 1
    with pytest.raises(ClockWrong, match="it cannot be before 2020-01-01"):
        synced_ahead.clock.trust(CLERK)
    assert last_syncs(synced_ahead) == before


def test_a_clock_that_was_set_back_is_believed_at_once_when_somebody_says_so(hands):
    watch = ClockWatch(hands.now, lambda: 0.0)
    watch.check()
    hands.at_s -= 3600
    with pytest.raises(ClockWrong, match="set back by 60 minutes"):
        watch.check()
    watch.believe()
    watch.check()
