"""Each unit's share of tokens that have synced within 7 days: to look at, to print, and as CSV."""

import csv
import io
from collections.abc import Iterable
from itertools import groupby

from starlette.responses import Response
from starlette.routing import Route

from host_tools.fleet.listing import RECENT_S, Share
from host_tools.fleet.people import Unit

from .site import Visit, staff

COLUMNS = ("agency", "district", "kind", "tokens", "synced_7_days", "percent", "spare")
# Spreadsheets take cells that begin so for formulas.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


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
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for share in visit.office.listing.shares():
        unit = share.unit
        names = (f"'{name}" if name.startswith(_FORMULA) else name for name in (unit.agency, unit.district, unit.kind))
        writer.writerow((*names, share.tokens, share.recent, share.percent, share.spare))
    # It begins with the mark by which spreadsheets know UTF-8.
    return Response(
        "\ufeff" + out.getvalue(),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": 'attachment; filename="units.csv"'},
    )


ROUTES = [Route("/units", staff("see fleet", _units)), Route("/units.csv", staff("see fleet", _csv))]
