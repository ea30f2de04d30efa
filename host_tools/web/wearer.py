"""The wearer's screen. Only the kiosk's own browser gets it: a verdict by short code is not for the network."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from host_tools.errors import UserError
from host_tools.fleet.office import Office
from host_tools.fleet.privacy import Held
from host_tools.matching.day_result import DayResult
from host_tools.matching.explanation import Explanation, explain_kept

from .guard import local
from .pages import language
from .screen import FINAL, Details
from .site import Site, site_of

_WEARER = "wearer"  # who has pressed the button of the token; so the audit calls them
_ELSEWHERE = (
    "Màn hình này chỉ mở tại quầy. Trang của nhân viên: /staff.\n"
    "This screen is at the kiosk only. The clerk's pages are at /staff."
)
Endpoint = Callable[[Request], Awaitable[Response]]


def _here(endpoint: Endpoint) -> Endpoint:
    async def guarded(request: Request) -> Response:
        if not local(request):
            return PlainTextResponse(_ELSEWHERE, 403)
        return await endpoint(request)

    return guarded


async def _screen(request: Request) -> Response:
    site = site_of(request)
    lang = language(request.query_params.get("lang"))
    return HTMLResponse(site.pages.render("wearer", lang, simulated=site.simulated))


async def _events(request: Request) -> Response:
    async def stream() -> AsyncIterator[str]:
        async for picture in site_of(request).screen.pictures():
            yield f"data: {picture}\n\n" if picture else ": still here\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream")


async def _card(request: Request) -> Response:
    site = site_of(request)
    card = site.screen.cards.get(request.path_params["code"])
    if card is None or card.state not in FINAL:
        return PlainTextResponse("This card is not on the screen.", 404)
    return HTMLResponse(site.pages.render("card", language(request.query_params.get("lang")), card=card))


async def _held(request: Request) -> Response:
    site = site_of(request)
    card = site.screen.stay(request.path_params["code"])
    if card is None or card.details is None:
        return PlainTextResponse("This card is not on the screen.", 404)
    serial, details = card.details.serial, card.details
    try:
        if request.method == "DELETE":
            await run_in_threadpool(_forget, site.office, serial)
        holding = await run_in_threadpool(_holding, site.office, serial)
    except UserError:  # the database is away, or the wearer has just been erased
        return PlainTextResponse("This cannot be done now.", 503)
    lang = language(request.query_params.get("lang"))
    return HTMLResponse(
        site.pages.render(
            "held", lang, held=holding.held, days=holding.keep_days, gone=request.method == "DELETE", code=card.code,
            reasons=details.reasons, earlier=_earlier(site, details, holding.results),
        )
    )  # fmt: skip


class _Holding(NamedTuple):
    """What is held of who has the token (None: nobody has), what was found, and how long encounters are kept."""

    held: Held | None
    results: Sequence[DayResult]
    keep_days: int


def _holding(office: Office, serial: bytes) -> _Holding:
    person_id = office.ledger.standing(serial).person_id
    held = None if person_id is None else office.privacy.held(_WEARER, person_id)
    return _Holding(held, office.results.of(serial, None) if held is None else held.days, office.privacy.days())


def _earlier(site: Site, details: Details, results: Sequence[DayResult]) -> Explanation | None:
    """What was found before and the verdict does not say, since the encounters behind it are gone; None: nothing."""
    told = {found.day for found in (*details.verdict.days, *details.verdict.met)}
    kept = [found for found in results if found.day not in told]
    return explain_kept(kept, site.rules, site.office.now()) if kept else None


def _forget(office: Office, serial: bytes) -> None:
    person_id = office.ledger.standing(serial).person_id
    if person_id is not None:
        office.privacy.forget_contacts(_WEARER, person_id)


async def _clear(request: Request) -> Response:
    site_of(request).screen.clear(request.path_params["code"])
    return Response(status_code=204)


ROUTES = [
    Route("/", _here(_screen)),
    Route("/events", _here(_events)),
    Route("/cards/{code}", _here(_card)),
    Route("/cards/{code}/held", _here(_held), methods=["GET", "DELETE"]),
    Route("/cards/{code}", _here(_clear), methods=["DELETE"]),
]
