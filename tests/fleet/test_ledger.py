"""A token is with one person at most, moves only as the ledger allows, and its history is complete."""

import pytest
import sqlalchemy as sa
from fleet_kit import CLERK, NOON_S, Hands, serial, wearer
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from host_tools.fleet import audit
from host_tools.fleet.ledger import DEEDS, LedgerError
from host_tools.fleet.office import Office
from host_tools.fleet.tables import assignment_table, audit_table
from host_tools.storage.database import StorageError
from tracing.wire import short_code

TOKENS = st.integers(1, 3)
PERSONS = st.integers(0, 2)
ALLOWED = {
    ("new", "assign"): "assigned",
    ("wiped", "assign"): "assigned",
    ("assigned", "return"): "returned",
    ("lost", "return"): "returned",
    ("new", "wipe"): "wiped",
    ("returned", "wipe"): "wiped",
    **{(state, "lose"): "lost" for state in ("new", "assigned", "returned", "wiped")},
    **{(state, "revoke"): "revoked" for state in ("new", "assigned", "returned", "lost", "wiped")},
}


class LedgerMachine(RuleBasedStateMachine):
    """The ledger beside a model of it."""

    @initialize()
    def begin(self):
        self.hands = Hands(NOON_S)
        self.office = Office("sqlite://", None, self.hands.now)
        self.persons = [self.office.people.enter(CLERK, str(n), f"An {n}") for n in range(3)]
        self.state = dict.fromkeys(range(1, 4), "new")
        self.holder: dict[int, int] = {}
        self.deeds: dict[int, list[str]] = {token: ["register"] for token in self.state}
        for token in self.state:
            self.office.ledger.register(CLERK, serial(token))

    def _expect(self, allowed, call, *args):
        if allowed:
            call(CLERK, *args)
        else:
            with pytest.raises(LedgerError, match=r"[Nn]othing was changed"):
                call(CLERK, *args)
        return allowed

    @rule(seconds=st.integers(-5, 100))
    def time_passes(self, seconds):
        self.hands.at_s += seconds

    @rule(token=TOKENS, person=PERSONS)
    def assign(self, token, person):
        free = (self.state[token], "assign") in ALLOWED and person not in self.holder.values()
        if self._expect(free, self.office.ledger.assign, serial(token), self.persons[person]):
            self.state[token] = "assigned"
            self.holder[token] = person
            self.deeds[token].append("assign")

    @rule(token=TOKENS, deed=st.sampled_from(["return", "lose", "revoke", "wipe"]))
    def move(self, token, deed):
        ledger = self.office.ledger
        call = {"return": ledger.take_back, "lose": ledger.lose, "revoke": ledger.revoke, "wipe": ledger.wipe}[deed]
        if self._expect((self.state[token], deed) in ALLOWED, call, serial(token)):
            self._moved(token, deed)

    @rule(old=TOKENS, new=TOKENS, why=st.sampled_from(["return", "lose", "revoke"]))
    def replace(self, old, new, why):
        possible = old in self.holder and (self.state[new], "assign") in ALLOWED
        if self._expect(possible, self.office.ledger.replace, serial(old), serial(new), why):
            person = self.holder[old]
            self._moved(old, why)
            self.state[new], self.holder[new] = "assigned", person
            self.deeds[new].append("assign")

    def _moved(self, token, deed):
        self.state[token] = ALLOWED[self.state[token], deed]
        self.holder.pop(token, None)
        self.deeds[token].append(deed)

    @invariant()
    def ledger_and_model_agree(self):
        for token, state in self.state.items():
            standing = self.office.ledger.standing(serial(token))
            holder = self.holder.get(token)
            assert (standing.state, standing.person_id) == (state, None if holder is None else self.persons[holder])

    @invariant()
    def nobody_shares(self):
        a = assignment_table.c
        with self.office.database.reading() as connection:
            for column in (a.serial, a.person_id):
                held = list(connection.scalars(sa.select(column).where(a.until_s.is_(None))))
                assert len(held) == len(set(held))

    @invariant()
    def history_is_complete(self):
        for token, deeds in self.deeds.items():
            rows = self.office.audit.rows(serial=serial(token), actions=DEEDS, limit=1000)
            assert [row.action for row in reversed(rows)] == deeds

    def teardown(self):
        if hasattr(self, "office"):
            self.office.close()


LedgerMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
TestLedgerMachine = LedgerMachine.TestCase


def test_a_returned_token_is_wiped_before_it_goes_to_somebody_else(office):
    token, _ = wearer(office, 1)
    other = office.people.enter(CLERK, "NV2", "Bình")
    office.ledger.take_back(CLERK, token)
    with pytest.raises(LedgerError, match="still holds its wearer's log; wipe it first"):
        office.ledger.assign(CLERK, token, other)
    office.ledger.wipe(CLERK, token)
    office.ledger.assign(CLERK, token, other)
    assert office.ledger.standing(token).person_id == other


def test_the_database_itself_refuses_a_second_wearer(office):
    token, _ = wearer(office, 1)
    other = office.people.enter(CLERK, "NV2", "Bình")
    with pytest.raises(StorageError), office.database.writing() as connection:
        connection.execute(assignment_table.insert().values(serial=token.hex(), person_id=other, since_s=1))
    assert office.ledger.standing(token).person_id != other


@pytest.mark.parametrize("change", [audit_table.delete(), audit_table.update().values(actor="nobody")])
def test_the_audit_is_only_added_to(office, change):
    wearer(office, 1)
    before = office.audit.rows()
    with pytest.raises(StorageError, match="only added to"), office.database.writing() as connection:
        connection.execute(change)
    assert office.audit.rows() == before


def test_a_deed_and_its_row_stand_or_fall_together(office, monkeypatch):
    token, _ = wearer(office, 1)

    def broken(*_args, **_more):
        raise RuntimeError("in the middle")

    monkeypatch.setattr(audit, "note", broken)
    with pytest.raises(RuntimeError):
        office.ledger.lose(CLERK, token)
    assert office.ledger.standing(token).state == "assigned"


def test_tokens_are_found_by_code_and_by_serial(office):
    office.ledger.register(CLERK, serial(7))
    assert office.ledger.serial(f" {short_code(serial(7)).lower()} ") == serial(7)
    assert office.ledger.serial(serial(7).hex().upper()) == serial(7)
    twin = serial(7)[:4] + b"twin"
    office.ledger.register(CLERK, twin)
    with pytest.raises(LedgerError, match="Name one by its serial") as caught:
        office.ledger.serial(short_code(twin))
    assert twin.hex() in str(caught.value)
    with pytest.raises(LedgerError, match="no token"):
        office.ledger.serial("%")
    with pytest.raises(LedgerError, match="16 hex digits"):
        office.ledger.register(CLERK, b"short")
