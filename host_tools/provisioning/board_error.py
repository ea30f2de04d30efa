"""The error of everything that deals with a board."""

from host_tools.errors import UserError


class BoardError(UserError):
    """The board, or the line to it, failed; the message says how and what to do about it."""


class BrokenOff(BoardError):
    """It failed in the middle of something; whoever asked for it knows what was kept."""
