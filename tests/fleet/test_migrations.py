"""A database of any age is brought forward whole, by whoever comes first, and never half."""

import multiprocessing
import os
import signal
import sqlite3
from itertools import count

import pytest
import sqlalchemy as sa
import sqlalchemy.event
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from fleet_kit import NOON_S, record, serial
from sqlalchemy.engine import make_url

from host_tools.fleet import tables
from host_tools.storage import migrate
from host_tools.storage.database import Database, token_table
from host_tools.storage.store import Store

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pytest", "host_tools.storage.store", "alembic.command", "alembic.config"])

# As a kiosk made it that knew version 1, to the letter.
VERSION_1 = """
CREATE TABLE schema (version INTEGER NOT NULL);
CREATE TABLE token (serial VARCHAR(16) NOT NULL, short_code VARCHAR(6) NOT NULL, label VARCHAR, firmware VARCHAR,
  battery_mv INTEGER, boot INTEGER, last_sync_s BIGINT, damaged INTEGER, dropped INTEGER, PRIMARY KEY (serial));
CREATE INDEX ix_token_short_code ON token (short_code);
CREATE TABLE record (serial VARCHAR(16) NOT NULL, seq BIGINT NOT NULL, raw BLOB NOT NULL, kind INTEGER NOT NULL,
  clock_set BOOLEAN NOT NULL, connected BOOLEAN NOT NULL, boot INTEGER NOT NULL, start_s BIGINT NOT NULL,
  duration_s INTEGER NOT NULL, windows INTEGER NOT NULL, sightings INTEGER NOT NULL, rssi_max_dbm INTEGER NOT NULL,
  rssi_mean_dbm INTEGER NOT NULL, bluezone_id BLOB NOT NULL, received_s BIGINT NOT NULL, PRIMARY KEY (serial, seq),
  FOREIGN KEY(serial) REFERENCES token (serial));
CREATE TABLE sync (id INTEGER NOT NULL, serial VARCHAR(16) NOT NULL, finished_s BIGINT NOT NULL,
  battery_mv INTEGER NOT NULL, next_seq BIGINT NOT NULL, PRIMARY KEY (id),
  FOREIGN KEY(serial) REFERENCES token (serial));
CREATE TABLE clock (id INTEGER NOT NULL, serial VARCHAR(16) NOT NULL, boot INTEGER NOT NULL,
  before_seq BIGINT NOT NULL, token_s BIGINT NOT NULL, true_s BIGINT NOT NULL, PRIMARY KEY (id),
  FOREIGN KEY(serial) REFERENCES token (serial));
CREATE INDEX ix_clock_serial ON clock (serial);
INSERT INTO schema VALUES (1);
INSERT INTO token VALUES ('0100000000000000', 'ABCDEF', 'An', '1.2.3', 2950, 4, 1596888000, 0, 0);
INSERT INTO sync VALUES (1, '0100000000000000', 1596888000, 2950, 3);
INSERT INTO clock VALUES (1, '0100000000000000', 3, 3, 1596888000, 1596888000);
"""
OLD_TABLES = ("token", "record", "sync", "clock")
NOT_KEPT = ("kept_from_seq", "unit", "label")  # columns that are new, or have gone


def old_database(path):
    connection = sqlite3.connect(path)
    connection.executescript(VERSION_1)
    for seq in range(3):
        cells = (serial(1).hex(), seq, record(NOON_S + seq), 1, 1, 0, 3, NOON_S + seq, 880, 20, 40, -50, -55, b"twelve bytes", NOON_S)  # fmt: skip  # noqa: E501
        connection.execute(f"INSERT INTO record VALUES ({','.join('?' * len(cells))})", cells)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.commit()
    connection.close()


def content(path):
    """All old rows, in the columns that have stayed."""
    connection = sqlite3.connect(path)
    columns = {table: [row[1] for row in connection.execute(f"PRAGMA table_info({table})")] for table in OLD_TABLES}
    found = {
        table: connection.execute(
            f"SELECT {','.join(name for name in names if name not in NOT_KEPT)} FROM {table}"
        ).fetchall()
        for table, names in columns.items()
    }
    connection.close()
    return found


def test_every_version_has_its_revision():
    config = Config()
    config.set_main_option("script_location", str(migrate.files("host_tools.storage.migrations")))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    revisions = [step.revision for step in script.walk_revisions()]
    assert revisions == [str(version) for version in range(migrate.SCHEMA_VERSION, 0, -1)]


def test_migrations_make_what_the_code_expects(place):
    database = Database(place)
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = [
            step for step in compare_metadata(context, tables.metadata) if "alembic_version" not in repr(step)
        ]
    database.close()
    assert differences == []


def test_a_database_of_version_1_is_adopted_without_loss(tmp_path):
    path = tmp_path / "kiosk.sqlite"
    old_database(path)
    before = content(path)
    with Store(path) as store:
        assert store.next_seq(serial(1)) == 3
        assert [e.start_s for e in store.encounters(serial(1))] == [NOON_S, NOON_S + 1, NOON_S + 2]
        assert store.store_records(serial(1), [(2, record(NOON_S + 2)), (3, record(NOON_S + 3))], NOON_S) == 1
    after = content(path)
    assert {**after, "record": after["record"][:3]} == before
    with Store(tmp_path / "fresh.sqlite") as fresh, Store(path) as old:
        assert schema(fresh.database) == schema(old.database)


