"""A PostgreSQL server of our own, for as long as the tests need it."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

_NAMES = count()


def programs() -> Path | None:
    """The folder with initdb and pg_ctl, or None where no server is installed."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "pg_ctl").exists()), None)


class Server:
    """A running server; only its socket leads to it."""

    def __init__(self, folder: Path) -> None:
        self._programs = programs()
        self._folder = folder
        # The server refuses to run as root.
        self._user = next(user for user in ("postgres", "nobody") if _known(user)) if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(folder, self._user)
        self._run("initdb", "-U", "kiosk", "-A", "trust", "-E", "UTF8", "--no-sync", "-D", str(folder / "data"))

    def start(self) -> None:
        # The tests stop the server, never the machine: what the system has taken stays, and each database costs less.
        options = f"-c listen_addresses= -c fsync=off -c full_page_writes=off -k {self._folder}"
        self._run("pg_ctl", "-w", "-D", str(self._folder / "data"), "-l", str(self._folder / "log"), "-o", options,
                  "start")  # fmt: skip

    def stop(self) -> None:
        self._run("pg_ctl", "-w", "-m", "immediate", "-D", str(self._folder / "data"), "stop")

    def url(self, name: str = "postgres") -> str:
        return f"postgresql://kiosk@/{name}?host={self._folder}"

    def new_database(self) -> str:
        """An empty database; returns its URL."""
        name = f"kiosk{next(_NAMES)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def _run(self, program: str, *args: str) -> None:
        assert self._programs
        user = {"user": self._user, "group": pwd.getpwnam(self._user).pw_gid, "extra_groups": []} if self._user else {}
        subprocess.run(
            [self._programs / program, *args], check=True, stdout=subprocess.DEVNULL, cwd=self._folder, **user
        )


def _known(user: str) -> bool:
    try:
        return bool(pwd.getpwnam(user))
    except KeyError:
        return False


@contextmanager
def running_server() -> Iterator[Server]:
    # Not in pytest's folder: that is closed to the user who runs the server.
    folder = Path(tempfile.mkdtemp(prefix="bluezone-postgres-"))
    try:
        server = Server(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
