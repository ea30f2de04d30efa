"""Started by CircuitPython before code.py: the boot.py of the copy of the firmware that runs (half.py).

Where none is whole, CIRCUITPY stays a drive for a technician's PC. Never seen on hardware yet.
"""

import half

if half.enter():
    __import__("boot")  # the copy's own: its folder comes first