def database_of_version(place, version):
    """An empty one, as a kiosk of that version made it; for rows, its engine."""
    url = make_url(str(place)) if "://" in str(place) else sa.URL.create("sqlite", database=str(place))
    engine = sa.create_engine(url.set(drivername="postgresql+psycopg") if "postgres" in url.drivername else url)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(migrate.files("host_tools.storage.migrations")))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, str(version))
        connection.execute(sa.text(f"INSERT INTO schema VALUES ({version})"))
        connection.execute(
            sa.text("INSERT INTO token (serial, short_code, label, battery_mv) VALUES (:serial, 'ABCDEF', 'An', 2950)"),
            {"serial": serial(1).hex()},
        )
    return engine


@pytest.mark.parametrize("version", [1, 2])
def test_a_token_of_an_older_version_stays_but_not_the_name_on_it(place, version):
    database_of_version(place, version).dispose()
    with Store(place) as store:
        (token,) = store.tokens()
        assert (token.serial, token.short_code, token.battery_mv) == (serial(1), "ABCDEF", 2950)
        with store.database.reading() as connection:
            (row,) = connection.execute(sa.select(token_table)).mappings()
    assert row["unit"] == ""
    assert "An" not in row.values()


def test_results_of_version_2_keep_what_they_said_and_claim_nothing_more(place):
    engine = database_of_version(place, 2)
    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO person (id) VALUES (1)"))
        connection.execute(
            sa.text("INSERT INTO assignment (id, serial, person_id, since_s) VALUES (1, :serial, 1, 0)"),
            {"serial": serial(1).hex()},
        )
        connection.execute(
            sa.text(
                "INSERT INTO result (serial, assignment_id, day, minutes, minutes_near, exposed, rule, found_s) "
                "VALUES (:serial, 1, '2020-08-08', 126, 88, :exposed, 'vn-2020', 5)"
            ),
            {"serial": serial(1).hex(), "exposed": True},
        )
        connection.execute(
            sa.text(
                "INSERT INTO alert (assignment_id, day, state, made_s, next_s, attempts, problem) "
                "VALUES (1, '2020-08-08', 'sent', 5, 5, 1, '')"
            )
        )
    engine.dispose()
    database = Database(place)
    with database.reading() as connection:
        (result,) = connection.execute(sa.select(tables.result_table)).mappings()
        states = list(connection.scalars(sa.select(tables.alert_table.c.state)))
    database.close()
    assert dict(result) == {
        "serial": serial(1).hex(), "assignment_id": 1, "day": "2020-08-08", "minutes": 126, "minutes_near": 88,
        "minutes_far": 38, "exposed": True, "rule": "vn-2020", "found_s": 5, "percent": None, "cases": None,
        "rule_version": None, "list_digest": None, "published_s": None,
    }  # fmt: skip
    assert states == ["sent"]


def schema(database):
    with database.reading() as connection:
        query = sa.text("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite%' ORDER BY name")
        return {name: shape(sql or "") for name, sql in connection.execute(query)}


def shape(sql):
    return sorted("".join(sql.replace('"', "").split()).lower().replace("notnull", "").split(","))


def open_and_die(path, step, done):
    steps = count()

    def maybe(*_args):
        if next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    for moment in ("before_cursor_execute", "commit"):
        sqlalchemy.event.listen(sa.Engine, moment, maybe)
    Store(path).close()
    done.send(next(steps))


def test_killed_at_any_statement_of_a_migration_it_is_the_old_one_or_the_new_one(tmp_path):
    template = tmp_path / "old.sqlite"
    old_database(template)
    before = content(template)
    receive, send = PROCESSES.Pipe(duplex=False)
    whole = tmp_path / "whole.sqlite"
    whole.write_bytes(template.read_bytes())
    process = PROCESSES.Process(target=open_and_die, args=(whole, -1, send))
    process.start()
    steps = receive.recv()
    process.join()
    assert steps > 40
    versions = set()
    for step in [*range(0, steps, 7), steps - 2, steps - 1]:
        path = tmp_path / f"{step}.sqlite"
        path.write_bytes(template.read_bytes())
        process = PROCESSES.Process(target=open_and_die, args=(path, step, send))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        connection = sqlite3.connect(path)
        (version,) = connection.execute("SELECT version FROM schema").fetchone()
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        connection.close()
        assert ("person" in names) == (version == migrate.SCHEMA_VERSION)
        versions.add(version)
        assert content(path) == before
        Store(path).close()
        assert content(path) == before
    assert 1 in versions


def open_together(place, ready, done):
    ready.wait(60)
    Store(place).close()
    done.send(True)


@pytest.mark.parametrize("old", [False, True])
def test_two_kiosks_that_begin_together_make_one_database(tmp_path, old):
    path = tmp_path / "kiosk.sqlite"
    if old:
        old_database(path)
    assert together(path) == [True, True]
    with Store(path) as store:
        assert store.next_seq(serial(1)) == (3 if old else 0)


@pytest.mark.xdist_group("postgresql")
def test_two_kiosks_that_begin_together_on_a_server(postgres):
    assert together(postgres.new_database()) == [True, True]


def together(place):
    ready = PROCESSES.Barrier(2)
    kiosks = []
    for _ in range(2):
        receive, send = PROCESSES.Pipe(duplex=False)
        process = PROCESSES.Process(target=open_together, args=(place, ready, send))
        process.start()
        send.close()
        kiosks.append((process, receive))
    opened = []
    for process, receive in kiosks:
        try:
            opened.append(receive.recv())
        except EOFError:
            opened.append(False)
        process.join()
    return opened
