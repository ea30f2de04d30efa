"""Two kiosks, each a process, work on one database; one is killed, and the other one goes on."""

import multiprocessing
import signal
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

from fleet_kit import CLERK, NOON_S, record, serial

from host_tools.fleet.office import Office

PATIENCE_S = 60
BATCH = 10  # records
ROUND = ("assign", "return", "wipe")


def work(place: str, key: Path, number: int, acks: Connection) -> None:
    """What a kiosk and its clerk do, again and again; says after each round how often. Ends by being killed."""
    with Office(place, key, lambda: NOON_S) as office:
        token, person = serial(number), number
        deeds = {"assign": lambda: office.ledger.assign(CLERK, token, person),
                 "return": lambda: office.ledger.take_back(CLERK, token),
                 "wipe": lambda: office.ledger.wipe(CLERK, token)}  # fmt: skip
        for done in count():
            first = done * BATCH
            office.store.store_records(token, [(seq, record(NOON_S + seq)) for seq in range(first, first + BATCH)], 0)
            deeds[ROUND[done % 3]]()
            acks.send(done + 1)


class Kiosk:
    """Such a process, and how many rounds it has acknowledged."""

    def __init__(self, place: str, key: Path, number: int) -> None:
        processes = multiprocessing.get_context("spawn")
        self._acks, theirs = processes.Pipe(duplex=False)
        self._process = processes.Process(target=work, args=(place, key, number, theirs))
        self._process.start()
        theirs.close()
        self.number = number
        self.acknowledged = 0

    def go_on(self, rounds: int) -> None:
        for _ in range(rounds):
            assert self._acks.poll(PATIENCE_S), "it stands still"
            self.acknowledged = self._acks.recv()

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        assert self._process.exitcode == -signal.SIGKILL
        try:
            while True:
                self.acknowledged = self._acks.recv()
        except EOFError:
            pass


def test_a_kiosk_that_is_killed_holds_up_no_other_and_both_lose_nothing(place, new_office, tmp_path):
    office = new_office(place)
    for number in (1, 2):
        office.ledger.register(CLERK, serial(number))
        office.people.enter(CLERK, f"NV{number}", f"Trần {number}")
    kiosks = [Kiosk(place, tmp_path / "names.key", number) for number in (1, 2)]
    one, other = kiosks
    try:
        for kiosk in kiosks:
            kiosk.go_on(4)
        one.kill()
        other.go_on(8)
    finally:
        for kiosk in kiosks:
            kiosk.kill()
    for kiosk in kiosks:
        token = serial(kiosk.number)
        rounds, rest = divmod(office.store.next_seq(token), BATCH)
        assert rest == 0, "a batch is there or not"
        assert len(office.store.encounters(token)) == rounds * BATCH
        rows = office.audit.rows(token, actions=ROUND, limit=10_000)
        assert kiosk.acknowledged <= len(rows) <= rounds <= kiosk.acknowledged + 1
        assert [row.action for row in reversed(rows)] == [ROUND[at % 3] for at in range(len(rows))]
        standing = office.ledger.standing(token)
        assert standing.state == ("assigned", "returned", "wiped")[(len(rows) - 1) % 3]
        assert (standing.person_id is not None) == (standing.state == "assigned")
