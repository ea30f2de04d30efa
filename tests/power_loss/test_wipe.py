"""`bluezone wipe` on a token's whole flash, and power that goes at any moment of it: nothing of keys or log is left."""

import importlib.util
import sys
import types
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from emulated_flash import EmulatedFlash, PowerLoss, tears
from log_bench import log_key
from other_stores import FILE_BLOCKS, LBA, FatFile, file_store, over_partition
from token_bench import BLOCK_BYTES, CODE_KEY, DAILY_KEYS, LOG_BLOCKS, PER_BLOCK, SYNC_KEY, Token, make_flash

from host_tools.provisioning.token_service import TokenService

RECORDS = 40
SLOT_BYTES = 4096
FIXED = [SYNC_KEY, CODE_KEY, b"escrowed" * 8, b"serial 8"]


def service(store: Any) -> Any:
    """firmware/service.py over a store, as the technician's tools start it after a reset."""
    board = types.SimpleNamespace(store=store, scratch=None)
    modules = {
        "settings": types.ModuleType("settings"),
        "token_board": types.ModuleType("token_board"),
    }
    modules["token_board"].__dict__["Board"] = lambda watched: board
    path = Path(__file__).parents[2] / "firmware/service.py"
    spec = importlib.util.spec_from_file_location("service", path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        for name, module in modules.items():
            patch.setitem(sys.modules, name, module)
        spec.loader.exec_module(made)
    return made.Service()


class Line:
    """The REPL of a token that runs the service."""

    def __init__(self, store: Any) -> None:
        self.port = "here"
        self._t = service(store)

    def ask(self, what: str, expression: str, setup: str = "", timeout_s: int = 10) -> Any:
        """What TokenBoard.ask asks a board."""
        return eval(expression, {"t": self._t, "folder": ""})


def wipe(store: Any) -> bool:
    """All that the command does to a token's flash; whether the token found it blank."""
    line: Any = Line(store)
    return TokenService(line).erase(lambda *_: None, log_only=False)


def wear(store: Any) -> None:
    """A day of a token's life."""
    token = Token(store).provision()
    for number in range(RECORDS):
        token.work(number)


def secrets_in(image: bytes | bytearray) -> list[bytes]:
    """Every piece of 8 bytes of keys and serial that is anywhere in the image."""
    keys = [*FIXED, *(log_key(segment) for segment in range(RECORDS)), *DAILY_KEYS]
    return [key[at : at + 8] for key in keys for at in range(len(key) - 7) if key[at : at + 8] in image]


@pytest.mark.parametrize("over", [lambda flash: flash, over_partition])
def test_nothing_is_left_on_a_plain_flash(over: Callable[[EmulatedFlash], Any]) -> None:
    flash = make_flash()
    wear(over(flash))
    found = secrets_in(flash.image)
    assert all(any(piece in key for piece in found) for key in [*FIXED, log_key((RECORDS - 1) // PER_BLOCK)])
    assert wipe(over(flash))
    assert secrets_in(flash.image) == []
    assert set(flash.image) == {0xFF}  # which no sealed record is either


@pytest.mark.parametrize("phase", range(0, 8, 3))
def test_nothing_is_left_in_the_flash_below_a_file(phase: int) -> None:
    file = FatFile(phase)
    wear(file.restart())
    assert secrets_in(file.image)
    assert wipe(file.restart())
    assert set(file.image) == {0xFF}


def test_power_goes_at_any_moment_and_the_next_wipe_ends_it() -> None:
    worn = make_flash()
    wear(worn)
    worn.operations = []
    assert wipe(worn)
    erased = [operation for operation in worn.operations if operation.erase]
    assert [operation.offset // BLOCK_BYTES for operation in erased] == [*range(2, 2 + LOG_BLOCKS), 0, 1]
    for operation in erased[-2:]:  # an erase that stops half-way may leave what was there: only zeros are
        assert set(operation.before[operation.offset :][:BLOCK_BYTES]) == {0}
    tried = 0
    cuts = ((cut, tear) for cut in worn.operations for tear in tears(cut, 2))
    for cut, tear in islice(cuts, 0, None, 13):
        flash = make_flash(image=cut.torn(tear))
        assert wipe(flash)
        assert set(flash.image) == {0xFF}
        tried += 1
    assert tried > 100


def cut_file(phase: int, step: int) -> Iterator[bytes]:
    """What lies in the flash below a file after a wipe that the power has ended, and after the next one."""
    file = FatFile(phase)
    wear(file.restart())
    image = bytes(file.image)
    store = file.restart()
    assert wipe(store)
    cuts = [(steps, torn) for steps in range(file.steps) for torn in (False, True)]
    for steps, torn in cuts[phase::step]:
        file.image[:] = image
        store = file.restart()
        file.steps_left, file.torn = file.steps + steps, torn
        with pytest.raises(PowerLoss):
            wipe(store)
        assert wipe(file.restart())
        yield bytes(file.image)


@pytest.mark.parametrize("phase", [0, 3, 6])
def test_power_goes_in_a_file_and_the_next_wipe_ends_it(phase: int) -> None:
    left = list(cut_file(phase, 5))
    assert len(left) > 20
    slots = range(phase * LBA + SLOT_BYTES, phase * LBA + file_store.file_bytes(FILE_BLOCKS), 2 * SLOT_BYTES)
    for image in left:  # between the slots there may be what a torn erase has made of ones
        assert secrets_in(image) == []
        assert {byte for at in slots for byte in image[at : at + SLOT_BYTES]} == {0xFF}
