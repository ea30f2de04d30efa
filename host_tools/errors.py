"""The error that is meant for the person at the keyboard."""


class UserError(Exception):
    """Input that cannot be used, or a wish that cannot be fulfilled.

    The message is one or two sentences: what happened, what was kept, what to do. The command line prints
    it to stderr without a traceback and exits with status 2. Errors of other parts that a user can cause
    derive from it.
    """
