"""Each unit's share of tokens that have synced within 7 days: to look at, to print, and as CSV."""

from collections.abc import Iterable
from itertools import groupby

from starlette.responses import Response
from starlette.routing import Route

from host_tools.fleet.listing import RECENT_S, Share
from host_tools.fleet.people import Unit
from host_tools.fleet.sheet import sheet

from .site import Visit, csv_file, staff

COLUMNS = ("agency", "district", "kind", "tokens", "synced_7d", "percent", "spare")


def by_district(shares: Iterable[Share]) -> list[Share]:
    """The sums of each district, in the order of their names; each stands for a unit without an agency."""
    ordered = sorted(shares, key=lambda share: share.unit.district)
    return [
        _sum(Unit("", district, ""), list(own)) for district, own in groupby(ordered, lambda share: share.unit.district)
    ]


def _sum(unit: Unit, shares: list[Share]) -> Share:
    return Share(
        unit,
        sum(share.tokens for share in shares),
        sum(share.recent for share in shares),
        sum(share.spare for share in shares),
    )


def _units(visit: Visit) -> Response:
    shares = visit.office.listing.shares()
    now_s = visit.office.now()
    return visit.page(
        "units",
        shares=shares,
        districts=by_district(shares),
        total=_sum(Unit("", "", ""), shares),
        since_s=now_s - RECENT_S,
        now_s=now_s,
    )


def _csv(visit: Visit) -> Response:
    rows = (
        (each.unit.agency, each.unit.district, each.unit.kind, each.tokens, each.recent, each.percent, each.spare)
        for each in visit.office.listing.shares()
    )
    return csv_file("units.csv", sheet(COLUMNS, rows))


ROUTES = [Route("/units", staff("see fleet", _units)), Route("/units.csv", staff("see fleet", _csv))]
