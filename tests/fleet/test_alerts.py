"""A new list turns a stored log into one alert for each day, which reaches its wearer once."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from threading import Event, Thread

import pytest
import sqlalchemy as sa
from fleet_kit import CASE_KEY, CLERK, DAY_S, NOON_S, Hands, list_of, meeting, record, serial, store, wearer

from host_tools.errors import UserError
from host_tools.fleet import alerts
from host_tools.fleet.alerts import message
from host_tools.fleet.gateway import NoWay, send_by_apprise
from host_tools.fleet.office import Office
from host_tools.fleet.periods import periods
from host_tools.fleet.results import Rematch
from host_tools.fleet.tables import alert_table
from host_tools.matching.assessment import Judged, assess
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
    return Judged(encounters, assess(encounters, cases, CaseFinder(cases.cases), RULES))


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
    office.desk.told(token, judged(encounters, list_of(CASE_KEY)), office.now())
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
        office.desk.told(token, judged(encounters, cases), office.now())
        assert office.desk.encounters(token, office.now()) == []
        hands.at_s += 3600
        store(office, token, [record(hands.at_s)])
    with office.database.reading() as connection:
        (period,) = periods(connection, token)
    (found,) = office.results.of(token, period)
    assert (found.day, found.exposed) == (TODAY, True)
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
    assert [alert.problem for alert in office.alerts.open_ones()] == ["the gateway failed (ZeroDivisionError)"]


@pytest.mark.parametrize(
    ("address", "template", "problem"),
    [
        ("", "mailtos://u:p@smtp.example.vn/?to={address}", "no address is known"),
        ("0905123456", "", "no gateway for addresses of kind phone"),
    ],
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
    office.alerts.set_gateway(CLERK, "mail", "mailtos://user:secret@smtp.example.vn/?to={address}")
    gateway = Gateway()
    office.results.rematch(list_of(CASE_KEY), RULES)
    office.alerts.deliver(gateway)
    assert gateway.sent[0][0] == "mailtos://user:secret@smtp.example.vn/?to=a@b%2F%3Fto%3Devil@x%26cc%3Dy"


def test_several_days_are_one_message(office):
    token, _ = wearer(office, 1, address="an@example.vn")
    office.alerts.set_gateway(CLERK, "mail", "mailtos://user:secret@smtp.example.vn/?to={address}")
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
    with pytest.raises(NoWay):
        send_by_apprise("nosuchgateway://x", "title", "text")


def test_an_address_that_no_gateway_knows_goes_to_a_person_at_once(office, exposed):
    office.results.rematch(list_of(CASE_KEY), RULES)

    def refusing(*_args):
        raise NoWay

    assert office.alerts.deliver(refusing) == 0
    assert states(office) == ["hand"]


def test_a_gateway_that_hangs_is_left_to_itself(office, exposed, hands, monkeypatch):
    office.results.rematch(list_of(CASE_KEY), RULES)
    monkeypatch.setattr(alerts, "ANSWER_S", 0.0)
    answers = Event()

    def hanging(*_args):
        answers.wait()
        return True

    assert office.alerts.deliver(hanging) == 0
    (alert,) = office.alerts.open_ones()
    assert (alert.state, alert.problem) == ("waiting", "the gateway did not answer in time; it may have taken it")
    answers.set()
    monkeypatch.undo()
    hands.at_s += 60
    assert office.alerts.deliver(Gateway()) == 1


def test_one_sender_after_the_other(office):
    for _ in range(20):  # none finds the lock of the one before, which has ended
        with office.database.alone("sending", 1) as alone:
            assert alone


def test_a_gateway_that_is_away_is_not_asked_for_everybody(office):
    office.alerts.set_gateway(CLERK, "mail", "mailtos://user:secret@smtp.example.vn/?to={address}")
    for number in range(1, 6):
        token, _ = wearer(office, number, address="an@example.vn")
        store(office, token, meeting(NOON_S, 40))
    office.results.rematch(list_of(CASE_KEY), RULES)
    away = Gateway(takes=False)
    office.alerts.deliver(away)
    assert len(away.sent) == 3
    assert office.alerts.deliver(Gateway()) == 2  # those that have not been tried come first, and nobody is forgotten


class Died(BaseException):
    """As good as kill -9: nothing catches it."""


def dying(*_args):
    raise Died


def test_who_dies_while_sending_leaves_the_message_to_the_next_whatever_the_clocks(office, exposed, hands, monkeypatch):
    office.results.rematch(list_of(CASE_KEY), RULES)
    monkeypatch.setattr(alerts, "within", dying)
    with pytest.raises(Died):
        office.alerts.deliver(Gateway())
    assert states(office) == ["sending"]
    monkeypatch.undo()
    hands.at_s -= 30 * DAY_S
    gateway = Gateway()
    assert office.alerts.deliver(gateway) == 1
    assert len(gateway.sent) == 1


def test_a_message_that_always_ends_the_kiosk_comes_to_a_person(office, exposed, monkeypatch):
    office.results.rematch(list_of(CASE_KEY), RULES)
    monkeypatch.setattr(alerts, "within", dying)
    deaths = 0
    while states(office) != ["hand"]:
        try:
            office.alerts.deliver(Gateway())
        except Died:
            deaths += 1
    assert deaths == 10
    (alert,) = office.alerts.open_ones()
    assert "it may have arrived" in alert.problem


def test_a_pause_that_a_wrong_clock_wrote_ends(office, exposed, hands):
    office.results.rematch(list_of(CASE_KEY), RULES)
    hands.at_s += 365 * DAY_S
    office.alerts.deliver(Gateway(takes=False))
    hands.at_s -= 365 * DAY_S
    assert office.alerts.deliver(Gateway()) == 1


def test_two_kiosks_of_one_database_send_each_message_once(place, new_office, hands, tmp_path):
    """The other one asks at the very moment at which a message is on its way, by a clock that is a day ahead."""
    first, other = new_office(place), new_office(place)
    ahead = Office(place, tmp_path / "names.key", Hands(hands.at_s + DAY_S).now)
    first.alerts.set_gateway(CLERK, "mail", "mailtos://user:secret@smtp.example.vn/?to={address}")
    for number in range(1, 4):
        token, _ = wearer(first, number, address="an@example.vn")
        store(first, token, meeting(NOON_S, 40))
    first.results.rematch(list_of(CASE_KEY), RULES)
    other.results.rematch(list_of(CASE_KEY), RULES)
    sent = []

    def send(_url, _title, text):
        assert other.alerts.deliver(Gateway()) == 0
        assert ahead.alerts.deliver(Gateway()) == 0
        sent.append(text)
        return True

    assert first.alerts.deliver(send) == 3
    assert other.alerts.deliver(Gateway()) == 0
    ahead.close()
    assert len(set(sent)) == 3
    assert states(first) == ["sent"] * 3


def test_what_is_withdrawn_while_it_goes_out_does_not_go_out_again(office, exposed):
    office.results.rematch(list_of(CASE_KEY), RULES)

    def send(*_args):
        office.results.rematch(list_of(OTHER_KEY), RULES)
        return True

    assert office.alerts.deliver(send) == 1
    office.results.rematch(list_of(CASE_KEY), RULES)
    assert states(office) == ["sent"]


def test_who_is_told_of_what_had_been_withdrawn_is_not_alerted_when_it_is_listed_again(office, exposed):
    token, _ = exposed
    office.results.rematch(list_of(CASE_KEY), RULES)
    office.results.rematch(list_of(OTHER_KEY), RULES)
    assert states(office) == ["dropped"]
    encounters = office.desk.encounters(token, office.now())
    office.desk.told(token, judged(encounters, list_of(CASE_KEY)), office.now())
    office.results.rematch(list_of(CASE_KEY), RULES)
    assert states(office) == ["told"]


def test_a_gateways_library_writes_no_password_into_the_log(caplog):
    with pytest.raises(NoWay):
        send_by_apprise("mailtos://user:secret@/?to=an@example.vn&port=no", "title", "text")
    send_by_apprise("json://user:secret@127.0.0.1:1/an@example.vn", "title", "text")
    assert "secret" not in caplog.text
    assert "an@example.vn" not in caplog.text


@pytest.mark.parametrize("template", ["pigeon://{address}", "smtp.example.vn {address}"])
def test_a_gateway_that_there_is_not_is_refused(office, template):
    with pytest.raises(UserError, match=r"apprise knows no gateway like this one.*Nothing was changed"):
        office.alerts.set_gateway(CLERK, "mail", template)


def test_a_gateway_needs_a_place_for_the_address(office):
    with pytest.raises(UserError, match=r"needs \{address\}"):
        office.alerts.set_gateway(CLERK, "mail", "mailto://x")
    with pytest.raises(UserError, match="mail or phone"):
        office.alerts.set_gateway(CLERK, "pigeon", "x://{address}")
