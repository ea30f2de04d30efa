"""A new list turns a stored log into one alert for each day, which reaches its wearer once."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from threading import Thread

import pytest
import sqlalchemy as sa
from fleet_kit import CASE_KEY, CLERK, DAY_S, NOON_S, list_of, meeting, record, serial, store, wearer

from host_tools.errors import UserError
from host_tools.fleet.alerts import message, send_by_apprise
from host_tools.fleet.periods import periods
from host_tools.fleet.results import DayResult, Rematch
from host_tools.fleet.tables import alert_table
from host_tools.kiosk.service import assess
from host_tools.matching.case_finder import CaseFinder
from host_tools.matching.rules import load_rules
from host_tools.matching.verdict import vietnam_day

RULES = load_rules()
OTHER_KEY = bytes(range(1, 33))
TODAY = vietnam_day(NOON_S)


class Gateway:
    """Takes messages, or does not."""

    def __init__(self, takes: bool = True) -> None:
        self.takes = takes
        self.sent: list[tuple[str, str]] = []

    def __call__(self, url: str, title: str, text: str) -> bool:
        self.sent.append((url, text))
        return self.takes


def judged(encounters, cases):
    return assess(encounters, cases, CaseFinder(cases.cases), RULES)


def states(office):
    with office.database.reading() as connection:
        return list(connection.scalars(sa.select(alert_table.c.state).order_by(alert_table.c.id)))


@pytest.fixture
def exposed(office):
    """A wearer who spent forty minutes with the case, and one who did not."""
    token, person = wearer(office, 1, address="an@example.vn")
    wearer(office, 2, address="binh@example.vn")
    office.alerts.set_gateway(CLERK, "mail", "mailtos://user:secret@smtp.example.vn/?to={address}")
    store(office, token, meeting(NOON_S, 40))
    store(office, serial(2), [record(NOON_S)])
    return token, person


def test_a_new_list_alerts_once(office, exposed):
    token, _ = exposed
    gateway = Gateway()
    assert office.results.rematch(list_of(OTHER_KEY), RULES) == Rematch(0, 0)
    assert office.alerts.deliver(gateway) == 0
    assert office.results.rematch(list_of(OTHER_KEY, CASE_KEY), RULES) == Rematch(1, 1)
    assert office.alerts.deliver(gateway) == 1
    assert office.results.rematch(list_of(CASE_KEY, OTHER_KEY), RULES) == Rematch(1, 0)
    assert office.alerts.deliver(gateway) == 0
    ((url, text),) = gateway.sent
    assert url == "mailtos://user:secret@smtp.example.vn/?to=an@example.vn"
    assert text.startswith("Nguyễn Văn 1: theo danh sách")
    assert f"{TODAY:%d/%m/%Y}" in text
    assert states(office) == ["sent"]
    assert office.ledger.standing(token).person_id


def test_who_has_seen_it_at_the_kiosk_is_not_alerted(office, exposed):
    token, _ = exposed
    encounters = office.desk.encounters(token, office.now())
    office.desk.told(token, encounters, judged(encounters, list_of(CASE_KEY)), office.now())
    assert office.results.rematch(list_of(CASE_KEY), RULES).alerts == 0
    assert office.alerts.deliver(Gateway()) == 0
    assert states(office) == ["told"]


def test_a_case_taken_off_the_list_is_taken_back(office, exposed, hands):
    token, _ = exposed
    office.results.rematch(list_of(CASE_KEY), RULES)
    with office.database.reading() as connection:
        (period,) = periods(connection, token)
    assert [(day.day, day.exposed) for day in office.results.of(token, period)] == [(TODAY, True)]
    assert office.results.rematch(list_of(OTHER_KEY), RULES) == Rematch(0, 0)
    assert office.results.of(token, period) == []
    assert states(office) == ["dropped"]
    office.results.rematch(list_of(CASE_KEY), RULES)
    assert states(office) == ["waiting"]
    # A result whose encounters have gone is not taken back for want of them.
    assert office.privacy.purge() == 0
    hands.at_s += 15 * DAY_S
    assert office.privacy.purge() == 0  # the clock has leapt: not yet
    hands.at_s += DAY_S
    assert office.privacy.purge() > 0
    office.results.rematch(list_of(OTHER_KEY), RULES)
    assert [day.exposed for day in office.results.of(token, period)] == [True]


def test_a_result_of_which_half_has_been_deleted_does_not_grow_weaker(office, exposed, hands):
    token, _ = exposed
    cases = list_of(CASE_KEY)
    office.privacy.set_days(CLERK, 0)
    for _ in range(2):
        encounters = office.desk.encounters(token, office.now())
        office.desk.told(token, encounters, judged(encounters, cases), office.now())
        assert office.desk.encounters(token, office.now()) == []
        hands.at_s += 3600
        store(office, token, [record(hands.at_s)])
    with office.database.reading() as connection:
        (period,) = periods(connection, token)
    (found,) = office.results.of(token, period)
    assert found == DayResult(TODAY, found.minutes, found.minutes_near, True, found.rule)
    assert found.minutes_near >= 30


def test_a_wearer_answers_for_their_own_time_only(office, exposed, hands):
    token, _ = exposed
    hands.at_s += 3600
    office.ledger.take_back(CLERK, token)
    office.ledger.wipe(CLERK, token)
    assert office.desk.encounters(token, office.now()) == []
    other = office.people.enter(CLERK, "NV3", "Chi", address="chi@example.vn")
    office.ledger.assign(CLERK, token, other)
    store(office, token, [record(hands.at_s + 10)])
    gateway = Gateway()
    office.results.rematch(list_of(CASE_KEY), RULES)
    office.alerts.deliver(gateway)
    assert ["an@example.vn" in url for url, _ in gateway.sent] == [True]
    assert len(office.desk.encounters(token, office.now())) == 1


def test_a_gateway_that_is_away_is_tried_again_ever_later_and_then_a_person_calls(office, exposed, hands):
    office.results.rematch(list_of(CASE_KEY), RULES)
    gateway = Gateway(takes=False)
    times = []
    while states(office) == ["waiting"]:
        before = len(gateway.sent)
        office.alerts.deliver(gateway)
        if len(gateway.sent) > before:
            times.append(hands.at_s)
        hands.at_s += 60
    pauses = [after - before for before, after in pairwise(times)]
    assert pauses == sorted(pauses)
    assert pauses[0] == 60
    assert len(times) == 10
    assert states(office) == ["hand"]
    (alert,) = office.alerts.open_ones()
    assert alert.problem == "the gateway did not take it"
    office.alerts.told_by_hand("lan", alert.id)
    assert office.alerts.open_ones() == []
    with pytest.raises(UserError, match="no open alert"):
        office.alerts.told_by_hand("lan", alert.id)


def test_a_gateways_exception_costs_nothing(office, exposed):
    office.results.rematch(list_of(CASE_KEY), RULES)

    def broken(*_args):
        raise ZeroDivisionError

    assert office.alerts.deliver(broken) == 0
    assert [alert.problem for alert in office.alerts.open_ones()] == ["ZeroDivisionError"]


@pytest.mark.parametrize(
    ("address", "template", "problem"),
    [("", "mailto://x/{address}", "no address is known"), ("0905123456", "", "no gateway for addresses of kind phone")],
)
def test_who_cannot_be_reached_waits_for_a_person(office, address, template, problem):
    token, _ = wearer(office, 1, address=address)
    store(office, token, meeting(NOON_S, 40))
    office.alerts.set_gateway(CLERK, "mail", template)
    office.results.rematch(list_of(CASE_KEY), RULES)
    assert office.alerts.deliver(Gateway()) == 0
    (alert,) = office.alerts.open_ones()
    assert (alert.state, alert.serial) == ("hand", token)
    assert problem in alert.problem


def test_an_address_cannot_change_the_gateways_url(office):
    token, _ = wearer(office, 1, address="a@b/?to=evil@x&cc=y")
    store(office, token, meeting(NOON_S, 40))
    office.alerts.set_gateway(CLERK, "mail", "mailtos://smtp.example.vn/{address}")
    gateway = Gateway()
    office.results.rematch(list_of(CASE_KEY), RULES)
    office.alerts.deliver(gateway)
    assert gateway.sent[0][0] == "mailtos://smtp.example.vn/a@b%2F%3Fto%3Devil@x%26cc%3Dy"


def test_several_days_are_one_message(office):
    token, _ = wearer(office, 1, address="an@example.vn")
    office.alerts.set_gateway(CLERK, "mail", "mailtos://smtp.example.vn/{address}")
    store(office, token, meeting(NOON_S, 40) + meeting(NOON_S + DAY_S, 40))
    gateway = Gateway()
    assert office.results.rematch(list_of(CASE_KEY), RULES).alerts == 2
    assert office.alerts.deliver(gateway) == 1
    assert "08/08/2020, 09/08/2020" in gateway.sent[0][1]
    assert states(office) == ["sent", "sent"]


def test_the_text_has_the_wearers_name_and_days_in_both_languages_and_nothing_else():
    title, text = message("An", [TODAY])
    vietnamese, english = text.split("\n\n")
    for half in (vietnamese, english):
        assert half.startswith("An: ")
        assert "08/08/2020" in half
    assert not any(letter.isdigit() for letter in text.replace("08/08/2020", "").replace("F0", "").replace("F1", ""))
    assert "Bluezone" in title


@pytest.mark.parametrize(("status", "taken"), [(200, True), (503, False)])
def test_a_message_goes_through_the_gateways_library(status, taken):
    bodies = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Webhook) as server:
        answering = Thread(target=server.handle_request)
        answering.start()
        url = f"json://127.0.0.1:{server.server_port}/an@example.vn"
        assert send_by_apprise(url, *message("An", [TODAY])) == taken
        answering.join()
    ((title, text),) = [(body["title"], body["message"]) for body in bodies]
    assert (title, text) == message("An", [TODAY])


def test_a_gateways_url_that_is_none_takes_nothing():
    assert not send_by_apprise("nosuchgateway://x", "title", "text")


def test_a_gateway_needs_a_place_for_the_address(office):
    with pytest.raises(UserError, match=r"needs \{address\}"):
        office.alerts.set_gateway(CLERK, "mail", "mailto://x")
    with pytest.raises(UserError, match="mail or phone"):
        office.alerts.set_gateway(CLERK, "pigeon", "x://{address}")
