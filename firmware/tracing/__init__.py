"""The portable half of the token: no I/O, no clock reads, nothing that only one Python has.

Runs unchanged on CPython (host tools, tests), MicroPython and CircuitPython. Time, bytes and buffers come in as
arguments; see DESIGN.md, "The seam".
"""
