"""A token made of a board with an nRF52840 and stock CircuitPython: see board.toml for pins, deploy.md for how.

Not `board`: that name is CircuitPython's own, for the pins. Never seen on hardware yet.
"""

from adapters.circuitpython import CircuitPythonBoard


class Board(CircuitPythonBoard):
    """All that differs from other boards stands in board.toml."""
