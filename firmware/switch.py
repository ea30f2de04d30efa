"""Puts a new firmware in the place of the old one; boot.py asks for it when a whole one lies in the folder `next`.

`bluezone update` copies the new files to `next` while the old ones stay where they are, verifies them there, and then
writes the list of what to do: a line `+path` for a file to bring from `next`, `-path` for one to remove, and `end`.
Every line can be obeyed again and changes nothing then. So the power may go at any moment: before the list is whole the
old firmware starts, afterwards the next start goes on with the list, and nothing of the firmware is loaded before its
end.
"""

import os

FOLDER = "next/"
LIST = "next/list"
_END = "end"


def finish():
    """Obey the list and remove it. One that is not whole was cut short while it was written: it counts for nothing."""
    with open(LIST) as file:
        lines = file.read().split("\n")
    if lines.pop() == _END:
        for line in lines:
            path = line[1:]
            if line[0] == "-":
                if _exists(path):
                    os.remove(path)
            elif _exists(FOLDER + path):
                os.rename(FOLDER + path, path)  # in the place of the old one, as a whole or not at all
    os.remove(LIST)


def _exists(path):
    try:
        os.stat(path)
    except OSError:
        return False
    return True
