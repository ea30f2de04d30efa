"""A running kiosk and a newer list: logs that are stored already are held against it at once."""

import hashlib
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from host_tools.kiosk import serve
from host_tools.kiosk.screens import SilentScreen
from host_tools.kiosk.service import Kiosk
from host_tools.matching import case_finder
from host_tools.matching.case_index import case_slots
from host_tools.matching.explanation import ListVersion
from host_tools.matching.national_list import Case, NationalList
from host_tools.matching.rules import load_rules
from host_tools.storage.database import StorageError
from host_tools.storage.store import Store
from tracing import records
from tracing.keys import DAY_S
from tracing.wire import short_code

DAY = 18482 * DAY_S  # 2020-08-08


def case(number: int, index: int | None = None) -> Case:
    key = hashlib.sha256(b"%d" % number).digest()
    return Case(number if index is None else index, key, DAY, DAY + DAY_S, 96)


def listed(*cases: Case) -> NationalList:
    return NationalList(list(cases), [])


def records_with(number: int, slots: range, duration_s: int = 860) -> list[bytes]:
    """Near a case in each of these slots of the day."""
    on_air = list(case_slots(case(number)))
    found = []
    for slot in slots:
        ident, (_, start_ms, _) = on_air[slot]
        buf = bytearray(records.RECORD_BYTES)
        flags = records.KIND_ENCOUNTER | records.FLAG_CLOCK_SET
        records.pack_record(buf, flags, 1, start_ms // 1000, duration_s, 9, 9, -50, -55, ident)
        found.append(bytes(buf))
    return found


HOUR = range(20, 24)
LOGS = {
    "near": records_with(1, HOUR),
    "passer-by": records_with(1, HOUR[:1], 60),
    "of two": records_with(1, HOUR) + records_with(2, HOUR),
    "alone": records_with(9, HOUR),
}
SERIALS = {name: bytes([n]) * 8 for n, name in enumerate(LOGS, 1)}
NAMES = {short_code(serial): name for name, serial in SERIALS.items()}


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "kiosk.sqlite") as opened:
        for name, serial in SERIALS.items():
            opened.store_records(serial, list(enumerate(LOGS[name])), 0)
        yield opened


def kiosk_with(store: Store, cases: NationalList, index: Path | None = None) -> Kiosk:
    any_adapter: Any = None
    any_root: Any = None
    version = ListVersion("ab" * 32)
    return Kiosk(any_adapter, store, cases, load_rules(), any_root, lambda: 0.0, SilentScreen(), version, index)


def found(kiosk: Kiosk) -> set[str]:
    return {NAMES[result.token.short_code] for result in kiosk.match_stored()}


def test_who_becomes_exposed_is_told_once(store):
    kiosk = kiosk_with(store, listed(case(7)))
    assert found(kiosk) == set()
    kiosk.use_list(listed(case(7), case(2)), None)
    assert found(kiosk) == {"of two"}
    kiosk.use_list(listed(case(1), case(7, 8), case(2, 9)), None)  # the others have moved in the list
    assert found(kiosk) == {"near"}  # "of two" was exposed before, the passer-by is not
    assert found(kiosk) == set()
    kiosk.use_list(listed(case(2)), None)
    assert found(kiosk) == set()
    kiosk.use_list(listed(case(2), case(1)), None)  # taken off the list, and put on it again
    assert found(kiosk) == {"near"}


def test_a_kiosk_that_has_been_away_looks_at_the_whole_list(store):
    assert found(kiosk_with(store, listed(case(1), case(2)))) == {"near", "of two"}


def test_a_long_list_goes_through_the_slot_index(store, tmp_path, monkeypatch):
    monkeypatch.setattr(case_finder.CaseFinder.__init__, "__defaults__", (None, 0))
    kiosk = kiosk_with(store, listed(case(7)), tmp_path / "index")
    assert found(kiosk) == set()
    kiosk.use_list(listed(case(7), case(1)), None)
    assert found(kiosk) == {"near", "of two"}
    assert (tmp_path / "index" / "manifest.json").exists()


def test_a_database_that_fails_is_asked_again(store, monkeypatch):
    kiosk = kiosk_with(store, listed(case(1)))
    with monkeypatch.context() as broken:
        broken.setattr(store, "tokens", lambda: (_ for _ in ()).throw(StorageError("busy")))
        with pytest.raises(StorageError):
            kiosk.match_stored()
    assert found(kiosk) == {"near", "of two"}


def test_what_the_clerk_and_a_program_are_told(store):
    results = kiosk_with(store, listed(case(1))).match_stored()
    (near,) = (each for each in results if NAMES[each.token.short_code] == "near")
    text = StringIO()
    screen = serve._Collecting(Console(file=text, width=200))
    screen.away(near)
    assert f"{near.token.short_code}, stored log: ⚠ F1" in text.getvalue()
    assert "On 08/08/2020: near 60 min" in text.getvalue()
    assert screen.stored == [near]
    answer = near.as_json()
    assert (answer["serial"], answer["verdict"], answer["list_digest"]) == ("01" * 8, "exposed", "ab" * 32)
    assert "case" not in json.dumps(answer)
