"""Stored logs against a newer list: who is exposed now, without waiting until the token comes to the kiosk again."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from host_tools.matching.case_finder import CaseFinder
from host_tools.matching.explanation import ListVersion, explanation_json
from host_tools.matching.exposures import Exposure, match_encounters
from host_tools.matching.national_list import Case, NationalList
from host_tools.matching.rules import Rules
from host_tools.matching.verdict import Verdict, infectious_periods, judge
from host_tools.storage.store import Encounter, Token


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A wearer who became exposed while the token was away.

    Attributes:
        token: as the database knows it; its `last_sync_s` says how far its log reaches.
        verdict: of the stored log against the list.
        list_version: which list that was, if the kiosk knows.
    """

    token: Token
    verdict: Verdict
    list_version: ListVersion | None

    def as_json(self) -> dict[str, object]:
        """For machines."""
        return {
            "serial": self.token.serial.hex(),
            "short_code": self.token.short_code,
            **explanation_json(self.verdict, self.list_version),
            "last_sync_s": self.token.last_sync_s,
        }


def newly_exposed(
    logs: Iterable[tuple[Token, list[Encounter]]],
    cases: NationalList,
    finder: CaseFinder,
    rules: Rules,
    new_cases: Collection[int],
    version: ListVersion | None,
) -> list[StoredResult]:
    """The tokens whose logs make an F1 with the new cases, and did not without them; by short code.

    Args:
        logs: of each token, what its wearer may be told of.
        finder: of `cases`.
        new_cases: places in `cases` of what an earlier list lacked.
        version: of `cases`.
    """
    found = []
    for token, encounters in logs:
        index = finder.index_for(encounters, rules.tolerance_s)
        exposures = match_encounters(encounters, index, rules.tolerance_s)
        earlier = [each for each in exposures if each.case not in new_cases]
        if len(earlier) < len(exposures):
            verdict = _judged(exposures, cases.cases, rules)
            if verdict.kind == "exposed" and _judged(earlier, cases.cases, rules).kind == "safe":
                found.append(StoredResult(token, verdict, version))
    return found


def _judged(exposures: list[Exposure], cases: Iterable[Case], rules: Rules) -> Verdict:
    return judge(exposures, rules, infectious_s=infectious_periods(cases, exposures))
