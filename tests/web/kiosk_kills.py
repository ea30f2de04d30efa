"""`bluezone kiosk` in a process that can be killed, with simulated tokens in another one: python kiosk_kills.py.

The tests try a part of it. Exits with an AssertionError at the first loss.
"""

import asyncio
import json
import multiprocessing
import os
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from typing import NamedTuple

import httpx
import sqlalchemy as sa
from web_kit import PASSWORD, serial

from host_tools import cli
from host_tools.fleet.ledger import DEEDS, STATES, Deed, State
from host_tools.fleet.office import Office
from host_tools.provisioning import key_file, passphrase
from host_tools.simulation import clock
from host_tools.simulation.adapter_socket import AdapterSocket
from host_tools.simulation.bench import crowd
from host_tools.simulation.flash import MemoryFlash, fill_log, logged, open_token
from host_tools.simulation.rom import rom_image
from host_tools.simulation.world import World
from host_tools.storage.database import record_table, sync_table
from host_tools.web.site import SESSION_COOKIE, STAFF, form_token
from tracing.records import unpack_record

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pytest", "host_tools.web.start", "host_tools.web.commands", "host_tools.link.hci"])
PATIENCE_S = 60.0
_PASSPHRASE = "only for the test"
_LEDGER_TOKENS = 5
# What a clerk does with a token, again and again, and where it is then.
_ROUND: tuple[tuple[Deed, State], ...] = (("assign", "assigned"), ("return", "returned"), ("wipe", "wiped"))


def command(folder: Path, radio: str) -> None:
    """The command, with what it says in files. Runs in a process of its own."""
    os.environ[passphrase.VARIABLE] = _PASSPHRASE
    for number, name in ((1, "kiosk.out"), (2, "kiosk.log")):
        file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, number)
    words = ["--cases", folder / "list.json", "--keys", folder / "kiosk.key", "--database", folder / "kiosk.sqlite"]
    words += ["--hci", radio, "--port", "0", "--json"]
    sys.exit(cli.run(cli.build_app(), ["kiosk", *map(str, words)]))


@dataclass
class Found:
    """What the database held when the kiosk was dead. `between` says how often it died while a token was connected."""

    kills: int = 0
    between: int = 0
    records: int = 0
    deeds: int = 0


