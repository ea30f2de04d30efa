"""What the pages have in common, and what one visit to a clerk's page knows."""

import contextlib
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from host_tools.errors import UserError
from host_tools.fleet.accounts import SESSION_S, Account, Permission
from host_tools.fleet.office import Office
from host_tools.kiosk.release_desk import ReleaseDesk
from host_tools.matching.rules import Rules
from host_tools.storage.database import StorageError

from .cases import CaseList
from .guard import encrypted, local, part
from .pages import Language, Pages, language
from .screen import LiveScreen

SESSION_COOKIE, LANGUAGE_COOKIE = "bluezone_session", "bluezone_language"
STAFF = "/staff"
_TOO_OLD = "The page was open for too long. Nothing was changed. Look it over and send it again."
Practice = Callable[[bytes, bytes], str]


class _Number(IntegerConvertor):
    """In paths, `{…:number}`: what a database takes; a longer one is of no page. Python refuses some of "int"."""

    regex = "[0-9]{1,9}"


register_url_convertor("number", _Number())


@dataclass(frozen=True)
class Site:
    """What the pages show.

    Attributes:
        simulated: people and radio are; the pages say so then.
        practice: in a simulation, the authority's code for a serial and a challenge.
        believe_clock: see ClockWatch.
    """

    office: Office
    screen: LiveScreen
    cases: CaseList
    pages: Pages
    rules: Rules
    releases: ReleaseDesk
    simulated: bool = False
    practice: Practice | None = None
    believe_clock: Callable[[], None] = lambda: None


def site_of(request: Request) -> Site:
    """The site that a request is for."""
    return request.app.state.site


def form_token(session: str) -> str:
    """What forms carry: only who can read the session's pages knows it."""
    return hashlib.sha256(b"form " + session.encode()).hexdigest()


@dataclass(frozen=True)
class Visit:
    """A request of somebody who is logged in and may do what it asks.

    Attributes:
        form: fields of a POST; files: contents of uploaded files, both by name.
        wrong: the sentence of an error: the form's page is shown again with it, and with what was typed.
    """

    request: Request
    site: Site
    account: Account
    session: str
    form: dict[str, str]
    files: dict[str, bytes]
    wrong: str = ""

    @property
    def office(self) -> Office:
        return self.site.office

    @property
    def actor(self) -> str:
        """Whom the audit names."""
        return self.account.name

    def query(self, name: str) -> str:
        return self.request.query_params.get(name, "")

    def number(self, name: str) -> int:
        """A whole number of the query, from 0; 0 when it is none."""
        text = self.query(name)
        return int(text) if text.isdecimal() and len(text) < 10 else 0

    def path(self, name: str) -> Any:
        return self.request.path_params[name]

    def typed(self, name: str, otherwise: str = "") -> str:
        """What a field of a page holds at first; after an error, what was typed into it."""
        return self.form.get(name, otherwise) if self.wrong else otherwise

    def page(self, name: str, status_code: int = 200, **context: Any) -> Response:
        """A page for this account."""
        lang = language_of(self.request)
        text = self.site.pages.render(
            name, lang, account=self.account, here=self.request.url.path, back=page_before(self.request),
            done=self.query("done"), wrong=self.wrong, typed=self.typed, form_token=form_token(self.session),
            simulated=self.site.simulated, **context,
        )  # fmt: skip
        return HTMLResponse(text, status_code)


Handler = Callable[[Visit], Response]


def done(path: str, **query: str) -> Response:
    """Where a form leads when all went well: a page that says so, and may be loaded again."""
    return RedirectResponse(f"{STAFF}{path}?{urlencode({'done': '1', **query})}", 303)


def csv_file(name: str, text: str) -> Response:
    """A file to be fetched."""
    disposition = f'attachment; filename="{name}"'
    return Response(text, media_type="text/csv; charset=utf-8", headers={"content-disposition": disposition})


def language_of(request: Request) -> Language:
    """Of a clerk's pages: as last chosen."""
    return language(request.query_params.get("lang") or request.cookies.get(LANGUAGE_COOKIE))


