"""Writing a whole flash through esptool: the tool is real, the boot loader is rom_loader.py, a made-up one."""

import hashlib
import secrets
from pathlib import Path

import pytest
from rom_loader import FLASH_BYTES, RomLoader
from synthetic_image import synthetic_image

from host_tools.errors import UserError
from host_tools.provisioning import firmware_files
from host_tools.provisioning.esp_chip import EspChip
from host_tools.provisioning.firmware_files import Builds
from host_tools.provisioning.flash import Flash
from host_tools.provisioning.image import ChipImage
from host_tools.provisioning.token_keys import AuthorityRoot, KioskRoot, Roots, token_keys
from host_tools.provisioning.wiped import BytesStore
from tracing.state import State, StateStore

LOG_AT = 0x300000


def quiet(*_: object) -> None:
    """Tells nobody of the progress."""


def test_the_chip_is_recognized_and_its_flash_written_and_read() -> None:
    data = secrets.token_bytes(5000).ljust(3 << 20, b"\xff")
    seen: list[tuple[str, int, int]] = []
    with RomLoader() as board:
        with EspChip(board.port, "no-reset") as chip:
            assert chip.name == "ESP32"
            chip.flash(data, lambda *step: seen.append(step))
            assert chip.read(0, 6000) == data[:6000]
        assert board.erases == 1
        assert board.flash == data.ljust(FLASH_BYTES, b"\xff")
    assert seen[0][0] == "erasing the flash"
    assert seen[-1][1] == seen[-1][2]  # the bar comes to its end


def test_too_little_flash_is_found_before_anything_is_erased() -> None:
    with (
        RomLoader(flash_log2=21) as board,
        EspChip(board.port, "no-reset") as chip,
        pytest.raises(UserError, match=r"has 2MB of flash; the image needs 4MB\. Nothing was changed"),
    ):
        chip.flash(bytes(4 << 20), quiet)
    assert board.erases == 0


def test_a_flash_that_does_not_keep_what_is_written_is_found() -> None:
    with (
        RomLoader(flips=4096) as board,
        EspChip(board.port, "no-reset") as chip,
        pytest.raises(UserError, match="failed while writing its flash: MD5"),
    ):
        chip.flash(secrets.token_bytes(8192), quiet)


@pytest.mark.parametrize("bytes_sent", [0, 300, 20_000])
def test_a_board_that_goes_in_the_middle(bytes_sent: int) -> None:
    with (
        RomLoader(unplug_after_bytes=bytes_sent) as board,
        pytest.raises(UserError, match=r"not on USB any more|broke off|No serial data|boot loader at .* failed"),
    ):
        EspChip(board.port, "no-reset").flash(secrets.token_bytes(100_000), quiet)


# --- As `flash --image` does it ----------------------------------------------------------------------------------


@pytest.fixture
def image(tmp_path: Path) -> ChipImage:
    """MicroPython, made up."""
    data = synthetic_image()
    return ChipImage(tmp_path / "given.bin", data, (1, 29, 0), hashlib.sha256(data).hexdigest())


def flash(board: RomLoader, image: ChipImage, builds: Builds, wipe: bool = False) -> None:
    """Up to the restart, which brings no MicroPython to this boot loader."""
    with pytest.raises(UserError) as caught:
        Flash(
            "esp32_generic", board.port, quiet, patience_s=0, builds=builds, image=image, wipe=wipe, before="no-reset"
        ).run()
    raise caught.value


def test_a_whole_token_is_written_in_one_go(image: ChipImage) -> None:
    with RomLoader() as board, Builds() as builds:
        with pytest.raises(UserError, match=r"MicroPython is on the board\. Run the same command without --image"):
            flash(board, image, builds)
        assert board.erases == 1
        assert image.data[:200] == board.flash[0x1000 : 0x1000 + 200]
        assert b"esp32_generic" in board.flash[0x200000:0x300000]
        assert set(board.flash[LOG_AT:]) == {0xFF}


def test_another_chip_is_left_alone(image: ChipImage) -> None:
    with (
        RomLoader("ESP32-S2") as board,
        Builds() as builds,
        pytest.raises(UserError, match=r"is an ESP32S2; esp32_generic is for ESP32\. Nothing on the board was changed"),
    ):
        flash(board, image, builds)
    assert board.erases == 0


def test_a_provisioned_token_is_not_overwritten_without_being_asked_to(image: ChipImage) -> None:
    keys = token_keys(Roots(KioskRoot(b"k" * 32), AuthorityRoot(b"a" * 32)), b"12345678", b"d" * 32, 20_000, b"r" * 16)
    store = BytesStore(b"\xff" * 8192)
    stored = StateStore(store, 0, 1)
    stored.load(State())
    stored.save(keys.state(1_790_000_000))
    assert firmware_files.boards()["esp32_generic"]["image"]["flash_bytes"] == FLASH_BYTES
    with RomLoader() as board, Builds() as builds:
        store.read(0, memoryview(board.flash)[LOG_AT : LOG_AT + 8192])
        with pytest.raises(UserError, match=r"^The board is the token [A-Z2-9]{6}, with keys"):
            flash(board, image, builds)
        assert board.erases == 0
        with pytest.raises(UserError, match="MicroPython is on the board"):
            flash(board, image, builds, wipe=True)
        assert keys.sync_key not in board.flash
