"""A flashed board with a short log, and what provisioning it must end in."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import chip_fakes
from pty_board import PtyBoard

from host_tools.fleet.office import Office
from host_tools.provisioning import escrow, firmware_files
from host_tools.provisioning.provision import Provisioned, Provisioning
from host_tools.provisioning.token_keys import AuthorityRoot, KioskRoot, Roots
from host_tools.provisioning.wiped import state_in
from tracing import records
from tracing.segment import next_segment_key
from tracing.state import State
from tracing.wire import short_code

ROOTS = Roots(KioskRoot(b"k" * 32), AuthorityRoot(b"a" * 32))
ACTOR = "console:technician"
BLOCKS = 8


def flash(device: Path) -> Path:
    """Give a board the firmware, a short log, and a main.py that needs no radio."""
    firmware_files.build("esp32_generic", device)
    (device / "main.py").write_text("print('token started')\n")
    (device / "settings.mpy").unlink()
    text = firmware_files.settings_source(firmware_files.ROOT / "boards/esp32_generic/board.toml")
    (device / "settings.py").write_text(f"{text}LOG_BLOCKS = {BLOCKS - 2}\n")
    return device


@contextmanager
def plugged(flashed: Path, unplug_after_answers: int | None = None) -> Iterator[str]:
    """The port of the board."""
    fakes = chip_fakes.esp32(flashed, blocks=BLOCKS)
    with PtyBoard(flashed, fakes, unplug_after_answers=unplug_after_answers) as board:
        yield board.port


def run(
    flashed: Path,
    office: Office,
    wipe: bool = False,
    roots: Roots = ROOTS,
    unit: str = "CDC",
    unplug_after_answers: int | None = None,
) -> Provisioned:
    """Provision the board."""
    with plugged(flashed, unplug_after_answers) as port:
        return Provisioning(roots, office, ACTOR, unit).run(port, lambda *_: None, wipe, patience_s=5, watch_s=0)


def state_of(flashed: Path) -> State:
    """What is in the board's flash."""
    state = state_in(chip_fakes.flash_file(flashed).read_bytes())
    assert state is not None
    return state


def assert_ours(state: State) -> None:
    """All keys are those that the roots give this serial, and the escrow holds its first daily key."""
    assert state.flags & records.STATE_PROVISIONED
    assert state.sync_key == ROOTS.kiosk.sync_key(short_code(state.serial))
    assert state.code_key == ROOTS.authority.code_key(state.serial)
    assert escrow.open_escrow(ROOTS.authority.escrow_keys(state.serial), state.escrow) == state.daily_key
    log_key = ROOTS.kiosk.log_root(state.serial)
    for _ in range(state.log_segment):
        log_key = next_segment_key(log_key)
    assert state.log_key == log_key