class Hall:
    """Wearers with simulated tokens before a kiosk, and a clerk at its pages. To be made in a VirtualLoop.

    Args:
        folder: for everything.
        tokens: how many wearers; records: in each token's log before it comes.
        seed: of all randomness.
    """

    def __init__(self, folder: Path, tokens: int, records: int, seed: int) -> None:
        self.folder = folder
        self.random = Random(seed)
        self.world = World(replace(crowd(tokens, 86400, False), start_s=int(time.time())), seed, folder, rom_image())
        self.names: list[str] = []
        self.adapter: AdapterSocket
        self.address = ""
        self.deeds: list[int] = [0] * _LEDGER_TOKENS  # acknowledged, by token
        self._records = records
        self._kiosk: BaseProcess | None = None
        self._session = ""
        self._truth: dict[str, list[tuple]] = {}

    async def open(self, paced: bool = True) -> None:
        """Tokens with full logs, an adapter, a ledger with a clerk. `paced`: a kiosk in another process will come."""
        world = self.world
        await world.start()
        assert world.adapter is not None
        self.names = list(world.boards)
        for number, name in enumerate(self.names):
            world.processes.kill(world.boards[name])
            fill_log(self._flash(name), self._records, world.scenario.start_s - 60 * self._records - 3600)
            self._truth[world.provisioned[name].serial.hex()] = self._log(name)
            await world.restart_token(name)
            world.call_to_kiosk(name, number)
        self.adapter = AdapterSocket(world.adapter, self.folder / "hci")
        await self.adapter.plug_in()
        key_file.save(self.folder / "kiosk.key", world.roots.kiosk, _PASSPHRASE)
        (self.folder / "list.json").write_text('{"data": []}')
        with self.office() as office:
            office.accounts.add("test", "clerk", "clerk", PASSWORD)
            _, self._session = office.accounts.log_in("clerk", PASSWORD, "test")
            for number in range(_LEDGER_TOKENS):
                office.ledger.register("test", serial(number))
                office.people.enter("test", f"NV{number}", f"Trần Văn {number}")
        loop = asyncio.get_running_loop()
        assert isinstance(loop, clock.VirtualLoop)
        if paced:
            loop.keep_pace()

    async def close(self) -> None:
        if self._kiosk is not None:
            self.kill()
        self.adapter.pull_out()
        await self.world.close()

    @contextmanager
    def office(self) -> Iterator[Office]:
        """The kiosk's own database, from beside it."""
        with Office(self.folder / "kiosk.sqlite") as office:
            yield office

    # --- The kiosk ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """The command begins; nothing waits for it."""
        (self.folder / "kiosk.out").write_bytes(b"")
        self._kiosk = kiosk = PROCESSES.Process(target=command, args=(self.folder, self.adapter.name))
        kiosk.start()

    async def started(self) -> None:
        """Its pages can be reached."""
        out = self.folder / "kiosk.out"
        async with asyncio.timeout(PATIENCE_S):
            while not (said := out.read_text()).endswith("\n"):
                assert self._kiosk is not None
                assert self._kiosk.is_alive(), (self.folder / "kiosk.log").read_text()
                await asyncio.sleep(0.02)
        self.address = json.loads(said)["wearers"].rstrip("/")

    def kill(self) -> None:
        """At once; returns when nothing is left of it."""
        assert self._kiosk is not None
        assert self._kiosk.pid
        os.kill(self._kiosk.pid, signal.SIGKILL)
        self._kiosk.join()
        assert self._kiosk.exitcode == -signal.SIGKILL, (self.folder / "kiosk.log").read_text()
        self._kiosk = None

    # --- People ------------------------------------------------------------------------------------------------

    async def clerk(self) -> None:
        """Deeds without end; `deeds` counts those that the kiosk has answered for."""
        async with httpx.AsyncClient(base_url=self.address, headers={"origin": self.address}) as client:
            client.cookies.set(SESSION_COOKIE, self._session, path=STAFF)
            while True:
                number = self.random.randrange(_LEDGER_TOKENS)
                deed, _ = _ROUND[self.deeds[number] % len(_ROUND)]
                form = {"form_token": form_token(self._session), "deed": deed, "staff_number": f"NV{number}"}
                answer = await client.post(f"{STAFF}/tokens/{serial(number).hex()}", data=form)
                assert answer.status_code == 303, answer.text
                self.deeds[number] += 1

    async def finished(self, names: list[str]) -> None:
        """These wearers have been read to the end by a kiosk that lives."""
        wanted = {self.world.provisioned[name].serial.hex() for name in names}
        async with asyncio.timeout(PATIENCE_S):
            while wanted - self.synced():
                self.world.check()
                await asyncio.sleep(0.2)

    def synced(self) -> set[str]:
        """Serials of which a whole sync is in the database."""
        with self.office() as office, office.database.reading() as connection:
            return set(connection.scalars(sa.select(sync_table.c.serial).distinct()))

    async def until(self, there: Callable[[], bool]) -> None:
        """Something is there, and the simulation sound."""
        async with asyncio.timeout(PATIENCE_S):
            while not there():
                self.world.check()
                await asyncio.sleep(0.02)

    def stored(self) -> int:
        """Records in the database, whoever writes to it."""
        with closing(sqlite3.connect(self.folder / "kiosk.sqlite")) as database:
            return database.execute("SELECT count(*) FROM record").fetchone()[0]

    def connected(self) -> bool:
        """Is a token being read?"""
        return any(board.device.connections for board in self.world.boards.values())

    # --- What is left ------------------------------------------------------------------------------------------

    def check(self) -> int:
        """The database of a dead kiosk is whole, has what tokens and clerk were told; returns how many records."""
        marks = {name: self._watermark(name) for name in self.names}
        with self.office() as office, office.database.reading() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
            stored = {name: self._in_database(connection, name) for name in self.names}
        for name, records in stored.items():
            truth = self._truth[self.world.provisioned[name].serial.hex()]
            assert records.keys() >= set(range(min(marks[name], len(truth)))), f"{name}: acknowledged, and not there"
            assert all(records[seq] == truth[seq] for seq in records if seq < len(truth))
        with self.office() as office:
            assert office.accounts.of_session(self._session) is not None
            for number, told in enumerate(self.deeds):
                self._check_token(office, number, told)
        return sum(map(len, stored.values()))

    def _check_token(self, office: Office, number: int, told: int) -> None:
        # Who was not answered does not know whether it was done.
        rows = office.audit.rows(serial(number), actions=[deed for deed in DEEDS if deed != "register"], limit=10_000)
        assert told <= len(rows) <= told + 1
        assert [row.action for row in reversed(rows)] == [_ROUND[at % 3][0] for at in range(len(rows))]
        standing = office.ledger.standing(serial(number))
        assert standing.state == (_ROUND[(len(rows) - 1) % 3][1] if rows else STATES[0])
        assert (standing.person_id is not None) == (standing.state == "assigned")
        self.deeds[number] = len(rows)

    def _in_database(self, connection: sa.Connection, name: str) -> dict[int, tuple | None]:
        r = record_table.c
        query = sa.select(r.seq, r.raw).where(r.serial == self.world.provisioned[name].serial.hex())
        return {seq: unpack_record(raw) for seq, raw in connection.execute(query)}

    def _flash(self, name: str) -> Path:
        return self.folder / f"token-{self.names.index(name)}.flash"

    def _log(self, name: str) -> list[tuple]:
        return list(logged(self._flash(name).read_bytes(), self.world.provisioned[name].log_root))

    def _watermark(self, name: str) -> int:
        image = self._flash(name).read_bytes()
        copy = MemoryFlash(len(image) // MemoryFlash.block_bytes)
        copy.image[:] = image
        return open_token(copy)[0].watermark


class Moment(NamedTuple):
    """When the kiosk is killed. `early`: counted from its start, else from when its pages can be reached."""

    wait: Callable[[Hall], Awaitable[None]]
    early: bool = False


def _within(longest_s: float) -> Callable[[Hall], Awaitable[None]]:
    async def wait(hall: Hall) -> None:
        await asyncio.sleep(hall.random.uniform(0, longest_s))

    return wait


async def _connected(hall: Hall) -> None:
    await hall.until(hall.connected)


async def _stored(hall: Hall) -> None:
    before = hall.stored()
    await hall.until(lambda: hall.connected() and hall.stored() > before)


async def _answered(hall: Hall) -> None:
    before = sum(hall.deeds)
    await hall.until(lambda: sum(hall.deeds) >= before + 3)


BEGINNING = Moment(_within(0.5), early=True)
CONNECTED = Moment(_connected)  # a token is
STORED = Moment(_stored)  # more records have been, of a token that is still connected
ANSWERED = Moment(_answered)  # the clerk has been, three times


def any_moments(kills: int, seed: int) -> Iterator[Moment]:
    """Some of them while it begins."""
    random = Random(seed)
    for _ in range(kills):
        yield BEGINNING if random.random() < 0.15 else Moment(_within(3.0))


async def killed(hall: Hall, moment: Moment, found: Found) -> None:
    """A kiosk begins, wearers come, the clerk works; it is killed at a moment, and its database looked at."""
    hall.start()
    for name in hall.random.sample(hall.names, 2):
        hall.world.boards[name].press()
    work = None
    if not moment.early:
        await hall.started()
        work = asyncio.create_task(hall.clerk())
    await moment.wait(hall)
    found.between += hall.connected()
    hall.kill()
    if work is not None:
        with_error = (await asyncio.gather(work, return_exceptions=True))[0]
        assert isinstance(with_error, httpx.TransportError), repr(with_error)
    found.kills += 1
    found.records = hall.check()


async def tried(hall: Hall, moments: Iterable[Moment]) -> Found:
    """Kill a kiosk at each of these moments, then let one live until all are read."""
    found = Found()
    for moment in moments:
        await killed(hall, moment, found)
    hall.start()
    await hall.started()
    for name in hall.names:
        hall.world.boards[name].press()
    await hall.finished(hall.names)
    hall.kill()
    found.records = hall.check()
    found.deeds = sum(hall.deeds)
    log = (hall.folder / "kiosk.log").read_text()
    assert all(json.loads(line)["level"] in ("info", "warning") for line in log.splitlines()), log
    assert "Trần" not in log
    return found


def run(folder: Path, tokens: int, records: int, seed: int, moments: Iterable[Moment]) -> Found:
    """One hall, from the first kiosk to the last."""

    async def main() -> Found:
        hall = Hall(folder, tokens, records, seed)
        try:
            await hall.open()
            return await tried(hall, moments)
        finally:
            await hall.close()

    return clock.run(main())


def main() -> None:
    """A hundred kills and more, in halls with new tokens."""
    began_s = time.monotonic()
    total: Counter[str] = Counter()
    for seed in range(10):
        with tempfile.TemporaryDirectory() as folder:
            total.update(vars(run(Path(folder), 6, 4000, seed, any_moments(12, seed))))
        print(f"kiosk killed {total['kills']} times, {total['between']} of them while a token was connected: of "
              f"{total['records']} records and {total['deeds']} deeds of the clerk none lost", flush=True)  # fmt: skip
    print(f"{time.monotonic() - began_s:.0f} s")


if __name__ == "__main__":
    main()
