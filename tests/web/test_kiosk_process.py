"""The kiosk as one process: with a simulated radio, with a radio that fails, and with a list that changes."""

import asyncio
import json
import socket
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
from bleak.exc import BleakError
from web_kit import NOON_S, list_status

from host_tools import cli
from host_tools.errors import UserError
from host_tools.fleet.office import Office
from host_tools.kiosk.service import Kiosk
from host_tools.link.adapter import Adapter
from host_tools.matching.national_list import NationalList
from host_tools.matching.rules import load_rules
from host_tools.provisioning import key_file, passphrase
from host_tools.provisioning.token_keys import KioskRoot
from host_tools.simulation import clock
from host_tools.web import running
from host_tools.web.running import KioskProcess, listen
from host_tools.web.simulated import _come_again, serve_office

SCENARIO = """
title = "two at a table"
start = 2020-08-10T08:00:00+07:00
minutes = 20
kiosk = "kiosk"
[places]
kiosk = { at = [50.0, 50.0], room = "hall" }
seat = { at = [45.0, 50.0], room = "hall" }
chair = { at = [46.0, 50.0], room = "hall" }
[[people]]
name = "An"
device = "token"
stays = [["08:00", "seat"]]
[[people]]
name = "Khoa"
device = "android"
infected = true
stays = [["08:00", "chair"]]
"""


@pytest.mark.vm
def test_from_the_button_to_the_screen(tmp_path, monkeypatch):
    """A wearer in the simulated office presses, and a browser that listens sees the verdict."""
    monkeypatch.setattr(clock.VirtualLoop, "keep_pace", lambda _loop: None)  # nobody watches: no need to wait
    path = tmp_path / "scenario.toml"
    path.write_text(SCENARIO, encoding="utf-8")

    async def first_verdict(port: int) -> tuple[str, str, int]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n")
        async for line in reader:
            if line.startswith(b"data: "):
                picture = json.loads(line[6:])
                for code, state, _, _ in picture["cards"]:
                    if state in ("safe", "exposed"):
                        writer.close()
                        return code, state, picture["near"] + picture["far"]
        raise AssertionError("the kiosk hung up")

    async def main():
        offices: list[Office] = []
        with listen("127.0.0.1", 0) as listener:
            serving = asyncio.create_task(
                serve_office(path, 1, tmp_path / "out", load_rules(), listener, frozenset(), offices.append)
            )  # fmt: skip
            verdict = asyncio.create_task(first_verdict(listener.getsockname()[1]))
            await asyncio.wait([serving, verdict], return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
            (row,) = offices[0].listing.page("test").rows
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            return verdict.result(), row

    (code, state, around), row = clock.run(main())
    assert state == "exposed"
    assert 1 <= around <= 2
    assert (row.short_code, row.state, row.name) == (code, "assigned", "An")
    assert row.last_sync_s is not None


def test_whom_the_officer_calls_comes_to_the_simulated_kiosk():
    """The one whose token is awaited is among those who come next; not while the token is being asked for its code."""
    pressed = []
    names = {"An": bytes(8), "Bình": bytes(range(8))}
    awaited = SimpleNamespace(serial=names["An"], state="waiting")
    world: Any = SimpleNamespace(
        provisioned={name: SimpleNamespace(serial=serial) for name, serial in names.items()},
        boards={name: SimpleNamespace(press=lambda name=name: pressed.append(name)) for name in names},
        check=lambda: None,
        call_to_kiosk=lambda *_: None,
    )
    process: Any = SimpleNamespace(releases=SimpleNamespace(all=lambda: [awaited]))

    async def main():
        coming = asyncio.create_task(_come_again(world, 1, process))
        await asyncio.sleep(26)  # nobody stays away for longer
        assert pressed.count("An") >= 1
        awaited.state = "code"
        pressed.clear()
        await asyncio.sleep(600)
        assert set(pressed) == {"Bình"}
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)

    clock.run(main())


