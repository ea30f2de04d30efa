"""The kiosk's database holds what tokens said, exactly, and fails in sentences."""

import os
import sqlite3
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
import sqlalchemy.event
from hypothesis import given, settings
from hypothesis import strategies as st

from host_tools.storage import database
from host_tools.storage.migrate import SCHEMA_VERSION
from host_tools.storage.store import Encounter, StorageError, Store, StoreConflict, Token
from tracing.records import (
    FLAG_CLOCK_SET,
    FLAG_CONNECTED,
    KIND_ENCOUNTER,
    KIND_EVENT,
    RECORD_BYTES,
    pack_record,
)
from tracing.wire import short_code

SERIAL = b"\x01\x02\x03\x04\x05\x06\x07\x08"
OTHER = b"\xff" * 8
NOON_S = 1_596_864_600


def record(start_s=NOON_S, kind_flags=KIND_ENCOUNTER | FLAG_CLOCK_SET, ident=b"twelve bytes", duration_s=300):
    buf = bytearray(RECORD_BYTES)
    pack_record(buf, kind_flags, 3, start_s, duration_s, 5, 9, -60, -70, ident)
    return bytes(buf)


def info(**changed):
    told = {"firmware": (1, 2, 3), "battery_mv": 2950, "boot": 4, "next_seq": 17, "damaged": 1, "dropped": 2}
    return SimpleNamespace(**(told | changed))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "kiosk.sqlite"


@pytest.fixture
def store(path):
    with Store(path) as opened:
        yield opened


def rows(path, query):
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def stored(path):
    return {(serial, seq): raw for serial, seq, raw in rows(path, "SELECT serial, seq, raw FROM record")}


# --- Records -------------------------------------------------------------------------------------------------------

# Few numbers and two contents, so that batches overlap, repeat and contradict each other.
BATCHES = st.lists(
    st.tuples(st.sampled_from([SERIAL, OTHER]), st.lists(st.tuples(st.integers(0, 12), st.sampled_from([0, 0, 0, 1])))),
    max_size=6,
)
CONTENTS = (record(), record(NOON_S + 1))


@settings(max_examples=50, deadline=None)
@given(BATCHES)
def test_batches_are_taken_whole_or_not_at_all_and_once(batches):
    model: dict[bytes, dict[int, bytes]] = {SERIAL: {}, OTHER: {}}
    with Store("sqlite://") as store:
        for serial, batch in batches:
            records = [(seq, CONTENTS[content]) for seq, content in batch]
            wanted = dict(model[serial])
            conflict = any(wanted.setdefault(seq, raw) != raw for seq, raw in records)
            if conflict:
                with pytest.raises(StoreConflict):
                    store.store_records(serial, records, NOON_S)
            else:
                assert store.store_records(serial, records, NOON_S) == len(wanted) - len(model[serial])
                model[serial] = wanted
        for serial, known in model.items():
            assert store.next_seq(serial) == max(known, default=-1) + 1
            assert [e.start_s for e in store.encounters(serial)] == [
                NOON_S + CONTENTS.index(raw) for _, raw in sorted(known.items())
            ]


def test_a_conflict_names_the_record_and_the_token(store):
    store.store_records(SERIAL, [(7, CONTENTS[0])], NOON_S)
    with pytest.raises(StoreConflict, match=rf"Record 7 of token {short_code(SERIAL)} differs"):
        store.store_records(SERIAL, [(6, CONTENTS[0]), (7, CONTENTS[1]), (8, CONTENTS[0])], NOON_S)
    assert store.next_seq(SERIAL) == 8


@pytest.mark.parametrize("raw", [record()[:-1], record() + b"\0", b"\0" * RECORD_BYTES, b""])
def test_a_damaged_record_is_never_stored(store, path, raw):
    with pytest.raises(StorageError, match=r"Record 2 .* damaged"):
        store.store_records(SERIAL, [(1, record()), (2, raw)], NOON_S)
    assert stored(path) == {}


