"""A disk that is full: a sentence, a kiosk that says so to machines, and work that goes on when there is room."""

import pytest
from fleet_kit import CLERK, NOON_S, record, serial, store, wearer
from sqlalchemy import event

from host_tools.fleet.health import health
from host_tools.storage.database import StorageError


def fill_disk(office, full):
    """SQLite gets no page more. A server gets triggers that refuse as PostgreSQL itself does on a full disk."""
    if office.database.is_sqlite:
        with office.database._engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar() if full else 1 << 30
        office.database._engine.dispose()

        def limit(connection, _record):
            connection.execute(f"PRAGMA max_page_count = {pages}").close()

        event.listen(office.database._engine, "connect", limit)
        return
    with office.database.writing() as connection:
        if full:
            connection.exec_driver_sql(
                "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$"
            )
        for table in ("record", "setting"):
            connection.exec_driver_sql(
                f"CREATE TRIGGER full_disk BEFORE INSERT ON {table} EXECUTE FUNCTION no_room()"
                if full
                else f"DROP TRIGGER full_disk ON {table}"
            )


def test_a_full_disk_is_told_and_left_behind(office):
    token, _ = wearer(office, 1)
    store(office, token, [record(NOON_S)])
    many = [(seq, record(NOON_S + seq)) for seq in range(1, 2000)]
    assert health(office.database, office.now).ok
    fill_disk(office, True)
    with pytest.raises(StorageError, match="Make room on the disk"):
        office.store.store_records(token, many, NOON_S)
    for _ in range(2):  # it stays so, though nobody tries to store meanwhile
        told = health(office.database, office.now)
        assert told.troubles == {"database"}
        assert "Make room on the disk" in str(told.problems)
    assert office.store.next_seq(token) == 1, "what was there is there, and can be read"
    fill_disk(office, False)
    assert health(office.database, office.now).ok
    assert office.store.store_records(token, many, NOON_S) == len(many)
    office.ledger.lose(CLERK, token)
    assert office.ledger.standing(serial(1)).state == "lost"
