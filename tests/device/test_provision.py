"""From flashed boards to tokens of a fleet, and back: keys in the flash and rows in the ledger agree at every end."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import chip_fakes
import pytest
from provision_kit import ACTOR, BLOCKS, assert_ours, flash, plugged, run, state_of
from pty_board import PtyBoard

from host_tools import cli
from host_tools.errors import UserError
from host_tools.fleet.office import Office
from host_tools.provisioning import commands, key_file, provision, upkeep
from host_tools.provisioning.provision import Provisioning, Wiped, Wiping
from host_tools.provisioning.token_board import TokenBoard
from host_tools.provisioning.token_keys import AuthorityRoot, KioskRoot, Roots
from host_tools.provisioning.token_service import TokenService
from host_tools.provisioning.wiped import BytesStore
from tracing.log import Log
from tracing.wire import short_code

pytestmark = pytest.mark.vm
OTHERS = Roots(KioskRoot(b"K" * 32), AuthorityRoot(b"A" * 32))
PASSPHRASE = "five words that nobody guesses"


@pytest.fixture
def flashed(device: Path) -> Path:
    """A board with the firmware."""
    return flash(device)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """A fleet without tokens."""
    with Office(tmp_path / "kiosk.sqlite") as office:
        yield office


def audit_of(office: Office) -> list[str]:
    """The deeds, oldest first."""
    return [row.action for row in reversed(office.audit.rows(limit=50))]


def test_a_board_becomes_a_token_of_the_fleet(flashed: Path, office: Office) -> None:
    done = run(flashed, office)
    state = state_of(flashed)
    assert_ours(state)
    assert (done.serial, done.short_code, done.how) == (state.serial.hex(), short_code(state.serial), "new")
    assert state.first_day == state.key_day == done.first_day
    assert office.ledger.standing(state.serial).state == "new"
    assert audit_of(office) == ["register", "provision"]
    assert office.audit.rows(limit=1)[0].detail == {"unit": "CDC"}


def test_a_token_that_has_keys_keeps_them_and_its_log(flashed: Path, office: Office) -> None:
    first = run(flashed, office)
    before, audited = state_of(flashed), audit_of(office)
    again = run(flashed, office)
    assert (again.how, again.serial, again.first_day) == ("kept", first.serial, first.first_day)
    assert vars(state_of(flashed)) | {"keeper": None} == vars(before) | {"keeper": None}
    assert audit_of(office) == audited


def test_the_ledger_knows_which_unit_got_a_token_and_where_it_moved(flashed: Path, office: Office) -> None:
    token = bytes.fromhex(run(flashed, office).serial)
    assert [str(row.unit and row.unit.agency) for row in office.listing.page(ACTOR).rows] == ["CDC"]
    assert run(flashed, office, unit="").how == "kept"
    assert run(flashed, office, unit="Sở Y tế").how == "kept"
    assert [str(row.unit and row.unit.agency) for row in office.listing.page(ACTOR).rows] == ["Sở Y tế"]
    assert state_of(flashed).serial == token
    with pytest.raises(UserError, match="The unit has characters that cannot be printed"):
        run(flashed, office, unit="C\0DC")


def test_a_token_of_another_fleet_is_left_alone(flashed: Path, office: Office) -> None:
    run(flashed, office)
    before = chip_fakes.flash_file(flashed).read_bytes()
    for wipe in (False, True):
        with pytest.raises(UserError, match=r"has keys of another fleet\. Nothing was changed"):
            run(flashed, office, wipe, roots=OTHERS)
    assert chip_fakes.flash_file(flashed).read_bytes() == before


# --- Interrupted -----------------------------------------------------------------------------------------------------


class Crash(BaseException):
    """This computer dies."""


def dying(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, after: bool) -> None:
    """It dies before or after the next call of a function."""
    real: Callable[..., object] = getattr(owner, name)

    def call(*words: object, **named: object) -> object:
        if after:
            real(*words, **named)
        monkeypatch.setattr(owner, name, real)
        raise Crash

    monkeypatch.setattr(owner, name, call)


STEPS = [
    (TokenService, "identity"), (TokenService, "erase"), (TokenService, "provision"), (provision, "_check_written"),
    (Provisioning, "_enter"), (Provisioning, "_done"),
]  # fmt: skip


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("owner", "name"), STEPS)
def test_whenever_it_is_interrupted_the_next_run_ends_in_one_token(
    flashed: Path, office: Office, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, after: bool
) -> None:
    dying(monkeypatch, owner, name, after)
    with pytest.raises(Crash):
        run(flashed, office)
    written = name in ("_check_written", "_enter") or (name, after) == ("provision", True)
    kept = name == "_done"  # all was done but to say so
    assert run(flashed, office).how == ("kept" if kept else "finished" if written else "new")
    state = state_of(flashed)
    assert_ours(state)
    assert [standing.serial for standing in office.listing.page(ACTOR).rows] == [state.serial]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("owner", "name"), STEPS)
def test_renewing_is_interrupted_and_repeated(
    flashed: Path, office: Office, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, after: bool
) -> None:
    run(flashed, office)
    first = state_of(flashed)
    dying(monkeypatch, owner, name, after)
    with pytest.raises(Crash):
        run(flashed, office, wipe=True)
    assert run(flashed, office, wipe=True).how == "renewed"
    state = state_of(flashed)
    assert_ours(state)
    assert state.serial == first.serial
    assert state.log_segment > first.log_segment
    image = chip_fakes.flash_file(flashed).read_bytes()
    assert first.daily_key not in image
    log = Log(BytesStore(image), 2, BLOCKS - 2, state)
    log.mount()
    assert log.oldest_seq == log.next_seq >= 2 * log.segment_records
    assert office.ledger.standing(state.serial).state == "wiped"


# --- Wearers ---------------------------------------------------------------------------------------------------------


def give_away(office: Office, serial: bytes) -> None:
    """Somebody has the token."""
    office.ledger.assign(ACTOR, serial, office.people.enter(ACTOR, "S1", "Lan"))


@pytest.mark.parametrize("work", ["provision", "wipe"])
def test_a_token_that_a_wearer_has_is_neither_renewed_nor_wiped(flashed: Path, office: Office, work: str) -> None:
    run(flashed, office)
    give_away(office, state_of(flashed).serial)
    before = state_of(flashed)
    works = {"provision": lambda: run(flashed, office, wipe=True), "wipe": lambda: wipe(flashed, office)}
    with pytest.raises(UserError, match=r"is assigned, says the ledger|is with a wearer"):
        works[work]()
    assert vars(state_of(flashed)) | {"keeper": None} == vars(before) | {"keeper": None}


def wipe(flashed: Path, office: Office) -> Wiped:
    """Wipe the board."""
    with plugged(flashed) as port:
        return Wiping(office, ACTOR).run(port, lambda *_: None, patience_s=5)


def test_a_wiped_token_holds_nothing_and_is_revoked(flashed: Path, office: Office) -> None:
    run(flashed, office)
    serial = state_of(flashed).serial
    assert wipe(flashed, office).short_code == short_code(serial)
    assert set(chip_fakes.flash_file(flashed).read_bytes()) == {0xFF}
    assert office.ledger.standing(serial).state == "revoked"
    assert wipe(flashed, office).short_code == ""
    assert run(flashed, office).serial != serial.hex()


@pytest.mark.parametrize("after", [False, True])
def test_a_wipe_that_was_interrupted_is_finished_by_the_next(
    flashed: Path, office: Office, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    run(flashed, office)
    serial = state_of(flashed).serial
    dying(monkeypatch, TokenService, "erase", after)
    with pytest.raises(Crash):
        wipe(flashed, office)
    wipe(flashed, office)
    assert set(chip_fakes.flash_file(flashed).read_bytes()) == {0xFF}
    assert office.ledger.standing(serial).state == "revoked"


def test_no_two_tokens_have_the_same_short_code(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    taken, free = bytes(8), b"\1" + bytes(7)
    assert short_code(taken) != short_code(free)
    office.ledger.register(ACTOR, taken)
    drawn = iter([taken, taken, free])
    monkeypatch.setattr(provision.secrets, "token_bytes", lambda size: next(drawn))
    with office.database.reading() as connection:
        assert provision._free_serial(connection) == free


# --- The commands ----------------------------------------------------------------------------------------------------


def bluezone(*words: object) -> int:
    """Exit status of a command."""
    app = cli.new_app()
    commands.register(app)
    return cli.run(app, [str(word) for word in words])


def test_a_technicians_morning(
    flashed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BLUEZONE_PASSPHRASE", PASSPHRASE)
    monkeypatch.setattr(key_file, "_SCRYPT", {"n": 1 << 4, "r": 8, "p": 1})
    real: Callable[[TokenBoard, int], None] = TokenBoard.restart
    monkeypatch.setattr(TokenBoard, "restart", lambda board, watch_s: real(board, 0))  # its main.py ends at once
    kiosk, authority, database = tmp_path / "kiosk.key", tmp_path / "authority.key", tmp_path / "kiosk.sqlite"
    key_file.save(kiosk, key_file.new_root("kiosk"), PASSPHRASE)
    key_file.save(authority, key_file.new_root("authority"), PASSPHRASE)
    fleet = ("--database", database)
    with plugged(flashed) as port:
        sheet = tmp_path / "labels.svg"
        roots = ("--kiosk-keys", kiosk, "--authority-keys", authority)
        assert bluezone("provision", *roots, "--port", port, "--labels", sheet, *fleet, "--json") == 0
        (token,) = json.loads(capsys.readouterr().out)["boards"]
        assert token["how"] == "new"
        assert f'aria-label="{token["short_code"]}"' in sheet.read_text()

        assert bluezone("logs", "--port", port, "--json") == 0
        (numbers,) = json.loads(capsys.readouterr().out)["boards"]
        assert (numbers["short_code"], numbers["unread"]) == (token["short_code"], 0)
        assert token["serial"] not in json.dumps(numbers)

        assert bluezone("verify", "--port", port, "--json") == 2  # main.py and the settings are the test's own
        (sound,) = json.loads(capsys.readouterr().out)["boards"]
        assert sound["self_test"]["radio"] == ""
        assert "Its firmware is not complete: run `bluezone flash`." in sound["wrong"]

        assert bluezone("labels", token["short_code"], "--out", tmp_path / "again.pdf", *fleet) == 0
        assert bluezone("wipe", "--port", port, "--yes", *fleet, "--json") == 0
        capsys.readouterr()
        assert bluezone("labels", "QQQQQQ", *fleet) == 2
        assert "no token 'QQQQQQ'" in capsys.readouterr().err


def test_the_repl_is_handed_over_with_the_token_at_its_prompt(flashed: Path) -> None:
    (flashed / "main.py").write_text("while True:\n    pass\n")
    seen: list[list[str]] = []
    with PtyBoard(flashed, chip_fakes.esp32(flashed)) as board:
        assert upkeep.repl(board.port, lambda words: seen.append(words) or 7, patience_s=5) == 7
        board.wait_for(b">>> ")
    assert seen[0][1:] == ["-m", "mpremote", "connect", board.port, "resume", "repl"]
