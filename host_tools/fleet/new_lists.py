"""Every list once: what is stored is held against it when it comes, and not again while it stays."""

from host_tools.matching.assessment import Listed
from host_tools.matching.rules import Rules

from .results import Rematch, Results


class NewLists:
    """The lists that come to one kiosk.

    Args:
        rules: what counts as a close contact.
    """

    def __init__(self, results: Results, rules: Rules) -> None:
        self._results = results
        self._rules = rules
        self._held: Listed | None = None

    def hold(self, listed: Listed) -> Rematch | None:
        """Hold a list against what is stored; None: it is the one of before, by its digest.

        The first one counts as new: it may have come while the kiosk was off.

        Raises:
            StorageError: the database failed; the next call does it again.
        """
        if self._held is not None and _digest(self._held) == _digest(listed):
            return None
        found = self._results.rematch(listed.cases, self._rules, listed.finder, listed.version)
        self._held = listed
        return found


def _digest(listed: Listed) -> object:
    return listed.version.digest if listed.version else listed.cases
