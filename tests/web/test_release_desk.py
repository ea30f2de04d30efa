"""A release that an officer begins on a page: from the button to the file for the authority, and all that fails."""

import asyncio
import json
from datetime import date
from typing import Any

import pytest
from web_kit import AUTHORITY, CHALLENGE, NOON_S, NoCases, ReleasingToken, serial

from host_tools.authority import release as authority
from host_tools.authority import release_bundle
from host_tools.fleet.office import Office
from host_tools.kiosk.release_desk import KEEP_S, MOST, PRESS_WITHIN_S, SESSION_S, ReleaseDesk, ReleaseError
from host_tools.kiosk.service import CONSENT_S
from host_tools.link.adapter import virtual
from host_tools.matching.rules import load_rules
from host_tools.simulation import clock
from host_tools.simulation.bench import crowd
from host_tools.simulation.rom import rom_image
from host_tools.simulation.world import World
from host_tools.storage.database import StorageError
from host_tools.web.running import KioskProcess
from host_tools.web.simulated import enter_wearers
from tracing.wire import short_code

OFFICER = "lan"
TOKEN = serial(1)
CODE = short_code(TOKEN)
RIGHT = authority.code_for(AUTHORITY, TOKEN, CHALLENGE)


def deeds(office):
    """What the audit holds of a release, oldest first."""
    rows = office.audit.rows(limit=500)[::-1]
    return [(row.actor, row.action, row.detail) for row in rows if "release" in row.action]


# --- With tokens in VMs ----------------------------------------------------------------------------------------


@pytest.fixture
def kiosk_with_two(tmp_path):
    """Two wearers side by side for half an hour, then `job(world, office, process)` at a kiosk that reads tokens."""

    def run(job):
        async def main():
            scenario = crowd(2, 3600, False)
            world = World(scenario, 21, tmp_path / "run", rom_image())
            with Office(tmp_path / "kiosk.sqlite", now=lambda: int(world.now_s())) as office:
                try:
                    await world.start()
                    enter_wearers(office, world)
                    await asyncio.sleep(1800)
                    process = KioskProcess(
                        office, virtual(world.kiosk), NoCases(), world.roots.kiosk, load_rules(), world.now_s
                    )
                    reading = asyncio.create_task(process.read_tokens())
                    try:
                        return await job(world, office, process)
                    finally:
                        reading.cancel()
                        await asyncio.gather(reading, return_exceptions=True)
                        world.check()
                finally:
                    await world.close()

        return clock.run(main())

    return run


async def until(process, number, *states):
    """The handover once it is in one of these states, and which cards the token had until then."""
    cards = set()
    async with asyncio.timeout(120):
        while (seen := process.releases.look(number)).state not in states:
            cards |= {card.state for card in process.screen.cards.values() if card.code == seen.code}
            await asyncio.sleep(0.1)
    return seen, cards


@pytest.mark.vm
def test_from_the_button_to_the_authority(kiosk_with_two, tmp_path):
    """The kiosk gives the awaited token no sync, serves another meanwhile, and leaves nothing on its disk."""

    async def job(world, office, process):
        (name, given), (other, _) = world.provisioned.items()
        number = (await process.releases.begin(OFFICER, given.serial)).number
        world.call_to_kiosk(name, 0)
        world.boards[name].press()
        asked, cards = await until(process, number, "code")
        assert cards == {"release"}
        world.call_to_kiosk(other, 1)
        world.boards[other].press()
        await asyncio.sleep(100)  # the authority is busy, the token is kept awake, and the other one is read
        assert process.screen.cards[asked.code].state == "release"
        assert office.store.encounters(world.provisioned[other].serial)
        process.releases.enter_code("mai", number, "2222 2222")
        refused, _ = await until(process, number, "code", "failed")
        while refused.tries_left == 3:
            await asyncio.sleep(0.1)
            refused, _ = await until(process, number, "code", "failed")
        assert (refused.state, refused.tries_left, refused.challenge) == ("code", 2, asked.challenge)
        assert "does not accept this code" in refused.problem
        letters = authority.code_for(world.roots.authority, given.serial, asked.challenge)
        process.releases.enter_code(OFFICER, number, f"{letters[:4].lower()}-{letters[4:]}")
        seen, _ = await until(process, number, "done", "failed")
        assert process.screen.cards[asked.code].state == "released"
        file = await process.releases.fetch("mai", number)
        stored = office.store.encounters(given.serial)
        assert seen.encounters == len(stored) > 0
        return world.roots.authority, given, stored, file, deeds(office), [letters, asked.challenge.hex()]

    root, given, stored, file, audit, secrets = kiosk_with_two(job)
    path = tmp_path / "release.json"
    path.write_bytes(file)
    bundle = release_bundle.load(path)
    assert bundle.encounters == stored
    traced = authority.trace(root, bundle, date(2020, 8, 10))
    assert (traced.daily_key, traced.encounters) == (given.daily_key, stored)
    assert audit == [
        (OFFICER, "begin release", {}),
        ("mai", "release code refused", {"tries_left": 2}),
        (OFFICER, "release", {"encounters": len(stored)}),
        ("mai", "fetch release", {"encounters": len(stored)}),
    ]
    on_disk = b"".join(left.read_bytes() for left in tmp_path.glob("kiosk.sqlite*"))
    assert given.serial.hex().encode() in on_disk
    for secret in (bundle.escrow, *(text.encode() for text in (bundle.escrow.hex(), *secrets))):
        assert secret not in on_disk
        assert secret.upper() not in on_disk


