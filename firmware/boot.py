"""Started by MicroPython before main.py: finishes an update that the power has cut short. The radio is the app's."""

import os

try:
    os.stat("next/list")
except OSError:
    pass
else:
    import switch

    switch.finish()
