"""What the kiosk does with tokens that are not for who holds them, and with a clock that cannot be right; what it
tells machines about itself."""

import json
import logging
from io import StringIO

import pytest
import structlog
from fleet_kit import CASE_KEY, CLERK, NOON_S, list_of, meeting, record, serial, store, synced, wearer

from host_tools.fleet import logs
from host_tools.fleet.clock import EARLIEST_S, ClockWrong
from host_tools.fleet.desk import TurnedAway
from host_tools.fleet.health import health, metrics
from host_tools.fleet.label import label_svg
from host_tools.fleet.people import Unit
from host_tools.matching.rules import load_rules
from tracing.wire import short_code


@pytest.mark.parametrize("deed", ["lose", "revoke", "take_back"])
def test_who_holds_another_persons_token_is_told_nothing(office, deed):
    token, _ = wearer(office, 1)
    store(office, token, meeting(NOON_S, 40))
    getattr(office.ledger, deed)(CLERK, token)
    with pytest.raises(TurnedAway, match="Bring it to the clerk"):
        office.desk.encounters(token, office.now())
    row = office.audit.rows(serial=token)[0]
    assert (row.actor, row.action) == ("kiosk", "turn away")


def test_a_token_outside_the_ledger_is_its_holders(office):
    store(office, serial(5), [record(NOON_S)])
    assert len(office.desk.encounters(serial(5), office.now())) == 1


def test_a_clock_that_went_backwards_sets_no_tokens_time(office):
    office.desk.check_clock(EARLIEST_S)
    with pytest.raises(ClockWrong, match="it cannot be before 2020-01-01"):
        office.desk.check_clock(EARLIEST_S - 1)
    store(office, serial(1), [])
    synced(office, serial(1))
    office.desk.check_clock(NOON_S - 60)
    with pytest.raises(ClockWrong, match="no token's clock was set"):
        office.desk.check_clock(NOON_S - 3600)


def test_pages_and_shares(office, hands):
    unit = Unit("Sở Y tế", "Hải Châu", "health")
    for number in range(1, 8):
        wearer(office, number, unit if number < 5 else None)
    for number in (1, 2, 6):
        synced(office, serial(number))
    hands.at_s += 7 * 86400
    synced(office, serial(3))
    hands.at_s += 1
    office.ledger.register(CLERK, serial(8))
    office.ledger.lose(CLERK, serial(7))
    first = office.listing.page(CLERK, limit=5)
    rest = office.listing.page(CLERK, limit=5, offset=5)
    assert (first.total, len(first.rows), len(rest.rows)) == (8, 5, 3)
    codes = [row.short_code for row in (*first.rows, *rest.rows)]
    assert codes == sorted(short_code(serial(number)) for number in range(1, 9))
    assert [row.serial for row in office.listing.page(CLERK, state="new").rows] == [serial(8)]
    assert [row.serial for row in office.listing.page(CLERK, state="lost").rows] == [serial(7)]
    assert [row.name for row in office.listing.page(CLERK, "nv 3").rows] == ["Nguyễn Văn 3"]
    assert [row.serial for row in office.listing.page(CLERK, short_code(serial(4)).lower()).rows] == [serial(4)]
    assert office.listing.page(CLERK, "%").rows == []
    ((number, kept),) = office.people.units().items()
    assert kept == unit
    assert office.listing.page(CLERK, unit_id=number).total == 4
    (share,) = office.listing.shares()
    assert (share.unit, share.tokens, share.recent, share.percent, share.spare) == (unit, 4, 1, 25, 0)


