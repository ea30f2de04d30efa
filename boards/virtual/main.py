"""Starts the token on the virtual board; the host ends it by hanging up.

The firmware lies in a ROMFS image at the head of the process's environment: memory that the heap does not pay for and
that code runs from in place, as from the flash of a board with frozen modules (host_tools/simulation/processes.py).
"""

import gc
import sys

import uctypes
import vfs

with open("/proc/self/stat") as stat:
    fields = stat.read().split(") ")[-1].split(" ")
start, end = int(fields[47]), int(fields[48])  # env_start and env_end of proc(5), numbered from field 3
vfs.mount(vfs.VfsRom(uctypes.bytearray_at(start, end - start)), "/rom")  # pyright: ignore[reportAttributeAccessIssue]
sys.path[:] = ["/rom", ".frozen"]
del stat, fields, start, end, vfs, uctypes

gc.threshold(2048)  # collect often from the start: what stays then lies close together

import start

start.run()
