"""The virtual board's firmware as a ROMFS image: joined, compiled as for a real board, laid out by mpremote."""

import subprocess
import sys
import tempfile
from pathlib import Path

from ..errors import UserError
from ..provisioning import firmware_files
from .borrowed_names import built_in, renamed
from .joined import Joiner
from .processes import micropython

START = "start"
APART = frozenset({"settings"})  # a board hands it over as a whole


def rom_image(start: str | None = None, log_blocks: int | None = None) -> bytes:
    """Compile the firmware for the virtual board and return its ROMFS image.

    Args:
        start: source that takes the place of boards/virtual/start.py.
        log_blocks: of a flash larger or smaller than in board.toml.

    Raises:
        UserError: a module does not compile, or the image cannot be laid out.
    """
    with tempfile.TemporaryDirectory() as folder:
        sources, tree = Path(folder) / "sources", Path(folder) / "firmware"
        image = Path(folder) / "rom.img"
        firmware_files.build("virtual", sources, compiled=False)
        tree.mkdir()
        if start is not None:
            (sources / f"{START}.py").write_text(start, encoding="utf-8")
        if log_blocks is not None:
            with (sources / "settings.py").open("a", encoding="utf-8") as settings:
                settings.write(f"LOG_BLOCKS = {log_blocks}\n")
        neighbours = [(sources / f"{name}.py").read_text(encoding="utf-8") for name in (*APART, "main")]
        joined = sources / f"{START}.joined.py"
        source = Joiner(sources, START, APART).source()
        joined.write_text(renamed(source, neighbours, built_in(micropython())), encoding="utf-8")
        firmware_files.compile_module(joined, tree / f"{START}.mpy", f"{START}.mpy")
        for name in APART:
            firmware_files.compile_module(sources / f"{name}.py", tree / f"{name}.mpy", f"{name}.mpy")
        command = [sys.executable, "-m", "mpremote", "romfs", "-o", str(image), "build", str(tree)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode or not image.exists():
            raise UserError(f"The firmware image of the virtual board could not be made: {done.stdout}{done.stderr}")
        return image.read_bytes()
