"""A person found positive: button, session, the authority's code, Bluezone's files, and who has met that person."""

import asyncio
import json
from datetime import date

import pytest

from host_tools.authority import release as authority
from host_tools.authority import release_bundle
from host_tools.errors import UserError
from host_tools.kiosk.release import release
from host_tools.link.adapter import virtual
from host_tools.matching import national_list, trace_log
from host_tools.matching.assessment import assess
from host_tools.matching.case_finder import CaseFinder
from host_tools.matching.case_index import CaseIndex
from host_tools.matching.exposures import match_sightings
from host_tools.matching.rules import load_rules
from host_tools.provisioning.token_keys import AuthorityRoot
from host_tools.simulation import clock
from host_tools.simulation.bench import sync_at_kiosk
from host_tools.simulation.world import World
from host_tools.storage.store import Store
from tracing import keys, wire

pytestmark = pytest.mark.vm

DAY = date(2020, 8, 10)  # UTC, of the scenario


@pytest.fixture
def at_kiosk(make_scenario, rom, tmp_path):
    """An and Bình side by side for 40 minutes, then `job(world, code, store)` with An at the kiosk."""

    def run(job):
        async def main():
            world = World(make_scenario({"An": "token", "Bình": "token"}, 60), 21, tmp_path / "run", rom)
            try:
                await world.start()
                await asyncio.sleep(40 * 60)
                world.call_to_kiosk("An", 0)
                world.boards["An"].press()
                with Store(tmp_path / "kiosk.sqlite") as store:
                    return await job(world, wire.short_code(world.provisioned["An"].serial), store)
            finally:
                await world.close()

        return clock.run(main())

    return run


def test_released_keys_find_whom_the_person_has_met(at_kiosk, tmp_path):
    told = []

    async def job(world, code, store):
        roots = world.roots

        async def ask(serial, challenge, wrong):
            told.append(wrong)
            if not wrong:
                return "22222222"
            await asyncio.sleep(100.0)  # the authority is busy
            letters = authority.code_for(roots.authority, serial, challenge)
            return f"{letters[:4].lower()} {letters[4:]}"

        found = await release(virtual(world.kiosk), code, roots.kiosk, store, world.now_s, ask)
        await sync_at_kiosk(world, "Bình", tmp_path)
        world.check()
        return found, store.encounters(world.provisioned["Bình"].serial), roots.authority

    found, met, root = at_kiosk(job)
    assert told[0] == ""
    assert "does not accept this code" in told[1]
    assert len(told) == 2
    release_bundle.write(tmp_path / "release.json", found)
    traced = authority.trace(root, release_bundle.load(tmp_path / "release.json"), DAY)
    authority.write(traced, tmp_path / "out")

    info = json.loads((tmp_path / "out" / "infof.json").read_text())
    assert info.keys() == {"base_id", "time", "daily_key", "time_start"}
    entry = traced.list_entry
    assert (info["daily_key"], info["time_start"]) == (entry["daily_key"], entry["time_start"])
    (tmp_path / "list.json").write_text(json.dumps({"data": [entry]}))
    listed = national_list.load(tmp_path / "list.json")
    assert not listed.rejected
    verdict = assess(met, listed, CaseFinder(listed.cases), load_rules())  # of Bình's log
    assert verdict.kind == "exposed"

    log = trace_log.load(tmp_path / "out" / "data_trace.txt")
    assert not log.rejected
    ids = set(keys.day_ids(bytes.fromhex(info["daily_key"])))
    assert {row.own_id for row in log.sightings} <= ids
    # The same from the other side: what An's history says about Bình is found by An's key, as with a phone's upload.
    peer = trace_log.load(tmp_path / "out" / "data_trace.txt", peer_view=True)
    assert len(match_sightings(peer.sightings, CaseIndex(listed.cases))) == len({row.own_id for row in log.sightings})


def test_without_the_authority_nothing_is_released(at_kiosk):
    tries = []

    async def job(world, code, store):
        async def ask(serial, challenge, _wrong):
            tries.append(challenge)
            return authority.code_for(AuthorityRoot(bytes(32)), serial, challenge)

        with pytest.raises(UserError, match="refused 3 codes"):
            await release(virtual(world.kiosk), code, world.roots.kiosk, store, world.now_s, ask)
        world.check()
        return store.encounters(world.provisioned["An"].serial)

    assert at_kiosk(job)  # the log is the kiosk's to read
    assert len(tries) == 3
    assert len(set(tries)) == 1


def test_without_the_button_nobody_is_found(at_kiosk):
    async def job(world, code, store):
        async def ask(_serial, _challenge, _wrong):
            raise AssertionError("there is no session")

        await asyncio.sleep(70.0)
        with pytest.raises(UserError, match="press the button"):
            await release(virtual(world.kiosk), code, world.roots.kiosk, store, world.now_s, ask, 20.0)

    at_kiosk(job)