def test_a_record_is_kept_as_it_came_with_its_fields_beside_it(store, path):
    raw = record(kind_flags=KIND_EVENT | FLAG_CONNECTED)
    store.store_records(SERIAL, [(4_000_000_000, raw)], NOON_S + 9)
    assert rows(path, "SELECT serial, seq, raw, received_s FROM record") == [
        (SERIAL.hex(), 4_000_000_000, raw, NOON_S + 9)
    ]
    assert rows(
        path,
        "SELECT kind, clock_set, connected, boot, start_s, duration_s, windows, sightings, "
        "rssi_max_dbm, rssi_mean_dbm, bluezone_id FROM record",
    ) == [(KIND_EVENT, 0, 1, 3, NOON_S, 300, 5, 9, -60, -70, b"twelve bytes")]


def test_encounters_are_those_with_known_time(store):
    given = [
        record(),
        record(100, KIND_ENCOUNTER),  # seconds since a start: nobody knows when
        record(kind_flags=KIND_EVENT | FLAG_CLOCK_SET),
        record(NOON_S + 60, KIND_ENCOUNTER | FLAG_CLOCK_SET | FLAG_CONNECTED, b"another twlv"),
    ]
    store.store_records(SERIAL, list(enumerate(given)), NOON_S)
    store.store_records(OTHER, [(0, record(ident=b"of another 1"))], NOON_S)
    first = Encounter(b"twelve bytes", NOON_S, 300, 5, 9, -60, -70, False)
    second = Encounter(b"another twlv", NOON_S + 60, 300, 5, 9, -60, -70, True)
    assert store.encounters(SERIAL) == [first, second]
    assert store.encounters(SERIAL, since_s=NOON_S + 300) == [first, second]  # it had not ended before
    assert store.encounters(SERIAL, since_s=NOON_S + 301) == [second]
    assert store.encounters(b"nobody's") == []


# --- Tokens --------------------------------------------------------------------------------------------------------


def test_a_token_is_known_by_what_it_said(store, path):
    store.store_records(SERIAL, [(0, record())], NOON_S)
    assert store.tokens() == [Token(SERIAL, short_code(SERIAL), None, None, None)]
    store.note_sync(SERIAL, info(), NOON_S)
    store.note_sync(SERIAL, info(battery_mv=2940, next_seq=20), NOON_S + 60)
    store.note_sync(OTHER, info(firmware=(0, 1, 0)), NOON_S)
    assert sorted(store.tokens(), key=lambda token: token.serial) == [
        Token(SERIAL, short_code(SERIAL), "1.2.3", 2940, NOON_S + 60),
        Token(OTHER, short_code(OTHER), "0.1.0", 2950, NOON_S),
    ]
    assert rows(path, "SELECT serial, finished_s, battery_mv, next_seq FROM sync ORDER BY id") == [
        (SERIAL.hex(), NOON_S, 2950, 17),
        (SERIAL.hex(), NOON_S + 60, 2940, 20),
        (OTHER.hex(), NOON_S, 2950, 17),
    ]


def test_everything_is_there_after_opening_again(tmp_path):
    path = tmp_path / "a name? with #signs & 100%.sqlite"
    with Store(path) as store:
        store.store_records(SERIAL, [(0, record())], NOON_S)
    assert path.exists()
    with Store(f"sqlite:///{tmp_path / 'other.sqlite'}") as other:
        assert other.tokens() == []
    with Store(path) as store:
        assert store.next_seq(SERIAL) == 1
        assert [token.serial for token in store.tokens()] == [SERIAL]


def test_a_record_of_no_token_is_refused_by_the_database_itself(path):
    opened = database.Database(str(path))
    with pytest.raises(StorageError, match="FOREIGN KEY"), opened.writing() as connection:
        connection.execute(database.sync_table.insert().values(serial="00" * 8, finished_s=1, battery_mv=1, next_seq=1))
    opened.close()