@pytest.mark.vm
def test_three_wrong_codes_and_no_verdict_for_that_press(kiosk_with_two):
    async def job(world, office, process):
        name, given = next(iter(world.provisioned.items()))
        number = (await process.releases.begin(OFFICER, given.serial)).number
        world.call_to_kiosk(name, 0)
        world.boards[name].press()
        for left in (3, 2, 1):
            seen, _ = await until(process, number, "code")
            assert seen.tries_left == left
            process.releases.enter_code(OFFICER, number, "22222222")
        seen, _ = await until(process, number, "failed")
        assert "refused 3 codes" in seen.problem
        assert seen.tries_left == 0
        for _ in range(int(CONSENT_S + 10)):
            await asyncio.sleep(1)
            assert seen.code not in process.screen.cards
        assert office.store.encounters(given.serial), "the log is the kiosk's to read"
        with pytest.raises(ReleaseError, match="no file"):
            await process.releases.fetch(OFFICER, number)
        world.boards[name].press()
        await asyncio.sleep(30)
        assert process.screen.cards[seen.code].state == "safe", "the next press is for a sync again"

    kiosk_with_two(job)


# --- With a session that needs no radio ------------------------------------------------------------------------


class Screen:
    """What the wearer was shown."""

    def __init__(self):
        self.told = []

    def handing_over(self, code):
        self.told.append((code, "begun"))

    def handed_over(self, code, released):
        self.told.append((code, released))


@pytest.fixture
def office(tmp_path):
    with Office(tmp_path / "kiosk.sqlite", now=lambda: NOON_S) as office:
        for number in (1, 2):
            office.ledger.register("test", serial(number))
        office.ledger.assign("test", TOKEN, office.people.enter("test", "NV1", "Nguyễn Thị Một"))
        yield office


@pytest.fixture
def at_desk(office):
    """Run `job(desk, screen)` in virtual time."""

    def run(job):
        async def main():
            screen = Screen()
            return await job(ReleaseDesk(office, screen, lambda: NOON_S), screen)

        return clock.run(main())

    return run


async def come(desk, token, code=CODE):
    """The token is served until the desk wants a code, or the visit is over."""
    visit = asyncio.create_task(desk.serve(code, token.session()))
    await asyncio.sleep(1)
    return visit


def test_what_was_released_is_fetched_once(at_desk, office):
    async def job(desk, screen):
        number = (await desk.begin(OFFICER, TOKEN)).number
        assert desk.holds(CODE)
        visit = await come(desk, token := ReleasingToken(1))
        assert not desk.ready(CODE), "the wearer has one token"
        desk.enter_code(OFFICER, number, RIGHT)
        await visit
        assert token.served == ["hello", "challenge", "release", "bye"]
        assert screen.told == [(CODE, "begun"), (CODE, True)]
        assert not desk.holds(CODE)
        with pytest.raises(ReleaseError, match="a release of token"):
            await desk.begin(OFFICER, TOKEN)
        assert json.loads(await desk.fetch(OFFICER, number))["escrow"] == bytes(range(64)).hex()
        assert desk.look(number).state == "fetched"
        with pytest.raises(ReleaseError, match="no file"):
            await desk.fetch(OFFICER, number)
        await asyncio.sleep(KEEP_S + 1)
        assert desk.all() == []

    at_desk(job)


