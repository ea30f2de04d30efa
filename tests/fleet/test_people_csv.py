"""Names are sealed, looks at them are in the audit, and a staff list comes in whole or not at all."""

import csv
import io
import os
import stat
from pathlib import Path

import pytest
import sqlalchemy as sa
from fleet_kit import CLERK, serial, wearer
from hypothesis import given, settings
from hypothesis import strategies as st

from host_tools.errors import UserError
from host_tools.fleet.office import Office
from host_tools.fleet.people import Person, PersonError, Unit
from host_tools.fleet.sheet import plain, sheet
from host_tools.fleet.staff_csv import Imported
from host_tools.fleet.vault import Vault, VaultError
from host_tools.storage.database import Database
from tracing.wire import short_code

UNIT = Unit("Sở Y tế", "Hải Châu", "health")


def everything_stored(office: Office) -> str:
    """All cells of all tables."""
    with office.database.reading() as connection:
        tables = sa.inspect(connection).get_table_names()
        rows = [row for table in tables for row in connection.execute(sa.text(f"SELECT * FROM {table}"))]
    return repr(rows)


def test_nothing_of_a_person_lies_open_in_the_database(office):
    person = office.people.enter(CLERK, "NV-0417", "Trần Thị Hà", UNIT, "ha.tran@example.vn")
    office.people.look_at(CLERK, person)
    office.listing.page(CLERK, search="NV-0417")
    office.people.enter(CLERK, "nv-0417", "Trần Thị Hà", UNIT, "+84 905 123 456")
    office.listing.page(CLERK, search="NV-0417 ")
    office.listing.page(CLERK, search="0417-NV")
    stored = everything_stored(office)
    for secret in ("0417", "Trần", "Hà", "ha.tran", "905", "Trần Thị Hà".encode().hex()):
        assert secret not in stored.replace("hà", ""), secret
    assert "Hải Châu" in stored


def test_a_person_is_found_by_staff_number_and_seen_as_entered(office):
    person = office.people.enter(CLERK, " NV 0417", " Trần  Thị Hà ", UNIT, "ha@example.vn")
    assert office.people.find("nv0417") == person
    assert office.people.find("NV041") is None
    assert office.people.look_at("lan", person) == Person(person, "NV 0417", "Trần Thị Hà", "ha@example.vn", UNIT)
    assert office.people.enter(CLERK, "nv0417", "Trần Hà") == person
    assert office.people.look_at(CLERK, person) == Person(person, "nv0417", "Trần Hà", "", None)
    looks = [(row.actor, row.action) for row in office.audit.rows(person_id=person)]
    assert looks == [(CLERK, "look at person"), (CLERK, "change person"), ("lan", "look at person"),
                     (CLERK, "enter person")]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (("", "Hà"), "staff number is missing"),
        (("1", " \n"), "name is missing"),
        (("1", "H\x00à"), "cannot be printed"),
        (("1", "H" * 201), "200 at most"),
        (("1", "Hà", Unit("", "Hải Châu")), "agency is missing"),
        (("1", "Hà", Unit("Sở", "", "bank")), "kind of a unit is one of"),
        (("1", "Hà", None, "mailto:x?to=y"), "neither an e-mail"),
    ],
)
def test_what_cannot_be_entered_is_a_sentence_and_changes_nothing(office, fields, words):
    with pytest.raises(PersonError, match=words):
        office.people.enter(CLERK, *fields)
    assert office.people.find("1") is None
    assert office.people.units() == {}


# --- The key -------------------------------------------------------------------------------------------------------


def test_the_key_lies_beside_the_database_for_its_owner_only(tmp_path, monkeypatch):
    monkeypatch.delenv("BLUEZONE_KEY_FILE", raising=False)
    with Office(tmp_path / "kiosk.sqlite") as office:
        sealed = office.vault.seal("name", "An")
    path = tmp_path / "kiosk.sqlite.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() not in (tmp_path / "kiosk.sqlite").read_bytes().hex()
    with Office(tmp_path / "kiosk.sqlite") as office:
        assert office.vault.open("name", sealed) == "An"
        with pytest.raises(VaultError, match="sealed with another key"):
            office.vault.open("address", sealed)
        with pytest.raises(VaultError):
            office.vault.open("name", sealed[:-1] + bytes([sealed[-1] ^ 1]))


def test_a_lost_key_is_not_replaced_in_silence(tmp_path):
    Office(tmp_path / "kiosk.sqlite").close()
    path = tmp_path / "kiosk.sqlite.key"
    kept = path.read_text()
    path.unlink()
    with pytest.raises(VaultError, match="Bring the file back"):
        Office(tmp_path / "kiosk.sqlite")
    assert not path.exists()
    path.write_text("00" * 32)
    with pytest.raises(VaultError, match="belongs to another database"):
        Office(tmp_path / "kiosk.sqlite")
    path.write_text("zz")
    with pytest.raises(VaultError, match="cannot be used"):
        Office(tmp_path / "kiosk.sqlite")
    path.write_text(kept)
    Office(tmp_path / "kiosk.sqlite").close()


