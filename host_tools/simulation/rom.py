"""The virtual board's firmware as a ROMFS image: compiled as for a real board, laid out by mpremote."""

import subprocess
import sys
import tempfile
from pathlib import Path

from ..errors import UserError
from ..provisioning import firmware_files


def rom_image() -> bytes:
    """Compile the firmware for the virtual board and return its ROMFS image.

    Raises:
        UserError: a module does not compile, or the image cannot be laid out.
    """
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "firmware"
        image = Path(folder) / "rom.img"
        firmware_files.build("virtual", tree)
        command = [sys.executable, "-m", "mpremote", "romfs", "-o", str(image), "build", str(tree)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode or not image.exists():
            raise UserError(f"The firmware image of the virtual board could not be made: {done.stdout}{done.stderr}")
        return image.read_bytes()
