"""MicroPython's `time` on the virtual board: the host's virtual time in place of the machine's."""

import lockstep


def ticks_ms():
    """Milliseconds, wrapping as on a board (2^30)."""
    return lockstep.now_ms & 0x3FFFFFFF


def ticks_add(ticks, delta):
    """`ticks` moved by `delta`, wrapping."""
    return (ticks + delta) & 0x3FFFFFFF


def ticks_diff(end, start):
    """end - start, right as long as the two are less than 6.2 days apart."""
    return ((end - start + 0x20000000) & 0x3FFFFFFF) - 0x20000000


def sleep_ms(ms):
    """Let `ms` go by; events are delivered meanwhile."""
    end_ms = lockstep.now_ms + ms
    while lockstep.now_ms < end_ms:
        lockstep.idle(end_ms)
