"""A folder of a board with CircuitPython, asked over its serial line in words that CircuitPython knows.

It has no `ilistdir` and no `hashlib.sha256`, by which mpremote asks. Nothing here changes the board: firmware comes
over its drive (drive.py).
"""

import json

from host_tools.provisioning.token_board import MANIFEST, TokenBoard

_LIST = """
import os
found = {{}}
try:
    for name in os.listdir({folder!r}):
        about = os.stat({under!r} + name)
        if not about[0] & 0x4000:
            found[name] = about[6]
except OSError:
    pass
"""
_SUM = """
from binascii import hexlify
from hashlib import new
digest = new("sha256")
buf = bytearray(512)
view = memoryview(buf)
with open({path!r}, "rb") as file:
    size = file.readinto(buf)
    while size:
        digest.update(view[:size])
        size = file.readinto(buf)
"""
_READ = """
try:
    with open({path!r}) as file:
        text = file.read()
except OSError:
    text = ""
"""


class CircuitFolder:
    """A folder as copying.Shown; `folder` "" is the root, where one that holds a copy of the firmware is named."""

    def __init__(self, board: TokenBoard, folder: str) -> None:
        self._board = board
        self._under = f"{folder}/" if folder else ""

    def files(self, folder: str) -> dict[str, int]:
        """As TokenBoard's."""
        place = (self._under + folder).rstrip("/")
        setup = _LIST.format(folder=place, under=f"{place}/" if place else "")
        found = self._board.ask("listing its files", "found", setup)
        return {f"{folder}/{name}".lstrip("/"): size for name, size in found.items()}

    def sha256(self, path: str) -> str:
        """As TokenBoard's."""
        setup = _SUM.format(path=self._under + path)
        return self._board.ask(f"checking {path}", "hexlify(digest.digest()).decode()", setup)

    def manifest(self) -> dict:
        """As TokenBoard's."""
        text = self._board.ask("reading which firmware it has", "text", _READ.format(path=self._under + MANIFEST))
        try:
            manifest = json.loads(text)
        except ValueError:
            return {}
        return manifest if isinstance(manifest, dict) else {}
