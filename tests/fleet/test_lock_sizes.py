"""How much is done while others wait: counted in transactions, statements and rows, on both databases."""

from dataclasses import dataclass

import pytest
from fleet_kit import CLERK, DAY_S, NOON_S, Hands, record, serial, store, synced
from sqlalchemy import event

from host_tools.fleet import privacy
from host_tools.fleet.vault import Vault

TOKENS, EACH, AT_ONCE = 30, 40, 100


@dataclass
class Work:
    """One transaction of a writer. `statements` are whole, however many rows they carry."""

    statements: int = 0
    dropped: int = 0


@pytest.fixture
def works(office):
    """What writers have done, by transaction."""
    found: list[Work] = []
    open_now: dict[int, Work] = {}
    engine = office.database._engine

    def begins(connection):
        open_now.pop(id(connection), None)
        if connection.get_execution_options().get("writes"):
            open_now[id(connection)] = Work()
            found.append(open_now[id(connection)])

    def ends(connection):
        open_now.pop(id(connection), None)

    def executed(connection, cursor, statement, _parameters, _context, _many):
        work = open_now.get(id(connection))
        if work is not None:
            work.statements += 1
            if statement.startswith("DELETE FROM record"):
                work.dropped += cursor.rowcount

    listeners = (("begin", begins), ("commit", ends), ("rollback", ends), ("after_cursor_execute", executed))
    for name, listener in listeners:
        event.listen(engine, name, listener)
    yield found
    for name, listener in listeners:
        event.remove(engine, name, listener)


def staff(first: int, count: int) -> bytes:
    lines = [
        f"NV{number},Trần Văn {number},Sở Y tế,Hải Châu,health,an{number}@example.vn,{serial(number).hex()}"
        for number in range(first, first + count)
    ]
    return "\n".join(["staff_number,name,agency,district,kind,address,token", *lines]).encode()


def test_an_import_takes_the_lock_once_and_asks_no_more_for_many_than_for_few(office, works):
    for number in range(1, 230):
        office.ledger.register(CLERK, serial(number))
    office.staff_csv.bring_in(CLERK, staff(1, 1))  # the unit is there from now on
    counts = []
    for first, count in ((2, 20), (22, 200)):
        works.clear()
        assert office.staff_csv.bring_in(CLERK, staff(first, count)).assigned == count
        (work,) = works
        counts.append(work.statements)
    assert counts[0] == counts[1]


def test_an_import_seals_before_it_takes_the_lock(office, works, monkeypatch):
    """Sealing 10,000 names takes seconds; others write meanwhile."""
    sealed = []
    seal = Vault.seal

    def watched(self, *words):
        sealed.append(len(works))
        return seal(self, *words)

    office.staff_csv.bring_in(CLERK, staff(0, 0) + b"\nNV0,A,,,,,")
    works.clear()
    monkeypatch.setattr(Vault, "seal", watched)
    office.staff_csv.bring_in(CLERK, b"staff_number,name\n" + b"".join(b"NV%d,B\n" % number for number in range(50)))
    assert len(sealed) >= 50
    assert set(sealed) == {0}
    assert len(works) == 1


def test_a_purge_lets_others_in_after_each_part(office, hands: Hands, works, monkeypatch):
    monkeypatch.setattr(privacy, "_AT_ONCE", AT_ONCE)
    for number in range(TOKENS):
        store(office, serial(number), [record(NOON_S + seq) for seq in range(EACH)])
        synced(office, serial(number))
    gone = 0
    for _ in range(2):  # the clock moves on by no more than is believed
        hands.at_s += 6 * DAY_S
        assert office.privacy.purge() == 0
    hands.at_s += 6 * DAY_S
    works.clear()
    gone = office.privacy.purge()
    assert gone == TOKENS * EACH
    dropped = [work.dropped for work in works if work.dropped]
    assert sum(dropped) == gone
    assert max(dropped) < AT_ONCE + EACH, "no token's records come in parts"
    assert len(dropped) == TOKENS // -(-AT_ONCE // EACH)
    assert len(works) == len(dropped) + 1, "and one that looks at the clock"
