"""What the technician's tools ask of a token over its REPL, on a made-up ESP32 whose flash lies in a file."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import chip_fakes
import pytest
from pty_board import PtyBoard

from host_tools.errors import UserError
from host_tools.provisioning import firmware_files
from host_tools.provisioning.token_board import TokenBoard
from host_tools.provisioning.token_keys import AuthorityRoot, KioskRoot, Roots, TokenKeys, token_keys
from host_tools.provisioning.token_service import TokenService
from host_tools.provisioning.wiped import BytesStore, state_in
from tracing.log import Log
from tracing.state import State

pytestmark = pytest.mark.vm
NOW_S = 1_790_000_000
SERIAL = bytes.fromhex("0011223344556677")
ROOTS = Roots(KioskRoot(b"k" * 32), AuthorityRoot(b"a" * 32))
BLOCKS = 8  # a short log: this is about what is done to it, not about its size


def keys(serial: bytes = SERIAL) -> TokenKeys:
    """Fresh keys."""
    return token_keys(ROOTS, serial, secrets.token_bytes(32), NOW_S // 86_400, secrets.token_bytes(16))


@pytest.fixture
def flashed(device: Path) -> Path:
    """A board with the firmware that does not start by itself."""
    firmware_files.build("esp32_generic", device)
    (device / "main.py").write_text("")
    settings = "from settings import *\nLOG_BLOCKS = 6\n"
    (device / "settings.mpy").unlink()
    text = firmware_files.settings_source(firmware_files.ROOT / "boards/esp32_generic/board.toml")
    (device / "settings.py").write_text(text + settings.splitlines()[1] + "\n")
    return device


@contextmanager
def token(flashed: Path, **fakes: bool) -> Iterator[TokenService]:
    """The service of a plugged-in token."""
    with PtyBoard(flashed, chip_fakes.esp32(flashed, blocks=BLOCKS, **fakes)) as board:
        line = TokenBoard(board.port, patience_s=5)
        try:
            yield TokenService(line)
        finally:
            line.close()


def quiet(*_: object) -> None:
    """Tells nobody of the progress."""


def flash(flashed: Path) -> bytes:
    """All bytes of the log's partition."""
    return chip_fakes.flash_file(flashed).read_bytes()


def test_what_is_written_is_read_back_by_token_and_host(flashed: Path) -> None:
    new = keys()
    with token(flashed) as service:
        assert not service.identity().known
        who = service.provision(new, 0, new.log_root, NOW_S)
    assert (who.known, who.provisioned, who.serial, who.escrow) == (True, True, SERIAL, new.escrow)
    stored = state_in(flash(flashed))
    assert stored is not None
    wanted = new.state(NOW_S)
    for name in set(vars(State())) - {"keeper"}:
        assert getattr(stored, name) == getattr(wanted, name), name


def test_wiping_leaves_no_byte_of_keys_or_log_in_the_flash(flashed: Path) -> None:
    new = keys()
    secret = [new.daily_key, new.sync_key, new.log_root, new.code_key, new.escrow, new.serial]
    with token(flashed) as service:
        service.provision(new, 0, new.log_root, NOW_S)
        full = bytearray(flash(flashed))
        assert all(word in full for word in secret)
        full[2 * 4096 :] = bytes(range(256)) * ((len(full) - 2 * 4096) // 256)
        chip_fakes.flash_file(flashed).write_bytes(full)
        flashed.with_suffix(".scratch").write_bytes(new.daily_key)
        (flashed / "next").mkdir()  # as an update that the power has ended leaves it
        (flashed / "next/app.mpy").write_bytes((flashed / "app.mpy").read_bytes())
        assert service.erase(quiet, log_only=False)
        assert not service.identity().known
    assert set(flash(flashed)) == {0xFF}
    assert not any(flashed.with_suffix(".scratch").read_bytes())
    files = [path.read_bytes() for path in flashed.rglob("*") if path.is_file()]
    assert files
    assert not any(word in data for word in secret for data in files)


def test_new_keys_leave_no_old_ones_and_the_log_goes_on_where_no_number_comes_back(flashed: Path) -> None:
    old, new = keys(), keys()
    with token(flashed) as service:
        service.provision(old, 0, old.log_root, NOW_S)
        service.provision(new, 5, b"n" * 32, NOW_S)
        assert service.erase(quiet, log_only=True)
    image = flash(flashed)
    assert old.daily_key not in image
    assert old.log_root not in image
    assert new.daily_key in image
    state = state_in(image)
    assert state is not None
    log = Log(BytesStore(image), 2, BLOCKS - 2, state)
    log.mount()
    assert log.next_seq >= 5 * log.segment_records


def test_diagnostics_say_nothing_of_contacts_or_keys(flashed: Path) -> None:
    new = keys()
    with token(flashed) as service:
        service.provision(new, 0, new.log_root, NOW_S)
        numbers = service.diagnostics()
    assert numbers["board"] == "esp32_generic"
    assert numbers["battery_mv"] == 3900
    assert (numbers["log_next_seq"], numbers["unread"]) == (0, 0)
    assert all(isinstance(value, int) for name, value in numbers.items() if name != "board")


@pytest.mark.parametrize("provisioned", [False, True])
def test_a_sound_token_passes_its_self_test_and_keeps_its_keys(flashed: Path, provisioned: bool) -> None:
    new = keys()
    with token(flashed) as service:
        if provisioned:
            service.provision(new, 0, new.log_root, NOW_S)
        before = service.identity()
        untried = flash(flashed)
        assert service.self_test() == {"flash": "", "battery": "", "light": "", "radio": ""}
        assert service.identity() == before
        assert (flash(flashed) != untried) == provisioned  # a blank one is blank again


def test_a_part_that_fails_is_named_and_the_others_are_tried(flashed: Path) -> None:
    with token(flashed, radio_broken=True) as service:
        found = service.self_test(button_s=1)
    assert found["flash"] == found["battery"] == ""
    assert found["button"] == "not pressed"
    assert found["radio"]


def test_a_board_without_our_firmware_is_told_apart(device: Path) -> None:
    with (
        pytest.raises(UserError, match=r"has no firmware of this project, or an older one: run `bluezone flash`"),
        token(device),
    ):
        pass
