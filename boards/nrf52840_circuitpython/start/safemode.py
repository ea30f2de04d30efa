"""Started by CircuitPython in place of boot.py and code.py after a crash: a token must not lie dead in a pocket.

It waits, longer after each crash in a row, and resets. Not started when the wearer forced safe mode with the reset
button: that is the way in for a technician. Never seen on hardware yet.
"""

import time

import alarm
import microcontroller
import supervisor

MARK = 0xB2  # in sleep memory, which outlives a reset but not a loss of power; the count of crashes follows it
SHORTEST_S = 5
LONGEST_DOUBLINGS = 7  # about ten minutes
BROWN_OUT_S = 600  # an exhausted battery recovers a little, and more use only harms it


def pause_s(reason, memory):
    """How long to wait before the reset; counts in `memory`."""
    crashes = memory[1] if memory[0] == MARK else 0
    memory[0] = MARK
    memory[1] = min(crashes + 1, LONGEST_DOUBLINGS)
    if reason == supervisor.SafeModeReason.BROWNOUT:
        return BROWN_OUT_S
    return SHORTEST_S << min(crashes, LONGEST_DOUBLINGS)


time.sleep(pause_s(supervisor.runtime.safe_mode_reason, alarm.sleep_memory))
microcontroller.reset()
