"""Started by MicroPython after boot.py: a window in which a technician can interrupt, then the token for good."""

import gc
import sys
import time

import machine

START_UP_WINDOW_MS = 3000  # mpremote needs a moment without the radio to get its Ctrl-C in


def main():
    """Run the token; restart the board when it fails."""
    time.sleep_ms(START_UP_WINDOW_MS)
    gc.threshold(4096)  # collect often from the start: what stays then lies close together
    try:
        from app import Token
        from board import Board

        Token(Board()).run()
    except KeyboardInterrupt:
        raise
    except Exception as error:
        # Only the supervisor catches everything. The log on flash is safe at any moment; a reset is the cure.
        sys.print_exception(error)  # pyright: ignore[reportAttributeAccessIssue]
        time.sleep_ms(1000)
        machine.reset()


main()