def page_of(text: str) -> str:
    """The path of a clerk's page, as anybody may have written it; else the overview."""
    path = part(text, "path") or ""
    return path if path.startswith(f"{STAFF}/") else STAFF


def page_before(request: Request) -> str:
    """The page whose form or link was used, as the browser names it; else the overview."""
    referer = request.headers.get("referer", "")
    return page_of(referer) if part(referer, "netloc") == request.url.netloc else STAFF


def set_session(response: Response, request: Request, session: str) -> Response:
    """Give the browser its session: for the clerk's pages only, unseen by scripts and other sites."""
    response.set_cookie(
        SESSION_COOKIE, session, max_age=SESSION_S, path=STAFF, httponly=True, samesite="strict",
        secure=encrypted(request),
    )  # fmt: skip
    return response


def staff(permission: Permission | None, handler: Handler, page: Handler | None = None) -> Callable:
    """An endpoint that asks who it is, then works in a thread of its own.

    Args:
        permission: what the account must be allowed; None: anybody who is logged in.
        page: shows the page on which the form of a POST stands, to show it again after an error.
    """

    async def endpoint(request: Request) -> Response:
        form: dict[str, str] = {}
        files: dict[str, bytes] = {}
        if request.method == "POST":
            # What strangers send is not even read. The answer asks again: a form may take its time to come.
            entered = await run_in_threadpool(_enter, request, permission)
            if isinstance(entered, Response):
                return entered
            async with request.form(max_files=1, max_fields=20) as sent:
                for name, value in sent.items():
                    if isinstance(value, UploadFile):
                        files[name] = await value.read()
                    else:
                        form[name] = value
        return await run_in_threadpool(_answer, request, permission, handler, page, form, files)

    return endpoint


def _answer(
    request: Request, permission: Permission | None, handler: Handler, page: Handler | None, form: dict[str, str],
    files: dict[str, bytes],
) -> Response:  # fmt: skip
    entered = _enter(request, permission)
    if isinstance(entered, Response):
        return entered
    visit = replace(entered, form=form, files=files)
    try:
        given = form.get("form_token", "").encode()
        if request.method == "POST" and not hmac.compare_digest(given, form_token(visit.session).encode()):
            return _again(visit, page, _TOO_OLD, 403)
        return handler(visit)
    except StorageError as error:
        return away(request, error)
    except UserError as error:
        return _again(visit, page, str(error), 409)


def _enter(request: Request, permission: Permission | None) -> Visit | Response:
    """A visit without its form; where there can be none, the answer that says so."""
    site = site_of(request)
    session = request.cookies.get(SESSION_COOKIE, "")
    sent = request.method == "POST"
    try:
        account = site.office.accounts.of_session(session) if session else None
    except StorageError as error:
        return away(request, error)
    if account is None:
        return _to_login(page_before(request) if sent else request.url.path, sent)
    visit = Visit(request, site, account, session, {}, {})
    if permission is not None and not account.may(permission):
        return visit.page("problem", 403, sentence="", forbidden=True)
    return visit


def _again(visit: Visit, page: Handler | None, sentence: str, status_code: int) -> Response:
    """After an error: the page of the form with what was typed; where there is none, the error alone."""
    if page is not None:
        with contextlib.suppress(UserError):
            answer = page(replace(visit, wrong=sentence))
            answer.status_code = status_code
            return answer
    return visit.page("problem", status_code, sentence=sentence, forbidden=False)


def _to_login(path: str, sent: bool) -> Response:
    """To the login, and from there back to a page.

    Args:
        sent: a form was sent, which nobody takes now.
    """
    query = {} if path == STAFF else {"next": path}
    query |= {"ended": "1"} if sent else {}
    return RedirectResponse(f"{STAFF}/login{'?' * bool(query)}{urlencode(query, safe='/')}", 303)


def away(request: Request, error: StorageError) -> Response:
    """The page that needs no database. Nobody knows who asks: what names the server is for the kiosk's own browser."""
    sentence = str(error) if local(request) else ""
    return HTMLResponse(site_of(request).pages.render("away", language_of(request), sentence=sentence), 503)
