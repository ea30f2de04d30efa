"""`const` on every Python: the compiler for boards puts such numbers in place, and drops names that begin with _."""


def const(value):
    """The value itself."""
    return value
