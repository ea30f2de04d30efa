"""Started by CircuitPython after boot.py: the code.py of the copy of the firmware that runs (half.py).

Never seen on hardware yet.
"""

import half

if half.enter():
    __import__("code")  # the copy's own: its folder comes first
else:
    print("No copy of the firmware is whole: run `bluezone flash`.")
