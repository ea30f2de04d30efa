"""One image with MicroPython and the firmware. MicroPython is made up (synthetic_image.py); the tools are real."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic_image import CHIPS, synthetic_image

from host_tools.errors import UserError
from host_tools.provisioning.firmware_files import Builds, boards, store_blocks
from host_tools.provisioning.image import ChipImage, files_in, flash_image, partitions, read_image
from host_tools.provisioning.image_list import checked_sha256

BOARDS = {settings["chip"]: name for name, settings in boards().items() if settings["method"] == "mpremote"}
VM = Path(sys.executable).with_name("micropython")


@pytest.fixture(scope="module")
def builds():
    """Built once."""
    with Builds() as builds:
        yield builds


def listed(chip: str, data: bytes) -> dict:
    """The board's settings, as if its list had the image."""
    settings = boards()[BOARDS[chip]]
    return {**settings, "image": {**settings["image"], "sha256": [hashlib.sha256(data).hexdigest()]}}


@pytest.mark.parametrize("chip", CHIPS)
def test_it_holds_the_whole_firmware_and_a_blank_log(chip: str, tmp_path: Path, builds: Builds) -> None:
    path = tmp_path / "given.bin"
    path.write_bytes(synthetic_image(chip))
    settings = listed(chip, path.read_bytes())
    image = read_image(path, BOARDS[chip], settings)
    assert image.version == (1, 29, 0)
    folder, built = builds.get(BOARDS[chip])
    whole = flash_image(image, BOARDS[chip], settings, folder, built)

    assert len(whole.data) == 4 << 20
    start = CHIPS[chip][1]
    assert settings["image"]["start"] == start
    assert whole.data[0x10000:0x200000].rstrip(b"\xff") == path.read_bytes()[0x10000 - start :].rstrip(b"\xff")
    place = partitions(whole.data[start:], start)
    offset, size = place["log"]
    assert size >= store_blocks(settings) * 4096
    assert offset == whole.log_at
    assert set(whole.data[offset : offset + size]) == {0xFF}
    files = files_in(whole.data, place["vfs"])
    assert files.keys() == {file.device_path for file in built} | {"version.json"}
    assert all(hashlib.sha256(files[file.device_path]).hexdigest() == file.sha256 for file in built)