def test_a_box_of_tokens_stands_with_the_unit_that_got_it_until_they_are_worn(office):
    whole, district = Unit("CDC Đà Nẵng", "", "health"), Unit("CDC Đà Nẵng", "Hải Châu", "health")
    number = office.people.add_unit(CLERK, whole)
    for token in range(1, 7):
        office.ledger.register(CLERK, serial(token), "CDC Đà Nẵng" if token < 6 else "Sở Y tế")
    office.ledger.register(CLERK, serial(7))
    person = office.people.enter(CLERK, "NV1", "An", district)
    office.ledger.assign(CLERK, serial(1), person)
    office.ledger.lose(CLERK, serial(2))
    office.ledger.wipe(CLERK, serial(3))
    shares = {share.unit: (share.tokens, share.spare) for share in office.listing.shares()}
    assert shares == {whole: (0, 3), district: (1, 0), Unit("Sở Y tế", ""): (0, 1)}
    rows = {row.serial: row.unit for row in office.listing.page(CLERK).rows}
    assert rows[serial(1)] == district
    assert rows[serial(3)] == Unit("CDC Đà Nẵng", "")
    assert rows[serial(7)] is None
    assert {row.serial for row in office.listing.page(CLERK, unit_id=number).rows} == set(map(serial, (2, 3, 4, 5)))
    office.ledger.register(CLERK, serial(5), " Sở  Y tế")  # moves
    office.ledger.register(CLERK, serial(4))  # stays
    assert {share.unit: share.spare for share in office.listing.shares()}[Unit("Sở Y tế", "")] == 2
    assert [row.detail for row in office.listing.history(CLERK, serial(5))] == [
        {"unit": "CDC Đà Nẵng"}, {"unit": "Sở Y tế"},
    ]  # fmt: skip
    assert len(office.listing.history(CLERK, serial(4))) == 1


def test_alerts_stand_in_the_list(office):
    token, _ = wearer(office, 1)
    store(office, token, meeting(NOON_S, 40))
    office.results.rematch(list_of(CASE_KEY), load_rules())
    assert [row.alerts for row in office.listing.page(CLERK).rows] == [1]


def test_metrics_hold_numbers_and_no_token(office):
    token, _ = wearer(office, 1)
    synced(office, token)
    text = metrics(office.database, office.now).decode()
    assert "bluezone_tokens 1.0" in text
    assert 'bluezone_tokens_in_state{state="assigned"} 1.0' in text
    assert 'bluezone_alerts{state="hand"} 0.0' in text
    assert short_code(token) not in text


def test_health(office, hands):
    store(office, serial(1), [record(NOON_S)])
    synced(office, serial(1))
    assert health(office.database, hands.now).ok
    hands.at_s -= 3600
    told = health(office.database, hands.now).as_dict()
    assert told["ok"] is False
    assert "clock" in str(told["problems"])


def test_logs_are_json_without_persons():
    out = StringIO()
    try:
        logs.configure(out)
        structlog.get_logger().info("synced", short_code="7407NX", name="Hà", address="a@b", records=3)
    finally:
        structlog.reset_defaults()
    (line,) = out.getvalue().splitlines()
    told = json.loads(line)
    assert (told["event"], told["level"], told["short_code"], told["records"]) == ("synced", "info", "7407NX", 3)
    assert "Hà" not in line
    assert "a@b" not in line


def test_a_failure_in_the_log_says_where_and_not_with_what():
    out = StringIO()
    library = logging.Logger("bumble")
    library.addHandler(logs._Libraries())

    def fail(name):
        raise ValueError("no such record")

    try:
        logs.configure(out)
        for log in (structlog.get_logger(), library):
            try:
                fail("Trần Thị Hà")
            except ValueError:
                log.exception("a token was not served")
    finally:
        structlog.reset_defaults()
    lines = out.getvalue().splitlines()
    for told in map(json.loads, lines):
        assert (told["event"], told["level"]) == ("a token was not served", "error")
        assert told["exception"][0]["frames"][-1]["name"] == "fail"
    assert len(lines) == 2
    assert "Trần" not in out.getvalue()


def test_a_label_has_the_code_and_nothing_else_in_words():
    svg = label_svg(serial(9))
    assert f">{short_code(serial(9))}</text>" in svg
    assert svg.count("<svg") == svg.count("</svg>")
    assert serial(9).hex() not in svg


def test_who_may_not_know_people_learns_of_none_by_looking_for_them(office):
    _, person = wearer(office, 1, Unit("Sở Y tế", "Hải Châu", "health"))
    assert office.listing.page(CLERK, "NV 1").total == 1
    assert office.listing.page(CLERK, "NV 1", people=False).total == 0
    (row,) = office.listing.page(CLERK, short_code(serial(1)), people=False).rows
    assert (row.name, row.staff_number, row.person_id) == ("", "", None)
    looks = [(row.person_id, row.detail["search"]) for row in office.audit.rows(actions=["look at fleet"])]
    assert looks == [(None, short_code(serial(1))), (None, ""), (person, "")]
