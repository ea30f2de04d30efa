"""Encounters go when the rule says, for good; a wearer sees and deletes what is held."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from fleet_kit import CASE_KEY, CLERK, DAY_S, NOON_S, list_of, meeting, record, serial, store, synced, wearer
from test_people_csv import everything_stored

from host_tools.errors import UserError
from host_tools.fleet.people import PersonError
from host_tools.fleet.tables import person_table
from host_tools.matching.rules import load_rules


def sealed_name(office, person):
    with office.database.reading() as connection:
        return connection.scalar(sa.select(person_table.c.name_sealed).where(person_table.c.id == person))


def test_encounters_go_when_they_are_too_old_and_do_not_come_back(office, hands):
    token = serial(1)
    old = [record(NOON_S - 15 * DAY_S), record(5, clock_set=False)]
    fresh = [record(NOON_S - 13 * DAY_S), record(NOON_S)]
    store(office, token, old + fresh)
    assert office.privacy.purge() == 1  # nobody knows when the other was: it goes by when it was read
    assert len(office.store.encounters(token)) == 2
    assert office.store.next_seq(token) == 4
    assert office.store.store_records(token, list(enumerate(old + fresh)), office.now()) == 0
    for _ in range(15):
        hands.at_s += DAY_S
        office.privacy.purge()
    assert office.store.encounters(token) == []
    assert office.store.next_seq(token) == 4
    assert office.store.store_records(token, list(enumerate(old + fresh)), office.now()) == 0
    assert office.store.store_records(token, [(4, record(hands.at_s))], office.now()) == 1


def test_a_clock_that_leaps_ahead_deletes_nothing_until_a_day_has_passed(office, hands):
    store(office, serial(1), [record(NOON_S)])
    synced(office, serial(1))
    hands.at_s += 3650 * DAY_S
    assert office.privacy.purge() == 0
    hands.at_s += DAY_S - 1
    assert office.privacy.purge() == 0
    hands.at_s = NOON_S + 60  # put right
    assert office.privacy.purge() == 0
    assert len(office.store.encounters(serial(1))) == 1
    hands.at_s += 30 * DAY_S  # this time it is true
    assert office.privacy.purge() == 0
    hands.at_s += DAY_S
    assert office.privacy.purge() == 1


def test_the_rule_has_limits(office):
    assert office.privacy.days() == 14
    for days in (-1, 181):
        with pytest.raises(UserError, match="from 0 to 180 days"):
            office.privacy.set_days(CLERK, days)
    office.privacy.set_days(CLERK, 0)
    assert office.privacy.days() == 0


def test_a_wearer_sees_what_is_held(office):
    token, person = wearer(office, 1)
    store(office, token, [record(NOON_S - 60), *meeting(NOON_S, 40), record(9, clock_set=False)])
    office.results.rematch(list_of(CASE_KEY), load_rules())
    held = office.privacy.held(CLERK, person)
    assert held.person.name == "Nguyễn Văn 1"
    assert held.records == len(meeting(NOON_S, 40)) + 1  # not the one from before the token was theirs
    assert [(str(found.day), found.exposed, found.rule) for found in held.days] == [("2020-08-08", True, "vn-2020")]
    assert [(each.serial, each.until_s) for each in held.periods] == [(token, None)]


def test_contacts_are_forgotten_and_the_token_stays(office):
    token, person = wearer(office, 1)
    store(office, token, [record(NOON_S - 60), *meeting(NOON_S, 40)])
    office.results.rematch(list_of(CASE_KEY), load_rules())
    assert office.privacy.forget_contacts(CLERK, person) == len(meeting(NOON_S, 40))
    held = office.privacy.held(CLERK, person)
    assert (held.records, held.days) == (0, ())
    assert office.alerts.open_ones() == []
    assert office.ledger.standing(token).person_id == person
    assert office.store.next_seq(token) == 1 + len(meeting(NOON_S, 40))


def test_an_erased_person_leaves_a_number(office, hands):
    token, person = wearer(office, 1, address="an@example.vn")
    hands.at_s += 60
    store(office, token, meeting(NOON_S + 900, 40))
    office.results.rematch(list_of(CASE_KEY), load_rules())
    office.privacy.erase(CLERK, person)
    with pytest.raises(PersonError, match="nothing is held"):
        office.privacy.held(CLERK, person)
    with pytest.raises(PersonError):
        office.privacy.erase(CLERK, person)
    assert office.people.find("NV1") is None
    assert office.store.encounters(token) == []
    assert office.ledger.standing(token).state == "returned"
    assert office.alerts.open_ones() == []
    assert office.audit.rows(person_id=person)[0].action == "erase person"
    assert "an@example.vn" not in everything_stored(office)
    again = office.people.enter(CLERK, "NV1", "Người khác")
    assert again != person
    assert office.privacy.held(CLERK, again).periods == ()


def test_only_ones_own_records_are_deleted(office, hands):
    token, first = wearer(office, 1)
    mine = [record(NOON_S + 10), record(3, clock_set=False)]
    store(office, token, mine)
    hands.at_s += 3600
    office.ledger.take_back(CLERK, token)
    office.ledger.wipe(CLERK, token)
    second = office.people.enter(CLERK, "NV2", "Bình")
    office.ledger.assign(CLERK, token, second)
    store(office, token, [record(hands.at_s + 10), record(4, clock_set=False)])
    assert office.privacy.held(CLERK, first).records == 2
    assert office.privacy.held(CLERK, second).records == 2
    assert office.privacy.forget_contacts(CLERK, first) == 2
    assert office.privacy.held(CLERK, second).records == 2


@pytest.mark.parametrize("way", ["purge", "forget", "erase", "never kept"])
def test_nothing_deleted_stays_in_the_files(office, hands, way):
    """An id that was met, and a sealed name, are in no file of the database: free pages and journal included."""
    if not office.database.is_sqlite:
        pytest.skip("a server sees to its own files")
    token, person = wearer(office, 1)
    idents = [bytes([number]) + b"was met once"[:11] for number in range(1, 200)]
    store(office, token, [record(NOON_S, ident) for ident in idents])
    synced(office, token)
    file = Path(office.database.sqlite_file)
    sealed = sealed_name(office, person)

    def held():
        data = b"".join(path.read_bytes() for path in file.parent.glob(f"{file.name}*"))
        return [ident for ident in idents if ident in data], sealed in data

    assert held() == (idents, True)
    if way == "purge":
        for _ in range(3):
            hands.at_s += 6 * DAY_S
            office.privacy.purge()
    elif way == "forget":
        office.privacy.forget_contacts(CLERK, person)
    elif way == "erase":
        office.privacy.erase(CLERK, person)
    else:
        office.privacy.set_days(CLERK, 0)
        office.privacy.purge_after_verdict(token)
    assert held() == ([], way != "erase")
