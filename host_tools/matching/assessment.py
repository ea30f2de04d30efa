"""A wearer's encounters held against a national list that is ready for use."""

from collections.abc import Sequence
from typing import NamedTuple

from host_tools.matching.case_finder import CaseFinder
from host_tools.matching.explanation import ListVersion
from host_tools.matching.exposures import Encounter, match_encounters
from host_tools.matching.national_list import NationalList
from host_tools.matching.rules import Rules
from host_tools.matching.verdict import Verdict, infectious_periods, judge


class Listed(NamedTuple):
    """A national list, what finds its cases, and which list it is, if that is known."""

    cases: NationalList
    finder: CaseFinder
    version: ListVersion | None


class Judged(NamedTuple):
    """A wearer's encounters, the verdict on them, and by which list, if that is known."""

    encounters: Sequence[Encounter]
    verdict: Verdict
    version: ListVersion | None = None


def assess(encounters: Sequence[Encounter], cases: NationalList, finder: CaseFinder, rules: Rules) -> Verdict:
    """The verdict on a wearer's encounters.

    Args:
        finder: of `cases`.
    """
    index = finder.index_for(encounters, rules.tolerance_s)
    exposures = match_encounters(encounters, index, rules.tolerance_s)
    return judge(exposures, rules, infectious_s=infectious_periods(cases.cases, exposures))
