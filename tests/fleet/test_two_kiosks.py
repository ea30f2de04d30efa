"""Several kiosks work on one database at the same moment: nothing is done twice or lost, nobody waits forever."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from random import Random

import pytest
import sqlalchemy as sa
from fleet_kit import CASE_KEY, CLERK, DAY_S, NOON_S, list_of, meeting, record, serial, store, wearer

from host_tools.fleet.desk import TurnedAway
from host_tools.fleet.ledger import _WAYS, DEEDS, LedgerError
from host_tools.fleet.people import PersonError
from host_tools.fleet.tables import alert_table, assignment_table
from host_tools.matching.rules import load_rules

KIOSKS = 3
TOKENS = PERSONS = 3


def at_once(jobs):
    """Run them in a thread each; returns what they return."""
    with ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result(120) for future in [pool.submit(job) for job in jobs]]


def clerk_of(office, seed, deeds=25):
    """Does whatever comes to mind; returns how many deeds of which kind went through, by token."""
    random = Random(seed)
    done = []
    for _ in range(deeds):
        token, other = random.sample(range(TOKENS), 2)
        deed = random.choice(["assign", "assign", "return", "lose", "wipe", "wipe", "replace"])
        try:
            if deed == "assign":
                office.ledger.assign(CLERK, serial(token), random.randint(1, PERSONS))
            elif deed == "replace":
                office.ledger.replace(CLERK, serial(token), serial(other), "return")
            else:
                {"return": office.ledger.take_back, "lose": office.ledger.lose, "wipe": office.ledger.wipe}[deed](
                    CLERK, serial(token)
                )
        except LedgerError:
            continue
        done += [(token, "return"), (other, "assign")] if deed == "replace" else [(token, deed)]
    return done


@pytest.mark.parametrize("seed", range(2))
def test_clerks_at_several_kiosks_leave_one_ledger(place, new_office, seed):
    offices = [new_office(place) for _ in range(KIOSKS)]
    for number in range(TOKENS):
        offices[0].ledger.register(CLERK, serial(number))
        offices[0].people.enter(CLERK, f"NV{number}", f"Trần {number}")
    each = at_once([lambda o=o, n=n: clerk_of(o, 100 * seed + n) for n, o in enumerate(offices)])
    done = sorted(deed for deeds in each for deed in deeds)
    office = offices[0]
    told = []
    for number in range(TOKENS):
        state = "new"
        rows = office.audit.rows(serial(number), actions=DEEDS, limit=1000)
        for row in reversed(rows[:-1]):  # the first one registers
            allowed, after = _WAYS[row.action]
            assert state in allowed
            assert row.detail["before"] == state
            state = after
            told.append((number, row.action))
        assert office.ledger.standing(serial(number)).state == state
    assert sorted(told) == done
    a = assignment_table.c
    with office.database.reading() as connection:
        held = connection.execute(sa.select(a.serial, a.person_id).where(a.until_s.is_(None))).all()
    assert len({token for token, _ in held}) == len({person for _, person in held}) == len(held)
    assert {token for token, _ in held} == {
        serial(n).hex() for n in range(TOKENS) if office.ledger.standing(serial(n)).state == "assigned"
    }


def test_syncs_lists_purges_and_imports_at_the_same_moment(place, new_office, hands):
    offices = [new_office(place) for _ in range(KIOSKS)]
    first = offices[0]
    token, _ = wearer(first, 1, address="an@example.vn")
    store(first, token, [record(NOON_S - 20 * DAY_S), *meeting(NOON_S, 40)])
    kept = len(first.store.encounters(token)) - 1
    wearer(first, 2)
    batches = [list(enumerate((record(NOON_S + seq) for seq in range(at, at + 50)), at)) for at in range(0, 400, 50)]
    staff = "staff_number,name\n" + "".join(f"NV{number},Trần {number}\n" for number in range(10, 60))
    jobs = []
    for office in offices:
        jobs += [
            lambda o=office: sum(o.store.store_records(serial(2), batch, NOON_S) for batch in batches),
            lambda o=office: [o.results.rematch(list_of(CASE_KEY), load_rules()) for _ in range(3)] and 0,
            lambda o=office: sum(o.privacy.purge() for _ in range(3)),
            lambda o=office: o.staff_csv.bring_in(CLERK, staff.encode()).persons * 0,
        ]
    assert sum(at_once(jobs)) == 400 + 1, "each record new once, the old one gone once"
    assert len(first.store.encounters(token)) == kept
    assert first.staff_csv.bring_out(CLERK).count("\r\n") == 50 + 2 + 1
    sent: list[str] = []
    at_once([lambda o=o: o.alerts.deliver(lambda *text: bool(sent.append(text[2])) or True) for o in offices])
    with first.database.reading() as connection:
        assert len(list(connection.scalars(sa.select(alert_table.c.state)))) == 1


def test_a_wearer_whose_person_goes_meanwhile(place, new_office):
    """One kiosk erases, another one reads the same token: either way nothing is left of the person."""
    one, other = new_office(place), new_office(place)
    for number in range(1, 7):
        token, person = wearer(one, number)

        def read(token=token):
            store(other, token, meeting(NOON_S, 40))
            with suppress(TurnedAway):  # erased before
                other.desk.encounters(token, NOON_S)

        def erase(person=person):
            one.privacy.erase(CLERK, person)

        at_once([read, erase])
        with pytest.raises(PersonError):
            one.privacy.held(CLERK, person)
        assert one.ledger.standing(token).state == "returned"
