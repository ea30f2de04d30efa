"""Run by start/boot.py, before code.py and before USB: who may write to the drive, and the file for the log.

With the button held at power-on, CIRCUITPY is a drive for a PC and the token does not run. Otherwise the drive is the
token's alone: two writers would wreck the file system. Never seen on hardware yet.
"""

import os

import board
import digitalio
import settings
import storage
import supervisor
from adapters.file_store import make_file

_NEW = "/contacts.new"


def maintenance():
    """Whether the button is held down."""
    pin = digitalio.DigitalInOut(getattr(board, settings.PINS_BUTTON))
    pin.switch_to_input(digitalio.Pull.UP)
    held = not pin.value
    pin.deinit()
    return held


def exists(path):
    """Whether there is a file."""
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def main():
    """Leave the drive to the PC, or take it and make the log's file where there is none."""
    supervisor.runtime.ble_workflow = False  # it would advertise under an address and a name of its own
    if maintenance():
        return
    storage.disable_usb_drive()
    storage.remount("/", readonly=False)
    if not exists(settings.LOG_FILE):
        # Under another name first: a file that bears the right name is whole.
        make_file(_NEW, settings.LOG_BLOCKS + 2)
        os.rename(_NEW, settings.LOG_FILE)


main()
