"""A PostgreSQL server that goes away and comes back, is full or busy: a sentence, and work goes on."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from fleet_kit import CLERK, NOON_S, record, serial, store, wearer
from postgres_server import running_server

from host_tools.fleet.health import health
from host_tools.storage import database
from host_tools.storage.database import Database, StorageError
from host_tools.storage.store import Store

pytestmark = pytest.mark.xdist_group("postgresql")


def test_a_server_that_comes_back_is_taken_up_again(postgres, new_office):
    with running_server() as own:
        office = new_office(own.new_database())
        token, _ = wearer(office, 1)
        store(office, token, [record(NOON_S)])
        own.stop()
        with pytest.raises(StorageError, match="goes on by itself when it is back"):
            office.store.store_records(token, [(1, record(NOON_S + 1))], NOON_S)
        with pytest.raises(StorageError, match="goes on by itself"):
            office.ledger.lose(CLERK, token)
        assert not health(office.database, office.now).ok
        own.start()
        assert office.ledger.standing(token).state == "assigned"
        assert office.store.store_records(token, [(1, record(NOON_S + 1))], NOON_S) == 1
        assert [e.start_s for e in office.store.encounters(token)] == [NOON_S, NOON_S + 1]
        assert health(office.database, office.now).ok
        office.close()


def test_an_acknowledged_record_survives_a_server_that_is_killed(postgres):
    with running_server() as own:
        url = own.new_database()
        with Store(url) as before:
            assert before.store_records(serial(1), [(0, record(NOON_S))], NOON_S) == 1
        own.stop()  # "immediate": as if killed
        own.start()
        with Store(url) as after:
            assert after.next_seq(serial(1)) == 1


def test_a_server_that_is_not_there_is_a_sentence_without_the_password(postgres):
    url = postgres.url().replace("kiosk@", "kiosk:geheim@")
    for wrong in (url.replace("host=", "host=/nowhere"), url.replace("/postgres?", "/nothing?")):
        with pytest.raises(StorageError, match="cannot be used") as caught:
            Store(wrong)
        assert "geheim" not in str(caught.value)


def test_a_writer_that_waits_too_long_is_told_why(postgres, monkeypatch):
    monkeypatch.setattr(database, "_PATIENCE_S", 0.05)
    url = postgres.new_database()
    first, second = Database(url), Database(url)
    with first.writing(), pytest.raises(StorageError, match="Another program is writing"), second.writing():
        pass
    first.close()
    second.close()


def test_a_reader_sees_one_state_and_does_not_wait(postgres):
    url = postgres.new_database()
    writer, reader = Store(url), Store(url)
    with reader.database.reading() as connection:
        count = sa.text("SELECT count(*) FROM record")
        assert connection.scalar(count) == 0
        writer.store_records(serial(1), [(0, record(NOON_S))], NOON_S)
        assert connection.scalar(count) == 0
    assert reader.next_seq(serial(1)) == 1
    writer.close()
    reader.close()


def test_a_reading_transaction_cannot_write(postgres):
    with (
        Store(postgres.new_database()) as opened,
        pytest.raises(StorageError, match="read-only"),
        opened.database.reading() as connection,
    ):
        connection.execute(sa.text("DELETE FROM record"))


def test_two_kiosks_that_read_one_token_store_everything_once(postgres):
    url = postgres.new_database()
    total = 420

    def store_alike(size):
        with Store(url) as kiosk:
            batches = ([(seq, record(NOON_S + seq)) for seq in range(at, at + size)] for at in range(0, total, size))
            return sum(kiosk.store_records(serial(1), batch, NOON_S) for batch in batches)

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(store_alike, (20, 35))) == total
    with Store(url) as kiosk:
        assert [e.start_s for e in kiosk.encounters(serial(1))] == [NOON_S + seq for seq in range(total)]
