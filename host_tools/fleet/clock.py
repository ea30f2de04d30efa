"""The time, as the fleet asks for it."""

import time
from collections.abc import Callable

Clock = Callable[[], int]  # Unix s


def system_clock() -> int:
    """This machine's."""
    return int(time.time())
