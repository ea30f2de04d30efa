"""What the light can say. The numbers are the wearer's vocabulary; how a board shows each is in its indicator."""

OFF = 0
ALIVE = 1  # a blink now and then: the token works
SYNC_MODE = 2  # the button was pressed: looking for the kiosk
SYNCING = 3
DONE = 4
SAFE = 5
EXPOSED = 6  # F1
CLERK = 7  # see the clerk
ERROR = 8
CLOCK_UNSET = 9