def test_two_kiosks_that_make_the_key_together_have_the_same(tmp_path, monkeypatch):
    database = Database(str(tmp_path / "kiosk.sqlite"))
    path = tmp_path / "names.key"
    link = os.link
    other: list[Vault] = []

    def first_the_other(source, target):
        monkeypatch.setattr(os, "link", link)
        other.append(Vault.of(database, path))
        link(source, target)

    monkeypatch.setattr(os, "link", first_the_other)
    mine = Vault.of(database, path)
    assert mine.open("name", other[0].seal("name", "An")) == "An"
    assert list(tmp_path.glob("names.key.*")) == []
    database.close()


# --- Lists ---------------------------------------------------------------------------------------------------------

LIST = (
    "staff_number,name,agency,district,kind,address,token\r\n"
    "NV1,Nguyễn An,Sở Y tế,Hải Châu,health,an@example.vn,{code}\r\n"
    '\r\nNV2,"Lê, Bình",,,,+84905123456,\r\n'
)


def test_a_list_comes_in_and_goes_out_again(office, new_office, tmp_path):
    office.ledger.register(CLERK, serial(1))
    data = LIST.format(code=short_code(serial(1))).encode("utf-8-sig")
    assert office.staff_csv.bring_in(CLERK, data) == Imported(2, 1)
    assert office.staff_csv.bring_in(CLERK, data) == Imported(2, 0)
    out = office.staff_csv.bring_out(CLERK)
    assert "'+84905123456" in out
    other = new_office(str(tmp_path / "other.sqlite"))
    other.ledger.register(CLERK, serial(1))
    assert other.staff_csv.bring_in(CLERK, out.encode()) == Imported(2, 1)
    assert other.staff_csv.bring_out(CLERK) == out
    person = other.people.find("nv2")
    assert person is not None
    assert other.people.look_at(CLERK, person).name == "Lê, Bình"


def test_a_list_with_faults_names_every_line_and_changes_nothing(office):
    wearer(office, 9)
    before = everything_stored(office)
    data = (
        "staff_number;name;district;token\nNV1;An;;\n;Bình;;\nnv 1;Chi;;\nNV4;Dũng;Hải Châu;\nNV5;Em;;ZZZZZZ\n"
        f"NV6;Giang;;{short_code(serial(9))}\n"
    )
    with pytest.raises(UserError) as caught:
        office.staff_csv.bring_in(CLERK, data.encode())
    sentence = str(caught.value)
    for words in ("line 3: The staff number is missing", "line 4: staff number 'nv 1' stands in line 2 too",
                  "line 5: a unit needs its agency", "line 6: There is no token 'ZZZZZZ'", "line 7: Token",
                  "nothing was changed"):  # fmt: skip
        assert words in sentence
    assert everything_stored(office) == before


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "first line must name columns"),
        (b"staff_number,name,salary\n", "first line must name columns"),
        (b"name,name,staff_number\n", "first line must name columns"),
        ("staff_number,name\nNV1,Hà".encode("utf-16"), "not in UTF-8"),
        (b"staff_number,name\nNV1,An\nNV2\n", "Line 3 has 1 cells, not 2"),
        (b'staff_number,name\nNV1,"An" x\n', "Line 2 is no CSV"),
    ],
)
def test_what_is_no_list_is_a_sentence(office, data, words):
    with pytest.raises(UserError, match=words) as caught:
        office.staff_csv.bring_in(CLERK, data)
    assert "othing was changed" in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda t: f"staff_number,name\n{t}".encode())))
def test_any_bytes_come_in_or_are_refused_in_a_sentence(data):
    with Office("sqlite://") as office:
        try:
            persons = office.staff_csv.bring_in(CLERK, data).persons
        except UserError:
            persons = 0
        assert office.staff_csv.bring_out(CLERK).count("\r\n") == persons + 1


def test_a_key_that_cannot_be_made_is_a_sentence(tmp_path):
    with pytest.raises(VaultError, match="cannot be used"):
        Office(tmp_path / "kiosk.sqlite", Path("/nowhere/at/all/names.key"))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("begins", ["", ";", 'a;"', "a; ", "a;;", '"', '";', 'a";"', "a,", "a;b; "])
@pytest.mark.parametrize("sign", "=+-@＝＋－＠")
def test_no_cell_is_a_formula_wherever_a_spreadsheet_cuts_the_line(begins, sign, separator):
    text = f"{begins}{sign}HYPERLINK(A1)"
    out = sheet(("agency", "tokens"), [(text, -1), ("b", 2)]).removeprefix("\ufeff")
    for row in csv.reader(io.StringIO(out, newline=""), delimiter=separator):
        cells = [cell for cell in row if not cell.partition(",")[0].removeprefix("-").isdecimal()]
        assert not [cell for cell in cells if cell.lstrip(' "')[:1] == sign], row
    (_, row, _) = csv.reader(io.StringIO(out, newline=""))
    assert plain(row[0]) == text
