"""Settings of the fleet, by name; values are bytes."""

import sqlalchemy as sa

from .tables import setting_table


def get(connection: sa.Connection, name: str) -> bytes | None:
    """A setting, or None."""
    return connection.scalar(sa.select(setting_table.c.value).where(setting_table.c.name == name))


def put(connection: sa.Connection, name: str, value: bytes | None) -> None:
    """Set it, or remove it (None)."""
    connection.execute(setting_table.delete().where(setting_table.c.name == name))
    if value is not None:
        connection.execute(setting_table.insert().values(name=name, value=value))


def get_number(connection: sa.Connection, name: str, default: int) -> int:
    """A setting that is an integer."""
    value = get(connection, name)
    return default if value is None else int(value)


def put_number(connection: sa.Connection, name: str, value: int) -> None:
    """Set an integer."""
    put(connection, name, str(value).encode())


DAYS_NAME = "retention.days"
DEFAULT_DAYS = 14
NEVER = 0  # nothing is kept past the verdict


def retention_days(connection: sa.Connection) -> int:
    """For how many days encounters are kept; NEVER: not past the verdict."""
    return get_number(connection, DAYS_NAME, DEFAULT_DAYS)
