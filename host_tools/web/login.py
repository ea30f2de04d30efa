"""Into the clerk's pages and out again, and the first account."""

from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from host_tools.errors import UserError
from host_tools.fleet.accounts import SHORTEST_PASSWORD, TooManyTries
from host_tools.storage.database import StorageError

from .guard import address_of
from .pages import language
from .site import (
    LANGUAGE_COOKIE,
    SESSION_COOKIE,
    STAFF,
    Visit,
    away,
    language_of,
    page_before,
    page_of,
    set_session,
    site_of,
    staff,
)

_YEAR_S = 365 * 86400


def _page(request: Request, name: str, form: dict[str, str], error: UserError | None = None) -> Response:
    text = site_of(request).pages.render(
        name,
        language_of(request),
        sentence=str(error) if error else "",
        ended=bool(request.query_params.get("ended")) and error is None,
        typed=form.get,
        shortest=SHORTEST_PASSWORD,
        simulated=site_of(request).simulated,
    )
    status = 200 if error is None else 429 if isinstance(error, TooManyTries) else 403
    return HTMLResponse(text, status)


def _log_in(request: Request, form: dict[str, str]) -> Response:
    accounts = site_of(request).office.accounts
    if request.method == "GET":
        return _page(request, "login", form) if accounts.all() else RedirectResponse(f"{STAFF}/setup", 303)
    _, session = accounts.log_in(form.get("name", ""), form.get("password", ""), address_of(request))
    accounts.log_out(request.cookies.get(SESSION_COOKIE, ""))  # the browser forgets that one, and so does the kiosk
    return set_session(RedirectResponse(page_of(request.query_params.get("next", "")), 303), request, session)


def _set_up(request: Request, form: dict[str, str]) -> Response:
    accounts = site_of(request).office.accounts
    if accounts.all():
        return RedirectResponse(f"{STAFF}/login", 303)
    if request.method == "GET":
        return _page(request, "setup", form)
    name, password = form.get("name", ""), form.get("password", "")
    accounts.set_up(form.get("code", ""), name, password, address_of(request))
    _, session = accounts.log_in(name, password, address_of(request))
    return set_session(RedirectResponse(STAFF, 303), request, session)


def _open(name: str, handler: Callable[[Request, dict[str, str]], Response]) -> Callable:
    async def endpoint(request: Request) -> Response:
        form: dict[str, str] = {}
        if request.method == "POST":
            async with request.form(max_files=0, max_fields=5) as sent:
                form = {field: str(value) for field, value in sent.items()}
        try:
            return await run_in_threadpool(handler, request, form)
        except StorageError as error:
            return away(request, error)
        except UserError as error:
            return _page(request, name, form, error)

    return endpoint


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _log_out(visit: Visit) -> Response:
    visit.office.accounts.log_out(visit.session)
    response = RedirectResponse(f"{STAFF}/login", 303)
    response.delete_cookie(SESSION_COOKIE, STAFF)
    return response


def _password(visit: Visit) -> Response:
    return visit.page("password", shortest=SHORTEST_PASSWORD)


def _change_password(visit: Visit) -> Response:
    accounts = visit.office.accounts
    accounts.log_in(visit.actor, visit.form.get("old", ""), address_of(visit.request))
    accounts.set_password(visit.actor, visit.account.id, visit.form.get("new", ""))
    _, session = accounts.log_in(visit.actor, visit.form.get("new", ""), address_of(visit.request))
    return set_session(RedirectResponse(f"{STAFF}?done=1", 303), visit.request, session)


async def _choose_language(request: Request) -> Response:
    response = RedirectResponse(page_before(request), 303)
    response.set_cookie(
        LANGUAGE_COOKIE, language(request.path_params["lang"]), max_age=_YEAR_S, path=STAFF, httponly=True,
        samesite="strict",
    )  # fmt: skip
    return response


ROUTES = [
    Route("/login", _open("login", _log_in), methods=["GET", "POST"]),
    Route("/setup", _open("setup", _set_up), methods=["GET", "POST"]),
    Route("/logout", staff(None, _log_out), methods=["POST"]),
    Route("/password", staff(None, _password)),
    Route("/password", staff(None, _change_password, _password), methods=["POST"]),
    Route("/language/{lang}", _choose_language),
]
