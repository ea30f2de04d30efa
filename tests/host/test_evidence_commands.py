"""`bluezone confirm` and `bluezone f2`, on files and a database as a kiosk leaves them."""

import json
import shutil
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from random import Random
from types import SimpleNamespace

import pytest

from host_tools import cli
from host_tools.matching.released_key import ReleasedKey
from host_tools.simulation.desk_logs import Relay, live
from host_tools.simulation.evidence_bench import START_S
from host_tools.simulation.scenario import Person, Place
from host_tools.storage.store import Store
from tracing import keys
from tracing.records import FLAG_CLOCK_SET, KIND_ENCOUNTER, RECORD_BYTES, pack_record
from tracing.wire import short_code

SERIALS = {name: bytes([n]) * 8 for n, name in enumerate(("An", "Bình", "Chi", "Dũng"), 1)}
CODES = {name: short_code(serial) for name, serial in SERIALS.items()}
KEYS = {name: bytes([n]) * 32 for n, name in enumerate(SERIALS, 1)}
HOUR_S = 3600


def run(*args: object) -> tuple[int, str, str]:
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        status = cli.run(cli.build_app(), [str(arg) for arg in args])
    return status, out.getvalue(), err.getvalue()


def answer(*args: object) -> dict:
    status, out, err = run(*args, "--json")
    assert (status, err) == (0, "")
    return json.loads(out)


def write_key(path, key: bytes, unix_s: int) -> None:
    day_s = unix_s // keys.DAY_S * keys.DAY_S
    info = {"base_id": key.hex(), "time": day_s, "daily_key": key.hex().upper(), "time_start": day_s}
    path.write_text(json.dumps(info))


