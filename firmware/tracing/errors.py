"""Errors of the portable package. All derive from TracingError, so that a supervisor can tell ours from the VM's."""


class TracingError(Exception):
    """Base of every error that `tracing` raises on purpose."""


class FormatError(TracingError):
    """Bytes that do not follow SPEC.md. The message names the field and what was expected."""


class StoreError(TracingError):
    """The flash store refused a read, program or erase; nothing of the failed operation may be believed."""


class RadioError(TracingError):
    """The radio did not do what it was asked, for instance kept its old address."""