@pytest.mark.parametrize(("how", "action"), [("deleted", "delete release"), ("too late", "release")])
def test_what_nobody_fetches_goes(at_desk, office, how, action):
    async def job(desk, _screen):
        number = (await desk.begin(OFFICER, TOKEN)).number
        visit = await come(desk, ReleasingToken(1))
        desk.enter_code(OFFICER, number, RIGHT)
        await visit
        if how == "deleted":
            await desk.cancel(OFFICER, number)
        else:
            await asyncio.sleep(KEEP_S - 5)
            assert desk.look(number).state == "done"
            await asyncio.sleep(5)
        with pytest.raises(ReleaseError, match="is over"):
            await desk.fetch(OFFICER, number)

    at_desk(job)
    assert deeds(office)[-1][1] == action


def test_cancelled_while_waiting(at_desk, office):
    async def job(desk, screen):
        number = (await desk.begin(OFFICER, TOKEN)).number
        await desk.cancel(OFFICER, number)
        assert not desk.holds(CODE)
        await desk.serve(CODE, ReleasingToken(1).session())
        assert screen.told == []
        assert (await desk.begin(OFFICER, TOKEN)).number != number

    at_desk(job)
    assert [action for _, action, _ in deeds(office)] == ["begin release", "cancel release", "begin release"]


@pytest.mark.parametrize("moment", ["reading", "code", "checking"])
def test_cancelled_while_the_token_is_here(at_desk, office, moment):
    async def job(desk, screen):
        number = (await desk.begin(OFFICER, TOKEN)).number
        token = ReleasingToken(1)
        visit = asyncio.create_task(desk.serve(CODE, token.session()))
        while desk.look(number).state != ("reading" if moment == "reading" else "code"):
            await asyncio.sleep(0)
        if moment == "checking":
            desk.enter_code(OFFICER, number, RIGHT)
        await desk.cancel(OFFICER, number)
        await visit
        assert desk.all() == []
        assert screen.told == [(CODE, "begun"), (CODE, False)]

    at_desk(job)
    assert "release" not in [action for _, action, _ in deeds(office)]


def test_the_link_is_lost_while_the_officer_types(at_desk):
    async def job(desk, screen):
        number = (await desk.begin(OFFICER, TOKEN)).number
        token = ReleasingToken(1)
        visit = await come(desk, token)
        token.lost = True
        await visit
        seen = desk.look(number)
        assert seen.state == "failed"
        assert "connection to the token was lost" in seen.problem
        with pytest.raises(ReleaseError, match="No code is wanted now"):
            desk.enter_code(OFFICER, number, RIGHT)
        assert screen.told[-1] == (CODE, False)
        assert (await desk.begin(OFFICER, TOKEN)).number in [each.number for each in desk.all()], "without another word"
        assert len(desk.all()) == 1

    at_desk(job)


def test_a_link_that_is_lost_before_the_challenge_is_tried_again(at_desk):
    async def job(desk, _screen):
        number = (await desk.begin(OFFICER, TOKEN)).number
        token = ReleasingToken(1)
        token.lost = True
        await desk.serve(CODE, token.session())
        seen = desk.look(number)
        assert (seen.state, desk.holds(CODE), desk.ready(CODE)) == ("waiting", True, False)
        assert "connection to the token was lost" in seen.problem
        await asyncio.sleep(5)
        assert desk.ready(CODE)
        token.lost = False
        await come(desk, token)
        assert desk.look(number).state == "code"

    at_desk(job)


def test_time_runs_out(at_desk):
    async def job(desk, _screen):
        number = (await desk.begin(OFFICER, TOKEN)).number
        await asyncio.sleep(PRESS_WITHIN_S + 1)
        assert "not pressed within 10 minutes" in desk.look(number).problem
        assert not desk.holds(CODE)
        number = (await desk.begin(OFFICER, TOKEN)).number
        visit = await come(desk, ReleasingToken(1))
        assert desk.look(number).until_s == NOON_S + int(SESSION_S)
        await asyncio.sleep(SESSION_S)
        await visit
        assert "waits five minutes" in desk.look(number).problem

    at_desk(job)


def test_another_token_with_the_same_letters_releases_nothing(at_desk):
    async def job(desk, _screen):
        number = (await desk.begin(OFFICER, TOKEN)).number
        token = ReleasingToken(2)
        await desk.serve(CODE, token.session())
        assert desk.look(number).state == "failed"
        assert "Another token has the short code" in desk.look(number).problem
        assert token.served == ["hello"]

    at_desk(job)


