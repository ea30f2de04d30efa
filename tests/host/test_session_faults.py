"""Kiosk and token talk over a link that loses, repeats, damages and reorders: nothing wrong is ever stored."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from session_pipe import DAMAGED, SERIAL, FakeLog, FakeStorage, FakeToken, Killed, record, sync_once

from host_tools.link.errors import LinkLost, SessionError
from host_tools.simulation.clock import run
from tracing import kiosk_messages as wire


def check_so_far(token, storage):
    """Nothing wrong is stored, and no receipt was taken for what is not."""
    truth = token.log.readable()
    assert storage.records.items() <= truth.items()
    assert all(seq in storage.records for seq in truth if seq < token.watermark)
    assert all(time == (1_596_873_600, 250) for time in token.times)
    assert all(code == wire.VERDICT_SAFE for code in token.verdicts)


def new_token():
    """Forty places, one of them blank and one damaged."""
    return FakeToken(FakeLog({12: DAMAGED, 25: None}.get(i, record(i)) for i in range(40)))


def fragments_of_a_sync(mtu):
    return run(sync_once(new_token(), FakeStorage(), mtu))[1].count


@pytest.mark.parametrize("kind", ["cut", "drop", "repeat", "late"])
@pytest.mark.parametrize("mtu", [23, 247])
def test_a_fault_at_every_fragment(kind, mtu):
    total = fragments_of_a_sync(mtu)
    for at in range(total):
        token, storage = new_token(), FakeStorage()
        with contextlib.suppress(SessionError):
            run(sync_once(token, storage, mtu, {at: (kind, 0)}))
        check_so_far(token, storage)
        run(sync_once(token, storage, mtu))
        assert storage.records == token.log.readable()
        assert token.watermark == 40


def test_every_cut_is_noticed():
    for at in range(fragments_of_a_sync(247)):
        with pytest.raises(LinkLost):
            run(sync_once(new_token(), FakeStorage(), 247, {at: ("cut", 0)}))


def test_a_bad_link_still_makes_progress():
    token, storage = FakeToken(FakeLog(record(i) for i in range(200))), FakeStorage()
    sizes = []
    for _ in range(12):
        with contextlib.suppress(LinkLost):
            run(sync_once(token, storage, 247, {13: ("cut", 0)}))  # two messages of records at best
        sizes.append(len(storage.records))
    assert sizes[0] == 32
    assert sizes == sorted(sizes)
    assert storage.records == token.log.readable()


@given(
    mtu=st.integers(23, 517),
    faults=st.dictionaries(
        st.integers(0, 80),
        st.tuples(st.sampled_from(["cut", "drop", "repeat", "flip", "late"]), st.integers(0, 4100)),
        min_size=1,
        max_size=4,
    ),
)
@settings(max_examples=150, deadline=None)
def test_any_faults(mtu, faults):
    token, storage = new_token(), FakeStorage()
    with contextlib.suppress(SessionError):
        run(sync_once(token, storage, mtu, faults))
    check_so_far(token, storage)
    run(sync_once(token, storage, mtu))
    assert storage.records == token.log.readable()


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("dies", ["before", "after"])
def test_the_kiosk_is_killed_while_it_stores(dies, restarted):
    token, storage = new_token(), FakeStorage()
    storage.dies = dies
    with pytest.raises(Killed):
        run(sync_once(token, storage))
    assert token.watermark == 0
    check_so_far(token, storage)
    if restarted:
        token.restart()
    storage.dies = None
    _, pipe = run(sync_once(token, storage))
    assert storage.records == token.log.readable()
    assert token.watermark == 40
    resent = pipe.count >= fragments_of_a_sync(247)
    assert resent == (dies == "before" or restarted)


def test_the_log_moves_while_it_is_read():
    token, storage = new_token(), FakeStorage()

    def move(number):
        if number == 10:
            token.log.records.append(record(40))
            token.log.oldest_seq = 30

    run(sync_once(token, storage, before_each=move))
    assert 40 not in storage.records
    assert set(range(30, 40)) <= set(storage.records)
    run(sync_once(token, storage))
    assert storage.records[40] == record(40)


# --- Everything at once ----------------------------------------------------------------------------------------

faults_or_none = st.dictionaries(
    st.integers(0, 60),
    st.tuples(st.sampled_from(["cut", "drop", "repeat", "flip", "late"]), st.integers(0, 4100)),
    max_size=2,
)


class Lives(RuleBasedStateMachine):
    """A token, two kiosks with storages of their own, bad links, restarts and a log that forgets."""

    @initialize()
    def begin(self):
        self.token = FakeToken()
        self.storages = [FakeStorage(), FakeStorage()]
        self.every = {}  # all records that ever were readable

    @rule(count=st.integers(1, 60), damaged=st.integers(0, 200))
    def log_more(self, count, damaged):
        log = self.token.log
        for i in range(count):
            seq = log.next_seq
            if i == damaged:
                log.records.append(DAMAGED)
            else:
                log.records.append(record(seq))
                self.every[seq] = record(seq)

    @rule(blocks=st.integers(1, 2))
    def drop_oldest(self, blocks):
        log = self.token.log
        log.oldest_seq = min(log.next_seq, log.oldest_seq + 16 * blocks)

    @rule()
    def restart(self):
        self.token.restart()

    @rule(which=st.integers(0, 1), mtu=st.integers(23, 517), faults=faults_or_none)
    def sync(self, which, mtu, faults):
        with contextlib.suppress(SessionError):
            run(sync_once(self.token, self.storages[which], mtu, faults))

    @rule(which=st.integers(0, 1), dies=st.sampled_from(["before", "after"]))
    def sync_with_a_dying_kiosk(self, which, dies):
        storage = self.storages[which]
        storage.dies = dies
        with contextlib.suppress(Killed):
            run(sync_once(self.token, storage))
        storage.dies = None

    @precondition(lambda self: self.token.log.next_seq)
    @rule(which=st.integers(0, 1))
    def whole_sync(self, which):
        storage = self.storages[which]
        before = dict(storage.records)
        first_seq = storage.next_seq(SERIAL)
        run(sync_once(self.token, storage))
        expected = {seq: raw for seq, raw in self.token.log.readable().items() if seq >= first_seq}
        assert storage.records.items() >= (before | expected).items()

    @invariant()
    def nothing_wrong_is_stored(self):
        for storage in getattr(self, "storages", ()):
            assert storage.records.items() <= self.every.items()

    @invariant()
    def receipts_are_true(self):
        if not hasattr(self, "token"):
            return
        stored = self.storages[0].records.keys() | self.storages[1].records.keys()
        for seq in self.token.log.readable():
            assert seq >= self.token.watermark or seq in stored


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
