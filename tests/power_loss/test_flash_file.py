"""The virtual board's flash is a file that behaves as NOR flash, and holds the same bytes on both interpreters."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from host_tools.simulation.flash import VIRTUAL_BOARD, flash_blocks, open_flash
from tracing.errors import StoreError

FIRMWARE = Path(__file__).parents[2] / "firmware"
WORKLOAD = Path(__file__).with_name("flash_workload.py")
BLOCK = 4096


@pytest.fixture
def flash(tmp_path: Path):
    return open_flash(tmp_path / "token.flash")


def look(flash, offset: int, size: int) -> bytes:
    buf = bytearray(size)
    flash.read(offset, buf)
    return bytes(buf)


def test_new_flash_is_erased(flash, tmp_path: Path) -> None:
    assert (flash.blocks, flash.block_bytes) == (flash_blocks(), BLOCK)
    assert (tmp_path / "token.flash").read_bytes() == b"\xff" * (BLOCK * flash.blocks)


def test_programming_clears_bits_and_erasing_sets_a_block(flash, tmp_path: Path) -> None:
    flash.program(BLOCK + 5, b"\xf0\x00\x55")
    flash.program(BLOCK + 5, b"\x30\x00\x44")
    flash.program(2 * BLOCK - 1, b"\x01")
    flash.program(2 * BLOCK, b"\x02")
    assert look(flash, BLOCK + 4, 5) == b"\xff\x30\x00\x44\xff"
    image = (tmp_path / "token.flash").read_bytes()  # at once: the power may die
    assert image[BLOCK + 5 : BLOCK + 8] == b"\x30\x00\x44"
    flash.erase(1)
    image = (tmp_path / "token.flash").read_bytes()
    assert image[: 2 * BLOCK] == b"\xff" * (2 * BLOCK)
    assert image[2 * BLOCK] == 2
    assert look(open_flash(tmp_path / "token.flash"), 2 * BLOCK, 2) == b"\x02\xff"


def test_what_flash_cannot_do_is_an_error_and_changes_nothing(flash, tmp_path: Path) -> None:
    flash.program(0, b"\x0f\x0f")
    before = (tmp_path / "token.flash").read_bytes()
    with pytest.raises(StoreError, match="set a bit"):
        flash.program(0, b"\x00\x10")
    with pytest.raises(StoreError, match="block's end"):
        flash.program(BLOCK - 1, b"\x00\x00")
    with pytest.raises(StoreError, match="beyond"):
        flash.program(flash.blocks * BLOCK, b"\x00")
    with pytest.raises(StoreError, match="beyond"):
        flash.read(flash.blocks * BLOCK - 1, bytearray(2))
    for block in (-1, flash.blocks):
        with pytest.raises(StoreError, match="beyond"):
            flash.erase(block)
    assert (tmp_path / "token.flash").read_bytes() == before


@pytest.mark.vm
def test_the_same_bytes_on_both_interpreters(tmp_path: Path) -> None:
    shutil.copy(VIRTUAL_BOARD / "nor_flash.py", tmp_path)  # without the board's other modules: its `time` is not ours
    path = f"{FIRMWARE}:{tmp_path}"
    vm = [str(Path(sys.executable).parent / "micropython"), "-X", "heapsize=256k"]  # the sources are compiled there
    said, images = [], []
    for number, interpreter in enumerate(([sys.executable], vm)):
        image = tmp_path / f"{number}.flash"
        done = subprocess.run(
            [*interpreter, str(WORKLOAD), str(image)],
            env={**os.environ, "PYTHONPATH": path, "MICROPYPATH": f"{path}:.frozen"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        said.append(done.stdout)
        images.append(image.read_bytes())
    assert said[0] == said[1]
    assert said[0].count("(True, ") == 6
    assert images[0] == images[1]
