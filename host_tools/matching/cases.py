"""The entries of the national list: those that repeat or contradict each other, and what is new since yesterday."""

from collections.abc import Iterable
from dataclasses import dataclass

from host_tools.errors import UserError
from host_tools.matching.inputs import Rejections
from tracing.keys import day_of

MAX_CASES = 2_000_000  # at some 350 bytes each while the list is read

_Span = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Case:
    """A usable entry of the list.

    Attributes:
        index: place in the list's `data`, from 0, rejected entries included; in a list of several files the
            places go on from one file to the next.
        daily_key: 32 bytes, of the UTC day that contains `time_start`.
        time_start: Unix s; ids that were on the air from here …
        time_end: … to here count.
        max: BluezoneIDs per day, 2..86400.
    """

    index: int
    daily_key: bytes
    time_start: int
    time_end: int
    max: int

    @property
    def span(self) -> _Span:
        """All that an entry says about its key."""
        return self.time_start, self.time_end, self.max


class CaseCollection:
    """Cases of one list, each once.

    - An entry that says what an earlier one has said (key, times and max equal) is left out and named.
    - The same key with other times on the same day: both count, as the same person over both times.
    - The same key on another UTC day or with another max: one of the two must be false, for a key belongs to one
      day. **Both count**, so that nobody can strike a true entry off by adding a false one: the false one only
      matches ids that somebody sent at a wrong time. They are named in `doubtful`.

    Attributes:
        cases: in the order of the list.
        rejected, doubtful: what was left out, and what was used although something speaks against it.
    """

    def __init__(self) -> None:
        self.cases: list[Case] = []
        self.rejected = Rejections()
        self.doubtful = Rejections()
        self._first: dict[bytes, Case] = {}
        self._spans: dict[bytes, set[_Span]] = {}  # only of keys with several

    def add(self, case: Case, where: str) -> None:
        """Take in the next entry; `where` names it, such as "data[3]".

        Raises:
            UserError: there are more than can be held.
        """
        first = self._first.setdefault(case.daily_key, case)
        if first is not case:
            spans = self._spans.setdefault(case.daily_key, {first.span})
            if case.span in spans:
                self.rejected.add(where, f"repeats an earlier entry with the key of case {first.index}")
                return
            spans.add(case.span)
            if day_of(case.time_start) != day_of(first.time_start):
                self.doubtful.add(f"{where}.time_start", f"is another day for the key of case {first.index}")
            elif case.max != first.max:
                self.doubtful.add(
                    f"{where}.max", f"is {case.max}, but {first.max} for the same key in case {first.index}"
                )
        if len(self.cases) == MAX_CASES:
            raise UserError(
                f"The national list has more than {MAX_CASES} usable entries. Nothing of it was used; "
                "split it, and match against one part after the other."
            )
        self.cases.append(case)

    def close(self) -> None:
        """Call at the end of the list."""
        self.rejected.close()
        self.doubtful.close()


@dataclass(frozen=True, slots=True)
class Difference:
    """What one list has and the other has not. The indices are those of the list in which a case stands."""

    added: list[Case]
    removed: list[Case]


def difference(old: Iterable[Case], new: Iterable[Case]) -> Difference:
    """What changed from one list to the next, by content: a case that merely moved in the list is in neither.

    Whoever has expanded `old` needs to expand only `added`.
    """
    had = {(case.daily_key, case.span): case for case in old}
    added = [case for case in new if had.pop((case.daily_key, case.span), None) is None]
    return Difference(added, list(had.values()))