class Scanner:
    """Fails a few times, then hears nothing."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.starts = 0

    async def start(self) -> None:
        self.starts += 1
        if self.starts <= self.failures:
            raise BleakError("No Bluetooth adapters found.")

    async def stop(self) -> None:
        pass


class Lists:
    def __init__(self) -> None:
        self.status = list_status()
        self.away = False

    def load(self, now_s: float):
        if self.away:
            raise UserError("The list cannot be read.")
        return NationalList([], []), self.status


def process_with(office, lists):
    return KioskProcess(office, Adapter(), lists, KioskRoot(bytes(32)), load_rules(), lambda: NOON_S)


@pytest.fixture
def small_office(tmp_path):
    with Office(tmp_path / "kiosk.sqlite", now=lambda: NOON_S) as office:
        yield office


def test_an_adapter_that_was_away_comes_back(small_office, monkeypatch):
    """Trouble is shown while it lasts; later the scan begins anew by itself, since no adapter says that it was away."""
    scanner = Scanner(2)
    monkeypatch.setattr(Adapter, "scanner", lambda *_: scanner)

    async def main():
        process = process_with(small_office, Lists())
        reading = asyncio.create_task(process.read_tokens())
        await asyncio.sleep(1)
        assert process.screen.trouble
        await asyncio.sleep(3 * running.RETRY_S)
        assert not process.screen.trouble
        assert scanner.starts == 3
        await asyncio.sleep(running.RESTART_SCAN_S + running.RETRY_S)
        assert scanner.starts == 4
        monkeypatch.setattr(Kiosk, "busy", True)
        await asyncio.sleep(2 * running.RESTART_SCAN_S)
        assert scanner.starts == 4, "whoever is being served is not cut off"
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)

    clock.run(main())


def test_a_new_list_is_held_against_what_is_stored(small_office, monkeypatch):
    lists = Lists()
    process = process_with(small_office, lists)
    matched = []
    monkeypatch.setattr(
        small_office.results, "rematch", lambda cases, *_: matched.append(cases) or SimpleNamespace(tokens=0, alerts=0)
    )
    process._match_new_list()
    process._renew_list()
    process._match_new_list()
    assert len(matched) == 1, "it may have come while the kiosk was off, and is matched once, however often it is read"
    lists.status = list_status("ab" * 32)
    process._renew_list()
    process._match_new_list()
    assert matched[1:] == [process.cases.cases]
    used, _, version = process._kiosk.listed
    assert used is process.cases.cases
    assert version is not None
    assert version.digest == "ab" * 32


def test_a_list_that_cannot_be_renewed_stays_in_use_and_says_so(small_office):
    lists = Lists()
    process = process_with(small_office, lists)
    before = process.cases.cases
    lists.away = True
    process._renew_list()
    assert process.cases.cases is before
    assert process.cases.status.problem == "The list cannot be read. The list of before stays in use."
    lists.away = False
    process._renew_list()
    assert process.cases.status.problem is None


def test_a_list_that_could_not_be_matched_is_matched_later(small_office, monkeypatch):
    process = process_with(small_office, Lists())
    runs = []

    def rematch(cases, *_):
        runs.append(cases)
        if len(runs) == 1:
            raise UserError("The database is away.")
        return SimpleNamespace(tokens=0, alerts=0)

    monkeypatch.setattr(small_office.results, "rematch", rematch)
    with pytest.raises(UserError):
        process._match_new_list()
    process._match_new_list()
    process._match_new_list()
    assert len(runs) == 2


def test_a_taken_port_is_told(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv(passphrase.VARIABLE, "only for the test")
    keys = tmp_path / "kiosk.key"
    key_file.save(keys, KioskRoot(bytes(32)), "only for the test")
    small_list = tmp_path / "list.json"
    small_list.write_text('{"data": []}')
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = ["kiosk", "--cases", str(small_list), "--database", str(tmp_path / "k.sqlite"), "--port", port]
        words += ["--keys", str(keys)]
        assert cli.run(cli.build_app(), words) == 2
    assert f"Port {port} of 127.0.0.1 cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize(("given", "missing"), [([], "--cases"), (["--cases", "list.json"], "--keys")])
def test_hardware_needs_a_list_and_a_key(given, missing, capsys):
    assert cli.run(cli.build_app(), ["kiosk", *given]) == 2
    assert f"name it with {missing}. Nothing was started." in capsys.readouterr().err


def test_a_job_that_fails_is_tried_again():
    runs = []

    def job():
        runs.append(1)
        raise UserError("The database is away.")

    async def main():
        again = asyncio.create_task(running._every(60, job))
        await asyncio.sleep(150)
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)

    clock.run(main())
    assert len(runs) == 3


def test_time_that_keeps_pace_never_runs_ahead():
    async def main():
        loop = asyncio.get_running_loop()
        assert isinstance(loop, clock.VirtualLoop)
        await asyncio.sleep(3600)
        loop.keep_pace()
        began_s, wall_s = loop.time(), time.monotonic()
        for _ in range(5):
            await asyncio.sleep(0.01)
            assert loop.time() - began_s <= time.monotonic() - wall_s + 0.001
        assert time.monotonic() - wall_s >= 0.05

    clock.run(main())


def test_what_belongs_in_a_thread_takes_no_virtual_time():
    """It happens at once and in order; in a loop that keeps pace it is in a thread indeed."""

    async def main():
        loop = asyncio.get_running_loop()
        assert isinstance(loop, clock.VirtualLoop)
        done: list[int] = []
        later = loop.call_later(0.001, done.append, -1)
        await asyncio.gather(*(asyncio.to_thread(done.append, number) for number in range(9)))
        assert done == list(range(9))
        assert loop.time() == 0
        with pytest.raises(ValueError, match="invalid literal"):
            await asyncio.to_thread(int, "x")
        later.cancel()
        here = threading.get_ident()
        assert await asyncio.to_thread(threading.get_ident) == here
        loop.keep_pace()
        assert await asyncio.to_thread(threading.get_ident) != here

    clock.run(main())
