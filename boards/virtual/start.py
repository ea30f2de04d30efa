"""The token on the virtual board."""

import lockstep
from app import Token
from board import Board

from tracing.errors import RadioError


def run():
    """Work until the host ends it. Not while this module is imported: what loads a module stays in memory so long."""
    lockstep.connect()
    try:
        Token(Board()).run()
    except RadioError:
        lockstep.call(35)  # machine.reset() on a real board; the host ends this process
