"""What is on the screen, without a browser: cards come, go, and hold nothing longer than they must."""

import asyncio
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from web_kit import CODES, NOON_S, result, serial

from host_tools.fleet.clock import ClockWrong
from host_tools.link.bluetooth import AdapterMissing
from host_tools.link.errors import LinkLost, SessionError, SessionRefused
from host_tools.matching.explanation import ListVersion
from host_tools.matching.rules import load_rules
from host_tools.simulation import clock
from host_tools.storage.database import StorageError
from host_tools.web.around import BLUEZONE_UUID, COMPANY, HEARD_S, Around, watching
from host_tools.web.cases import OLD_S
from host_tools.web.failures import failure_of
from host_tools.web.history import SHOWN_DAYS, history_svg, shown
from host_tools.web.screen import MOST_CARDS, READ_S, SHOW_S, SILENT_S, LiveScreen, details
from tracing import kiosk_messages
from tracing.wire import PHONE_SERVICE_UUID, SYNC_SERVICE_UUID


def on_screen(job):
    """Run `job(screen)` in virtual time."""

    async def main():
        screen = LiveScreen(load_rules(), Around(asyncio.get_running_loop().time))
        return await job(screen)

    return clock.run(main())


def states(screen):
    return {code: state for code, state, *_ in json.loads(screen.picture())["cards"]}


def test_cards_leave_by_themselves():
    async def job(screen):
        screen.finished(CODES[0], result(0))
        screen.found(CODES[1])
        await asyncio.sleep(SHOW_S - 1)
        assert states(screen) == {CODES[0]: "safe", CODES[1]: "found"}
        await asyncio.sleep(2)
        assert states(screen) == {CODES[1]: "found"}
        screen.progress(CODES[1], 1, 2)
        await asyncio.sleep(SILENT_S - 1)
        assert states(screen) == {CODES[1]: "reading"}
        await asyncio.sleep(2)
        assert states(screen) == {}

    on_screen(job)


@pytest.mark.parametrize("pause_s", [1.0, 7.0, SHOW_S - 1])
def test_nobody_keeps_a_verdict_on_the_screen(pause_s):
    """It stays while its wearer reads, and goes under the eyes of who came after; a new press is a new card."""

    async def job(screen):
        loop = asyncio.get_running_loop()
        for _ in range(2):
            screen.found(CODES[0])
            screen.finished(CODES[0], result(0))
            since_s = loop.time()
            while screen.stay(CODES[0]):
                assert screen.cards[CODES[0]].details is not None
                await asyncio.sleep(pause_s)
            assert READ_S <= loop.time() - since_s < READ_S + pause_s + 1
            assert states(screen) == {}

    on_screen(job)


def test_whoever_calls_itself_by_a_code_takes_no_verdict_from_the_screen():
    """A device in the corridor is found, and fails; the token itself proves who it is before its log is read."""

    async def job(screen):
        screen.finished(CODES[0], result(0))
        screen.found(CODES[0])
        screen.failed(CODES[0], LinkLost(), True)
        assert states(screen) == {CODES[0]: "safe"}
        assert screen.cards[CODES[0]].details is not None
        screen.progress(CODES[0], 0, 5)
        assert states(screen) == {CODES[0]: "reading"}
        assert screen.cards[CODES[0]].details is None

    on_screen(job)


@pytest.mark.parametrize("released", [True, False])
def test_a_release_stands_for_as_long_as_a_session_and_shows_no_verdict(released):
    """A call to the authority takes minutes; what the card said before has gone."""

    async def job(screen):
        screen.finished(CODES[0], result(0))
        before = screen.cards[CODES[0]]
        screen.handing_over(CODES[0])
        assert before.details is None
        await asyncio.sleep(290)
        assert states(screen) == {CODES[0]: "release"}
        screen.handed_over(CODES[0], released)
        assert states(screen) == ({CODES[0]: "released"} if released else {})
        await asyncio.sleep(SHOW_S + 1)
        assert states(screen) == {}

    on_screen(job)


def test_who_comes_again_gets_a_new_card():
    async def job(screen):
        screen.finished(CODES[0], result(0))
        old = screen.cards[CODES[0]]
        screen.progress(CODES[0], 0, 5)
        assert old.details is None
        await asyncio.sleep(SHOW_S + 1)
        assert states(screen) == {CODES[0]: "reading"}

    on_screen(job)


def test_a_card_is_cleared_by_its_wearer_only_after_the_verdict():
    async def job(screen):
        screen.found(CODES[0])
        screen.clear(CODES[0])
        assert states(screen) == {CODES[0]: "found"}
        screen.failed(CODES[0], LinkLost(), True)
        assert states(screen) == {CODES[0]: "again"}
        screen.failed(CODES[0], LinkLost(), False)
        screen.clear(CODES[0])
        screen.clear(CODES[0])
        assert states(screen) == {}

    on_screen(job)


