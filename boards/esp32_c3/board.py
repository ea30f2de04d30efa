"""A token made of a board with an ESP32-C3: see board.toml for pins and numbers, deploy.md for how."""

from adapters.esp32 import Esp32Board


class Board(Esp32Board):
    """All that differs from other ESP32 boards stands in board.toml."""
