"""CircuitPython's milliseconds in MicroPython's words. Its counter wraps after 2^29 ms, 6.2 days."""

from supervisor import ticks_ms  # noqa: F401  for whoever imports this in place of `time`

_MASK = (1 << 29) - 1
_HALF = 1 << 28


def ticks_add(ticks, delta_ms):
    """`ticks` moved by `delta_ms`, wrapping."""
    return (ticks + delta_ms) & _MASK


def ticks_diff(end, start):
    """end - start in ms, right as long as the two are less than 3.1 days apart."""
    return ((end - start + _HALF) & _MASK) - _HALF