def test_strangers_names_and_crowds_take_nobodys_place():
    """A device may call itself anything, and there may be any number of them."""

    async def job(screen):
        for name in ("<b>x</b>", "", "7407nx", "7407NX7", "Á407NX"):
            screen.found(name)
        assert states(screen) == {}
        screen.finished(CODES[0], result(0))
        screen.progress(CODES[1], 1, 9)
        for number in range(300):
            screen.found(f"{number:06}")
        assert len(screen.cards) == MOST_CARDS
        assert states(screen)[CODES[0]] == "safe"
        assert states(screen)[CODES[1]] == "reading"

    on_screen(job)


def test_a_verdict_stands_under_the_code_of_its_serial():
    async def job(screen):
        screen.found(CODES[2])
        screen.finished(CODES[2], result(3))
        assert states(screen) == {CODES[3]: "safe"}

    on_screen(job)


def test_pictures_come_when_something_changes_and_beat_when_not():
    async def job(screen):
        seen = []

        async def look():
            async for picture in screen.pictures():
                seen.append(picture)

        looking = asyncio.create_task(look())
        await asyncio.sleep(1)
        assert len(seen) == 1
        for done in range(1000):
            screen.progress(CODES[0], done, 1000)
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.2)
        assert 10 <= len(seen) <= 14
        assert json.loads(seen[-1])["cards"] == [[CODES[0], "reading", 999, 1000]]
        before = len(seen)
        await asyncio.sleep(40)
        assert seen[before:] == ["", ""]
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        assert not screen._browsers

    on_screen(job)


def heard(services, ident=b"", dbm=-60):
    return SimpleNamespace(service_uuids=services, manufacturer_data={COMPANY: ident} if ident else {}, rssi=dbm)


def test_around_counts_persons_for_half_a_minute():
    now = [0.0]
    around = Around(lambda: now[0])
    around.note("A", heard([BLUEZONE_UUID], b"twelve bytes"))
    around.note("B", heard([BLUEZONE_UUID.upper()], b"twelve bytes"))  # one person, a new address
    around.note("C", heard([PHONE_SERVICE_UUID], dbm=-90))
    around.note("D", heard(["180f"]))
    assert around.counts() == (1, 1)
    now[0] = HEARD_S - 1
    around.note("C", heard([PHONE_SERVICE_UUID], dbm=-90))
    now[0] = HEARD_S + 1
    assert around.counts() == (0, 1)
    for number in range(5000):
        around.note(str(number), heard([BLUEZONE_UUID], number.to_bytes(12, "big")))
    assert sum(around.counts()) == 2000


@pytest.mark.parametrize("services", [[SYNC_SERVICE_UUID], [SYNC_SERVICE_UUID.upper(), BLUEZONE_UUID], [BLUEZONE_UUID]])
def test_the_watching_adapter_passes_tokens_in_sync_mode_on(monkeypatch, services):
    made = {}
    monkeypatch.setattr("host_tools.link.adapter.BleakScanner", lambda **options: made.update(options))
    from host_tools.link.adapter import real

    passed = []
    around = Around(lambda: 0.0)
    watching(real(), around).scanner(lambda *found: passed.append(found), [SYNC_SERVICE_UUID])
    assert {SYNC_SERVICE_UUID, BLUEZONE_UUID, PHONE_SERVICE_UUID.lower()} == set(made["service_uuids"])
    made["detection_callback"](SimpleNamespace(address="A"), heard(services))
    assert len(passed) == any(service.lower() == SYNC_SERVICE_UUID for service in services)
    assert sum(around.counts()) == (BLUEZONE_UUID in services)


def test_details_say_how_long_the_memory_lasts():
    told = details(result(1, days=9), load_rules())
    assert told.log_days == 60
    assert told.previous_sync_s == NOON_S - 86400
    nothing = result(1, days=0)
    assert details(nothing, load_rules()).log_days is None


def test_an_old_list_is_told():
    found = result(1)
    for age_s, old in ((3600, False), (OLD_S, True), (None, False)):
        version = ListVersion("5f" * 32, age_s=age_s)
        assert details(replace(found, list_version=version), load_rules()).list_old is old
    assert not details(replace(found, list_version=None), load_rules()).list_old


def kinds_below(error):
    return {error, *(kind for below in error.__subclasses__() for kind in kinds_below(below))}


def test_every_error_of_a_sync_has_a_kind_of_its_own():
    """None falls to the last one, whatever the session, the link, the desk and the database may raise."""
    kinds = kinds_below(SessionError) | kinds_below(StorageError) | {ClockWrong, AdapterMissing}
    for kind in kinds - {SessionRefused}:
        assert failure_of(kind.__new__(kind)) != "kiosk", kind
    for code in (value for name, value in vars(kiosk_messages).items() if name.startswith("ERROR_")):
        assert failure_of(SessionRefused(code)) in ("silent", "elsewhere", "foreign", "clock", "token", "lost")


def test_a_long_history_shows_its_last_days():
    days = shown(details(result(1, days=30), load_rules()).days)
    assert days[-1] == details(result(1, days=30), load_rules()).days[-1]
    svg = history_svg(days, "A & B")
    assert svg.count('class="near"') == SHOWN_DAYS
    assert "A &amp; B. " in svg
    assert "style=" not in svg
    assert history_svg([], "none").count("<rect") == 0


def test_serials_make_distinct_codes():
    assert len({serial(number) for number in range(40)}) == len(set(CODES)) == 40