def record(encounter, idents: dict[bytes, bytes]) -> bytes:
    buf = bytearray(RECORD_BYTES)
    e = encounter
    pack_record(
        buf, KIND_ENCOUNTER | FLAG_CLOCK_SET, 1, e.start_s, e.duration_s, e.windows, e.sightings, e.rssi_max_dbm,
        e.rssi_mean_dbm, idents.get(e.bluezone_id, e.bluezone_id),
    )  # fmt: skip
    return bytes(buf)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A database and a list: An and Bình side by side for an hour, Chi elsewhere with Bình's id replayed beside her,
    Dũng alone. Bình is the case, entry 1 of the list. The tokens have real ids; infof.json by name are their keys."""
    made = tmp_path_factory.mktemp("organisation")
    people = [
        Person(name, "token", ((0.0, Place(x_m, 0.0, room)),))
        for name, x_m, room in (("An", 0, "a"), ("Bình", 1, "a"), ("Chi", 500, "c"), ("Dũng", 900, "d"))
    ]
    logs = live(people, START_S + 300, HOUR_S, Random(1), [Relay("Bình", "Chi", 300.0, 3300.0, -60.0)])
    idents = {}
    for name, log in logs.items():
        ids = list(keys.day_ids(KEYS[name]))
        idents |= {ident: ids[slot % keys.SLOTS_PER_DAY] for slot, ident in log.ids.items()}
        write_key(made / f"{name}.json", KEYS[name], START_S)
    with Store(made / "kiosk.sqlite") as store:
        for name, serial in SERIALS.items():
            records = [(n, record(each, idents)) for n, each in enumerate(logs[name].encounters)]
            store.store_records(serial, records, START_S + HOUR_S)
            told = SimpleNamespace(firmware=(0, 1, 0), battery_mv=3000, boot=1, next_seq=99, damaged=0, dropped=0)
            store.note_sync(serial, told, START_S + 2 * HOUR_S)
    day_s = START_S // keys.DAY_S * keys.DAY_S
    times = {"time_start": day_s, "time_end": day_s + keys.DAY_S}
    entries = [{"daily_key": "AB" * 32, **times}, {"daily_key": KEYS["Bình"].hex(), **times}]
    (made / "list.json").write_text(json.dumps({"data": entries}))
    return made


def confirm(folder, token, *more):
    tokens = ("--token", CODES.get(token, token), "--owner", CODES["Bình"])
    return ("confirm", "--database", folder / "kiosk.sqlite", *tokens, "--cases", folder / "list.json", *more)


def test_two_tokens_that_met_confirm_each_other(folder):
    (row,) = answer(*confirm(folder, "An", "--case", 1))["contacts"]
    assert (row["day"], row["judged"], row["certain"]) == ("2020-08-10", "confirmed", False)
    assert 55 <= row["minutes"] <= 60


def test_a_replayed_id_stands_out(folder):
    (row,) = answer(*confirm(folder, "Chi", "--case", 1))["contacts"]
    assert row["judged"] == "one_sided"
    status, out, _ = run(*confirm(folder, "Chi", "--case", 1))
    assert status == 0
    assert "ONE-SIDED: the other log lacks it; a relay or replay is suspected" in out


def test_a_released_key_makes_it_certain(folder):
    (met,) = answer(*confirm(folder, "An", "--case", 1, "--released", folder / "An.json"))["contacts"]
    assert (met["judged"], met["certain"]) == ("confirmed", True)
    (played,) = answer(*confirm(folder, "Chi", "--case", 1, "--released", folder / "Chi.json"))["contacts"]
    assert (played["judged"], played["certain"]) == ("one_sided", True)


def test_who_sits_beside_the_owner_vouches_for_a_replay_until_a_key_is_released(folder, tmp_path):
    """Em's log is An's, as if everything that An heard had been played to her: An, beside Bình, answers for it."""
    here = shutil.copytree(folder, tmp_path / "here")
    em, ids = bytes([9]) * 8, set(keys.day_ids(KEYS["Bình"]))
    with Store(here / "kiosk.sqlite") as store:
        heard = [each for each in store.encounters(SERIALS["An"]) if each.bluezone_id in ids]
        store.store_records(em, [(n, record(each, {})) for n, each in enumerate(heard)], START_S)
    write_key(here / "Em.json", bytes([9]) * 32, START_S)
    (guessed,) = answer(*confirm(here, short_code(em), "--case", 1))["contacts"]
    assert (guessed["judged"], guessed["certain"]) == ("confirmed", False)
    (known,) = answer(*confirm(here, short_code(em), "--case", 1, "--released", here / "Em.json"))["contacts"]
    assert (known["judged"], known["certain"]) == ("one_sided", True)


def test_a_key_says_nothing_of_days_before_it(folder, tmp_path):
    earlier, later = tmp_path / "earlier.json", tmp_path / "later.json"
    write_key(later, keys.next_daily_key(KEYS["An"]), START_S + keys.DAY_S)
    (row,) = answer(*confirm(folder, "An", "--case", 1, "--released", later))["contacts"]
    assert row["judged"] == "unjudged"
    write_key(earlier, b"k" * 32, START_S - 3 * keys.DAY_S)
    (row,) = answer(*confirm(folder, "An", "--case", 1, "--released", earlier))["contacts"]
    assert row["judged"] == "one_sided"  # the key of another token


def test_ids_of_a_released_key():
    key = ReleasedKey(KEYS["An"], 100)
    third = keys.daily_key_after(KEYS["An"], 2)
    assert key.ids_on([102, 99, 100, 102]) == {*keys.day_ids(KEYS["An"]), *keys.day_ids(third)}
    assert key.ids_on([]) == set()


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"{}", b"\xff", b"[" * 60000, b'{"daily_key": "AB", "time_start": 0}',
        b'{"daily_key": 7, "time_start": 0}', b'{"daily_key": "%s", "time_start": true}' % (b"AB" * 32),
        b'{"daily_key": "%s", "time_start": -1}' % (b"AB" * 32), b'{"daily_key": "%s"}' % (b"AB" * 32),
    ],
)  # fmt: skip
def test_what_is_no_released_key(folder, tmp_path, content):
    (tmp_path / "infof.json").write_bytes(content)
    status, _, err = run(*confirm(folder, "An", "--case", 1, "--released", tmp_path / "infof.json"))
    assert (status, "holds no released key" in err) == (2, True)


def test_who_heard_nothing_of_the_owner_has_nothing_to_confirm(folder):
    assert answer(*confirm(folder, "Dũng", "--case", 1)) == {"contacts": []}
    assert "has nothing of the other" in run(*confirm(folder, "An"))[1]  # entry 0 is somebody else's


def test_f2_names_the_token_that_was_beside_the_f1(folder):
    found = answer("f2", "--database", folder / "kiosk.sqlite", "--token", CODES["An"].lower(), "--since", "2020-08-10")
    ((probable,), (day,)) = found["probable"], found["probable"][0]["days"]
    assert (found["token"], found["since"], found["compared"]) == (CODES["An"], "2020-08-10", 3)
    assert probable["short_code"] == CODES["Bình"]
    assert day["day"] == "2020-08-10"
    assert 50 <= day["minutes"] <= 61
    later = answer("f2", "--database", folder / "kiosk.sqlite", "--token", CODES["An"], "--since", "2020-08-11")
    assert later["probable"] == []
    _, out, _ = run("f2", "--database", folder / "kiosk.sqlite", "--token", CODES["An"], "--since", "2020-08-10")
    assert "1 of 3 tokens were probably near" in out


def test_two_phones_confirm_each_other_by_their_own_ids(tmp_path):
    """Either log names both ids, so nothing has to be guessed."""
    one, other = "11" * 12, "22" * 12
    rows = [(START_S + n * 60) * 1000 for n in range(12)]
    mine, theirs, empty = (tmp_path / name for name in ("mine.txt", "theirs.txt", "empty.txt"))
    mine.write_text("".join(f"{one}\t{other}\t-60\t{time_ms}\n" for time_ms in rows))
    theirs.write_text("".join(f"{other}\t{one}\t-70\t{time_ms + 700}\n" for time_ms in [rows[0] - 5000, *rows]))
    # The other phone was on and heard somebody else, but never this one.
    strange = "".join(f"{other}\t{'33' * 12}\t-70\t{time_ms}\n" for time_ms in (rows[0] - 9000, rows[-1] + 9000))
    empty.write_text(strange)
    (row,) = answer("confirm", "--log", mine, "--other-log", theirs)["contacts"]
    assert row == {"day": "2020-08-10", "minutes": 11, "rssi_mean_dbm": -60, "judged": "confirmed", "certain": True}
    (row,) = answer("confirm", "--log", mine, "--other-log", empty)["contacts"]
    assert row["judged"] == "one_sided"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["confirm"], "Two logs are needed"),
        (["confirm", "--log", "a.txt"], "Two logs are needed"),
        (["confirm", "--log", "a.txt", "--other-log", "b.txt"], "There is no contact log"),
        (["confirm", "--log", "a.txt", "--other-log", "b.txt", "--released", "c.json"], "Two logs are needed"),
        (["f2", "--database", "no.sqlite", "--token", "A", "--since", "2020-08-10"], "There is no database"),
        (["f2", "--database", "DB", "--token", "ZZZZZZ", "--since", "2020-08-10"], "no token in the database has"),
        (["f2", "--database", "DB", "--token", "ZZZZZZ", "--since", "soon"], "since"),
        (["f2", "--database", "DB", "--token", "ZZZZZZ", "--since", "2020-08-10", "--rules", "x"], "set of rules 'x'"),
    ],
)
def test_unusable_wishes_are_one_sentence(folder, args, words):
    args = [str(folder / "kiosk.sqlite") if arg == "DB" else arg for arg in args]
    status, _, err = run(*args)
    assert status == 2
    assert words in err


def test_an_entry_that_the_list_lacks_is_one_sentence(folder):
    status, _, err = run(*confirm(folder, "An", "--case", 7))
    assert (status, "has no usable entry 7" in err) == (2, True)


def test_a_missing_database_is_not_made(tmp_path):
    run("f2", "--database", tmp_path / "no.sqlite", "--token", "A", "--since", "2020-08-10")
    assert not list(tmp_path.iterdir())
