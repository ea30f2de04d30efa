"""A kiosk that is killed at any statement leaves a whole ledger, and alerts that reach their wearers once, or twice
where nobody can know."""

import multiprocessing
import os
import signal
from itertools import count

import sqlalchemy as sa
import sqlalchemy.event
from fleet_kit import CASE_KEY, CLERK, NOON_S, Hands, list_of, meeting, serial, store, wearer

from host_tools.fleet.ledger import DEEDS
from host_tools.fleet.office import Office
from host_tools.fleet.tables import alert_table, assignment_table
from host_tools.matching.rules import load_rules

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pytest", "fleet_kit", "host_tools.fleet.office", "host_tools.matching.rules"])


def die_at(step):
    steps = count()

    def maybe(*_args):
        if next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    for moment in ("before_cursor_execute", "commit"):  # after a statement is before the next one
        sqlalchemy.event.listen(sa.Engine, moment, maybe)
    return maybe


def started(target, *args):
    receive, send = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=target, args=(*args, send))
    process.start()
    send.close()
    return process, receive


def received(pipe):
    found = []
    while True:
        try:
            found.append(pipe.recv())
        except EOFError:
            return found


def copied(template, step):
    """A closed database and its key under another name."""
    path = template.with_name(f"{step}.sqlite")
    path.write_bytes(template.read_bytes())
    path.with_name(f"{path.name}.key").write_bytes(template.with_name(f"{template.name}.key").read_bytes())
    return path


def move(path, step, receipts):
    """Deeds one after the other; tells which are done."""
    with Office(path, None, Hands(NOON_S).now) as office:
        die_at(step)
        office.ledger.replace(CLERK, serial(1), serial(2), "lose")
        receipts.send("replace")
        office.ledger.take_back(CLERK, serial(1))
        receipts.send("return")


def test_killed_at_any_statement_the_ledger_is_whole(tmp_path):
    outcomes = set()
    template = tmp_path / "template.sqlite"
    with Office(template, None, Hands(NOON_S).now) as office:
        _, person = wearer(office, 1)
        office.ledger.register(CLERK, serial(2))
    for step in count():
        path = copied(template, step)
        process, pipe = started(move, path, step)
        done = received(pipe)
        process.join()
        with Office(path, None, Hands(NOON_S).now) as office:
            a = assignment_table.c
            with office.database.reading() as connection:
                held = list(connection.scalars(sa.select(a.serial).where(a.until_s.is_(None))))
            old, new = (office.ledger.standing(serial(n)) for n in (1, 2))
            assert held == [(new if new.person_id else old).serial.hex()]
            assert [each.person_id for each in (old, new) if each.person_id] == [person]
            deeds = [[row.action for row in office.audit.rows(serial(n), actions=DEEDS)] for n in (1, 2)]
            told = (old.state, new.state)
            assert (
                deeds
                == {
                    ("assigned", "new"): [["assign", "register"], ["register"]],
                    ("lost", "assigned"): [["lose", "assign", "register"], ["assign", "register"]],
                    ("returned", "assigned"): [["return", "lose", "assign", "register"], ["assign", "register"]],
                }[told]
            )
            least = {0: "assigned", 1: "lost", 2: "returned"}[len(done)]
            assert ["assigned", "lost", "returned"].index(old.state) >= ["assigned", "lost", "returned"].index(least)
            outcomes.add(told)
        if process.exitcode == 0:
            break
    assert len(outcomes) == 3


def alert(path, step, gateway):
    """A new list comes in and its alerts go out, through a gateway that dies as well: before and after it took one."""
    with Office(path, None, Hands(NOON_S + 3600).now) as office:
        maybe = die_at(step)
        office.results.rematch(list_of(CASE_KEY), load_rules())

        def send(_url, _title, text):
            maybe()
            gateway.send(text)
            maybe()
            return True

        office.alerts.deliver(send)


def test_killed_at_any_statement_every_alert_goes_out(tmp_path):
    doubled, to = 0, []
    template = tmp_path / "template.sqlite"
    with Office(template, None, Hands(NOON_S).now) as office:
        office.alerts.set_gateway(CLERK, "mail", "mailtos://user:secret@smtp.example.vn/?to={address}")
        for number in (1, 2):
            token, _ = wearer(office, number, address=f"nv{number}@example.vn")
            store(office, token, meeting(NOON_S, 40))
    for step in count(0, 3):
        path = copied(template, step)
        process, pipe = started(alert, path, step)
        sent = received(pipe)
        process.join()
        with Office(path, None, Hands(NOON_S + 7200).now) as office:  # claims of the dead one have run out
            office.results.rematch(list_of(CASE_KEY), load_rules())

            def send(_url, _title, text, sent=sent):
                sent.append(text)
                return True

            office.alerts.deliver(send)
            with office.database.reading() as connection:
                assert list(connection.scalars(sa.select(alert_table.c.state))) == ["sent", "sent"]
        to = [text.partition(":")[0] for text in sent]
        assert set(to) == {"Nguyễn Văn 1", "Nguyễn Văn 2"}
        assert len(to) <= 3  # the one that was on its way
        doubled += len(to) - 2
        if process.exitcode == 0:
            break
    assert doubled > 0
    assert to == ["Nguyễn Văn 1", "Nguyễn Văn 2"]
