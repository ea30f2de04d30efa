"""Which copy of the firmware runs: the one in the folder `a` or the one in `b`. boot.py and code.py ask.

A technician's PC writes into the folder that does not run, and its list of sums last (SPEC.md, "Update of a drive").
The token moves and writes nothing: a rename on FAT takes several steps, and power may be lost between them. Each file
is compared with its sum at every start: a copy that is cut short or damaged does not run. Never seen on hardware yet.
"""

import sys
from binascii import hexlify
from hashlib import new

FOLDERS = ("a", "b")
_SUMS = "/sums"
_END = "end"
_CHUNK_BYTES = 512


def enter():
    """Let imports find the copy that runs: of the whole ones, that with the higher number.

    Returns:
        Whether there is one.
    """
    listed = [(folder, _list(folder)) for folder in FOLDERS]
    listed = [(int(lines[0]), folder, lines[1:]) for folder, lines in listed if lines]
    for _, folder, lines in sorted(listed, reverse=True):
        if _is_whole(folder, lines):
            if folder not in sys.path:
                sys.path.insert(0, folder)
            return True
    return False


def _list(folder):
    # The number, then a line "SUM PATH" for each file; empty when there is none, or one cut short or of nothing.
    try:
        with open(folder + _SUMS) as file:
            lines = file.read().split("\n")
    except (OSError, ValueError):
        return []
    return lines if lines.pop() == _END and len(lines) > 1 and lines[0].isdigit() else []


def _is_whole(folder, lines):
    buf = bytearray(_CHUNK_BYTES)
    try:
        for line in lines:
            wanted, path = line.split(" ", 1)
            if _sum(folder + "/" + path, buf) != wanted:
                return False
    except (OSError, ValueError):
        return False
    return True


def _sum(path, buf):
    digest = new("sha256")
    view = memoryview(buf)
    with open(path, "rb") as file:
        while True:
            size = file.readinto(buf)
            if not size:
                return hexlify(digest.digest()).decode()
            digest.update(view[:size])
