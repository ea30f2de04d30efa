"""Started by MicroPython before main.py. Nothing to prepare: the radio is switched on by the app, early."""
