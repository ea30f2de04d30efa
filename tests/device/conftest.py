"""A project tree and boards to flash it to."""

import shutil
from pathlib import Path

import pytest

from host_tools.provisioning.firmware_files import ROOT

# The firmware itself needs a radio, which the VM's REPL has not; this main.py shows that all of it can be loaded.
STARTS = """
import time
import settings
import tracing.wire
import adapters.clock
print("token started on", settings.NAME)
while True:
    time.sleep_ms(20)  # twenty of them share this computer
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The real firmware and the ESP32 board, with a main.py that a VM can run."""
    root = tmp_path / "project"
    for folder in ("firmware", "boards/esp32_generic"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "firmware/main.py").write_text(STARTS)
    return root


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """The file system of an empty board."""
    folder = tmp_path / "device"
    folder.mkdir()
    return folder
