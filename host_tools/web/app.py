"""The web application: all routes, and what machines ask."""

from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from host_tools.fleet.health import health, metrics
from host_tools.storage.database import StorageError

from . import login, staff_office, staff_people, staff_release, staff_tokens, staff_units, wearer
from .guard import HEADERS, Guard, local
from .site import STAFF, Site, language_of, site_of

STATIC = Path(__file__).with_name("static")


async def _health(request: Request) -> Response:
    site = site_of(request)
    status = site.cases.status
    found = await run_in_threadpool(health, site.office.database, site.office.now, status.published_s)
    problems = [*found.problems]
    if "radio" in site.screen.troubles:
        problems.append("The Bluetooth adapter cannot be used. Plug it in and switch it on.")
    if "clock" in site.screen.troubles and "clock" not in found.troubles:
        problems.append("The clock was set back while the kiosk was running. Set it.")
    if status.problem:
        problems.append(status.problem)
    ok = found.ok and not site.screen.troubles
    told = problems if local(request) else []  # they name files, servers and addresses
    return JSONResponse({"ok": ok, "problems": told}, 200 if ok else 503)


async def _metrics(request: Request) -> Response:
    if not local(request):  # who sees somebody before the kiosk would see there what it told them
        return PlainTextResponse("Figures are told on the kiosk's own machine only.", 403)
    office = site_of(request).office
    try:
        text = await run_in_threadpool(metrics, office.database, office.now)
    except StorageError as error:
        return PlainTextResponse(str(error), 503)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


async def _missing(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    path = request.url.path
    if not path.startswith(f"{STAFF}/"):
        return PlainTextResponse("There is no such page.", status)
    if status == 405 and request.method == "GET":  # where only forms go, as after an error: to the page above
        return RedirectResponse(path.rpartition("/")[0], 303)
    return HTMLResponse(site_of(request).pages.render("missing", language_of(request)), status)


async def _failed(_request: Request, _error: Exception) -> Response:
    # Outside of the guard. What failed stands in the log, and only there.
    words = "Quầy gặp lỗi. Hãy báo kỹ thuật viên.\nSomething failed in the kiosk. Tell the technician."
    return PlainTextResponse(words, 500, {**HEADERS, "cache-control": "no-store"})


def build_app(site: Site, names: frozenset[str] = frozenset()) -> Starlette:
    """The application.

    Args:
        names: see guard.Guard.
    """
    pages = [
        *login.ROUTES, *staff_tokens.ROUTES, *staff_people.ROUTES, *staff_units.ROUTES, *staff_release.ROUTES,
        *staff_office.ROUTES,
    ]  # fmt: skip
    app = Starlette(
        routes=[
            *wearer.ROUTES,
            Route("/healthz", _health),
            Route("/metrics", _metrics),
            Mount("/static", StaticFiles(directory=STATIC)),
            Route(STAFF, staff_tokens.OVERVIEW),
            Mount(STAFF, routes=pages),
        ],
        middleware=[Middleware(Guard, names=names, list_path=f"{STAFF}{staff_people.IMPORT}")],
        exception_handlers={404: _missing, 405: _missing, 500: _failed},
    )
    app.state.site = site
    return app
