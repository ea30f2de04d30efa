"""The database's version: new ones are made, older ones brought forward, all in the transaction of who opens it.

Each version is a revision of Alembic in `migrations/versions`, named by its number. The table `schema` holds the number
too: it is what kiosks from before the migrations look at, and what is looked at when nothing is to be done.
"""

from importlib.resources import files

import sqlalchemy as sa

SCHEMA_VERSION = 3
_FIRST_VERSION = 1  # as made by kiosks from before the migrations


class WrongDatabase(Exception):
    """It cannot be brought to SCHEMA_VERSION; the message says why, and what to do."""


def migrate(connection: sa.Connection) -> None:
    """Make or bring forward what the connection leads to; nothing is committed.

    Raises:
        WrongDatabase: another program's, or of a newer version.
    """
    tables = sa.inspect(connection).get_table_names()
    if tables and "schema" not in tables:
        raise WrongDatabase("belongs to another program. Nothing was changed. Name another one.")
    version = connection.scalar(sa.text("SELECT version FROM schema")) if tables else 0
    if version == SCHEMA_VERSION:
        return
    if version is None or version > SCHEMA_VERSION:
        raise WrongDatabase(
            f"has version {version}; this kiosk knows version {SCHEMA_VERSION}. Nothing was changed. Update the "
            "kiosk's software."
        )
    _upgrade(connection, stamp="alembic_version" not in tables and version == _FIRST_VERSION)
    connection.execute(sa.text("DELETE FROM schema"))
    connection.execute(sa.text("INSERT INTO schema (version) VALUES (:version)"), {"version": SCHEMA_VERSION})


def _upgrade(connection: sa.Connection, stamp: bool) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(files("host_tools.storage.migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    if stamp:
        command.stamp(config, str(_FIRST_VERSION))
    command.upgrade(config, "head")
