"""Run by start/code.py after boot.py: the token for good; the supervisor. Never seen on hardware yet."""

import time
import traceback

import alarm
import microcontroller
import storage
import supervisor

ERROR_PAUSE_S = 1


def main():
    """Run the token; reset the chip when it fails. Ctrl-C on the serial line ends it, until the watchdog bites."""
    supervisor.runtime.autoreload = False
    if storage.getmount("/").readonly:
        print("The button was held at power-on: CIRCUITPY is writable from the PC and the token does not run.")
        return
    try:
        from app import Token
        from token_board import Board

        token = Token(Board())
        alarm.sleep_memory[1] = 0  # safemode.py counts there
        token.run()
    except KeyboardInterrupt:
        raise
    except Exception as error:
        # Only the supervisor catches everything. The log on flash is safe at any moment; a reset is the cure.
        traceback.print_exception(type(error), error, error.__traceback__)
        time.sleep(ERROR_PAUSE_S)
        microcontroller.reset()


main()