@pytest.mark.parametrize("deed", ["lose", "revoke"])
def test_a_token_that_is_not_for_who_holds_it_releases_nothing(at_desk, office, deed):
    async def job(desk, _screen):
        number = (await desk.begin(OFFICER, TOKEN)).number
        getattr(office.ledger, deed)("clerk", TOKEN)
        token = ReleasingToken(1)
        await desk.serve(CODE, token.session())
        assert desk.look(number).state == "failed"
        assert token.served == ["hello"]

    at_desk(job)


def test_an_earlier_wearers_contacts_are_not_released(at_desk, office):
    """The one who has the token now was given it after its first encounter."""
    with office.database.writing() as connection:
        connection.exec_driver_sql(f"UPDATE assignment SET since_s = {NOON_S + 450}")

    async def job(desk, _screen):
        number = (await desk.begin(OFFICER, TOKEN)).number
        visit = await come(desk, ReleasingToken(1))
        desk.enter_code(OFFICER, number, RIGHT)
        await visit
        return json.loads(await desk.fetch(OFFICER, number))["encounters"]

    assert [each["start_s"] for each in at_desk(job)] == [NOON_S + 900, NOON_S + 1800]
    assert len(office.store.encounters(TOKEN)) == 3


@pytest.mark.parametrize("how", ["the radio is stopped", "a fault of the program"])
def test_whatever_ends_the_visit_the_token_is_not_held_for_ever(at_desk, how):
    async def job(desk, screen):
        number = (await desk.begin(OFFICER, TOKEN)).number
        token: Any = ReleasingToken(1)
        if how == "a fault of the program":
            token.next_seq = None
        visit = await come(desk, token)
        visit.cancel()
        (ended,) = await asyncio.gather(visit, return_exceptions=True)
        assert isinstance(ended, TypeError if how == "a fault of the program" else asyncio.CancelledError)
        assert desk.look(number).state == "failed"
        assert "stopped reading" in desk.look(number).problem
        assert not desk.holds(CODE)
        assert screen.told[-1] == (CODE, False)

    at_desk(job)


def test_a_database_that_is_away_lets_nothing_out(at_desk, monkeypatch):
    """What cannot be written down does not happen."""

    async def job(desk, _screen):
        number = (await desk.begin(OFFICER, TOKEN)).number
        visit = await come(desk, ReleasingToken(1))

        def away(*_arguments, **_detail):
            raise StorageError("The database cannot be used.")

        monkeypatch.setattr(desk, "_note", away)
        desk.enter_code(OFFICER, number, RIGHT)
        await visit
        assert (desk.look(number).state, desk.look(number).problem) == ("failed", "The database cannot be used.")
        with pytest.raises(StorageError):
            await desk.begin(OFFICER, serial(2))
        assert not desk.holds(short_code(serial(2)))

    at_desk(job)


@pytest.mark.parametrize("text", ["", "2222222", "222222222", "0222 2222", "ÁBCDEFGH"])
def test_what_can_be_no_code_loses_no_try(at_desk, text):
    async def job(desk, _screen):
        number = (await desk.begin(OFFICER, TOKEN)).number
        await come(desk, token := ReleasingToken(1))
        with pytest.raises(ReleaseError, match="no try is lost"):
            desk.enter_code(OFFICER, number, text)
        assert (desk.look(number).state, desk.look(number).tries_left) == ("code", 3)
        assert "release" not in token.served

    at_desk(job)


def test_one_for_each_token_and_not_many(at_desk):
    async def job(desk, _screen):
        first = (await desk.begin(OFFICER, serial(1))).number
        with pytest.raises(ReleaseError, match="already"):
            await desk.begin("mai", serial(1))
        for number in range(2, MOST + 1):
            await desk.begin(OFFICER, serial(number))
        with pytest.raises(ReleaseError, match=f"{MOST} releases"):
            await desk.begin(OFFICER, serial(30))
        await desk.cancel(OFFICER, first)
        await desk.begin(OFFICER, serial(30))
        await asyncio.sleep(PRESS_WITHIN_S + 1)
        await desk.begin(OFFICER, serial(31))
        assert len(desk.all()) == MOST, "who has failed gives way"

    at_desk(job)