@pytest.mark.parametrize("place", ["{}", "sqlite:///{}"])
def test_who_met_whom_is_for_the_owner_of_the_file(path, place):
    umask = os.umask(0o002)
    try:
        with Store(place.format(path)) as store:
            store.store_records(SERIAL, [(0, record())], NOON_S)
            files = list(path.parent.iterdir())
            assert len(files) == 3  # with its journals
            assert [file.stat().st_mode & 0o777 for file in files] == [0o600] * 3
        path.chmod(0o660)  # whoever shares it on purpose
        Store(path).close()
        assert path.stat().st_mode & 0o777 == 0o660
    finally:
        os.umask(umask)


# --- Databases that cannot be used ---------------------------------------------------------------------------------


def refusal(place):
    with pytest.raises(StorageError) as caught:
        Store(place)
    return str(caught.value)


def test_a_newer_database_is_refused_and_left_alone(path):
    Store(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"UPDATE schema SET version = {SCHEMA_VERSION + 1}")
    connection.execute("DROP TABLE sync")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    known = f"has version {SCHEMA_VERSION + 1}; this kiosk knows version {SCHEMA_VERSION}. Nothing was changed."
    assert known in refusal(path)
    assert path.read_bytes() == before


def test_another_programs_database_is_refused_and_left_alone(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE token (serial TEXT)")
    connection.close()
    before = path.read_bytes()
    assert "belongs to another program. Nothing was changed." in refusal(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_alone(path):
    path.write_text("Danh sách trống\n" * 100, encoding="utf-8")
    assert "The file is no database: name another one." in refusal(path)
    assert path.read_text("utf-8") == "Danh sách trống\n" * 100


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("/nowhere/at/all/kiosk.sqlite", "unable to open database file"),
        ("nosuchdatabase://host/kiosk", "Correct its address, or install the driver"),
        ("postgresql+nosuchdriver://host/kiosk", "Correct its address, or install the driver"),
        ("sqlite:///file:{path}?mode=ro&uri=true", "Allow this user to write"),
    ],
)
def test_a_place_that_cannot_be_opened_is_a_sentence(path, place, words):
    sqlite3.connect(path).close()
    assert words in refusal(place.format(path=path))


def test_another_writer_is_named_and_readers_do_not_mind(path):
    with Store(f"sqlite:///{path}?timeout=0") as store:
        store.store_records(SERIAL, [(0, record())], NOON_S)
        writer = sqlite3.connect(path, isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="Another program is writing to it"):
            store.store_records(SERIAL, [(1, record())], NOON_S)
        assert store.next_seq(SERIAL) == 1
        writer.execute("ROLLBACK")
        writer.close()
        assert store.store_records(SERIAL, [(1, record())], NOON_S) == 1


def test_a_full_disk_is_named_and_costs_nothing(path):
    Store(path).close()

    def no_more_pages(connection, _record):
        connection.execute("PRAGMA max_page_count = 1").close()  # SQLite raises it to what there is

    sqlalchemy.event.listen(sa.Engine, "connect", no_more_pages)
    try:
        with Store(path) as store:
            store.store_records(SERIAL, [(0, record())], NOON_S)
            with pytest.raises(StorageError, match="Make room on the disk"):
                store.store_records(SERIAL, [(seq, record()) for seq in range(2000)], NOON_S)
            assert store.next_seq(SERIAL) == 1
    finally:
        sqlalchemy.event.remove(sa.Engine, "connect", no_more_pages)
    with Store(path) as store:
        assert store.store_records(SERIAL, [(seq, record()) for seq in range(2000)], NOON_S) == 1999


def test_a_damaged_file_is_named(path):
    with Store(path) as store:
        store.store_records(SERIAL, [(seq, record()) for seq in range(2000)], NOON_S)
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    content[half:] = b"\xa5" * (len(content) - half)
    path.write_bytes(content)
    with Store(path) as store, pytest.raises(StorageError, match="The file is damaged"):
        store.encounters(SERIAL)


def test_readers_and_the_writer_do_not_wait_for_each_other(path):
    Store(str(path)).close()
    assert rows(path, "PRAGMA journal_mode") == [("wal",)]