@pytest.mark.vm
def test_micropython_itself_reads_the_file_system(tmp_path: Path, builds: Builds) -> None:
    data = synthetic_image()
    path = tmp_path / "given.bin"
    path.write_bytes(data)
    settings = listed("ESP32", data)
    folder, built = builds.get("esp32_generic")
    whole = flash_image(read_image(path, "esp32_generic", settings), "esp32_generic", settings, folder, built)
    (tmp_path / "vfs.bin").write_bytes(whole.data[0x200000:0x300000])
    script = """
import vfs, hashlib, binascii
class Flash:
    def __init__(self):
        self._file = open("vfs.bin", "r+b")
    def readblocks(self, block, buf, offset=0):
        self._file.seek(block * 4096 + offset)
        self._file.readinto(buf)
    def writeblocks(self, block, buf, offset=0):
        self._file.seek(block * 4096 + offset)
        self._file.write(buf)
    def ioctl(self, what, arg):
        return {4: 256, 5: 4096}.get(what, 0)
system = vfs.VfsLfs2(Flash())
for path in PATHS:
    print(binascii.hexlify(hashlib.sha256(system.open(path, "rb").read()).digest()).decode())
"""
    paths = [file.device_path for file in built]
    done = subprocess.run(
        [VM, "-c", f"PATHS = {paths!r}\n{script}"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [file.sha256 for file in built]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is no image for an ESP32"),
        (b"\x7fELF" + bytes(100), "is no image for an ESP32"),
        (synthetic_image("ESP32C3"), "is for an ESP32C3; esp32_generic is an ESP32"),
        (synthetic_image(name="Tasmota"), "is an ESP32 program, but not MicroPython"),
        (synthetic_image(version="1.23.0"), "is MicroPython 1.23.0; 1.24 or newer is needed"),
        (synthetic_image()[:-1], "is damaged or cut short"),
        (synthetic_image()[:-40], "is damaged or cut short"),
        (synthetic_image()[:-1000], "is damaged or cut short"),
        (synthetic_image()[:23] + b"\0" + synthetic_image()[24:], "is damaged or cut short"),  # no hash at its end
        (synthetic_image().replace(b"Generic", b"generic"), "is damaged or cut short"),
        (synthetic_image().replace(b"boot loader", b"boot LOADER"), "is damaged or cut short"),
        (synthetic_image(), r"is not an image that boards/esp32_generic/board\.toml lists"),
        (synthetic_image().ljust((8 << 20) + 1, b"\xff"), "is larger than 8 MB"),
    ],
)
def test_an_image_that_may_not_be_written(data: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "given.bin"
    path.write_bytes(data)
    with pytest.raises(UserError, match=sentence) as caught:
        read_image(path, "esp32_generic", boards()["esp32_generic"])
    assert "Nothing was changed." in str(caught.value)
    assert hashlib.sha256(data).hexdigest() not in str(caught.value)  # to be got elsewhere, not copied from here


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("other", CHIPS)
def test_an_image_for_another_chip(chip: str, other: str, tmp_path: Path) -> None:
    data = synthetic_image(chip)
    path = tmp_path / "given.bin"
    path.write_bytes(data)
    name = BOARDS[other]
    if chip == other:
        assert read_image(path, name, listed(chip, data)).sha256 == hashlib.sha256(data).hexdigest()
    else:
        with pytest.raises(UserError, match=f"is for an {chip}; {name} is an {other}"):
            read_image(path, name, boards()[name], hashlib.sha256(data).hexdigest())


def test_an_image_that_is_vouched_for(tmp_path: Path) -> None:
    data = synthetic_image()
    path = tmp_path / "given.bin"
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    assert read_image(path, "esp32_generic", boards()["esp32_generic"], digest).sha256 == digest
    for settings in (boards()["esp32_generic"], listed("ESP32", data)):  # what is said counts, listed or not
        with pytest.raises(UserError, match="has another SHA-256 than --image-sha256 says"):
            read_image(path, "esp32_generic", settings, "0" * 64)


@pytest.mark.parametrize("text", ["abc", "0" * 63, "0" * 65, "g" * 64])
def test_less_than_a_whole_sha256_vouches_for_nothing(text: str) -> None:
    with pytest.raises(UserError, match="takes all 64 hex digits"):
        checked_sha256(text)


def test_a_sha256_as_people_copy_it() -> None:
    assert checked_sha256("") == ""
    assert checked_sha256(f" {'AB' * 16} {'cd' * 16}\n") == "ab" * 16 + "cd" * 16


def test_each_listed_image_is_one_sha256_with_its_source() -> None:
    for name, settings in boards().items():
        image = settings.get("image", {})
        for digest in image.get("sha256", []):
            assert checked_sha256(digest) == digest
            assert "image" in settings["source"], name
        assert image.get("download", "https://").startswith("https://")
        assert not image.get("download") or image["sha256"]


def test_an_image_that_is_not_there_and_a_board_that_takes_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read: No such file"):
        read_image(tmp_path / "none.bin", "esp32_c3", boards()["esp32_c3"])
    with pytest.raises(UserError, match=r"takes no such image: boards/nrf52840_circuitpython/deploy\.md"):
        read_image(tmp_path / "none.bin", "nrf52840_circuitpython", boards()["nrf52840_circuitpython"])


def test_a_program_that_is_too_large_for_its_partition(tmp_path: Path, builds: Builds) -> None:
    for size, fits in ((0x1F0000 - 0x1000, True), (0x1F0000, False), (3 << 20, False)):
        data = synthetic_image("ESP32C6", program_bytes=size)
        path = tmp_path / "given.bin"
        path.write_bytes(data)
        settings = listed("ESP32C6", data)
        image = read_image(path, "esp32_c6", settings)
        if fits:
            flash_image(image, "esp32_c6", settings, *builds.get("esp32_c6"))
        else:
            with pytest.raises(UserError, match=r"The partitions do not fit .* Nothing was changed"):
                flash_image(image, "esp32_c6", settings, *builds.get("esp32_c6"))


def test_partitions_that_do_not_fit(tmp_path: Path, builds: Builds) -> None:
    data = synthetic_image()
    image = ChipImage(tmp_path / "given.bin", data, (1, 29, 0), "")
    for partitions_, sentence in (
        ("nvs=nvs:0x6000,phy_init=phy:0x1000,factory=factory:0x1F0000,vfs=fat:0x100000,log=fat:0x200000", "do not fit"),
        ("nvs=nvs:0x6000,phy_init=phy:0x1000,factory=factory:0x1F0000,vfs=fat:0x100000,log=fat:0x1000", "for the log"),
    ):
        settings = listed("ESP32", data)
        settings["image"]["partitions"] = partitions_
        with pytest.raises(UserError, match=sentence):
            flash_image(image, "esp32_generic", settings, *builds.get("esp32_generic"))


def test_a_file_system_that_is_too_small_or_damaged(tmp_path: Path, builds: Builds) -> None:
    settings = listed("ESP32", synthetic_image())
    settings["image"]["partitions"] = (
        "nvs=nvs:0x6000,phy_init=phy:0x1000,factory=factory:0x1F0000,vfs=fat:0x8000,log=fat:0x100000"
    )
    image = ChipImage(tmp_path / "given.bin", synthetic_image(), (1, 29, 0), "")
    with pytest.raises(UserError, match="does not fit into 32 KB"):
        flash_image(image, "esp32_generic", settings, *builds.get("esp32_generic"))
    with pytest.raises(UserError, match="no file system that can be read"):
        files_in(bytes(0x100000), (0, 0x100000))
