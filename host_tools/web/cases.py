"""The national list as the kiosk uses it: the newest good one, with its age and signature."""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from host_tools.errors import UserError
from host_tools.matching.list_source import ListStatus
from host_tools.matching.national_list import NationalList

OLD_S = 2 * 86400  # after so long officers are warned


class Source(Protocol):
    """Where lists come from; see list_source.ListSource."""

    def load(self, now_s: float) -> tuple[NationalList, ListStatus]:
        """The newest good list. Raises UserError when there is none."""
        ...


class CaseList:
    """The list in use.

    Args:
        now: Unix seconds, from any thread.

    Attributes:
        newest: the newest good list and how it stands, of one moment.

    Raises:
        UserError: there is no list.
    """

    def __init__(self, source: Source, now: Callable[[], float]) -> None:
        self._source = source
        self._now = now
        self.newest = source.load(now())

    def renew(self) -> None:
        """Look for a newer one. Where none can be had, the status says why, and the list of before stays."""
        try:
            self.newest = self._source.load(self._now())
        except UserError as error:
            cases, status = self.newest
            self.newest = cases, replace(status, problem=f"{error} The list of before stays in use.")

    @property
    def cases(self) -> NationalList:
        return self.newest[0]

    @property
    def status(self) -> ListStatus:
        return self.newest[1]

    @property
    def published_age_s(self) -> int | None:
        """Since the authority signed the list; None: nobody says when it was made."""
        published_s = self.status.published_s
        return None if published_s is None else max(0, int(self._now()) - published_s)

    @property
    def old(self) -> bool:
        """Is it, or may it be, too old to rely upon?"""
        return max(self.published_age_s or 0, self.fetched_age_s) >= OLD_S

    @property
    def fetched_age_s(self) -> int:
        """Since the source was last found to have this list."""
        return max(0, int(self._now()) - self.status.fetched_s)
