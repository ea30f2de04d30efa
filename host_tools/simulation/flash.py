"""The virtual board's flash file, from the host's side: the board's own code, loaded from its folder."""

import importlib.util
from pathlib import Path

from ..provisioning.firmware_files import boards, store_blocks

VIRTUAL_BOARD = Path(__file__).parents[2] / "boards" / "virtual"


def _nor_flash():
    spec = importlib.util.spec_from_file_location("nor_flash", VIRTUAL_BOARD / "nor_flash.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.NorFlash


def flash_blocks() -> int:
    """Erase blocks of the virtual board's flash: state and log."""
    return store_blocks(boards()["virtual"])


def open_flash(path: Path):
    """The flash image at `path` as a store; made, all erased, when it does not exist."""
    return _nor_flash()(str(path), flash_blocks())
