"""The national list as the kiosk uses it: the newest good one, with its age and signature."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from host_tools.errors import UserError
from host_tools.matching.national_list import NationalList, load

OLD_S = 2 * 86400  # after so long officers are warned


class Status(Protocol):
    """What is known of a list.

    Attributes:
        age_s: since it was published, or else since it was fetched.
        signed: by the authority's key.
        problem: why there is no newer one, in a sentence; None: all is well.
    """

    @property
    def age_s(self) -> int: ...
    @property
    def signed(self) -> bool: ...
    @property
    def problem(self) -> str | None: ...


class Source(Protocol):
    """Where lists come from."""

    def load(self, now_s: float) -> tuple[NationalList, Status]:
        """The newest good list; the same object when it has not changed.

        Raises:
            UserError: there is none.
        """
        ...


@dataclass(frozen=True, slots=True)
class FileStatus:
    """Of a file; see Status."""

    age_s: int
    signed: bool = False
    problem: str | None = None


class FileSource:
    """A file that is replaced now and then."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._last: NationalList | None = None

    def load(self, now_s: float) -> tuple[NationalList, FileStatus]:
        try:
            found = self._path.stat()
            seen = (found.st_mtime_ns, found.st_size)
            if self._last is None or seen != self._seen:
                self._last, self._seen = load(self._path), seen
        except (OSError, UserError) as error:
            if self._last is None:
                if isinstance(error, UserError):
                    raise
                raise UserError(
                    f"There is no national list at {self._path}: {error}. The kiosk was not started."
                ) from error
            return self._last, FileStatus(self._age_s(), problem=str(error))
        return self._last, FileStatus(self._age_s())

    def _age_s(self) -> int:
        return 0 if self._seen is None else max(0, int(time.time()) - self._seen[0] // 1_000_000_000)


class CaseList:
    """The list in use.

    Attributes:
        cases, status: of the newest good one.

    Raises:
        UserError: there is none.
    """

    def __init__(self, source: Source, now: Callable[[], float]) -> None:
        self._source = source
        self._now = now
        self.cases, self.status = source.load(now())

    def renew(self) -> bool:
        """Look for a newer one; returns whether it came."""
        before = self.cases
        self.cases, self.status = self._source.load(self._now())
        return self.cases is not before
